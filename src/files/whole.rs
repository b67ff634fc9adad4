//! Files that are there whole or not at all: written beside their place, synced, renamed. Knows no content.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

use super::look::is_dir;
use super::write::{check_local, folder, sync_dir};

/// A file under way. Dropped before it is complete, it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Starts a file that takes the place of `path` when it is complete. Before long work, this shows whether it can be
    /// written.
    ///
    /// # Errors
    /// If its folder cannot be written to, or `path` is a folder.
    pub fn create(path: &Path) -> Result<Self> {
        check_local(path)?;
        if is_dir(path)? {
            return Err(Error::refused(path.display(), "a file", "a folder"));
        }
        // Temporary files are private by default, but this one is to end as an ordinary file.
        let builder = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder(path));
        Ok(Self { file: builder.map_err(Error::io(path, "create"))?, path: path.to_owned() })
    }

    /// Where the file is until it is complete.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        self.file.path()
    }

    /// Where to write to.
    #[must_use]
    pub fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// If it cannot be synced or renamed.
    pub fn finish(self) -> Result<()> {
        let Self { file, path } = self;
        file.as_file().sync_all().map_err(Error::io(&path, "sync"))?;
        file.persist(&path).map_err(|e| e.error).map_err(Error::io(&path, "rename into place"))?;
        sync_dir(folder(&path))
    }

    /// Writes the content and puts the file in its place.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish_with(self, content: &[u8]) -> Result<()> {
        self.as_file().write_all(content).map_err(Error::io(&self.path, "write"))?;
        self.finish()
    }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    WholeFile::create(path)?.finish_with(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_replaced_at_once_is_readable_by_others_and_one_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        write_whole(&path, b"one").unwrap();
        let given_up = WholeFile::create(&path).unwrap();
        given_up.as_file().write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(WholeFile::create(dir.path()).is_err());
        assert!(WholeFile::create(&dir.path().join("none/a.csv")).is_err());
    }
}

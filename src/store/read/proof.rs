//! The one proof that a file is what a list says of it.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files;
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::Entry;
use crate::store::format::names::{SHA256SUMS, ZARR_JSON};

impl Sha {
    /// The SHA-256 of a file, and its size in bytes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_file(path: &Path, progress: &dyn Fn(u64)) -> Result<(Self, u64)> {
        let mut file = files::open(path)?;
        let length = file.metadata().map_err(Error::io(path, "look at"))?.len();
        // Small enough to stay in a core's own cache, so that reading costs little beside hashing; no larger than a
        // small file needs, as there are many of those.
        let mut buffer = vec![0; length.clamp(4 << 10, 256 << 10) as usize];
        let mut hash = Sha256::new();
        let mut size = 0;
        loop {
            let n = match file.read(&mut buffer) {
                Ok(0) => return Ok((Self(hash.finalize().into()), size)),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io(path, "read")(e)),
            };
            hash.update(&buffer[..n]);
            size += n as u64;
            progress(n as u64);
        }
    }
}

/// How closely a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// That it is there, with the size that the list says, where it says one.
    Size,
    /// Also its SHA-256.
    Content,
}

/// What a list says of a file that is not so.
#[derive(Debug)]
pub enum Damage {
    /// Nothing is there.
    Missing,
    /// It is of another size, in bytes.
    Size {
        /// What the list says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Its SHA-256 is another.
    Content {
        /// What the list says.
        expected: Sha,
        /// What is there.
        found: Sha,
    },
    /// It cannot be read, or is no regular file.
    Unreadable(Error),
}

impl Damage {
    /// The damage as an error that names the file as its list does.
    #[must_use]
    pub fn into_error(self, file: &Entry) -> Error {
        match self {
            Self::Missing => Error::malformed(&file.path, "the file that the list names", "none"),
            Self::Size { expected, found } => Error::malformed(&file.path, format!("{expected} bytes"), found),
            Self::Content { expected, found } => {
                Error::malformed(&file.path, format!("SHA-256 {}", expected.short()), found.short())
            }
            Self::Unreadable(error) => error,
        }
    }
}

impl Entry {
    /// Proves that the file below `root` is what the list says of it. `progress` counts the bytes that are read.
    ///
    /// # Errors
    /// What is not so.
    pub fn check(&self, root: &Path, depth: Depth, progress: &dyn Fn(u64)) -> Result<(), Damage> {
        let path = root.join(&self.path);
        let found = files::look_at(&path).map_err(Damage::Unreadable)?.ok_or(Damage::Missing)?;
        if found.is_file() {
            self.check_size(found.len())?;
            self.check_limit(found.len())?;
        } else {
            files::open(&path).map_err(Damage::Unreadable)?;
        }
        match depth {
            Depth::Size => Ok(()),
            Depth::Content => {
                let (sha, _) = Sha::of_file(&path, progress).map_err(Damage::Unreadable)?;
                self.check_content(sha)
            }
        }
    }

    /// Whether the file below `root` is what the list says of it.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn is_whole(&self, root: &Path, depth: Depth) -> Result<bool> {
        match self.check(root, depth, &|_| {}) {
            Ok(()) => Ok(true),
            Err(Damage::Unreadable(error)) if error.is_of_the_system() => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Reads the file below `root` whole, proven.
    ///
    /// # Errors
    /// What is not as the list says.
    pub fn read(&self, root: &Path) -> Result<Vec<u8>, Damage> {
        let path = root.join(&self.path);
        // A file of another size is not read at all.
        let found = files::look_at(&path).map_err(Damage::Unreadable)?.ok_or(Damage::Missing)?;
        if found.is_file() {
            self.check_size(found.len())?;
        }
        let is_document = self.path.ends_with(ZARR_JSON);
        let read = if is_document { files::read_document_if_there } else { files::read_if_there };
        let bytes = read(&path).map_err(Damage::Unreadable)?.ok_or(Damage::Missing)?;
        self.check_size(bytes.len() as u64)?;
        self.check_content(Sha::of(&bytes))?;
        Ok(bytes)
    }

    fn check_size(&self, found: u64) -> Result<(), Damage> {
        match self.size.filter(|&expected| expected != found) {
            Some(expected) => Err(Damage::Size { expected, found }),
            None => Ok(()),
        }
    }

    /// Where no list says a size, a file that no reader would take is not hashed either: it could be a hole of any size.
    fn check_limit(&self, found: u64) -> Result<(), Damage> {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let most = match name.rsplit_once('.') {
            _ if name == SHA256SUMS => files::LARGEST_TEXT,
            Some((_, "csv" | "sha256")) => files::LARGEST_TEXT,
            Some((_, "json")) => files::LARGEST_DOCUMENT,
            _ => return Ok(()),
        };
        if self.size.is_some() || found <= most {
            return Ok(());
        }
        let error = Error::malformed(&self.path, format!("at most {most} bytes"), format!("{found} bytes"));
        Err(Damage::Unreadable(error))
    }

    fn check_content(&self, found: Sha) -> Result<(), Damage> {
        if found == self.sha { Ok(()) } else { Err(Damage::Content { expected: self.sha, found }) }
    }
}

/// Whether every file of a list is what it says; the first that is not ends the search.
///
/// # Errors
/// If the system cannot tell.
pub fn are_whole<'a>(root: &Path, files: impl IntoIterator<Item = &'a Entry>, depth: Depth) -> Result<bool> {
    for file in files {
        if !file.is_whole(root, depth)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_in_which_a_file_can_differ_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry::of("a/b", b"content");
        let check = |depth| entry.check(dir.path(), depth, &|_| {});
        assert!(
            matches!(check(Depth::Size), Err(Damage::Missing)) && !entry.is_whole(dir.path(), Depth::Size).unwrap()
        );
        let path = dir.path().join("a/b");
        std::fs::create_dir_all(&path).unwrap();
        assert!(matches!(check(Depth::Size), Err(Damage::Unreadable(_))), "a folder");
        assert!(!entry.is_whole(dir.path(), Depth::Size).unwrap());
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, "conten").unwrap();
        assert!(matches!(check(Depth::Size), Err(Damage::Size { expected: 7, found: 6 })));
        std::fs::write(&path, "Content").unwrap();
        assert!(check(Depth::Size).is_ok() && matches!(check(Depth::Content), Err(Damage::Content { .. })));
        assert!(matches!(entry.read(dir.path()), Err(Damage::Content { .. })));
        std::fs::write(&path, "content").unwrap();
        assert!(check(Depth::Content).is_ok());
        std::fs::File::create(dir.path().join("metadata.csv")).unwrap().set_len(1 << 40).unwrap();
        let hole = Entry { size: None, ..Entry::of("metadata.csv", b"") };
        let damage = hole.check(dir.path(), Depth::Content, &|_| panic!("a byte of it was read"));
        assert!(matches!(damage, Err(Damage::Unreadable(error)) if error.is_data_fault()));
        assert!(!hole.is_whole(dir.path(), Depth::Content).unwrap());
        assert_eq!(entry.read(dir.path()).unwrap(), b"content");
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let circle = dir.path().join("a");
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        let entry = Entry::of("a/b", b"content");
        assert!(entry.is_whole(dir.path(), Depth::Size).is_err());
        assert!(are_whole(dir.path(), [&entry], Depth::Content).is_err());
    }
}

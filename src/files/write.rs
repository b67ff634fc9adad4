//! Writing, so that what was written outlives a power cut: every file is synced, and so is every folder that was made
//! for it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::{Error, Result};

use super::look::{is_dir, is_not_there};

/// The folder that a path is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes renames and new files in `dir` outlive a power cut.
///
/// # Errors
/// If it cannot be synced.
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir, "sync"))
}

/// Refuses what is a place elsewhere, such as `s3://bucket`, and no path of this machine.
pub(super) fn check_local(path: &Path) -> Result<()> {
    let text = path.to_string_lossy();
    if text.contains("://") { Err(not_local(&text)) } else { Ok(()) }
}

/// The error of a place elsewhere.
#[must_use]
pub fn not_local(url: &str) -> Error {
    Error::refused(url, "a path of this machine", "a place elsewhere (copy it here, or mount it)")
}

/// Syncs a folder and all that it is in, up to and with `root`: so that also those outlive a power cut that a process
/// made which was killed before it synced them.
///
/// # Errors
/// If one cannot be synced.
pub fn sync_up_to(root: &Path, dir: &Path) -> Result<()> {
    for folder in dir.ancestors().take_while(|folder| folder.starts_with(root)) {
        sync_dir(folder)?;
    }
    Ok(())
}

/// Makes a folder, which must be new; its folder must be there.
///
/// # Errors
/// If it cannot be made.
pub fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Makes a folder and all that it is in, as far as they are not there, and syncs the folders that they are made in.
///
/// # Errors
/// If one cannot be made or synced.
pub fn create_dirs(path: &Path) -> Result<()> {
    check_local(path)?;
    if is_dir(path)? {
        return Ok(());
    }
    let parent = folder(path);
    if parent != path {
        create_dirs(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_dir(parent),
        // Another process was faster.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && is_dir(path)? => Ok(()),
        Err(e) => Err(Error::io(path, "create the folder")(e)),
    }
}

/// Writes a file, unsynced, in place of any that is there.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::io(path, "write"))
}

/// Writes a file and makes sure that it is on the disk. Its place in its folder is the caller's to sync.
///
/// # Errors
/// If it cannot be written.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(Error::io(path, "create"))?;
    file.write_all(bytes).map_err(Error::io(path, "write"))?;
    file.sync_all().map_err(Error::io(path, "sync"))
}

/// Makes a file, which must be new, and opens it for writing.
///
/// # Errors
/// If it is there, or cannot be made.
pub fn create_new(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

/// Opens a regular file to write behind its end; makes it if it is not there. A link is not followed: what it leads to
/// is not ours to write to.
///
/// # Errors
/// If it cannot be opened, or is something else.
pub fn append(path: &Path) -> Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file =
        File::options().create(true).append(true).custom_flags(flags).open(path).map_err(Error::io(path, "open"))?;
    let is_file = file.metadata().map_err(Error::io(path, "look at"))?.is_file();
    if is_file { Ok(file) } else { Err(Error::refused(path.display(), "a regular file", "something else")) }
}

/// Opens a file that is to be locked: for writing, as network file systems lock only such, and made if it is not there
/// where `make` says so. A link is not followed.
///
/// # Errors
/// If it cannot be opened, or is no regular file.
pub fn open_for_lock(path: &Path, make: bool) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).write(true).create(make).truncate(false).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("expected a regular file")) }
}

/// Sets when a file was last written to.
///
/// # Errors
/// If it cannot be set.
pub fn set_modified(path: &Path, time: SystemTime) -> Result<()> {
    let stamped = File::options().write(true).open(path).and_then(|file| file.set_modified(time));
    stamped.map_err(Error::io(path, "set the time of"))
}

/// Renames, in place of any file that is there.
///
/// # Errors
/// If it cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(to, "rename into place"))
}

/// Exchanges what lies at two paths, in one step; false, and nothing is changed, where the file system cannot.
///
/// # Errors
/// If it could and something else is in the way.
pub fn exchange(a: &Path, b: &Path) -> Result<bool> {
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        // Not known to the file system, to the kernel, across what is mounted, or to who confines this process.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV | Errno::PERM) => Ok(false),
        Err(e) => Err(Error::io(b, "exchange")(e.into())),
    }
}

/// Removes a file; whether there was one.
///
/// # Errors
/// If it cannot be removed.
pub fn remove_file(path: &Path) -> Result<bool> {
    gone(path, fs::remove_file(path))
}

/// Removes an empty folder; whether there was one.
///
/// # Errors
/// If something is in it, or it cannot be removed.
pub fn remove_dir(path: &Path) -> Result<bool> {
    gone(path, fs::remove_dir(path))
}

/// Removes a folder with all that is in it, following no link; whether there was one.
///
/// # Errors
/// If something in it cannot be removed.
pub fn remove_dir_all(path: &Path) -> Result<bool> {
    gone(path, fs::remove_dir_all(path))
}

fn gone(path: &Path, removed: io::Result<()>) -> Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if is_not_there(&error) => Ok(false),
        Err(error) => Err(Error::io(path, "remove")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_with_all_that_they_are_in_and_a_file_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_dirs(&deep).unwrap();
        create_dirs(&deep).unwrap();
        assert!(deep.is_dir());
        write(&deep.join("file"), b"x").unwrap();
        assert!(create_dirs(&deep.join("file")).is_err() && create_dirs(&deep.join("file/below")).is_err());
    }

    #[test]
    fn removing_tells_whether_there_was_something() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_synced(&path, b"x").unwrap();
        assert!(remove_file(&path).unwrap() && !remove_file(&path).unwrap());
        assert!(remove_dir_all(dir.path()).unwrap() && !remove_dir_all(dir.path()).unwrap());
        assert!(!remove_dir(dir.path()).unwrap());
    }
}

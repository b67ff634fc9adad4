//! Reading regular files, each up to a limit.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{Error, Result};

use super::look::is_not_there;

/// The largest list or CSV that is read into memory: the metadata of two million sites.
pub const LARGEST_TEXT: u64 = 256 << 20;
/// The largest document (JSON) that is read: a document takes many times its size in memory once it is parsed.
pub const LARGEST_DOCUMENT: u64 = 1 << 20;

/// Opens a regular file for reading.
///
/// # Errors
/// If there is none, or it cannot be opened.
pub fn open(path: &Path) -> Result<File> {
    Ok(open_with(path, OFlags::empty()).map_err(Error::io(path, "open"))?.0)
}

/// Opens a regular file for reading, with further flags of `open(2)`; `None` if nothing is there.
///
/// # Errors
/// If something else is there, or it cannot be opened.
pub fn open_if_there(path: &Path, flags: OFlags) -> Result<Option<File>> {
    match open_with(path, flags) {
        Ok((file, _)) => Ok(Some(file)),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(Error::io(path, "open")(error)),
    }
}

/// The file and its length.
fn open_with(path: &Path, flags: OFlags) -> io::Result<(File, u64)> {
    // Looked at before it is opened, as opening a device may do something; and opened without waiting for someone at
    // the other end, should it have become a pipe since.
    check_regular(&std::fs::metadata(path)?)?;
    let flags = (flags | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    check_regular(&found)?;
    Ok((file, found.len()))
}

fn check_regular(found: &std::fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(io::Error::other("expected a regular file, found something else"))
}

/// Reads a whole regular file of at most 256 MiB.
///
/// # Errors
/// If there is none, or it is larger, which is a fault of the data.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_at_most(path, LARGEST_TEXT).map_err(unread(path, LARGEST_TEXT))
}

/// The same; `None` if nothing is there.
///
/// # Errors
/// If something else is there, it is larger, or cannot be read.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    if_there(path, LARGEST_TEXT)
}

/// Reads a whole document (JSON) of at most 1 MiB.
///
/// # Errors
/// If there is none, or it is larger, which is a fault of the data.
pub fn read_document(path: &Path) -> Result<Vec<u8>> {
    read_at_most(path, LARGEST_DOCUMENT).map_err(unread(path, LARGEST_DOCUMENT))
}

/// The same; `None` if nothing is there.
///
/// # Errors
/// If something else is there, it is larger, or cannot be read.
pub fn read_document_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    if_there(path, LARGEST_DOCUMENT)
}

fn if_there(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    match read_at_most(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(unread(path, limit)(error)),
    }
}

/// Why a file was not read: one that is larger than any of its kind is damaged, not out of reach.
fn unread(path: &Path, limit: u64) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            let found = super::look::look_at(path).ok().flatten().map_or(0, |found| found.len());
            Error::malformed(path.display(), format!("at most {limit} bytes"), format!("{found} bytes"))
        }
        _ => Error::io(path, "read")(error),
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// If there is none, it is larger (of the kind `FileTooLarge`), or cannot be read.
pub fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open_with(path, OFlags::empty())?;
    let too_large =
        |length| io::Error::new(io::ErrorKind::FileTooLarge, format!("expected at most {limit} bytes, found {length}"));
    if length > limit {
        return Err(too_large(length));
    }
    let mut bytes = Vec::new();
    // The length of a file is no lie, but there may be no memory for it.
    bytes.try_reserve_exact(length as usize).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // One byte more than it may have tells a file that has grown since.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let found = bytes.len() as u64;
    if found > limit { Err(too_large(found)) } else { Ok(bytes) }
}

/// Reads a whole text file of at most 256 MiB.
///
/// # Errors
/// If there is none, it is larger, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|e| {
        let found = format!("a byte that is not, at offset {}", e.utf8_error().valid_up_to());
        Error::malformed(path.display(), "UTF-8 text", found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{exists, is_dir, is_file};

    #[test]
    fn a_pipe_a_device_and_a_folder_are_errors_and_no_wait() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), dir.path()] {
            let errors = [open(path).err(), read(path).err(), read_if_there(path).err(), read_text(path).err()];
            assert!(errors.iter().all(Option::is_some), "{}", path.display());
            assert!(exists(path).unwrap() && !is_file(path).unwrap());
        }
    }

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for nowhere in [dir.path().join("none"), file.join("below")] {
            assert!(!exists(&nowhere).unwrap() && read_if_there(&nowhere).unwrap().is_none());
            assert!(open_if_there(&nowhere, OFlags::empty()).unwrap().is_none());
        }
        // A name that no file system takes, and a link to itself, tell nothing of what is there.
        let circle = dir.path().join("circle");
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        for unknown in [dir.path().join("x".repeat(300)), circle] {
            assert!(exists(&unknown).is_err() && is_dir(&unknown).is_err() && read_if_there(&unknown).is_err());
            assert!(open_if_there(&unknown, OFlags::empty()).is_err());
        }
    }

    #[test]
    fn a_file_above_the_limit_is_refused_and_one_at_the_limit_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let error = read_at_most(&path, 4).unwrap_err().to_string();
        assert_eq!(error, "expected at most 4 bytes, found 5");
        assert!(read_document(&path).is_ok() && read_document_if_there(&dir.path().join("none")).unwrap().is_none());
        assert!(read_document(&dir.path().join("none")).is_err());
        std::fs::File::create(&path).unwrap().set_len(LARGEST_DOCUMENT + 1).unwrap();
        let error = read_document(&path).unwrap_err();
        assert!(
            error.is_data_fault() && error.to_string().ends_with("at most 1048576 bytes, found 1048577 bytes"),
            "{error}"
        );
        std::fs::write(&path, b"a\xff").unwrap();
        assert!(
            read_text(&path)
                .unwrap_err()
                .to_string()
                .ends_with("expected UTF-8 text, found a byte that is not, at offset 1")
        );
    }
}

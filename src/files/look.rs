//! Whether something is there, and what.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};

/// Whether an error says that nothing is there, as opposed to that nobody knows.
pub(super) fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What is there, links followed; `None` if nothing is, or only a link to nothing.
///
/// # Errors
/// If that cannot be told.
pub fn look_at(path: &Path) -> Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(Error::io(path, "look at")(error)),
    }
}

/// Whether anything is there, links followed.
///
/// # Errors
/// If that cannot be told.
pub fn exists(path: &Path) -> Result<bool> {
    Ok(look_at(path)?.is_some())
}

/// Whether a regular file is there, links followed.
///
/// # Errors
/// If that cannot be told.
pub fn is_file(path: &Path) -> Result<bool> {
    Ok(look_at(path)?.is_some_and(|found| found.is_file()))
}

/// Whether a folder is there, links followed.
///
/// # Errors
/// If that cannot be told.
pub fn is_dir(path: &Path) -> Result<bool> {
    Ok(look_at(path)?.is_some_and(|found| found.is_dir()))
}

/// Whether a path is taken, if only by a link to nothing.
///
/// # Errors
/// If that cannot be told.
pub fn is_taken(path: &Path) -> Result<bool> {
    Ok(look_at_itself(path)?.is_some())
}

/// Whether two things that are there are on one file system, so that they can be renamed from one to the other.
///
/// # Errors
/// If that cannot be told.
pub fn is_on_same_device(a: &Path, b: &Path) -> Result<bool> {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).map_err(Error::io(path, "look at"));
    Ok(device(a)? == device(b)?)
}

/// Whether a link is there.
///
/// # Errors
/// If that cannot be told.
pub fn is_link(path: &Path) -> Result<bool> {
    Ok(look_at_itself(path)?.is_some_and(|found| found.is_symlink()))
}

/// What is there; of a link, not what it leads to.
fn look_at_itself(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(Error::io(path, "look at")(error)),
    }
}

/// When a file was last written to.
///
/// # Errors
/// If it is not there, or that cannot be told.
pub fn modified(path: &Path) -> Result<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).map_err(Error::io(path, "look at"))
}

/// The path without links and dots; `None` if nothing is there.
///
/// # Errors
/// If that cannot be told.
pub fn resolve(path: &Path) -> Result<Option<PathBuf>> {
    match fs::canonicalize(path) {
        Ok(real) => Ok(Some(real)),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(Error::io(path, "resolve")(error)),
    }
}

//! Every file below a folder.

use std::path::Path;

use crate::error::{Error, Result, shown_path};

use super::walk::{Found, Links, walk};

/// A file below a folder, by its path relative to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyFile {
    /// One that a list of files can name: with `/`.
    Listable(String),
    /// One that it cannot, or a folder of such a name, because it is not UTF-8 or holds a line break or a backslash;
    /// shown as well as can be.
    Unlistable(String),
    /// What cannot be looked at or entered, shown as well as can be, and why.
    Unreadable(String, String),
}

/// Finds every file below `root`, one after the other. Links to folders are followed; one that leads back to a folder
/// that it is in cannot be.
///
/// # Errors
/// If `root` itself cannot be read. What cannot be below it is named.
pub fn every_file(root: &Path) -> impl Iterator<Item = Result<AnyFile>> + use<> {
    let root = root.to_owned();
    walk(&root, 1..=usize::MAX, Links::Follow).filter_map(move |found| match found {
        Ok(found) => of(&root, &found).map(Ok),
        Err(Error::Io { path, source, .. }) if path != root => {
            let path = shown_path(path.strip_prefix(&root).unwrap_or(&path));
            Some(Ok(AnyFile::Unreadable(path, source.to_string())))
        }
        Err(error) => Some(Err(error)),
    })
}

fn of(root: &Path, found: &Found) -> Option<AnyFile> {
    let path = found.path.strip_prefix(root).unwrap_or(&found.path);
    match path.to_str().filter(|path| !path.contains(['\n', '\r', '\\'])) {
        Some(_) if found.is_dir() => None,
        Some(path) => Some(AnyFile::Listable(path.to_owned())),
        // A folder whose name cannot stand in a list is named itself, too.
        None => Some(AnyFile::Unlistable(path.to_string_lossy().escape_debug().to_string())),
    }
}

/// Every file below a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllFiles {
    /// Those that a list of files can name, sorted.
    pub files: Vec<String>,
    /// Those that it cannot, sorted.
    pub unlistable: Vec<String>,
    /// What cannot be looked at or entered, and why.
    pub unreadable: Vec<(String, String)>,
}

/// The same, all at once.
///
/// # Errors
/// If `root` itself cannot be read. What cannot be below it is named.
pub fn all_files(root: &Path) -> Result<AllFiles> {
    let mut all = AllFiles::default();
    for file in every_file(root) {
        match file? {
            AnyFile::Listable(path) => all.files.push(path),
            AnyFile::Unlistable(path) => all.unlistable.push(path),
            AnyFile::Unreadable(path, why) => all.unreadable.push((path, why)),
        }
    }
    all.files.sort_unstable();
    all.unlistable.sort_unstable();
    Ok(all)
}

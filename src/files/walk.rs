//! Listing folders: one walk for all, which names whatever it cannot enter.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};

use super::look::{exists, is_dir};

/// What a walk does about links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They count as what they lead to, which is entered; a link that leads back to where it is, is an error.
    Follow,
    /// They are links, and nothing behind them is looked at.
    Keep,
}

/// What something in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A link to nothing, any link where links are kept, a pipe, a device.
    Other,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is: below the root that was walked, which is part of it.
    pub path: PathBuf,
    /// What it is.
    pub kind: FoundKind,
}

impl Found {
    fn of(entry: DirEntry) -> Self {
        let kind = entry.file_type();
        let kind = if kind.is_dir() {
            FoundKind::Dir
        } else if kind.is_file() {
            FoundKind::File
        } else {
            FoundKind::Other
        };
        Self { path: entry.into_path(), kind }
    }

    /// Its name in its folder, if that is UTF-8.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }

    /// Whether it is a folder.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind == FoundKind::Dir
    }
}

/// Everything below `root` from one depth to another (what lies in it has depth 1), sorted by name in each folder, and
/// an error for each thing that cannot be looked at or entered; the walk goes on behind it.
pub fn walk(root: &Path, depth: RangeInclusive<usize>, links: Links) -> impl Iterator<Item = Result<Found>> + use<> {
    walk_into(root, depth, links, |_| true)
}

/// The same, but only folders that `enter` says yes to are entered. They are found all the same.
pub fn walk_into<F: FnMut(&Found) -> bool>(
    root: &Path,
    depth: RangeInclusive<usize>,
    links: Links,
    mut enter: F,
) -> impl Iterator<Item = Result<Found>> + use<F> {
    let root = root.to_owned();
    let walk = WalkDir::new(&root)
        .min_depth(*depth.start())
        .max_depth(*depth.end())
        .follow_links(links == Links::Follow)
        .follow_root_links(true)
        .sort_by_file_name();
    let mut walk = walk.into_iter();
    std::iter::from_fn(move || {
        let found = walk.next()?.map_or_else(|error| explain(&root, error), |entry| Ok(Found::of(entry)));
        if found.as_ref().is_ok_and(|found| found.is_dir() && !enter(found)) {
            walk.skip_current_dir();
        }
        Some(found)
    })
}

/// What an error of a walk means: a link to nothing is something that was found.
fn explain(root: &Path, error: walkdir::Error) -> Result<Found> {
    let path = error.path().unwrap_or(root).to_owned();
    let is_loop = error.loop_ancestor().is_some();
    let loops = || io::Error::other("a link that leads back to a folder that it is in");
    let source = error.into_io_error().unwrap_or_else(loops);
    let leads_nowhere = !is_loop
        && source.kind() == ErrorKind::NotFound
        && fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink());
    if leads_nowhere { Ok(Found { path, kind: FoundKind::Other }) } else { Err(Error::io(&path, "list")(source)) }
}

/// What lies in a folder, links followed, sorted by name; nothing where there is no folder.
///
/// # Errors
/// If the folder, or something in it, cannot be looked at.
pub fn list(dir: &Path) -> Result<Vec<Found>> {
    if !is_dir(dir)? {
        return Ok(Vec::new());
    }
    walk(dir, 1..=1, Links::Follow).collect()
}

/// Whether nothing is in a folder, or no folder is there.
///
/// # Errors
/// If the folder cannot be looked into.
pub fn is_empty_dir(dir: &Path) -> Result<bool> {
    if !exists(dir)? {
        return Ok(true);
    }
    if !is_dir(dir)? {
        return Err(Error::io(dir, "list")(ErrorKind::NotADirectory.into()));
    }
    match walk(dir, 1..=1, Links::Keep).next() {
        None => Ok(true),
        Some(first) => first.map(|_| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_walk_follows_links_names_loops_and_skips_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("b/c/file"), "").unwrap();
        symlink(root.join("b"), root.join("a")).unwrap();
        symlink("nowhere", root.join("gone")).unwrap();
        symlink(&root, root.join("b/loop")).unwrap();
        fs::write(root.join(OsStr::from_bytes(b"z\xff")), "").unwrap();
        let shown = |found: Result<Found>| match found {
            Ok(found) => format!("{} {:?}", found.path.strip_prefix(&root).unwrap().to_string_lossy(), found.kind),
            Err(Error::Io { path, .. }) => format!("{} error", path.strip_prefix(&root).unwrap().display()),
            Err(other) => panic!("{other}"),
        };
        let followed: Vec<String> = walk(&root, 1..=9, Links::Follow).map(shown).collect();
        let expected = [
            "a Dir",
            "a/c Dir",
            "a/c/file File",
            "a/loop error",
            "b Dir",
            "b/c Dir",
            "b/c/file File",
            "b/loop error",
            "gone Other",
            "z\u{fffd} File",
        ];
        assert_eq!(followed, expected);
        let kept: Vec<String> = walk(&root, 1..=9, Links::Keep).map(shown).collect();
        assert_eq!(
            kept,
            ["a Other", "b Dir", "b/c Dir", "b/c/file File", "b/loop Other", "gone Other", "z\u{fffd} File"]
        );
        let shallow: Vec<String> = walk(&root, 2..=2, Links::Keep).map(shown).collect();
        assert_eq!(shallow, ["b/c Dir", "b/loop Other"]);
    }

    #[test]
    fn a_folder_is_empty_until_something_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_empty_dir(dir.path()).unwrap() && is_empty_dir(&dir.path().join("none")).unwrap());
        assert_eq!(list(&dir.path().join("none")).unwrap(), []);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(!is_empty_dir(dir.path()).unwrap());
        assert!(is_empty_dir(&dir.path().join("file")).is_err(), "a file is no folder");
    }
}

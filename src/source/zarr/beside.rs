//! What lies in the folders of a plate of OME-Zarr beside what its documents name: images that an interrupted writer has
//! not put on their lists yet, or that a list has lost.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::Error;
use crate::files::{self, Found, Links};
use crate::source::names::is_of_system;
use crate::source::tree::Unplaced;

use super::group::Node;
use super::site::{Version, below};

/// What a document names, and where.
pub(super) struct Listed<'a> {
    pub(super) root: &'a Path,
    /// The folder with the document, relative to the root.
    pub(super) dir: &'a str,
    /// How far below it is what it names.
    pub(super) depth: usize,
    /// What it names, relative to the folder.
    pub(super) named: Vec<&'a str>,
    /// What it should have named.
    pub(super) expected: &'a str,
    /// Whether a name is one of such: then even a group that says nothing of itself is.
    pub(super) is_such: fn(&str) -> bool,
}

/// What is beside it.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) unplaced: Vec<Unplaced>,
    /// As of a scan.
    pub(super) unreadable: Vec<(String, String)>,
    /// Groups that say nothing of images, relative to the root.
    pub(super) groups: Vec<String>,
}

impl Beside {
    /// Looks for it.
    pub(super) fn of(listed: &Listed<'_>) -> Self {
        let mut beside = Self::default();
        let top = listed.root.join(listed.dir);
        for found in files::walk(&top, listed.depth..=listed.depth, Links::Follow) {
            match found {
                Ok(found) => beside.note(listed, &top, &found),
                // That what is named is not there is told where it is looked for.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(Error::Io { path, source, .. }) => {
                    let path = path.strip_prefix(listed.root).unwrap_or(&path);
                    beside.unreadable.push((path.to_string_lossy().into_owned(), source.to_string()));
                }
                Err(error) => beside.unreadable.push((listed.dir.to_owned(), error.to_string())),
            }
        }
        beside
    }

    fn note(&mut self, listed: &Listed<'_>, top: &Path, found: &Found) {
        let name = found.path.strip_prefix(top).unwrap_or(&found.path).to_string_lossy();
        // A name may be of a folder below.
        let is_on_the_way = |named: &&str| {
            named.strip_prefix(&*name).is_some_and(|rest| matches!(rest, "" | "/") || rest.starts_with('/'))
        };
        if !found.is_dir() || is_of_system(found) || listed.named.iter().any(is_on_the_way) {
            return;
        }
        let path = below(listed.dir, &name);
        let what = match Node::of(&found.path) {
            Ok(Some(Node::Group)) if !(listed.is_such)(&name) => {
                self.groups.push(path);
                return;
            }
            Ok(None) if !holds_zarr(&found.path) => return,
            Ok(Some(Node::Group)) => "a group of Zarr that says nothing of images".to_owned(),
            Ok(node) => Node::shown(node.as_ref()).to_owned(),
            Err(error) => error.to_string(),
        };
        let found = format!("none of it: {what}");
        self.unplaced.push(Unplaced { path, plate: None, expected: listed.expected.to_owned(), found });
    }
}

/// Whether there is a document of Zarr or a chunk below a folder, as far as it can be looked at.
fn holds_zarr(dir: &Path) -> bool {
    let documents = [Version::V2.of_array(), Version::V3.of_array(), Version::V2.of_group(), ".zgroup"];
    let is_chunk = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_of_zarr = |found: &Found| found.name().is_some_and(|name| documents.contains(&name) || is_chunk(name));
    files::walk(dir, 1..=usize::MAX, Links::Follow).any(|found| match found {
        Ok(found) => !found.is_dir() && is_of_zarr(&found),
        Err(_) => true,
    })
}

//! Files against what lists say of them.

use std::cmp::Reverse;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::files;
use crate::store::format::manifest::Entry;
use crate::store::read::proof::{self, Damage};

use super::report::{Depth, Finding, Kind};

/// Compares files with what a list says of them, the large ones first and one by one, so that no thread is left with a
/// long one while the others are done.
pub(super) fn check_files<'a>(
    root: &Path,
    entries: impl Iterator<Item = &'a Entry>,
    depth: Depth,
    count: &(dyn Fn(u64) + Sync),
) -> Vec<Finding> {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_by_key(|entry| Reverse(entry.size));
    let next = AtomicUsize::new(0);
    let check = |_: rayon::BroadcastContext<'_>| {
        let mine = std::iter::from_fn(|| entries.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.filter_map(|entry| check_file(root, entry, depth, count)).collect::<Vec<_>>()
    };
    rayon::broadcast(check).into_iter().flatten().collect()
}

/// Compares one file with what a list says of it.
fn check_file(root: &Path, entry: &Entry, depth: Depth, count: &(dyn Fn(u64) + Sync)) -> Option<Finding> {
    let depth = if depth == Depth::Quick && entry.size.is_some() { proof::Depth::Size } else { proof::Depth::Content };
    let path = entry.path.as_str();
    Some(match entry.check(root, depth, count).err()? {
        Damage::Missing => Finding::new(Kind::Missing, path, "named by the list, not found"),
        Damage::Size { expected, found } => Finding::size(path, expected, found),
        Damage::Content { expected, found } => Finding::content(path, expected, found),
        // A document that is too large to be one is damaged, not out of reach.
        Damage::Unreadable(error) if error.is_data_fault() => Finding::of_error(Kind::Altered, path, &error),
        Damage::Unreadable(error) => Finding::of_error(Kind::Unreadable, path, &error),
    })
}

/// The bytes that comparing a file with its entry reads: none where it is not there, or of another size.
pub(super) fn size(root: &Path, entry: &Entry) -> u64 {
    let found = files::look_at(&root.join(&entry.path)).ok().flatten().map_or(0, |found| found.len());
    if entry.size.is_none_or(|expected| expected == found) { found } else { 0 }
}

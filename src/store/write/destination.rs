//! What is a store, and what one may be written into. Asked before the long work, and again under the lock.

use std::path::Path;

use crate::classes::Classes;
use crate::error::{Error, Result, unless_damaged};
use crate::files::{self, Links};
use crate::store::format::names::{CLASSES, FILES, PIXELS, SHA256SUMS, TEMPORARY, ZARR_JSON};
use crate::store::format::spec::StoreSpec;
use crate::store::read::listing::{listed_plates, read_list};

/// Whether `path` is a store, finished or not, as opposed to a raw tree, which may have a folder `plates` and a
/// `SHA256SUMS` of its own.
///
/// # Errors
/// If that cannot be told.
pub fn is_store(path: &Path) -> Result<bool> {
    // The last line of our own lists; a damaged list is ours all the same.
    let ours = |text: String| text.lines().next_back().is_some_and(|line| line.starts_with("# sha256 "));
    Ok(files::is_dir(&path.join(PIXELS))?
        || !listed_plates(path)?.is_empty()
        || unless_damaged(files::read_text(&path.join(SHA256SUMS)))?.is_some_and(ours))
}

/// Whether the classes of a store may become more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// They are to stay as they are.
    SameClasses,
    /// New ones may come to them.
    MoreClasses,
}

/// Refuses a destination that holds something else than a store with these settings.
///
/// # Errors
/// If it does; the error names the setting.
pub fn check_destination(root: &Path, spec: &StoreSpec, classes: &Classes, growth: Growth) -> Result<()> {
    let document = root.join(PIXELS).join(ZARR_JSON);
    if files::exists(&document)? {
        let place = document.display().to_string();
        let found = StoreSpec::parse_root(&files::read_document(&document)?, &place)?;
        let refuse = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            let what = format!("{}: {what} of the store that is there already", root.display());
            Err(Error::refused(what, expected, found))
        };
        if found.codec != spec.codec {
            return refuse("--codec", &found.codec, &spec.codec);
        }
        if found.sites_per_shard != spec.sites_per_shard {
            return refuse("--sites-per-shard", &found.sites_per_shard, &spec.sites_per_shard);
        }
        if found.channels.len() != spec.channels.len() || found.size != spec.size {
            let shape = |s: &StoreSpec| format!("{} x {} x {}", s.channels.len(), s.size.height, s.size.width);
            return refuse("shape of a site", &shape(&found), &shape(spec));
        }
        if found != *spec {
            return refuse("channels", &"the same names and colours", &"others");
        }
    } else if !has_listing(root)?
        && let Some(name) = foreign(root)?
    {
        return Err(Error::refused(root.display(), "a store, or a new or empty folder", format!("{name:?} in it")));
    }
    let path = root.join(CLASSES);
    if files::exists(&path)? {
        let found = Classes::parse(&files::read_text(&path)?, &path.display().to_string())?;
        let grows = growth == Growth::MoreClasses && classes.has_all_of(&found);
        if found != *classes && !grows {
            let what = format!("{}: classes of the source", root.display());
            let file = path.display();
            let expected = if classes.rows().iter().all(|class| found.class_of(&class.sirna).is_some()) {
                format!("those of the store (a tree is held to them by --classes {file})")
            } else {
                format!("those of the store (packing a tree, --add-classes appends what is new to {file})")
            };
            return Err(Error::refused(what, expected, "others"));
        }
    }
    Ok(())
}

/// Whether some plate of a store is listed here: then the store has only lost its document, which can be made again.
fn has_listing(root: &Path) -> Result<bool> {
    for plate in listed_plates(root)? {
        if unless_damaged(read_list(root, &plate, FILES))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first thing in a folder that a store that was only just begun does not have.
fn foreign(root: &Path) -> Result<Option<String>> {
    if !files::exists(root)? {
        return Ok(None);
    }
    for found in files::walk(root, 1..=1, Links::Keep) {
        let path = found?.path;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_begun = name.starts_with(TEMPORARY) || (name == PIXELS && files::is_empty_dir(&path)?);
        if !is_begun {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ours_tells_a_store_also_where_its_last_line_is_cut_and_anothers_tells_none() {
        let dir = tempfile::tempdir().unwrap();
        let check = |text: &[u8], expected: bool| {
            std::fs::write(dir.path().join(SHA256SUMS), text).unwrap();
            assert_eq!(is_store(dir.path()).unwrap(), expected, "{}", String::from_utf8_lossy(text));
        };
        check(b"00  a\n# sha256 12\n", true);
        check(b"00  a\n# sha256 12", true);
        check(b"# sha256 12\n00  a\n", false);
        check(b"00  \xff\n", false);
        check(b"", false);
    }

    #[test]
    fn what_cannot_be_looked_at_is_neither_a_store_nor_none() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(SHA256SUMS, dir.path().join(SHA256SUMS)).unwrap();
        assert!(is_store(dir.path()).is_err());
    }
}

//! What is a store, and what one may be written into. Asked before the long work, and again under the lock.

use std::collections::HashMap;
use std::path::Path;

use crate::classes::Classes;
use crate::error::{Error, Result, unless_damaged};
use crate::files::{self, Links};
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::Entry;
use crate::store::format::names::{CLASSES, FILES, PIXELS, SHA256SUMS, TEMPORARY, ZARR_JSON};
use crate::store::format::spec::{Format, StoreSpec};
use crate::store::read::listing::{listed_plates, read_list, read_sums};
use crate::store::read::proof::Depth;
use crate::store::read::told::{contradiction, is_told_spec, told_classes};

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

/// What a run may change of what holds for a whole store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// New classes may come to its own.
    pub more_classes: bool,
    /// A file of its root that is damaged may be written anew.
    pub mend: bool,
}

/// What holds for a store, in the version of the format that the one has which is there already; the latest where there
/// is none.
///
/// # Errors
/// If that version has no such pixels, or the system cannot tell.
pub fn in_its_format(root: &Path, spec: &StoreSpec) -> Result<StoreSpec> {
    let name = format!("{PIXELS}/{ZARR_JSON}");
    let place = root.display().to_string();
    let path = root.join(&name);
    let there = if files::exists(&path)? { unless_damaged(files::read_document(&path))? } else { None };
    let there = there.and_then(|document| StoreSpec::parse_root(&document, &place).ok());
    let format = match there {
        Some(there) => there.format,
        // Lost or damaged: the list of all files tells which of the two it was.
        None => match own_list(root)?.get(&name) {
            Some(listed) => {
                let first = spec.in_format(Format::V1, &place);
                let is_first = first.is_ok_and(|first| Sha::of(&first.root_document()) == listed.sha);
                if is_first { Format::V1 } else { Format::LATEST }
            }
            None => Format::LATEST,
        },
    };
    spec.in_format(format, &place)
}

/// Refuses a destination that holds something else than a store with these settings.
///
/// # Errors
/// If it does; the error names the setting.
pub fn check_destination(root: &Path, spec: &StoreSpec, classes: &Classes, changes: Changes) -> Result<()> {
    let document = root.join(PIXELS).join(ZARR_JSON);
    let listed = own_list(root)?;
    let name = format!("{PIXELS}/{ZARR_JSON}");
    let is_damaged = |name: &str, made: &[u8]| is_damaged(root, listed.get(name), made, changes);
    if is_damaged(&name, &spec.root_document())? {
        // It is to be written anew, as it was.
    } else if files::exists(&document)? {
        let found = root_document(root, &document, spec, changes)?;
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
        if found.present_only != spec.present_only {
            let say = |spec: &StoreSpec| if spec.present_only { "a part (--present)" } else { "a whole source" };
            return refuse("--present, as", &say(&found), &say(spec));
        }
        if found.dtype != spec.dtype {
            return refuse("type of pixels", &found.dtype, &spec.dtype);
        }
        if found != *spec {
            let names = |spec: &StoreSpec| {
                let names: Vec<&str> = spec.channels.iter().map(|channel| channel.name.as_str()).collect();
                names.join(", ")
            };
            return refuse("channels and their colours", &names(&found), &names(spec));
        }
    } else if !has_listing(root)?
        && let Some(name) = foreign(root)?
    {
        return Err(Error::refused(root.display(), "a store, or a new or empty folder", format!("{name:?} in it")));
    }
    if !is_damaged(CLASSES, classes.to_csv().as_bytes())? {
        check_classes(root, classes, changes, listed.contains_key(CLASSES))?;
    }
    Ok(())
}

/// What a store's document says; what this run makes of it, where it is damaged and is to be written anew.
fn root_document(root: &Path, path: &Path, made: &StoreSpec, changes: Changes) -> Result<StoreSpec> {
    let place = path.display().to_string();
    match files::read_document(path).and_then(|document| StoreSpec::parse_root(&document, &place)) {
        Err(error) if (error.is_data_fault() || files::is_dir(path)?) && is_told_spec(root, made)? => {
            if changes.mend {
                return Ok(made.clone());
            }
            let expected = "the document of a store as its plates are (--rehash writes it anew)";
            Err(Error::malformed(place, expected, error))
        }
        found => found,
    }
}

/// Refuses classes that are not those that a store has, or more where they may be. `is_proven` tells that the list of all
/// proves those of the store.
fn check_classes(root: &Path, classes: &Classes, changes: Changes, is_proven: bool) -> Result<()> {
    let path = root.join(CLASSES);
    let found = unless_damaged(read_classes(&path))?;
    if found.as_ref() == Some(classes) {
        return Ok(());
    }
    // Before anybody is held to the file, it is held to the sites.
    let Some(found) = found else { return check_told(root, classes, changes) };
    if !is_proven && let Some(error) = contradiction(root, &found)? {
        let is_mended = changes.mend && contradiction(root, classes)?.is_none();
        return if is_mended { Ok(()) } else { Err(error) };
    }
    if changes.more_classes && classes.has_all_of(&found) {
        return Ok(());
    }
    let file = path.display();
    let expected = if classes.rows().iter().all(|class| found.class_of(&class.sirna).is_some()) {
        format!("those of the store (a tree is held to them by --classes {file})")
    } else {
        format!("those of the store (packing a tree, --add-classes appends what is new to {file})")
    };
    Err(Error::refused(format!("{}: classes of the source", root.display()), expected, "others"))
}

/// The same of a store whose own list of them is lost or damaged: what is made in its place must be what the sites
/// tell.
fn check_told(root: &Path, classes: &Classes, changes: Changes) -> Result<()> {
    let path = root.join(CLASSES);
    let is_there = files::exists(&path)?;
    let fits = contradiction(root, classes)?.is_none();
    if fits && (changes.mend || !is_there) {
        return Ok(());
    }
    let advice = match (fits, is_there) {
        (true, _) => "--rehash writes it anew",
        (false, true) => "packing a tree, --add-classes --rehash writes it anew",
        (false, false) => "packing a tree, --add-classes writes it anew",
    };
    let found = if is_there { "what is none" } else { "no file" };
    Err(Error::malformed(path.display(), format!("the classes of the store's sites ({advice})"), found))
}

/// Refuses classes that are not those of a store's sites, whatever its own list of them says: damage is nothing that a
/// source is held to. Asked once, as it reads every listing, and only of such as came from that list: what a source
/// tells by itself is no damage. Where the list of all proves the list, it is right.
///
/// # Errors
/// If they are not, or that cannot be told.
pub fn refuse_other_classes(root: &Path, classes: &Classes) -> Result<()> {
    if own_list(root)?.contains_key(CLASSES) {
        return Ok(());
    }
    contradiction(root, classes)?.map_or(Ok(()), Err)
}

/// The classes that a store has, to be added to: those of its list, or, where that is lost, or damaged and to be mended,
/// those that its sites tell. `None` where there is no store yet.
///
/// # Errors
/// If the list is damaged and is to stay so, or that cannot be told.
pub fn store_classes(root: &Path, changes: Changes) -> Result<Option<Classes>> {
    let path = root.join(CLASSES);
    let told = || told_classes(root).map(Some);
    if !files::exists(&path)? {
        return Ok(told()?.filter(|told| !told.rows().is_empty()));
    }
    let is_proven = own_list(root)?.get(CLASSES).map_or(Ok(false), |own| own.is_whole(root, Depth::Content))?;
    match read_classes(&path) {
        Ok(found) if is_proven => Ok(Some(found)),
        Ok(found) => match contradiction(root, &found)? {
            None => Ok(Some(found)),
            Some(_) if changes.mend => told(),
            Some(error) => Err(error),
        },
        Err(error) if error.is_data_fault() && changes.mend => told(),
        Err(error) => Err(error),
    }
}

fn read_classes(path: &Path) -> Result<Classes> {
    Classes::parse(&files::read_text(path)?, &path.display().to_string())
}

/// What the list of all files of a finished store says of those of its root.
pub(super) fn own_list(root: &Path) -> Result<HashMap<String, Entry>> {
    let list = read_sums(root);
    let of_root = [CLASSES.to_owned(), format!("{PIXELS}/{ZARR_JSON}")];
    let entries = unless_damaged(list)?.unwrap_or_default().into_iter();
    Ok(entries.filter(|entry| of_root.contains(&entry.path)).map(|entry| (entry.path.clone(), entry)).collect())
}

/// Whether a file of the root is not what the list of all says, and may be written anew: what this run has `made` of it
/// is then the very content that the list names. So damage is never taken for what the user wants.
///
/// # Errors
/// If it is damaged and stays so.
fn is_damaged(root: &Path, listed: Option<&Entry>, made: &[u8], changes: Changes) -> Result<bool> {
    let Some(listed) = listed else { return Ok(false) };
    let path = root.join(&listed.path);
    if listed.is_whole(root, Depth::Content)? {
        return Ok(false);
    }
    let can_be_mended = Sha::of(made) == listed.sha;
    // What is not there is written anew without being asked for, and only as it was.
    if can_be_mended && (changes.mend || !files::exists(&path)?) {
        return Ok(true);
    }
    let found = unless_damaged(Sha::of_file(&path, &|_| {}))?.map_or("no file".to_owned(), |(sha, _)| sha.short());
    let is_told =
        || Ok::<_, Error>(listed.path == CLASSES && Sha::of(told_classes(root)?.to_csv().as_bytes()) == listed.sha);
    let advice = match can_be_mended {
        true => "--rehash writes it anew",
        false if is_told()? => "packing a tree, --add-classes --rehash writes it anew",
        false => "send it again",
    };
    let expected = format!("SHA-256 {}, as {SHA256SUMS} says ({advice})", listed.sha.short());
    Err(Error::malformed(path.display(), expected, found))
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

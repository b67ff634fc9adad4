//! Walking a tree of images: which plates, sites and channels are there, by name alone. Opens no image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{Error, Result, shown_path};
use crate::files;
use crate::site::{PlateId, Well};

use super::layout::{KAGGLE_FOLDERS, Layout, RXRX_AI_FOLDER};
use super::names::{
    is_entered, is_hidden_path, is_image, is_nobodys, is_of_store, is_of_system, parse_image_name, plate_of,
};
use super::zarr::site::ArraySite;

/// Where a plate's images are.
const IN_PLATE: &str = "images of a plate in its folder itself";

/// What is in a tree.
#[derive(Debug, Default)]
pub struct Scan {
    /// The images of each plate.
    pub plates: BTreeMap<PlateId, PlateFiles>,
    /// Images that no plate takes.
    pub unplaced: Vec<Unplaced>,
    /// Folders and files that cannot be looked at: relative to the root, and why. What is in them is not known.
    pub unreadable: Vec<(String, String)>,
    /// What cannot be looked at beside the folders of the layout, each as a phrase.
    pub unseen: Vec<String>,
    /// Files of a described tree that are no images of wells.
    pub other_files: Vec<String>,
}

impl Scan {
    /// What was found; `None`, noted, where it cannot be looked at.
    pub(super) fn note(&mut self, root: &Path, found: Result<files::Found>) -> Result<Option<files::Found>> {
        match found {
            Err(Error::Io { path, source, .. }) if path != root => {
                let path = path.strip_prefix(root).unwrap_or(&path);
                self.unreadable.push((path.to_string_lossy().into_owned(), source.to_string()));
                Ok(None)
            }
            found => found.map(Some),
        }
    }
}

/// An image that no plate takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unplaced {
    /// Its path, relative to the root, with `/`, as well as it can be shown.
    pub path: String,
    /// The plate whose folder it is in, if it is in one.
    pub plate: Option<PlateId>,
    /// What a plate would take.
    pub expected: String,
    /// What is there in its place: a folder, or a name.
    pub found: String,
}

impl Unplaced {
    /// Because of its folder.
    pub(super) fn in_folder(root: &Path, image: &files::Found, expected: &str) -> Self {
        let folder = image.path.parent().and_then(|folder| folder.strip_prefix(root).ok());
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        let found = folder.map_or("none".into(), |folder| format!("{:?}", folder.to_string_lossy()));
        Self { found, ..Self::named(root, image, expected) }
    }

    /// Because of its name.
    pub(super) fn named(root: &Path, image: &files::Found, expected: &str) -> Self {
        let path = image.path.strip_prefix(root).unwrap_or(&image.path);
        Self {
            path: path.to_string_lossy().into_owned(),
            plate: path.ancestors().skip(1).find_map(plate_of),
            expected: expected.to_owned(),
            found: format!("{:?}", image.path.file_name().unwrap_or_default().to_string_lossy()),
        }
    }
}

/// The images of one plate.
#[derive(Debug, Clone, Default)]
pub struct PlateFiles {
    /// The plate's folder, relative to the root, with `/`.
    pub dir: String,
    /// `train` or `test` where the folder tells.
    pub dataset: Option<&'static str>,
    /// The channels of each site: bit `c - 1` for channel `c`.
    pub sites: BTreeMap<(Well, u16), u64>,
    /// The wells that file names spell in another way than we do: `A1` for A01.
    pub spelled: BTreeMap<Well, String>,
    /// Names in the folder that are not those of images.
    pub other_files: Vec<String>,
    /// Of each site of a plate whose images are told one by one, their paths, relative to the root, in the order of their
    /// channels.
    pub listed: BTreeMap<(Well, u16), Box<[Box<str>]>>,
    /// Of each site of a plate whose images are planes of arrays, where they are.
    pub(super) arrays: BTreeMap<(Well, u16), ArraySite>,
}

/// Finds the plates of a tree, and what images there are beside them.
///
/// # Errors
/// If the root cannot be read, or a plate is there twice.
pub fn scan(root: &Path, layout: Layout) -> Result<Scan> {
    let mut scan = Scan::default();
    let mut found = Vec::new();
    match layout {
        Layout::Kaggle => {
            for dataset in KAGGLE_FOLDERS {
                if files::is_dir(&root.join(dataset))? {
                    find_plates(root, dataset, 2, Some(dataset), &mut found, &mut scan)?;
                }
            }
            find_beside(root, &KAGGLE_FOLDERS, "a plate in train/ or test/", &found, &mut scan)?;
        }
        Layout::RxrxAi => {
            find_plates(root, RXRX_AI_FOLDER, 2, None, &mut found, &mut scan)?;
            find_beside(root, &[RXRX_AI_FOLDER], "a plate in images/", &found, &mut scan)?;
        }
        Layout::Bare
        | Layout::Preset(_)
        | Layout::Pattern
        | Layout::Table
        | Layout::OmeZarr
        | Layout::RxRx1Zarr
        | Layout::Zarr => {
            find_plates(root, "", usize::MAX, None, &mut found, &mut scan)?;
        }
    }
    let listed: Vec<(PlateFiles, Scan)> =
        found.par_iter().map(|(_, dir, dataset)| list_images(root, dir, *dataset)).collect::<Result<_>>()?;
    for ((id, ..), (files, beside)) in found.into_iter().zip(listed) {
        if let Some(first) = scan.plates.get(&id) {
            let both = format!("{} and {}", first.dir, files.dir);
            return Err(Error::malformed(root.display(), format!("one folder for plate {id}"), both));
        }
        scan.plates.insert(id, files);
        scan.unplaced.extend(beside.unplaced);
        scan.unreadable.extend(beside.unreadable);
    }
    // A hidden copy of a plate that is there is nobody's.
    let Scan { plates, unplaced, .. } = &mut scan;
    unplaced.retain(|image| {
        let is_copy = || image.plate.as_ref().is_some_and(|plate| plates.contains_key(plate));
        image.expected == IN_PLATE || !is_hidden_path(Path::new(&image.path)) || !is_copy()
    });
    scan.unplaced.sort_unstable();
    scan.unreadable.sort_unstable();
    Ok(scan)
}

/// Whether there is a plate in or below a folder, as far as it can be looked at.
pub(super) fn has_plates(dir: &Path) -> bool {
    let start = dir.to_owned();
    for found in files::walk_into(dir, 1..=usize::MAX, files::Links::Follow, move |dir| is_entered(&start, dir)) {
        if found.as_ref().is_ok_and(|found| found.is_dir() && plate_of(&found.path).is_some()) {
            return true;
        }
    }
    false
}

/// The first plate of a tree that is in none of these folders; none where the tree itself is in one of them.
pub(super) fn plates_beside(root: &Path, folders: &[&Path]) -> Option<PathBuf> {
    let is_in = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
    let start = root.to_owned();
    let mut found = files::walk_into(root, 1..=usize::MAX, files::Links::Follow, move |dir| is_entered(&start, dir));
    let is_beside = |found: &files::Found| found.is_dir() && !is_in(&found.path) && plate_of(&found.path).is_some();
    let beside = found.find(|found| found.as_ref().is_ok_and(is_beside))?.ok();
    beside.map(|found| found.path).filter(|_| !is_in(root))
}

type Found = (PlateId, String, Option<&'static str>);

/// Collects folders `EXPERIMENT/PlateN` at most `depth` levels below `dir`, and the images beside them.
fn find_plates(
    root: &Path,
    dir: &str,
    depth: usize,
    dataset: Option<&'static str>,
    plates: &mut Vec<Found>,
    scan: &mut Scan,
) -> Result<()> {
    let (start, top) = (root.to_owned(), root.join(dir));
    let depth_of = |path: &Path| path.strip_prefix(&top).map_or(0, |below| below.components().count());
    for found in files::walk_into(&top, 1..=usize::MAX, files::Links::Follow, move |dir| is_entered(&start, dir)) {
        let Some(found) = scan.note(root, found)? else { continue };
        let below = found.path.strip_prefix(root).unwrap_or(&found.path);
        let plate = plate_of(below).filter(|_| found.is_dir());
        let why = match below.to_str() {
            None => Some("a path in UTF-8"),
            Some(_) if is_hidden_path(below) => Some("a plate that is not hidden"),
            Some(_) => (depth_of(&found.path) > depth).then_some("a plate less deep in the tree"),
        };
        match (plate, why) {
            (Some(plate), None) => plates.push((plate, below.to_string_lossy().into_owned(), dataset)),
            (Some(_), Some(why)) => {
                let images = files::walk(&found.path, 1..=usize::MAX, files::Links::Follow);
                for image in images {
                    let Some(image) = scan.note(root, image)? else { continue };
                    if is_image(&image) {
                        scan.unplaced.push(Unplaced::in_folder(root, &image, why));
                    }
                }
            }
            (None, _) if is_image(&found) => {
                let expected = "a folder EXPERIMENT/PlateN (letters, digits, '-', '_', '.'; at most 64)";
                scan.unplaced.push(Unplaced::in_folder(root, &found, expected));
            }
            (None, _) => {}
        }
    }
    Ok(())
}

/// Collects the images of plates beside the folders that a layout has: experiments that were put elsewhere. Other
/// pictures there are nobody's, and so is what cannot be looked at, which is noted. What a link leads to that is in its
/// place is no other.
fn find_beside(root: &Path, folders: &[&str], expected: &str, plates: &[Found], scan: &mut Scan) -> Result<()> {
    let mut taken = BTreeSet::new();
    for folder in folders.iter().copied().chain(plates.iter().map(|(_, dir, _)| dir.as_str())) {
        taken.extend(files::resolve(&root.join(folder))?);
    }
    let is_taken = |dir: &Path| files::resolve(dir).is_ok_and(|real| real.is_some_and(|real| taken.contains(&real)));
    let enter = |dir: &files::Found| !is_taken(&dir.path) && !is_nobodys(dir) && !is_of_store(dir);
    let mut images = Vec::new();
    for found in files::walk_into(root, 1..=usize::MAX, files::Links::Follow, enter) {
        let found = match found {
            Err(Error::Io { path, source, .. }) if path != root => {
                let path = path.strip_prefix(root).unwrap_or(&path);
                scan.unseen.push(format!("{} cannot be looked at: {source}", shown_path(path)));
                continue;
            }
            found => found?,
        };
        let in_plate = || found.path.parent().is_some_and(|dir| plate_of(dir).is_some());
        let is_named = || found.name().and_then(parse_image_name).is_some();
        if is_image(&found) && (in_plate() || is_named()) {
            images.push(found);
        }
    }
    let linked = if images.is_empty() { BTreeSet::new() } else { link_targets(root, plates) };
    for image in images {
        if !files::resolve(&image.path)?.is_some_and(|real| linked.contains(&real)) {
            scan.unplaced.push(Unplaced::in_folder(root, &image, expected));
        }
    }
    Ok(())
}

/// What links in the folders of plates lead to.
fn link_targets(root: &Path, plates: &[Found]) -> BTreeSet<PathBuf> {
    let links = |(_, dir, _): &Found| {
        let found = files::walk(&root.join(dir), 1..=1, files::Links::Keep).flatten();
        let links = found.filter(|found| found.kind == files::FoundKind::Other);
        links.filter_map(|link| files::resolve(&link.path).ok().flatten()).collect::<Vec<_>>()
    };
    plates.iter().flat_map(links).collect()
}

fn list_images(root: &Path, dir: &str, dataset: Option<&'static str>) -> Result<(PlateFiles, Scan)> {
    let mut plate = PlateFiles { dir: dir.to_owned(), dataset, ..PlateFiles::default() };
    let mut beside = Scan::default();
    let mut spellings: BTreeMap<Well, String> = BTreeMap::new();
    let top = root.join(dir);
    let mut hidden = Vec::new();
    for found in files::walk_into(&top, 1..=usize::MAX, files::Links::Follow, |dir| !is_of_system(dir)) {
        let Some(found) = beside.note(root, found)? else { continue };
        let is_direct = found.path.parent() == Some(top.as_path());
        if !is_direct && found.path.strip_prefix(&top).is_ok_and(is_hidden_path) {
            hidden.extend(
                found
                    .name()
                    .filter(|_| !found.is_dir())
                    .and_then(parse_image_name)
                    .map(|(_, well, site, channel)| (well, site, channel, Unplaced::in_folder(root, &found, IN_PLATE))),
            );
            continue;
        }
        match found.name().filter(|_| is_direct && !found.is_dir()).and_then(parse_image_name) {
            Some((spelled, well, site, channel)) => {
                let known = spellings.entry(well).or_insert_with(|| spelled.to_owned());
                if known == spelled {
                    *plate.sites.entry((well, site)).or_default() |= 1 << (channel - 1);
                } else {
                    let expected = format!("one way to write well {well}: {known}");
                    beside.unplaced.push(Unplaced::named(root, &found, &expected));
                }
            }
            None if is_image(&found) => {
                beside.unplaced.push(if is_direct {
                    Unplaced::named(root, &found, "WELL_sSITE_wCHANNEL.png")
                } else {
                    Unplaced::in_folder(root, &found, IN_PLATE)
                });
            }
            None if is_direct => {
                let name = found.path.file_name().unwrap_or_default();
                plate.other_files.push(name.to_string_lossy().into_owned());
            }
            None => {}
        }
    }
    // A hidden copy of what is there is nobody's, what was moved there is lost.
    let is_there = |well, site, channel: usize| {
        plate.sites.get(&(well, site)).is_some_and(|channels| channels & (1 << (channel - 1)) != 0)
    };
    beside.unplaced.extend(
        hidden.into_iter().filter(|&(well, site, channel, _)| !is_there(well, site, channel)).map(|(.., image)| image),
    );
    spellings.retain(|well, spelled| well.to_string() != *spelled);
    plate.spelled = spellings;
    plate.other_files.sort_unstable();
    Ok((plate, beside))
}

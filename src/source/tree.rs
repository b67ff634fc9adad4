//! Walking a tree of images: which plates, sites and channels are there, by name alone. Opens no image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result, shown_path};
use crate::files;
use crate::site::{PlateId, Well, parse_number};

use super::layout::{KAGGLE_FOLDERS, Layout, RXRX_AI_FOLDER};

/// The folder by which a store is known.
pub(super) const STORE: &str = "pixels.zarr";
/// The folder of a store's listings.
const LISTINGS: &str = "plates";
/// Folders that systems make wherever they are.
const OF_SYSTEMS: [&str; 5] = ["lost+found", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"];
/// What names of images end in, of whatever kind.
const IMAGES: [&str; 9] = ["png", "tif", "tiff", "jpg", "jpeg", "jp2", "bmp", "gif", "webp"];

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
}

impl Scan {
    /// What was found; `None`, noted, where it cannot be looked at.
    fn note(&mut self, root: &Path, found: Result<files::Found>) -> Result<Option<files::Found>> {
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
    fn in_folder(root: &Path, image: &files::Found, expected: &str) -> Self {
        let folder = image.path.parent().and_then(|folder| folder.strip_prefix(root).ok());
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        let found = folder.map_or("none".into(), |folder| format!("{:?}", folder.to_string_lossy()));
        Self { found, ..Self::named(root, image, expected) }
    }

    /// Because of its name.
    fn named(root: &Path, image: &files::Found, expected: &str) -> Self {
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
}

/// The name of one channel's image, such as `B02_s1_w3.png`; `channel` counts from 1.
#[must_use]
pub fn image_name(well: &str, site: u16, channel: usize) -> String {
    format!("{well}_s{site}_w{channel}.png")
}

/// Parses [`image_name`]: the well as it is spelled, the site, and the channel from 1. A number is written without
/// zeros before it; a well's column may be (`A1` is A01).
fn parse_image_name(name: &str) -> Option<(&str, Well, u16, usize)> {
    let (spelled, rest) = name.strip_suffix(".png")?.split_once("_s")?;
    let (site, channel) = rest.split_once("_w")?;
    let well = parse_well(spelled)?;
    let (site, channel) = (parse_number(site)?, parse_number::<usize>(channel)?);
    let known = (1..=64).contains(&channel) && image_name(spelled, site, channel) == name;
    known.then_some((spelled, well, site, channel))
}

/// A well as file names may spell it: `A01`, `A1`.
fn parse_well(text: &str) -> Option<Well> {
    text.parse().ok().or_else(|| {
        let digit = text.char_indices().last().filter(|(_, last)| last.is_ascii_digit())?.0;
        let (row, column) = text.split_at(digit);
        format!("{row}0{column}").parse().ok()
    })
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
        Layout::Bare => find_plates(root, "", usize::MAX, None, &mut found, &mut scan)?,
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

/// Whether plates are looked for in a folder of a tree that begins at `root`: below a plate there is none, a store in
/// the tree has folders named like plates, and some folders are nobody's.
pub(super) fn is_entered(root: &Path, dir: &files::Found) -> bool {
    let is_plate = dir.path.strip_prefix(root).is_ok_and(|below| plate_of(below).is_some());
    !is_nobodys(dir) && !is_plate && !is_of_store(dir)
}

/// Whether a folder has nothing to do with plates: one that systems make, or a hidden one. What is in `.HUVEC-02/Plate1`
/// or `.Plate1` was hidden by a slip: no plate takes it, and that is said.
fn is_nobodys(dir: &files::Found) -> bool {
    let is_plate = |dir: &files::Found| {
        let name = dir.path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| plate_number(name.trim_start_matches('.')).is_some())
    };
    let holds_plates = || {
        files::walk(&dir.path, 1..=1, files::Links::Follow).any(|found| match found {
            Ok(found) => found.is_dir() && is_plate(&found),
            // Others' rubbish bins may be closed to us; what else cannot be looked at is named by the walk.
            Err(Error::Io { source, .. }) => source.kind() != ErrorKind::PermissionDenied,
            Err(_) => true,
        })
    };
    let is_of_system = dir.name().is_some_and(|name| OF_SYSTEMS.contains(&name));
    is_of_system || (is_hidden(dir) && !is_plate(dir) && !holds_plates())
}

/// Whether a folder is one of a store, which has folders named like plates; not, where that cannot be told: then the walk
/// names what it cannot look at.
fn is_of_store(dir: &files::Found) -> bool {
    let is_named = dir.name().is_some_and(|name| [STORE, LISTINGS].contains(&name));
    is_named && dir.path.parent().is_some_and(is_store)
}

/// Whether there is a store in a folder, as far as that can be told.
pub(super) fn is_store(dir: &Path) -> bool {
    files::exists(&dir.join(STORE).join("zarr.json")).unwrap_or(false)
}

fn is_hidden(found: &files::Found) -> bool {
    found.path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a name is that of an image, of whatever kind and for whatever plate.
fn is_image(found: &files::Found) -> bool {
    let extension = found.path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    !found.is_dir() && !is_hidden(found) && extension.is_some_and(|extension| IMAGES.contains(&extension.as_str()))
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
        let plate = plate_of(below).filter(|_| found.is_dir() && !is_hidden(&found));
        match (plate, below.to_str()) {
            (Some(plate), Some(path)) if depth_of(&found.path) <= depth => {
                plates.push((plate, path.to_owned(), dataset));
            }
            (Some(_), path) => {
                let why = if path.is_some() { "a plate less deep in the tree" } else { "a path in UTF-8" };
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
            scan.unplaced.push(Unplaced::in_folder(root, &found, expected));
        }
    }
    Ok(())
}

/// The plate of a folder `EXPERIMENT/PlateN`; `plate_2`, `Plate 2` and `PLATE-02` are plate 2, too.
fn plate_of(folder: &Path) -> Option<PlateId> {
    let plate = plate_number(folder.file_name()?.to_str()?)?;
    let experiment = folder.parent()?.file_name()?.to_str()?.parse().ok()?;
    Some(PlateId { experiment, plate })
}

fn plate_number(name: &str) -> Option<u16> {
    let (word, number) = (name.get(..5)?, name.get(5..)?);
    let number = number.strip_prefix(['_', '-', ' ']).unwrap_or(number);
    parse_number(number).filter(|_| word.eq_ignore_ascii_case("plate") && !number.is_empty())
}

fn list_images(root: &Path, dir: &str, dataset: Option<&'static str>) -> Result<(PlateFiles, Scan)> {
    let mut plate = PlateFiles { dir: dir.to_owned(), dataset, ..PlateFiles::default() };
    let mut beside = Scan::default();
    let mut spellings: BTreeMap<Well, String> = BTreeMap::new();
    let top = root.join(dir);
    for found in files::walk_into(&top, 1..=usize::MAX, files::Links::Follow, |dir| !is_nobodys(dir)) {
        let Some(found) = beside.note(root, found)? else { continue };
        let is_direct = found.path.parent() == Some(top.as_path());
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
                    Unplaced::in_folder(root, &found, "images of a plate in its folder itself")
                });
            }
            None if is_direct => {
                let name = found.path.file_name().unwrap_or_default();
                plate.other_files.push(name.to_string_lossy().into_owned());
            }
            None => {}
        }
    }
    spellings.retain(|well, spelled| well.to_string() != *spelled);
    plate.spelled = spellings;
    plate.other_files.sort_unstable();
    Ok((plate, beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_well_site_and_channel_and_a_column_may_lack_its_zero() {
        let b02 = "B02".parse().unwrap();
        assert_eq!(parse_image_name("B02_s1_w6.png"), Some(("B02", b02, 1, 6)));
        assert_eq!(parse_image_name("B2_s1_w64.png"), Some(("B2", b02, 1, 64)));
        assert_eq!(parse_image_name("AA2_s1_w1.png"), Some(("AA2", "AA02".parse().unwrap(), 1, 1)));
        for name in [
            "B02_s1_w0.png",
            "B02_s01_w1.png",
            "B0_s1_w1.png",
            "B002_s1_w1.png",
            "b2_s1_w1.png",
            "2_s1_w1.png",
            "_s1_w1.png",
            "B02_s1_w1.PNG",
            "B02_s1.png",
            "B02_s1_w65.png",
            "B02_s1_w1.png.part",
            "B02_s70000_w1.png",
            ".B02_s1_w1.png",
        ] {
            assert_eq!(parse_image_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_plates_folder_is_read_as_people_write_it() {
        for name in ["Plate2", "plate2", "Plate_2", "Plate 2", "PLATE-02"] {
            let plate = plate_of(&Path::new("HUVEC-01").join(name)).unwrap();
            assert_eq!(plate.to_string(), "HUVEC-01/Plate2", "{name}");
        }
        let long = format!("{}/Plate1", "x".repeat(65));
        for path in ["Plate2", "a b/Plate2", "a/Plate", "a/Plate_", "a/Plate2b", "a/Plates2", &long, "a/plàte2"] {
            assert_eq!(plate_of(Path::new(path)), None, "{path}");
        }
    }
}

//! Walking a tree of images: which plates, sites and channels are there, by name alone. Opens no image.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::files;
use crate::site::{PlateId, Well, parse_number};

use super::layout::Layout;

/// The folder by which a store is known.
const PIXELS: &str = "pixels.zarr";
/// How deep below the root of a bare tree plates are looked for.
const MAX_DEPTH: usize = 6;

/// The images of one plate.
#[derive(Debug, Clone, Default)]
pub struct PlateFiles {
    /// The plate's folder, relative to the root, with `/`.
    pub dir: String,
    /// `train` or `test` where the folder tells.
    pub dataset: Option<&'static str>,
    /// The channels of each site: bit `c - 1` for channel `c`.
    pub sites: BTreeMap<(Well, u16), u64>,
    /// Names in the folder that are not those of images of this layout.
    pub other_files: Vec<String>,
}

/// The name of one channel's image, such as `B02_s1_w3.png`; `channel` counts from 0.
#[must_use]
pub fn image_name(well: Well, site: u16, channel: usize) -> String {
    format!("{well}_s{site}_w{}.png", channel + 1)
}

/// Parses [`image_name`]; only names that it would write are recognised.
fn parse_image_name(name: &str) -> Option<(Well, u16, usize)> {
    let (well, rest) = name.strip_suffix(".png")?.split_once("_s")?;
    let (site, channel) = rest.split_once("_w")?;
    let (well, site, channel) = (well.parse().ok()?, parse_number(site)?, parse_number::<usize>(channel)?);
    let known = (1..=64).contains(&channel) && image_name(well, site, channel - 1) == name;
    known.then(|| (well, site, channel - 1))
}

/// Finds the plates of a tree.
///
/// # Errors
/// If a folder cannot be read, or a plate is there twice.
pub fn scan(root: &Path, layout: Layout) -> Result<BTreeMap<PlateId, PlateFiles>> {
    let mut found = Vec::new();
    match layout {
        Layout::Kaggle => {
            for dataset in ["train", "test"] {
                if files::is_dir(&root.join(dataset))? {
                    find_plates(root, dataset, 2, Some(dataset), &mut found)?;
                }
            }
        }
        Layout::RxrxAi => find_plates(root, "images", 2, None, &mut found)?,
        Layout::Bare => find_plates(root, "", MAX_DEPTH, None, &mut found)?,
    }
    let listed: Vec<PlateFiles> =
        found.par_iter().map(|(_, dir, dataset)| list_images(root, dir, *dataset)).collect::<Result<_>>()?;
    let mut plates: BTreeMap<PlateId, PlateFiles> = BTreeMap::new();
    for ((id, ..), files) in found.into_iter().zip(listed) {
        if let Some(first) = plates.get(&id) {
            let both = format!("{} and {}", first.dir, files.dir);
            return Err(Error::malformed(root.display(), format!("one folder for plate {id}"), both));
        }
        plates.insert(id, files);
    }
    Ok(plates)
}

type Found = (PlateId, String, Option<&'static str>);

/// Collects folders `EXPERIMENT/PlateN` at most `depth` levels below `dir`.
fn find_plates(
    root: &Path,
    dir: &str,
    depth: usize,
    dataset: Option<&'static str>,
    found: &mut Vec<Found>,
) -> Result<()> {
    // Below a plate there is none, a store in the tree has folders named like plates, and hidden folders are nobody's.
    let start = root.to_owned();
    let enter = move |folder: &files::Found| {
        let hidden = folder.name().is_none_or(|name| name.starts_with('.'));
        let is_plate = folder.path.strip_prefix(&start).is_ok_and(|below| plate_of(below).is_some());
        !hidden && !is_plate && !files::exists(&folder.path.join(PIXELS)).unwrap_or(true)
    };
    for folder in files::walk_into(&root.join(dir), 1..=depth, files::Links::Follow, enter) {
        let folder = folder?;
        let below = folder.path.strip_prefix(root).unwrap_or(&folder.path);
        if let Some(plate) = plate_of(below).filter(|_| folder.is_dir())
            && let Some(path) = below.to_str()
        {
            found.push((plate, path.to_owned(), dataset));
        }
    }
    Ok(())
}

/// The plate of a folder `EXPERIMENT/PlateN`.
fn plate_of(folder: &Path) -> Option<PlateId> {
    let plate = folder.file_name()?.to_str()?.strip_prefix("Plate").and_then(parse_number)?;
    let experiment = folder.parent()?.file_name()?.to_str()?.parse().ok()?;
    Some(PlateId { experiment, plate })
}

fn list_images(root: &Path, dir: &str, dataset: Option<&'static str>) -> Result<PlateFiles> {
    let mut plate = PlateFiles { dir: dir.to_owned(), dataset, ..PlateFiles::default() };
    for found in files::list(&root.join(dir))? {
        let image = found.name().filter(|_| !found.is_dir()).and_then(parse_image_name);
        match image {
            Some((well, site, channel)) => *plate.sites.entry((well, site)).or_default() |= 1 << channel,
            None => {
                let name = found.path.file_name().unwrap_or_default();
                plate.other_files.push(name.to_string_lossy().into_owned());
            }
        }
    }
    plate.other_files.sort_unstable();
    Ok(plate)
}

/// Every file below a folder, as paths relative to it, with `/`, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllFiles {
    /// Those that a list of files can name.
    pub files: Vec<String>,
    /// Those that it cannot, because their names are not UTF-8 or hold a line break or a backslash; shown as well as
    /// can be.
    pub unlistable: Vec<String>,
    /// Why something could not be looked at or entered: its path, shown as well as can be, and the cause.
    pub unreadable: Vec<(String, String)>,
}

/// Finds every file below `root`. Links to folders are followed; one that leads back to a folder that it is in cannot
/// be.
///
/// # Errors
/// If `root` itself cannot be read. What cannot be below it is named.
pub fn all_files(root: &Path) -> Result<AllFiles> {
    let mut all = AllFiles::default();
    for found in files::walk(root, 1..=usize::MAX, files::Links::Follow) {
        let found = match found {
            Err(Error::Io { path, source, .. }) if path != root => {
                let path = path.strip_prefix(root).unwrap_or(&path);
                all.unreadable.push((path.to_string_lossy().escape_debug().to_string(), source.to_string()));
                continue;
            }
            found => found?,
        };
        let path = found.path.strip_prefix(root).unwrap_or(&found.path);
        // A folder whose name cannot stand in a list is named itself, too.
        let is_plain = path.to_str().is_some_and(|path| !path.contains(['\n', '\r', '\\']));
        match path.to_str().filter(|_| is_plain) {
            Some(_) if found.is_dir() => {}
            Some(path) => all.files.push(path.to_owned()),
            None => all.unlistable.push(path.to_string_lossy().escape_debug().to_string()),
        }
    }
    all.files.sort_unstable();
    all.unlistable.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_would_be_written_are_images() {
        let b02 = "B02".parse().unwrap();
        assert_eq!(parse_image_name("B02_s1_w6.png"), Some((b02, 1, 5)));
        for name in [
            "B02_s1_w0.png",
            "B02_s01_w1.png",
            "B2_s1_w1.png",
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
}

//! Walking a tree of images: which plates, sites and channels are there, by name alone. Opens no image.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::site::{PlateId, Well, parse_number};

use super::Layout;

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
    pub strangers: Vec<String>,
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
                if root.join(dataset).is_dir() {
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
    let parent = dir.rsplit('/').next().unwrap_or_default();
    for (name, is_dir) in entries(&root.join(dir))? {
        let Some(name) = name.to_str().filter(|_| is_dir) else {
            continue;
        };
        let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
        let number = name.strip_prefix("Plate").and_then(parse_number::<u16>);
        match (number, parent.parse()) {
            (Some(plate), Ok(experiment)) => found.push((PlateId { experiment, plate }, path, dataset)),
            // A store in the tree has folders named like plates.
            _ if root.join(&path).join("pixels.zarr").exists() => {}
            _ if depth > 1 && !name.starts_with('.') => find_plates(root, &path, depth - 1, dataset, found)?,
            _ => {}
        }
    }
    Ok(())
}

fn list_images(root: &Path, dir: &str, dataset: Option<&'static str>) -> Result<PlateFiles> {
    let mut plate = PlateFiles { dir: dir.to_owned(), dataset, ..PlateFiles::default() };
    for (name, is_dir) in entries(&root.join(dir))? {
        let image = name.to_str().filter(|_| !is_dir).and_then(parse_image_name);
        match image {
            Some((well, site, channel)) => *plate.sites.entry((well, site)).or_default() |= 1 << channel,
            None => plate.strangers.push(name.to_string_lossy().into_owned()),
        }
    }
    plate.strangers.sort_unstable();
    Ok(plate)
}

/// Names in a folder, sorted, and whether each is a folder; links are followed.
fn entries(dir: &Path) -> Result<Vec<(std::ffi::OsString, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir, "list"))? {
        let entry = entry.map_err(Error::io(dir, "list"))?;
        let kind = entry.file_type().map_err(Error::io(dir, "list"))?;
        let is_dir = if kind.is_symlink() { entry.path().is_dir() } else { kind.is_dir() };
        entries.push((entry.file_name(), is_dir));
    }
    entries.sort_unstable();
    Ok(entries)
}

/// Every file below a folder, as paths relative to it, with `/`, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllFiles {
    /// Those that a list of files can name.
    pub files: Vec<String>,
    /// Those that it cannot, because their names are not UTF-8 or hold a line break or a backslash; shown as well as
    /// can be.
    pub unlistable: Vec<String>,
}

/// Finds every file below `root`. Links to folders are followed, but no folder is entered twice.
///
/// # Errors
/// If a folder cannot be read.
pub fn all_files(root: &Path) -> Result<AllFiles> {
    let mut all = AllFiles::default();
    let mut folders = vec![String::new()];
    let mut entered = HashSet::new();
    while let Some(dir) = folders.pop() {
        let path = root.join(&dir);
        let metadata = fs::metadata(&path).map_err(Error::io(&path, "look at"))?;
        if !entered.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        for (name, is_dir) in entries(&path)? {
            let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
            match name.to_str().filter(|name| !name.contains(['\n', '\r', '\\'])) {
                Some(name) if is_dir => folders.push(prefix + name),
                Some(name) => all.files.push(prefix + name),
                None => all.unlistable.push(format!("{prefix}{}", name.to_string_lossy().escape_debug())),
            }
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

//! An array a site, `EXPERIMENT/PlateN/WELL_sS.zarr` of `[y, x, channel]`, as `rxrx/preprocess/images2zarr.py` of
//! rxrx1-utils writes them below a folder of the dataset.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::files;
use crate::site::{PlateId, Well, parse_number};
use crate::source::layout::KAGGLE_FOLDERS;
use crate::source::names::{is_hidden_path, is_image, is_of_store, is_of_system, plate_of};
use crate::source::pattern::well_named;
use crate::source::tree::{PlateFiles, Scan, Unplaced};

use super::document::ArrayDocument;
use super::found::{ZarrScan, usual_channels};
use super::group::Node;
use super::site::{ArraySite, Axis, Version};

/// What a name is expected to be.
const EXPECTED: &str = "an array EXPERIMENT/PlateN/WELL_sSITE.zarr";

/// An array by its name.
struct Named {
    plate: PlateId,
    /// The folder of its plate, and the dataset that this is in.
    dir: String,
    dataset: Option<&'static str>,
    well: Well,
    number: u16,
    site: ArraySite,
}

/// Finds the arrays below a folder.
///
/// # Errors
/// If the root cannot be read, or a plate is there twice.
pub(super) fn scan(root: &Path) -> Result<ZarrScan> {
    let mut scan = Scan::default();
    let mut named = Vec::new();
    let axes: Arc<[Axis]> = [Axis::Y, Axis::X, Axis::Channel].into();
    let enter = |dir: &files::Found| !is_array_name(&dir.path) && !is_of_system(dir) && !is_of_store(dir);
    for found in files::walk_into(root, 1..=usize::MAX, files::Links::Follow, enter) {
        let Some(found) = scan.note(root, found)? else { continue };
        let is_array = found.is_dir() && is_array_name(&found.path);
        if !is_array && !is_image(&found) && !is_left_over(&found) {
            continue;
        }
        let below = found.path.strip_prefix(root).unwrap_or(&found.path);
        match below.to_str().filter(|_| is_array && !is_hidden_path(below)).and_then(|path| read(path, &axes)) {
            Some(array) => {
                let is_v3 = files::is_file(&found.path.join(Version::V3.of_array()))?;
                let version = if is_v3 { Version::V3 } else { Version::V2 };
                named.push(Named { site: ArraySite { version, ..array.site }, ..array });
            }
            None => scan.unplaced.push(Unplaced::named(root, &found, EXPECTED)),
        }
    }
    let n_channels: Vec<Result<usize, Unplaced>> = named.par_iter().map(|array| channels(root, &array.site)).collect();
    let usual = usual_channels(n_channels.iter().filter_map(|found| found.as_ref().ok().copied()));
    let mut plates = BTreeMap::<PlateId, PlateFiles>::new();
    for (array, n_channels) in named.into_iter().zip(n_channels) {
        let Named { plate, dir, dataset, well, number, site } = array;
        let n_channels = match n_channels {
            Ok(n_channels) => n_channels,
            Err(unplaced) => {
                scan.unplaced.push(Unplaced { plate: Some(plate), ..unplaced });
                continue;
            }
        };
        let new = || PlateFiles { dir: dir.clone(), dataset, ..PlateFiles::default() };
        let of_plate = plates.entry(plate.clone()).or_insert_with(new);
        if of_plate.dir != dir {
            let both = format!("{} and {dir}", of_plate.dir);
            return Err(Error::malformed(root.display(), format!("one folder for plate {plate}"), both));
        }
        if let Some(first) = of_plate.arrays.get(&(well, number)) {
            let expected = format!("one array of {}: {}", plate.site(well, number), first.dir);
            let (path, found) = (site.dir.to_string(), format!("{:?}", site.dir));
            scan.unplaced.push(Unplaced { path, plate: Some(plate), expected, found });
            continue;
        }
        of_plate.sites.insert((well, number), u64::MAX >> (64 - n_channels));
        of_plate.arrays.insert((well, number), site);
    }
    scan.plates = plates;
    scan.unplaced.sort_unstable();
    scan.unreadable.sort_unstable();
    let channels = (1..=usual).map(|channel| format!("w{channel}")).collect();
    Ok(ZarrScan { scan, channels, unusual: Vec::new() })
}

fn is_array_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zarr")
}

/// Whether a file is of an array by another name: one that was packed (`B02_s1.zarr.zip`), or the document of one that is
/// not called so (`B02_s1.zarr.part/.zarray`).
fn is_left_over(found: &files::Found) -> bool {
    let Some(name) = found.name().filter(|_| !found.is_dir()) else { return false };
    let is_packed = || name.to_ascii_lowercase().contains(".zarr.");
    let is_document = || name == Version::V2.of_array() || name == Version::V3.of_array();
    let is_of_array =
        || found.path.parent().is_some_and(|dir| matches!(Node::of(dir), Ok(Some(Node::Array(_))) | Err(_)));
    is_packed() || (is_document() && is_of_array())
}

/// What a path tells.
fn read(path: &str, axes: &Arc<[Axis]>) -> Option<Named> {
    let (dir, name) = path.rsplit_once('/')?;
    let (well, number) = name.strip_suffix(".zarr")?.rsplit_once("_s")?;
    let plate = plate_of(Path::new(dir))?;
    let dataset = KAGGLE_FOLDERS.into_iter().find(|folder| dir.split('/').next() == Some(folder));
    let number = parse_number(number).filter(|_| !number.is_empty())?;
    let (axes, version) = (Arc::clone(axes), Version::V2);
    let site = ArraySite { dir: path.into(), image: None, version, axes, at: 0 };
    Some(Named { plate, dir: dir.to_owned(), dataset, well: well_named(well)?, number, site })
}

/// How many channels an array has.
fn channels(root: &Path, site: &ArraySite) -> Result<usize, Unplaced> {
    let path = site.document();
    let unplaced =
        |found| Unplaced { path: path.clone(), plate: None, expected: "an array of images".to_owned(), found };
    let text = files::read_at_most(&root.join(&path), files::LARGEST_DOCUMENT).map_err(|e| unplaced(e.to_string()))?;
    let document = ArrayDocument::parse(&text, site.version).map_err(|e| unplaced(format!("another: {}", e.detail)))?;
    match document.shape[..] {
        [_, _, n @ 1..=64] => Ok(n as usize),
        _ => {
            Err(unplaced(format!("another: expected [y, x, channel] of 1 to 64 channels, found {:?}", document.shape)))
        }
    }
}

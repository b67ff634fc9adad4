//! Reading the plates' listings: which plates have one, and what its files say.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::csv_table::{Header, Rows, from_csv};
use crate::error::Result;
use crate::files;
use crate::site::PlateId;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{FILES, METADATA, PLATES, listing_file};
use crate::store::format::rows::SiteRow;

/// Reads a store's `metadata.csv`, row by row with their lines: it grows with the store and is never in memory whole.
///
/// # Errors
/// If it cannot be read, is not well formed, or `each` says so.
pub fn each_site(store: &Path, each: &mut dyn FnMut(u64, SiteRow) -> Result<()>) -> Result<()> {
    let path = store.join(METADATA);
    let (file, place) = (files::open(&path)?, path.display().to_string());
    for row in Rows::read(file, &place, Header::Exact)? {
        let (line, row) = row?;
        each(line, row)?;
    }
    Ok(())
}

/// Reads the rows of one of a listing's CSVs.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn read_rows<R: DeserializeOwned>(store: &Path, plate: &PlateId, name: &str) -> Result<Vec<R>> {
    let path = store.join(listing_file(plate, name));
    from_csv(&files::read_text(&path)?, &path.display().to_string())
}

/// Reads one of a listing's lists of files.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn read_list(store: &Path, plate: &PlateId, name: &str) -> Result<Vec<Entry>> {
    let path = store.join(listing_file(plate, name));
    manifest::parse(&files::read_text(&path)?, &path.display().to_string())
}

/// The plates of a store that have a listing (a folder without its list of files is none), in the order of the store.
///
/// # Errors
/// If a folder cannot be read.
pub fn listed_plates(store: &Path) -> Result<Vec<PlateId>> {
    let mut plates = plate_folders(&store.join(PLATES))?;
    // What cannot be looked at counts as there: whoever reads it is told why it cannot be.
    plates.retain(|plate| files::is_file(&store.join(listing_file(plate, FILES))).unwrap_or(true));
    Ok(plates)
}

/// The plates that have a folder `EXPERIMENT/PlateN` in `root`, in the order of the store.
///
/// # Errors
/// If a folder cannot be read.
pub fn plate_folders(root: &Path) -> Result<Vec<PlateId>> {
    let mut plates = Vec::new();
    for experiment in folder_names(root)? {
        for plate in folder_names(&root.join(&experiment))? {
            let name = format!("{experiment}/{plate}");
            plates.extend(name.parse().ok().filter(|plate: &PlateId| plate.to_string() == name));
        }
    }
    plates.sort_unstable();
    Ok(plates)
}

/// Names of the folders in `dir`; none where it does not exist.
fn folder_names(dir: &Path) -> Result<Vec<String>> {
    let folders = files::list(dir)?.into_iter().filter(files::Found::is_dir);
    Ok(folders.filter_map(|found| found.name().map(str::to_owned)).collect())
}

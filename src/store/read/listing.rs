//! Reading the plates' listings: which plates have one, and what its files say.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::csv_table::{Header, Rows, from_csv};
use crate::error::{Error, Result};
use crate::files;
use crate::site::PlateId;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{FILES, METADATA, PLATES, REJECTED, SHA256SUMS, listing_file};
use crate::store::format::rows::{Rejected, SiteRow};

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

/// Reads the list of all files of a finished store.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn read_sums(store: &Path) -> Result<Vec<Entry>> {
    manifest::parse(&files::read_text(&store.join(SHA256SUMS))?, SHA256SUMS)
}

/// Reads one of a listing's lists of files.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn read_list(store: &Path, plate: &PlateId, name: &str) -> Result<Vec<Entry>> {
    let path = store.join(listing_file(plate, name));
    manifest::parse(&files::read_text(&path)?, &path.display().to_string())
}

/// How much of its source a store left out when it was packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Single sites.
    pub sites: u64,
    /// Whole wells.
    pub wells: u64,
}

/// Reads the rows of a store's `rejected.csv`, which is there only where something was left out.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn rejected(store: &Path) -> Result<Vec<Rejected>> {
    let path = store.join(REJECTED);
    if !files::exists(&path)? {
        return Ok(Vec::new());
    }
    from_csv(&files::read_text(&path)?, &path.display().to_string())
}

/// Reads what a store left out from its `rejected.csv`, which is there only where something was.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn left_out(store: &Path) -> Result<LeftOut> {
    let rows = rejected(store)?;
    let wells = rows.iter().filter(|row| row.site.is_none()).count() as u64;
    Ok(LeftOut { sites: rows.len() as u64 - wells, wells })
}

/// The plates of a store that have a listing (a folder without its list of files is none), in the order of the store.
///
/// # Errors
/// If a folder cannot be read.
pub fn listed_plates(store: &Path) -> Result<Vec<PlateId>> {
    listed_plates_or(store, &mut Err)
}

/// The same; `unreadable` decides what to do about a folder, or something in it, that cannot be looked at.
///
/// # Errors
/// If `unreadable` says so.
pub fn listed_plates_or(store: &Path, unreadable: &mut dyn FnMut(Error) -> Result<()>) -> Result<Vec<PlateId>> {
    let mut plates = plate_folders_or(&store.join(PLATES), unreadable)?;
    // What cannot be looked at counts as there: whoever reads it is told why it cannot be.
    plates.retain(|plate| files::is_file(&store.join(listing_file(plate, FILES))).unwrap_or(true));
    Ok(plates)
}

/// The plates that have a folder `EXPERIMENT/PlateN` in `root`, in the order of the store.
///
/// # Errors
/// If a folder cannot be read.
pub fn plate_folders(root: &Path) -> Result<Vec<PlateId>> {
    plate_folders_or(root, &mut Err)
}

/// The same; `unreadable` decides what to do about a folder, or something in it, that cannot be looked at.
///
/// # Errors
/// If `unreadable` says so.
pub fn plate_folders_or(root: &Path, unreadable: &mut dyn FnMut(Error) -> Result<()>) -> Result<Vec<PlateId>> {
    let mut plates = Vec::new();
    for experiment in folder_names(root, unreadable)? {
        for plate in folder_names(&root.join(&experiment), unreadable)? {
            let name = format!("{experiment}/{plate}");
            plates.extend(name.parse().ok().filter(|plate: &PlateId| plate.to_string() == name));
        }
    }
    plates.sort_unstable();
    Ok(plates)
}

/// Names of the folders in `dir`; none where it does not exist.
fn folder_names(dir: &Path, unreadable: &mut dyn FnMut(Error) -> Result<()>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let is_dir = files::is_dir(dir).or_else(|error| unreadable(error).map(|()| false))?;
    let walk = is_dir.then(|| files::walk(dir, 1..=1, files::Links::Follow));
    for found in walk.into_iter().flatten() {
        match found {
            Ok(found) => names.extend(found.name().filter(|_| found.is_dir()).map(str::to_owned)),
            Err(error) => unreadable(error)?,
        }
    }
    Ok(names)
}

//! A plate's listing: the seven text files in `plates/EXPERIMENT/PlateN/` that say what the plate's array holds, what it
//! was made from, and what was left out. A plate without one is not done.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result, read_file, read_text};
use crate::site::PlateId;

use super::checksum::Sha;
use super::manifest::{self, Entry};
use super::rows::{ComomentRow, HistogramRow, PixelStats, Rejected, Row, SiteRow, from_csv, to_csv};
use super::spec::listing_path;

/// The name of the list of a plate's own files.
pub const FILES: &str = "files.sha256";
/// The name of the list of a plate's source images.
pub const SOURCES: &str = "sources.sha256";
/// The names of a listing's CSVs.
pub const CSVS: [&str; 5] = ["comoments.csv", "histogram.csv", "pixel_stats.csv", "rejected.csv", "sites.csv"];

/// All that a listing says.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The plate.
    pub plate: PlateId,
    /// Sites, in the order of the array.
    pub sites: Vec<SiteRow>,
    /// One row a site and channel.
    pub pixel_stats: Vec<PixelStats>,
    /// Pixel counts.
    pub histogram: Vec<HistogramRow>,
    /// Sums of products.
    pub comoments: Vec<ComomentRow>,
    /// What was left out.
    pub rejected: Vec<Rejected>,
    /// The PNGs, with sizes, relative to the source's root.
    pub sources: Vec<Entry>,
}

impl Listing {
    /// The listing as its files.
    #[must_use]
    pub fn to_files(&self) -> ListingFiles {
        let contents = BTreeMap::from([
            (CSVS[0], to_csv(&self.comoments)),
            (CSVS[1], to_csv(&self.histogram)),
            (CSVS[2], to_csv(&self.pixel_stats)),
            (CSVS[3], to_csv(&self.rejected)),
            (CSVS[4], to_csv(&self.sites)),
            (SOURCES, manifest::format(&self.sources)),
        ]);
        ListingFiles { plate: self.plate.clone(), n_sites: self.sites.len(), contents }
    }
}

/// A listing as its files, all but their list. A plate that is carried from one store to another keeps them byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingFiles {
    /// The plate.
    pub plate: PlateId,
    /// Its sites.
    pub n_sites: usize,
    /// The content of each of [`CSVS`], and of [`SOURCES`].
    pub contents: BTreeMap<&'static str, String>,
}

impl ListingFiles {
    /// Writes the seven files into `dir`, an empty folder. `array_files` are the files of the plate's array, relative to
    /// the store's root.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, dir: &Path, array_files: Vec<Entry>) -> Result<()> {
        let mut files = array_files;
        for (name, text) in &self.contents {
            files.push(Entry::of(format!("{}/{name}", listing_path(&self.plate)), text.as_bytes()));
            super::write::write_synced(&dir.join(name), text.as_bytes())?;
        }
        super::write::write_synced(&dir.join(FILES), manifest::format(&files).as_bytes())
    }
}

/// Reads the rows of one of a listing's CSVs.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn read_rows<R: Row>(store: &Path, plate: &PlateId, name: &str) -> Result<Vec<R>> {
    let path = store.join(listing_path(plate)).join(name);
    from_csv(&read_text(&path)?, &path.display().to_string())
}

/// Reads one of a listing's lists of files.
///
/// # Errors
/// If it cannot be read or is not well formed.
pub fn read_list(store: &Path, plate: &PlateId, name: &str) -> Result<Vec<Entry>> {
    let path = store.join(listing_path(plate)).join(name);
    manifest::parse(&read_text(&path)?, &path.display().to_string())
}

/// Reads a file of a list whole, and proves that it is the one that the list means.
///
/// # Errors
/// If it is gone, cannot be read, or is another; the error names it as the list does.
pub fn read_proven(store: &Path, file: &Entry) -> Result<Vec<u8>> {
    let bytes = read_file(&store.join(&file.path)).map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::malformed(&file.path, "the file that the list names", "none")
        }
        other => other,
    })?;
    if let Some(size) = file.size.filter(|&size| size != bytes.len() as u64) {
        return Err(Error::malformed(&file.path, format!("{size} bytes"), bytes.len()));
    }
    let found = Sha::of(&bytes);
    if found != file.sha {
        return Err(Error::malformed(&file.path, format!("SHA-256 {}", file.sha.short()), found.short()));
    }
    Ok(bytes)
}

/// Whether a file of a list is there with the size that the list says.
#[must_use]
pub fn has_size(store: &Path, file: &Entry) -> bool {
    fs::metadata(store.join(&file.path)).is_ok_and(|found| file.size.is_none_or(|size| size == found.len()))
}

/// The position of a channel that a row numbers from 1; `place` names the row in errors.
///
/// # Errors
/// If the store has no such channel.
pub fn channel_index(channel: usize, n_channels: usize, place: &dyn std::fmt::Display) -> Result<usize> {
    if (1..=n_channels).contains(&channel) {
        Ok(channel - 1)
    } else {
        Err(Error::malformed(place, format!("channels 1 to {n_channels}"), channel))
    }
}

/// The plates of a store that have a listing (a folder without its list of files is none), in the order of the store.
///
/// # Errors
/// If a folder cannot be read.
pub fn listed_plates(store: &Path) -> Result<Vec<PlateId>> {
    let mut plates = plate_folders(&store.join(super::spec::PLATES))?;
    plates.retain(|plate| store.join(listing_path(plate)).join(FILES).is_file());
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
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir, "list"))? {
        let entry = entry.map_err(Error::io(dir, "list"))?;
        if entry.path().is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

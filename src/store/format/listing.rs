//! A plate's listing: the seven text files in `plates/EXPERIMENT/PlateN/` that say what the plate's array holds, what
//! it was made from, and what was left out. A plate without one is not done.

use std::collections::{BTreeMap, BTreeSet};

use crate::csv_table::to_csv;
use crate::error::{Error, Result};
use crate::site::{Dtype, PlateId};

use super::manifest::{self, Entry};
use super::names::{
    COMOMENTS, CSVS, FILES, HISTOGRAM, PIXEL_STATS, REJECTED, SITES, SOURCES, array_document_path, listing_file,
    shard_path,
};
use super::rows::{ComomentRow, HistogramRow, PixelStats, Rejected, SiteRow};
use super::spec::StoreSpec;

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
            (COMOMENTS, to_csv(&self.comoments)),
            (HISTOGRAM, to_csv(&self.histogram)),
            (PIXEL_STATS, to_csv(&self.pixel_stats)),
            (REJECTED, to_csv(&self.rejected)),
            (SITES, to_csv(&self.sites)),
            (SOURCES, manifest::format(&self.sources)),
        ]);
        ListingFiles { plate: self.plate.clone(), n_sites: self.sites.len(), contents }
    }
}

/// Whether a plate's list of files names those that a plate of so many sites has, and no others.
///
/// # Errors
/// The first that it lacks, or names beyond them.
pub fn check_names(files: &[Entry], plate: &PlateId, spec: &StoreSpec, n_sites: usize) -> Result<()> {
    let mut expected: BTreeSet<String> = (0..spec.n_shards(n_sites)).map(|i| shard_path(plate, i)).collect();
    expected.extend((n_sites > 0).then(|| array_document_path(plate)));
    expected.extend(CSVS.into_iter().chain([SOURCES]).map(|name| listing_file(plate, name)));
    let found: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
    let own = listing_file(plate, FILES);
    match expected.symmetric_difference(&found).next() {
        None => Ok(()),
        Some(path) if expected.contains(path) => Err(Error::malformed(own, format!("a line of {path}"), "none")),
        Some(path) => Err(Error::malformed(own, "only files of this plate", path)),
    }
}

/// A listing as its files, all but their list. A plate that is carried from one store to another keeps them byte by
/// byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingFiles {
    /// The plate.
    pub plate: PlateId,
    /// Its sites.
    pub n_sites: usize,
    /// The content of each of [`CSVS`], and of [`SOURCES`].
    pub contents: BTreeMap<&'static str, String>,
}

/// A grey level as a position; `place` names the row in errors.
///
/// # Errors
/// If pixels of the type have no such level.
pub fn level_index(level: u16, dtype: Dtype, place: &dyn std::fmt::Display) -> Result<usize> {
    let level = usize::from(level);
    if level < dtype.levels() {
        Ok(level)
    } else {
        Err(Error::malformed(place, format!("levels 0 to {}", dtype.levels() - 1), level))
    }
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

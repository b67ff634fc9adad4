//! A plate's listing: the seven text files in `plates/EXPERIMENT/PlateN/` that say what the plate's array holds, what
//! it was made from, and what was left out. A plate without one is not done.

use std::collections::BTreeMap;

use crate::csv_table::to_csv;
use crate::error::{Error, Result};
use crate::site::PlateId;

use super::manifest::{self, Entry};
use super::names::{COMOMENTS, HISTOGRAM, PIXEL_STATS, REJECTED, SITES, SOURCES};
use super::rows::{ComomentRow, HistogramRow, PixelStats, Rejected, SiteRow};

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

/// A listing as its files, all but their list. A plate that is carried from one store to another keeps them byte by
/// byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingFiles {
    /// The plate.
    pub plate: PlateId,
    /// Its sites.
    pub n_sites: usize,
    /// The content of each of [`CSVS`](super::names::CSVS), and of [`SOURCES`].
    pub contents: BTreeMap<&'static str, String>,
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

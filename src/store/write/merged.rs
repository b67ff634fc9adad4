//! What a merge of the plates' listings is: file by file, each in pieces, a plate at a time, so that none is ever in
//! memory whole. A merge writes it and `verify` compares it with what is there.

use std::path::Path;

use crate::csv_table::{to_csv, to_lines};
use crate::error::Result;
use crate::site::PlateId;
use crate::store::format::listing::{channel_index, level_index};
use crate::store::format::names::{
    COMOMENTS, HISTOGRAM, METADATA, PIXELS, REJECTED, SITES, STATISTICS, ZARR_JSON, statistics_chunk_path,
    statistics_path,
};
use crate::store::format::rows::{ComomentRow, HistogramRow, Rejected, SiteRow};
use crate::store::format::spec::StoreSpec;
use crate::store::format::statistics::{Chunks, Counts, STATISTICS_LEVEL, StatisticsAttributes};
use crate::store::read::listing::read_rows;

use super::encode::Encoder;

/// The listings of a store's plates, to be merged.
pub struct Merged<'a> {
    root: &'a Path,
    spec: &'a StoreSpec,
    plates: &'a [PlateId],
    has_rejected: bool,
}

/// A file that follows from the listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedFile {
    /// All sites.
    Metadata,
    /// All that was left out.
    Rejected,
    /// The document of the group of statistics.
    Group,
    /// The document of an array of statistics.
    Array(Counts),
    /// The chunk of an array of statistics for one plate.
    Chunk(Counts, usize),
}

impl MergedFile {
    /// The path within the store.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Metadata => METADATA.to_owned(),
            Self::Rejected => REJECTED.to_owned(),
            Self::Group => format!("{PIXELS}/{STATISTICS}/{ZARR_JSON}"),
            Self::Array(counts) => format!("{}/{ZARR_JSON}", statistics_path(counts.name())),
            Self::Chunk(counts, plate) => statistics_chunk_path(counts.name(), plate),
        }
    }
}

impl<'a> Merged<'a> {
    /// The merge of the listings of `plates`.
    ///
    /// # Errors
    /// If what was left out of them cannot be read.
    pub fn new(root: &'a Path, spec: &'a StoreSpec, plates: &'a [PlateId]) -> Result<Self> {
        let mut has_rejected = false;
        for plate in plates {
            has_rejected = has_rejected || !read_rows::<Rejected>(root, plate, REJECTED)?.is_empty();
        }
        Ok(Self { root, spec, plates, has_rejected })
    }

    /// The tables that all plates have together; `rejected.csv` only where something was left out.
    #[must_use]
    pub fn tables(&self) -> Vec<MergedFile> {
        let rejected = self.has_rejected.then_some(MergedFile::Rejected);
        [MergedFile::Metadata].into_iter().chain(rejected).collect()
    }

    /// The files of the group of statistics.
    pub fn statistics(&self) -> impl Iterator<Item = MergedFile> {
        let n_plates = self.plates.len();
        let chunks = move |counts| (0..n_plates).map(move |plate| MergedFile::Chunk(counts, plate));
        let arrays = Counts::ALL
            .into_iter()
            .flat_map(move |counts| [MergedFile::Array(counts)].into_iter().chain(chunks(counts)));
        [MergedFile::Group].into_iter().chain(arrays)
    }

    /// How many plates there are.
    #[must_use]
    pub fn n_plates(&self) -> usize {
        self.plates.len()
    }

    /// The document of an array whose chunks are divided like this.
    #[must_use]
    pub fn array_document(&self, counts: Counts, chunks: Chunks) -> Vec<u8> {
        StatisticsAttributes::new(self.plates, self.spec).array_document(counts, chunks)
    }

    /// Hands over the content of a file, piece by piece.
    ///
    /// # Errors
    /// If a listing cannot be read or is not well formed, or `write` says so.
    pub fn content(&self, file: MergedFile, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match file {
            MergedFile::Metadata => {
                write(to_csv::<SiteRow>(&[]).as_bytes())?;
                self.plates.iter().try_for_each(|plate| write(self.lines::<SiteRow>(plate, SITES)?.as_bytes()))
            }
            MergedFile::Rejected => {
                write(to_csv::<Rejected>(&[]).as_bytes())?;
                self.plates.iter().try_for_each(|plate| write(self.lines::<Rejected>(plate, REJECTED)?.as_bytes()))
            }
            MergedFile::Group => write(&StatisticsAttributes::new(self.plates, self.spec).group_document()),
            MergedFile::Array(counts) => write(&self.array_document(counts, Chunks::OnePlate)),
            MergedFile::Chunk(counts, plate) => {
                let (mut bytes, mut chunk) = (self.counts(counts, plate)?, Vec::new());
                Encoder::of_zstd(STATISTICS_LEVEL)?.encode(&mut bytes, &mut chunk)?;
                write(&chunk)
            }
        }
    }

    fn lines<R>(&self, plate: &PlateId, name: &str) -> Result<String>
    where
        R: serde::Serialize + serde::de::DeserializeOwned,
    {
        Ok(to_lines(&read_rows::<R>(self.root, plate, name)?))
    }

    /// The counts of plate number `plate`, `[population, channel, last] u64`, the least significant byte first.
    ///
    /// # Errors
    /// If its listing cannot be read or names a channel or a level that the store does not have.
    ///
    /// # Panics
    /// If there is no such plate.
    pub fn counts(&self, counts: Counts, plate: usize) -> Result<Vec<u8>> {
        let (plate, n_channels, dtype) = (&self.plates[plate], self.spec.channels.len(), self.spec.dtype);
        let [_, _, width] = counts.shape(n_channels, dtype);
        let mut bytes = vec![0; counts.plate_bytes(n_channels, dtype)];
        let check = |channel| channel_index(channel, n_channels, plate);
        let mut set = |population: usize, channel: usize, last: usize, count: u64| {
            let at = ((population * n_channels + channel) * width + last) * size_of::<u64>();
            bytes[at..][..size_of::<u64>()].copy_from_slice(&count.to_le_bytes());
        };
        match counts {
            Counts::Histogram => {
                for row in read_rows::<HistogramRow>(self.root, plate, HISTOGRAM)? {
                    let level = level_index(row.level, dtype, plate)?;
                    set(row.population.index(), check(row.channel)?, level, row.count);
                }
            }
            Counts::Comoments => {
                for row in read_rows::<ComomentRow>(self.root, plate, COMOMENTS)? {
                    let (a, b) = (check(row.channel_a)?, check(row.channel_b)?);
                    set(row.population.index(), a, b, row.sum_of_products);
                    set(row.population.index(), b, a, row.sum_of_products);
                }
            }
        }
        Ok(bytes)
    }
}

//! The documents of the group `statistics`: counts by plate, population and channel, with the names of all in their
//! attributes. Counts nothing.

use serde::Serialize;

use crate::site::{Dtype, PlateId, Population};

use super::spec::StoreSpec;
use super::zarr::{ArraySpec, Codec, array_document, group_document};

/// How well the counts are compressed.
pub const STATISTICS_LEVEL: i32 = 3;

/// How an array of statistics is divided into chunks; its document says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// One a plate.
    OnePlate,
    /// One for all plates, as up to version 0.1.0.
    AllPlates,
}

impl Chunks {
    /// What an array's document says; `None` where it says neither.
    #[must_use]
    pub fn of(document: &[u8]) -> Option<Self> {
        let document: serde_json::Value = serde_json::from_slice(document).ok()?;
        let of_chunk = document.pointer("/chunk_grid/configuration/chunk_shape/0")?.as_u64()?;
        match of_chunk {
            1 => Some(Self::OnePlate),
            n if document.pointer("/shape/0")?.as_u64()? == n => Some(Self::AllPlates),
            _ => None,
        }
    }

    /// How many chunks an array of so many plates has.
    #[must_use]
    pub fn count(self, n_plates: usize) -> usize {
        match self {
            Self::OnePlate => n_plates,
            Self::AllPlates => n_plates.min(1),
        }
    }
}

/// An array of statistics, `[plate, population, channel, last] u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Pixels of each grey level.
    Histogram,
    /// Sums of products of two channels' levels.
    Comoments,
}

impl Counts {
    /// Both, in the order of [`STATISTICS_ARRAYS`](super::names::STATISTICS_ARRAYS).
    pub const ALL: [Self; 2] = [Self::Histogram, Self::Comoments];

    /// The name of the array.
    #[must_use]
    pub fn name(self) -> &'static str {
        super::names::STATISTICS_ARRAYS[self as usize]
    }

    /// The name of its last dimension.
    fn last(self) -> &'static str {
        match self {
            Self::Histogram => "level",
            Self::Comoments => "other channel",
        }
    }

    /// The counts of one plate, `[population, channel, last]`.
    #[must_use]
    pub fn shape(self, n_channels: usize, dtype: Dtype) -> [usize; 3] {
        let last = match self {
            Self::Histogram => dtype.levels(),
            Self::Comoments => n_channels,
        };
        [Population::ALL.len(), n_channels, last]
    }

    /// Bytes of the counts of one plate.
    #[must_use]
    pub fn plate_bytes(self, n_channels: usize, dtype: Dtype) -> usize {
        self.shape(n_channels, dtype).iter().product::<usize>() * size_of::<u64>()
    }
}

/// The attributes of the group and of its arrays, in the order of their bytes.
#[derive(Debug, Serialize)]
pub struct StatisticsAttributes<'a> {
    channels: Vec<&'a str>,
    plates: &'a [PlateId],
    populations: [Population; 4],
    #[serde(skip)]
    dtype: Dtype,
}

impl<'a> StatisticsAttributes<'a> {
    /// Of the plates of a store.
    #[must_use]
    pub fn new(plates: &'a [PlateId], spec: &'a StoreSpec) -> Self {
        let channels = spec.channels.iter().map(|channel| channel.name.as_str()).collect();
        Self { channels, plates, populations: Population::ALL, dtype: spec.dtype }
    }

    /// The group's `zarr.json`.
    #[must_use]
    pub fn group_document(&self) -> Vec<u8> {
        group_document(self)
    }

    /// The `zarr.json` of an array.
    #[must_use]
    pub fn array_document(&self, counts: Counts, chunks: Chunks) -> Vec<u8> {
        let [populations, channels, last] = counts.shape(self.channels.len(), self.dtype).map(|n| n as u64);
        let shape = |plates| [plates, populations, channels, last];
        let n_plates = self.plates.len() as u64;
        let of_chunk = match chunks {
            Chunks::OnePlate => 1,
            Chunks::AllPlates => n_plates,
        };
        let array = ArraySpec {
            shape: shape(n_plates),
            chunk_shape: shape(of_chunk),
            data_type: "uint64",
            dimension_names: ["plate", "population", "channel", counts.last()],
            codecs: vec![Codec::little_endian(), Codec::zstd(STATISTICS_LEVEL), Codec::crc32c()],
        };
        array_document(&array, self)
    }
}

//! The documents of the group `statistics`: counts by plate, population and channel, with the names of all in their
//! attributes. Counts nothing.

use serde::Serialize;

use crate::site::{PlateId, Population};

use super::spec::Channel;
use super::zarr::{ArraySpec, Codec, array_document, group_document};

/// How well the counts are compressed.
pub const STATISTICS_LEVEL: i32 = 3;

/// The attributes of the group and of its arrays, in the order of their bytes.
#[derive(Debug, Serialize)]
pub struct StatisticsAttributes<'a> {
    channels: Vec<&'a str>,
    plates: &'a [PlateId],
    populations: [Population; 4],
}

impl<'a> StatisticsAttributes<'a> {
    /// Of the plates and channels of a store.
    #[must_use]
    pub fn new(plates: &'a [PlateId], channels: &'a [Channel]) -> Self {
        let channels = channels.iter().map(|channel| channel.name.as_str()).collect();
        Self { channels, plates, populations: Population::ALL }
    }

    /// The group's `zarr.json`.
    #[must_use]
    pub fn group_document(&self) -> Vec<u8> {
        group_document(self)
    }

    /// The `zarr.json` of an array `[plate, population, channel, last] u64` of one chunk.
    #[must_use]
    pub fn array_document(&self, shape: [u64; 4], last: &'static str) -> Vec<u8> {
        let array = ArraySpec {
            shape,
            chunk_shape: shape,
            data_type: "uint64",
            dimension_names: ["plate", "population", "channel", last],
            codecs: vec![Codec::little_endian(), Codec::zstd(STATISTICS_LEVEL), Codec::crc32c()],
        };
        array_document(&array, self)
    }
}

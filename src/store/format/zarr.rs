//! Zarr v3 documents as types. Fields stand in the order of their bytes, which is alphabetical, so that no setting of
//! `serde_json` (its maps may keep another order) shows in a store. Knows what Zarr says, not what a store means by it.

use serde::Serialize;

use crate::wave::Mode;

/// The version of Zarr.
const ZARR_FORMAT: u32 = 3;

/// The name of the codec that is ours: of an array's pixels to bytes.
pub const WAVE: &str = "cellshard.wave";
/// The version of its stream.
const WAVE_VERSION: u32 = 1;

/// A group's `zarr.json`.
#[derive(Serialize)]
struct GroupDocument<'a, A> {
    attributes: &'a A,
    node_type: &'static str,
    zarr_format: u32,
}

/// An array's `zarr.json`.
#[derive(Serialize)]
struct ArrayDocument<'a, A> {
    attributes: &'a A,
    chunk_grid: Extension<Regular<'a>>,
    chunk_key_encoding: Extension<Separator>,
    codecs: &'a [Codec],
    data_type: &'static str,
    dimension_names: [&'static str; 4],
    fill_value: u8,
    node_type: &'static str,
    shape: &'a [u64; 4],
    zarr_format: u32,
}

/// What Zarr names and lets be configured.
#[derive(Serialize)]
struct Extension<C> {
    configuration: C,
    name: &'static str,
}

#[derive(Serialize)]
struct Regular<'a> {
    chunk_shape: &'a [u64; 4],
}

#[derive(Serialize)]
struct Separator {
    separator: &'static str,
}

/// No attributes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NoAttributes {}

/// An array of four dimensions, in a regular grid, with the default keys and fill value 0.
#[derive(Debug, Clone)]
pub struct ArraySpec {
    /// Its shape.
    pub shape: [u64; 4],
    /// The shape of a chunk of the grid.
    pub chunk_shape: [u64; 4],
    /// `uint8`, `uint64`.
    pub data_type: &'static str,
    /// What its dimensions are.
    pub dimension_names: [&'static str; 4],
    /// How a chunk of the grid is encoded, first to last.
    pub codecs: Vec<Codec>,
}

/// A codec with its configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Codec {
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<Configuration>,
    name: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Configuration {
    Bytes { endian: &'static str },
    Zstd { checksum: bool, level: i32 },
    Wave { mode: &'static str, version: u32 },
    Sharding { chunk_shape: [u64; 4], codecs: Vec<Codec>, index_codecs: Vec<Codec>, index_location: &'static str },
}

impl Codec {
    /// Single bytes as they are.
    #[must_use]
    pub fn bytes() -> Self {
        Self { configuration: None, name: "bytes" }
    }

    /// Numbers of several bytes, the least significant first.
    #[must_use]
    pub fn little_endian() -> Self {
        Self { configuration: Some(Configuration::Bytes { endian: "little" }), name: "bytes" }
    }

    /// Zstandard without its own checksum.
    #[must_use]
    pub fn zstd(level: i32) -> Self {
        Self { configuration: Some(Configuration::Zstd { checksum: false, level }), name: "zstd" }
    }

    /// Ours, instead of `bytes`.
    #[must_use]
    pub fn wave(mode: Mode) -> Self {
        Self { configuration: Some(Configuration::Wave { mode: mode.name(), version: WAVE_VERSION }), name: WAVE }
    }

    /// A crc32c of all before it, in the last four bytes.
    #[must_use]
    pub fn crc32c() -> Self {
        Self { configuration: None, name: "crc32c" }
    }

    /// Shards of chunks that are encoded each by itself, the index at the end with a crc32c.
    #[must_use]
    pub fn sharding(chunk_shape: [u64; 4], codecs: Vec<Self>) -> Self {
        let index_codecs = vec![Self::little_endian(), Self::crc32c()];
        let configuration = Configuration::Sharding { chunk_shape, codecs, index_codecs, index_location: "end" };
        Self { configuration: Some(configuration), name: "sharding_indexed" }
    }
}

/// A group's `zarr.json`.
///
/// # Panics
/// If the attributes cannot be written as JSON.
#[must_use]
pub fn group_document(attributes: &impl Serialize) -> Vec<u8> {
    to_bytes(&GroupDocument { attributes, node_type: "group", zarr_format: ZARR_FORMAT })
}

/// An array's `zarr.json`.
///
/// # Panics
/// If the attributes cannot be written as JSON.
#[must_use]
pub fn array_document(array: &ArraySpec, attributes: &impl Serialize) -> Vec<u8> {
    to_bytes(&ArrayDocument {
        attributes,
        chunk_grid: Extension { configuration: Regular { chunk_shape: &array.chunk_shape }, name: "regular" },
        chunk_key_encoding: Extension { configuration: Separator { separator: "/" }, name: "default" },
        codecs: &array.codecs,
        data_type: array.data_type,
        dimension_names: array.dimension_names,
        fill_value: 0,
        node_type: "array",
        shape: &array.shape,
        zarr_format: ZARR_FORMAT,
    })
}

fn to_bytes(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("a document of texts and numbers");
    bytes.push(b'\n');
    bytes
}

//! The document of an array, before zarrs is asked to read by it: shape, chunks, type and codecs, each within limits, so
//! that no size that follows from it overflows or takes all memory. Pure.

use serde_json::Value;

use crate::fault::FaultKind;
use crate::site::{Dtype, ImageSize};
use crate::source::image::ImageFault;

use super::site::Version;

/// The most bytes of a chunk, and of a shard, once they are decoded.
pub(super) const LARGEST_CHUNK: u64 = 256 << 20;
/// The most dimensions: OME-Zarr has five.
const MOST_AXES: usize = 8;
/// The most chunks of a shard.
const MOST_OF_SHARD: u64 = 1 << 20;

/// What packs the bytes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Blosc,
    Crc32c,
    Gzip,
    Zlib,
    Zstd,
}

/// What the document of an array says.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "zarr"), expect(dead_code, reason = "read by what calls zarrs"))]
pub(super) struct ArrayDocument {
    pub(super) version: Version,
    pub(super) shape: Vec<u64>,
    /// The shape of what one file holds: a chunk, or a shard.
    pub(super) file_shape: Vec<u64>,
    /// The shape of a chunk.
    pub(super) chunk_shape: Vec<u64>,
    pub(super) dtype: Dtype,
    /// In the order in which a chunk was packed.
    pub(super) packings: Vec<Packing>,
    /// Bytes of the index of a shard; 0 where there are none.
    pub(super) index_bytes: usize,
    /// The document of its shards, where it has any.
    pub(super) of_shards: Option<Value>,
    /// The document of an array of its chunks, each of them a file.
    pub(super) of_chunks: Value,
}

type Found<T> = Result<T, ImageFault>;

impl ArrayDocument {
    /// Reads it.
    ///
    /// # Errors
    /// A fault if it is none, or one of what is not read: it is named.
    pub(super) fn parse(text: &[u8], version: Version) -> Found<Self> {
        let document: Value =
            serde_json::from_slice(text).map_err(|e| ImageFault::undecodable("the document of an array", e))?;
        match version {
            Version::V2 => Self::of_v2(document),
            Version::V3 => Self::of_v3(document),
        }
    }

    /// Bytes of a chunk once it is decoded.
    #[cfg_attr(not(feature = "zarr"), expect(dead_code, reason = "read by what calls zarrs"))]
    pub(super) fn chunk_bytes(&self) -> usize {
        (self.chunk_shape.iter().product::<u64>() as usize) * self.dtype.bytes()
    }

    /// The most bytes that a file can need; a larger one is none of it.
    pub(super) fn largest_file(&self) -> u64 {
        let pixels = self.file_shape.iter().product::<u64>() * self.dtype.bytes() as u64;
        2 * pixels + 64 * self.chunks_of_file() + (1 << 20)
    }

    fn chunks_of_file(&self) -> u64 {
        self.file_shape.iter().zip(&self.chunk_shape).map(|(file, chunk)| file / chunk).product()
    }

    fn of_v2(document: Value) -> Found<Self> {
        if document["zarr_format"] != 2 {
            return Err(ImageFault::undecodable("zarr_format 2", &document["zarr_format"]));
        }
        if !document["filters"].as_array().is_none_or(Vec::is_empty) {
            return Err(ImageFault::undecodable("no filters", &document["filters"]));
        }
        let dtype = match document["dtype"].as_str().unwrap_or_default() {
            "|u1" | "<u1" | ">u1" | "u1" => Dtype::Uint8,
            "<u2" | ">u2" => Dtype::Uint16,
            _ => return Err(wrong_dtype(&document["dtype"])),
        };
        let packings = match &document["compressor"] {
            Value::Null => Vec::new(),
            compressor => vec![match compressor["id"].as_str() {
                Some("blosc") => Packing::Blosc,
                Some("gzip") => Packing::Gzip,
                Some("zlib") => Packing::Zlib,
                Some("zstd") => Packing::Zstd,
                _ => return Err(ImageFault::undecodable("blosc, gzip, zlib or zstd", compressor)),
            }],
        };
        let file_shape = shape(&document["chunks"])?;
        let found = Self {
            version: Version::V2,
            shape: shape(&document["shape"])?,
            chunk_shape: file_shape.clone(),
            file_shape,
            dtype,
            packings,
            index_bytes: 0,
            of_shards: None,
            of_chunks: document,
        };
        found.check()?;
        Ok(found)
    }

    fn of_v3(document: Value) -> Found<Self> {
        if document["zarr_format"] != 3 || document["node_type"] != "array" {
            let found = format!("zarr_format {}, node_type {}", document["zarr_format"], document["node_type"]);
            return Err(ImageFault::undecodable("an array of zarr_format 3", found));
        }
        let dtype = document["data_type"].as_str().and_then(|name| name.parse().ok());
        let dtype: Dtype = dtype.ok_or_else(|| wrong_dtype(&document["data_type"]))?;
        if !document["storage_transformers"].as_array().is_none_or(Vec::is_empty) {
            return Err(ImageFault::undecodable("no storage_transformers", &document["storage_transformers"]));
        }
        let grid = &document["chunk_grid"];
        if grid["name"] != "regular" {
            return Err(ImageFault::undecodable("a regular chunk_grid", grid));
        }
        let file_shape = shape(&grid["configuration"]["chunk_shape"])?;
        let is_sharded = document["codecs"][0]["name"] == "sharding_indexed";
        let mut of_chunks = document.clone();
        let mut n_checksums = 0;
        if is_sharded {
            let n_codecs = document["codecs"].as_array().map_or(0, Vec::len);
            if n_codecs != 1 {
                return Err(ImageFault::undecodable("shards that nothing packs", &document["codecs"]));
            }
            let sharding = &document["codecs"][0]["configuration"];
            let of_index = packings(&sharding["index_codecs"])?;
            if of_index.iter().any(|packing| *packing != Packing::Crc32c) {
                return Err(ImageFault::undecodable("an index that nothing packs", &sharding["index_codecs"]));
            }
            n_checksums = of_index.len();
            of_chunks["codecs"] = sharding["codecs"].clone();
            of_chunks["chunk_grid"]["configuration"]["chunk_shape"] = sharding["chunk_shape"].clone();
        }
        let mut found = Self {
            version: Version::V3,
            shape: shape(&document["shape"])?,
            chunk_shape: shape(&of_chunks["chunk_grid"]["configuration"]["chunk_shape"])?,
            file_shape,
            dtype,
            packings: packings(&of_chunks["codecs"])?,
            index_bytes: 0,
            of_shards: is_sharded.then_some(document),
            of_chunks,
        };
        found.check()?;
        if is_sharded {
            found.index_bytes = 16 * found.chunks_of_file() as usize + 4 * n_checksums;
        }
        Ok(found)
    }

    fn check(&self) -> Found<()> {
        let n_axes = self.shape.len();
        let are_alike = [&self.file_shape, &self.chunk_shape].iter().all(|shape| shape.len() == n_axes);
        if !(2..=MOST_AXES).contains(&n_axes) || !are_alike {
            let expected = format!("2 to {MOST_AXES} axes, and as many of chunks");
            return Err(ImageFault::undecodable(expected, format!("{:?} and {:?}", self.shape, self.file_shape)));
        }
        let bytes = self.file_shape.iter().try_fold(self.dtype.bytes() as u64, |bytes, &n| bytes.checked_mul(n));
        if bytes.is_none_or(|bytes| bytes > LARGEST_CHUNK) {
            let expected = format!("chunks and shards of at most {LARGEST_CHUNK} bytes");
            return Err(ImageFault::undecodable(expected, format!("{:?} of {}", self.file_shape, self.dtype)));
        }
        let mut pairs = self.file_shape.iter().zip(&self.chunk_shape);
        if pairs.any(|(file, chunk)| !file.is_multiple_of(*chunk)) || self.chunks_of_file() > MOST_OF_SHARD {
            let expected = format!("shards of at most {MOST_OF_SHARD} whole chunks");
            return Err(ImageFault::undecodable(expected, format!("{:?} of {:?}", self.file_shape, self.chunk_shape)));
        }
        Ok(())
    }
}

/// Numbers of pixels along each axis.
fn shape(found: &Value) -> Found<Vec<u64>> {
    // Of all axes, sites and times included, and such that the sum of two is no overflow.
    let side = |side: &Value| side.as_u64().filter(|side| (1..=u64::from(u32::MAX)).contains(side));
    let sides = found.as_array().and_then(|sides| sides.iter().map(side).collect());
    sides.ok_or_else(|| ImageFault::undecodable("a shape of whole numbers from 1", found))
}

/// The codecs of chunks in Zarr v3, of which those that change no number of bytes are left to zarrs.
fn packings(codecs: &Value) -> Found<Vec<Packing>> {
    let mut packings = Vec::new();
    for codec in codecs.as_array().map(Vec::as_slice).unwrap_or_default() {
        packings.push(match codec["name"].as_str().or(codec.as_str()) {
            Some("bytes" | "transpose") => continue,
            Some("blosc") => Packing::Blosc,
            Some("crc32c") => Packing::Crc32c,
            Some("gzip") => Packing::Gzip,
            Some("zlib" | "numcodecs.zlib") => Packing::Zlib,
            Some("zstd") => Packing::Zstd,
            _ => {
                let expected = "the codecs bytes, transpose, sharding_indexed (once), blosc, crc32c, gzip, zlib, zstd";
                return Err(ImageFault::undecodable(expected, codec));
            }
        });
    }
    let n_packed = packings.iter().filter(|packing| **packing != Packing::Crc32c).count();
    if n_packed > 1 {
        return Err(ImageFault::undecodable("one of blosc, gzip, zlib and zstd", codecs));
    }
    Ok(packings)
}

fn wrong_dtype(found: &Value) -> ImageFault {
    ImageFault::new(FaultKind::WrongDtype, "uint8 or uint16", found)
}

/// The size of images whose axes are so long.
///
/// # Errors
/// A fault if a side is none of an image.
pub(super) fn image_size(height: u64, width: u64) -> Found<ImageSize> {
    crate::source::image::check_sides(width, height)
}

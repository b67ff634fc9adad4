//! Format 1 of the store as pure data: file names, Zarr documents, the shard index. No I/O; what is parsed here is
//! hostile until it has been checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::site::{ImageSize, ParseError, PlateId, parse_number};

/// The version of the store's format.
pub const FORMAT: u32 = 1;
/// Folder of the Zarr hierarchy.
pub const PIXELS: &str = "pixels.zarr";
/// Folder of the plates' listings.
pub const PLATES: &str = "plates";
/// Name of every Zarr document.
pub const ZARR_JSON: &str = "zarr.json";
/// Chunks of the `raw` codec start at multiples of this, so that a mapped chunk starts at a page.
pub const ALIGNMENT: u64 = 4096;
/// Sites a shard holds where nothing else is asked for: 121 MB of RxRx1, an eighth of a full plate.
pub const DEFAULT_SITES_PER_SHARD: u32 = 77;
/// The most sites a shard may hold: what a plate of 1536 wells and four sites has, and more.
pub const MAX_SITES_PER_SHARD: u32 = 65_536;
/// The most bytes a site may have, so that no size computed from it overflows.
const MAX_SITE_BYTES: u64 = 1 << 32;

/// How the pixels of a site are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As they are, chunks at multiples of 4096 bytes: a mapped chunk is the tensor.
    Raw,
    /// Zstandard at this level, followed by a crc32c.
    Zstd(i32),
}

impl FromStr for Codec {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let level = text
            .strip_prefix("zstd:")
            .and_then(parse_number)
            .filter(|level| (1..=22).contains(level));
        match (text, level) {
            ("raw", _) => Ok(Self::Raw),
            (_, Some(level)) => Ok(Self::Zstd(level)),
            _ => Err(ParseError {
                expected: "raw or zstd:1 to zstd:22",
                found: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.pad("raw"),
            Self::Zstd(level) => f.pad(&format!("zstd:{level}")),
        }
    }
}

/// One channel: what it shows, and the colour it is usually shown in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What is stained.
    pub name: String,
    /// `RRGGBB`.
    pub colour: String,
}

/// The channels of a data set with `n` of them: the stains of RxRx1 and RxRx2 (6) and of RxRx19a (5), else only
/// numbers. Source: the data set descriptions by Recursion.
#[must_use]
pub fn channels(n: usize) -> Vec<Channel> {
    const STAINS: [(&str, &str); 6] = [
        ("nucleus", "0000FF"),
        ("endoplasmic reticulum", "00FF00"),
        ("actin", "FF0000"),
        ("nucleoli", "00FFFF"),
        ("mitochondria", "FF00FF"),
        ("golgi", "FFFF00"),
    ];
    let stain = |(name, colour): (&str, &str)| Channel {
        name: name.to_owned(),
        colour: colour.to_owned(),
    };
    match n {
        6 => STAINS.into_iter().map(stain).collect(),
        // RxRx19a has no stain for mitochondria.
        5 => [0, 1, 2, 3, 5].map(|i| stain(STAINS[i])).to_vec(),
        _ => (1..=n)
            .map(|c| Channel {
                name: format!("w{c}"),
                colour: "FFFFFF".to_owned(),
            })
            .collect(),
    }
}

/// What holds for the whole store: `attributes.cellshard` of its root group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSpec {
    /// The channels, in order.
    pub channels: Vec<Channel>,
    /// Size of every image.
    pub size: ImageSize,
    /// How pixels are stored.
    pub codec: Codec,
    /// Sites a shard holds (the last one of a plate may hold fewer).
    pub sites_per_shard: u32,
}

/// The attributes as they stand in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attributes {
    format: u32,
    producer: String,
    channels: Vec<Channel>,
    size: [u32; 2],
    dtype: String,
    levels: u32,
    codec: String,
    sites_per_shard: u32,
}

impl StoreSpec {
    /// Bytes of one site's pixels, `[C, H, W] u8`.
    #[must_use]
    pub fn site_bytes(&self) -> usize {
        self.channels.len() * self.size.pixels()
    }

    /// Shards of a plate with `n_sites` sites.
    #[must_use]
    pub fn n_shards(&self, n_sites: usize) -> usize {
        n_sites.div_ceil(self.sites_per_shard as usize)
    }

    /// The root group's `zarr.json`.
    #[must_use]
    pub fn root_document(&self) -> Vec<u8> {
        let attributes = Attributes {
            format: FORMAT,
            producer: concat!("cellshard ", env!("CARGO_PKG_VERSION")).to_owned(),
            channels: self.channels.clone(),
            size: [self.size.height, self.size.width],
            dtype: "uint8".to_owned(),
            levels: 256,
            codec: self.codec.to_string(),
            sites_per_shard: self.sites_per_shard,
        };
        group_document(&json!({ "cellshard": attributes }))
    }

    /// Parses the root group's `zarr.json`; `place` names it in errors.
    ///
    /// # Errors
    /// If it is not that of a store of format 1, or any value is outside its bounds.
    pub fn parse_root(document: &[u8], place: &str) -> Result<Self> {
        let fail = |expected: &str, found: &dyn fmt::Display| Err(Error::malformed(place, expected, found));
        let document: Value = parse_json(document, place)?;
        let attributes = document.pointer("/attributes/cellshard").cloned().unwrap_or_default();
        if document["zarr_format"] != 3 || document["node_type"] != "group" || attributes.is_null() {
            return fail("a Zarr v3 group with attributes.cellshard", &"another document");
        }
        if attributes["format"] != FORMAT {
            return fail("format 1 (a newer cellshard may read it)", &attributes["format"]);
        }
        let attributes: Attributes =
            serde_json::from_value(attributes).map_err(|e| Error::malformed(place, "attributes of format 1", e))?;
        if attributes.dtype != "uint8" || attributes.levels != 256 {
            return fail(
                "dtype uint8 with 256 levels",
                &format!("{} with {}", attributes.dtype, attributes.levels),
            );
        }
        let [height, width] = attributes.size;
        let sides = 1..=ImageSize::MAX_SIDE;
        if !sides.contains(&height) || !sides.contains(&width) {
            return fail("sides of 1 to 16384", &format!("{height} x {width}"));
        }
        let site_bytes = attributes.channels.len() as u64 * u64::from(height) * u64::from(width);
        if !(1..=64).contains(&attributes.channels.len()) || site_bytes > MAX_SITE_BYTES {
            return fail(
                "1 to 64 channels and sites of at most 4 GiB",
                &format!("{site_bytes} bytes a site"),
            );
        }
        if !(1..=MAX_SITES_PER_SHARD).contains(&attributes.sites_per_shard) {
            return fail("1 to 65536 sites a shard", &attributes.sites_per_shard);
        }
        let codec = attributes
            .codec
            .parse()
            .map_err(|e| Error::malformed(place, "a codec", e))?;
        Ok(Self {
            channels: attributes.channels,
            size: ImageSize { height, width },
            codec,
            sites_per_shard: attributes.sites_per_shard,
        })
    }

    /// A plate's `zarr.json`: an array `[site, channel, y, x] uint8`, one shard of `sites_per_shard` chunks a file.
    #[must_use]
    pub fn plate_document(&self, n_sites: usize) -> Vec<u8> {
        let image = [
            self.channels.len() as u64,
            self.size.height.into(),
            self.size.width.into(),
        ];
        let shape = |sites: u64| [&[sites][..], &image].concat();
        let codecs = match self.codec {
            Codec::Raw => json!([{ "name": "bytes" }]),
            Codec::Zstd(level) => json!([
                { "name": "bytes" },
                { "name": "zstd", "configuration": { "level": level, "checksum": false } },
                { "name": "crc32c" },
            ]),
        };
        let sharding = json!({
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": shape(1),
                "codecs": codecs,
                "index_codecs": [
                    { "name": "bytes", "configuration": { "endian": "little" } },
                    { "name": "crc32c" },
                ],
                "index_location": "end",
            },
        });
        array_document(
            &shape(n_sites as u64),
            "uint8",
            &shape(self.sites_per_shard.into()),
            &json!([sharding]),
            &["site", "channel", "y", "x"],
            &json!({}),
        )
    }
}

/// A group's `zarr.json`.
#[must_use]
pub fn group_document(attributes: &Value) -> Vec<u8> {
    to_bytes(&json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes }))
}

/// An array's `zarr.json`, with a regular grid, the default keys and fill value 0.
#[must_use]
pub fn array_document(
    shape: &[u64],
    data_type: &str,
    chunk_shape: &[u64],
    codecs: &Value,
    dimension_names: &[&str],
    attributes: &Value,
) -> Vec<u8> {
    to_bytes(&json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": data_type,
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": chunk_shape } },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "fill_value": 0,
        "codecs": codecs,
        "dimension_names": dimension_names,
        "attributes": attributes,
    }))
}

fn to_bytes(document: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("a document of strings and numbers");
    bytes.push(b'\n');
    bytes
}

fn parse_json(bytes: &[u8], place: &str) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| Error::malformed(place, "JSON", e))
}

/// Path of a plate's array within the store: `pixels.zarr/HEPG2-08/Plate1`.
#[must_use]
pub fn array_path(plate: &PlateId) -> String {
    format!("{PIXELS}/{plate}")
}

/// Path of a plate's listing within the store: `plates/HEPG2-08/Plate1`.
#[must_use]
pub fn listing_path(plate: &PlateId) -> String {
    format!("{PLATES}/{plate}")
}

/// Path of a shard within the store: `pixels.zarr/HEPG2-08/Plate1/c/3/0/0/0`.
#[must_use]
pub fn shard_path(plate: &PlateId, shard: usize) -> String {
    format!("{}/c/{shard}/0/0/0", array_path(plate))
}

/// Where one chunk lies in its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// Bytes of a shard's index: 16 a chunk, and a crc32c.
#[must_use]
pub fn index_bytes(sites_per_shard: u32) -> usize {
    16 * sites_per_shard as usize + 4
}

/// The index that ends a shard: the places of its chunks, absent ones as all ones, and a crc32c.
///
/// # Panics
/// If there are more places than `sites_per_shard`.
#[must_use]
pub fn encode_index(places: &[ChunkPlace], sites_per_shard: u32) -> Vec<u8> {
    assert!(
        places.len() <= sites_per_shard as usize,
        "a shard holds at most its sites"
    );
    let mut bytes = Vec::with_capacity(index_bytes(sites_per_shard));
    for place in places {
        bytes.extend(place.offset.to_le_bytes());
        bytes.extend(place.length.to_le_bytes());
    }
    bytes.resize(16 * sites_per_shard as usize, 0xff);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// Parses a shard's index. `data_bytes` is what stands before it in the file, `n_chunks` how many sites this shard
/// must hold; `place` names the shard in errors.
///
/// # Errors
/// If the crc32c is wrong, a chunk is absent, lies outside the data, or overlaps the one before; if a `raw` chunk has
/// another length than a site or starts off a multiple of 4096.
pub fn decode_index(
    bytes: &[u8],
    spec: &StoreSpec,
    n_chunks: usize,
    data_bytes: u64,
    place: &str,
) -> Result<Vec<ChunkPlace>> {
    let expected_length = index_bytes(spec.sites_per_shard);
    if bytes.len() != expected_length {
        return Err(Error::malformed(
            place,
            format!("an index of {expected_length} bytes"),
            bytes.len(),
        ));
    }
    let (entries, crc) = bytes.split_at(expected_length - 4);
    let expected = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
    let found = crc32c::crc32c(entries);
    if expected != found {
        return Err(Error::malformed(
            place,
            format!("index crc32c {expected:08x}"),
            format!("{found:08x}"),
        ));
    }
    let mut places = Vec::with_capacity(n_chunks);
    let mut end_of_last = 0;
    let (entries, _) = entries.as_chunks::<8>();
    let mut words = entries.iter().map(|word| u64::from_le_bytes(*word));
    for i in 0..spec.sites_per_shard as usize {
        let (Some(offset), Some(length)) = (words.next(), words.next()) else {
            break;
        };
        let absent = offset == u64::MAX && length == u64::MAX;
        if i >= n_chunks {
            if !absent {
                return Err(Error::malformed(
                    place,
                    format!("{n_chunks} chunks"),
                    format!("a chunk {i}"),
                ));
            }
            continue;
        }
        if absent {
            return Err(Error::malformed(place, format!("chunk {i} of {n_chunks}"), "none"));
        }
        let end = offset
            .checked_add(length)
            .filter(|&end| end <= data_bytes && offset >= end_of_last);
        let Some(end) = end else {
            let expected = format!("chunk {i} within bytes {end_of_last} to {data_bytes}");
            return Err(Error::malformed(place, expected, format!("{length} bytes at {offset}")));
        };
        let site_bytes = spec.site_bytes() as u64;
        if spec.codec == Codec::Raw && (length != site_bytes || !offset.is_multiple_of(ALIGNMENT)) {
            let expected = format!("raw chunk {i} of {site_bytes} bytes at a multiple of {ALIGNMENT}");
            return Err(Error::malformed(place, expected, format!("{length} bytes at {offset}")));
        }
        let most = 2 * site_bytes + 1024;
        if length > most {
            let expected = format!("chunk {i} of at most {most} bytes");
            return Err(Error::malformed(place, expected, format!("{length} bytes at {offset}")));
        }
        end_of_last = end;
        places.push(ChunkPlace { offset, length });
    }
    Ok(places)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn spec(codec: Codec) -> StoreSpec {
        StoreSpec {
            channels: channels(2),
            size: ImageSize { height: 3, width: 5 },
            codec,
            sites_per_shard: 4,
        }
    }

    #[test]
    fn codecs_are_written_as_they_are_parsed() {
        for text in ["raw", "zstd:1", "zstd:22"] {
            assert_eq!(text.parse::<Codec>().unwrap().to_string(), text);
        }
        for text in ["", "zstd", "zstd:0", "zstd:23", "zstd:-1", "lz4", "RAW"] {
            assert!(text.parse::<Codec>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_root_document_is_read_back_and_each_lie_in_it_refused() {
        let good = spec(Codec::Zstd(3));
        let document = good.root_document();
        assert_eq!(StoreSpec::parse_root(&document, "x").unwrap(), good);
        let text = String::from_utf8(document).unwrap();
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("uint8", "uint16"),
            ("256", "512"),
            ("zstd:3", "zstd:99"),
            ("\"sites_per_shard\": 4", "\"sites_per_shard\": 0"),
            ("\"sites_per_shard\": 4", "\"sites_per_shard\": 4294967295"),
            ("      3,\n", "      0,\n"),
            ("      3,\n", "      70000,\n"),
            ("group", "array"),
            ("producer", "product"),
            ("}", ""),
        ] {
            assert!(text.contains(from), "{from}");
            let bad = text.replacen(from, to, 1);
            assert!(StoreSpec::parse_root(bad.as_bytes(), "x").is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn an_index_is_read_back_and_each_lie_in_it_refused() {
        let place = |offset, length| ChunkPlace { offset, length };
        let check = |codec, places: &[ChunkPlace], n, data| {
            decode_index(&encode_index(places, 4), &spec(codec), n, data, "x").map(|found| found == places)
        };
        let zstd = Codec::Zstd(1);
        assert!(check(zstd, &[place(0, 10), place(10, 5)], 2, 15).unwrap());
        assert!(check(zstd, &[place(0, 10), place(9, 5)], 2, 15).is_err(), "overlap");
        assert!(
            check(zstd, &[place(0, 10), place(10, 6)], 2, 15).is_err(),
            "past the end"
        );
        assert!(check(zstd, &[place(u64::MAX - 1, 10)], 1, 15).is_err(), "overflow");
        assert!(check(zstd, &[place(0, 10)], 2, 15).is_err(), "absent");
        assert!(
            check(zstd, &[place(0, 1 << 40)], 1, 1 << 41).is_err(),
            "too long to be a site"
        );
        assert!(
            check(zstd, &[place(0, 10), place(10, 5)], 1, 15).is_err(),
            "one too many"
        );
        assert!(check(Codec::Raw, &[place(0, 30), place(4096, 30)], 2, 5000).unwrap());
        assert!(check(Codec::Raw, &[place(0, 29)], 1, 5000).is_err(), "wrong length");
        assert!(check(Codec::Raw, &[place(1, 30)], 1, 5000).is_err(), "off alignment");
        let mut bytes = encode_index(&[place(0, 10)], 4);
        assert!(decode_index(&bytes[1..], &spec(zstd), 1, 10, "x").is_err(), "cut");
        bytes[0] ^= 1;
        assert!(decode_index(&bytes, &spec(zstd), 1, 10, "x").is_err(), "flipped");
    }

    proptest! {
        #[test]
        fn no_index_makes_it_panic_or_point_outside(mut bytes in proptest::collection::vec(any::<u8>(), 64), n in 0usize..5, data: u64) {
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            if let Ok(places) = decode_index(&bytes, &spec(Codec::Zstd(3)), n, data, "x") {
                prop_assert!(places.iter().all(|p| p.offset.checked_add(p.length).unwrap() <= data));
            }
        }
    }
}

//! What holds for a whole store of format 1, and the Zarr documents that follow from it. No I/O; what is parsed here is
//! hostile until it has been checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result, is_unshowable};
use crate::site::{ImageSize, ParseError, parse_number};

use super::zarr::{self, ArraySpec, NoAttributes, array_document, group_document};

/// The version of the store's format.
pub const FORMAT: u32 = 1;
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
        let level = text.strip_prefix("zstd:").and_then(parse_number).filter(|level| (1..=22).contains(level));
        match (text, level) {
            ("raw", _) => Ok(Self::Raw),
            (_, Some(level)) => Ok(Self::Zstd(level)),
            _ => Err(ParseError { expected: "raw or zstd:1 to zstd:22", found: text.to_owned() }),
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
    /// `RRGGBB`.
    pub colour: String,
    /// What is stained.
    pub name: String,
}

impl Channel {
    /// A channel of which no usual colour is known.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), colour: "FFFFFF".to_owned() }
    }

    /// Whether name and colour are what a store may hold: they are shown to people, and drawn with.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'F');
        (1..=256).contains(&self.name.len())
            && !self.name.contains(is_unshowable)
            && self.colour.len() == 6
            && self.colour.bytes().all(is_hex)
    }
}

/// The six channels of RxRx1 and RxRx2 (source: their descriptions by Recursion).
#[must_use]
pub fn rxrx1_channels() -> Vec<Channel> {
    const STAINS: [(&str, &str); 6] = [
        ("nucleus", "0000FF"),
        ("endoplasmic reticulum", "00FF00"),
        ("actin", "FF0000"),
        ("nucleoli", "00FFFF"),
        ("mitochondria", "FF00FF"),
        ("golgi", "FFFF00"),
    ];
    let channel = |name: &str, colour: &str| Channel { name: name.to_owned(), colour: colour.to_owned() };
    STAINS.map(|(name, colour)| channel(name, colour)).to_vec()
}

/// Channels of which nothing is told: RxRx1's where there are six, else only numbers.
#[must_use]
pub fn channels(n: usize) -> Vec<Channel> {
    let stains = rxrx1_channels();
    if n == stains.len() { stains } else { (1..=n).map(|c| Channel::plain(&format!("w{c}"))).collect() }
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

/// The attributes of the root group.
#[derive(Serialize)]
struct RootAttributes {
    cellshard: Attributes,
}

/// What they say of the store, in the order of the bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attributes {
    channels: Vec<Channel>,
    codec: String,
    dtype: String,
    format: u32,
    levels: u32,
    producer: String,
    sites_per_shard: u32,
    size: [u32; 2],
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
        self.document_by(concat!("cellshard ", env!("CARGO_PKG_VERSION")))
    }

    fn document_by(&self, producer: &str) -> Vec<u8> {
        let attributes = Attributes {
            channels: self.channels.clone(),
            codec: self.codec.to_string(),
            dtype: "uint8".to_owned(),
            format: FORMAT,
            levels: 256,
            producer: producer.to_owned(),
            sites_per_shard: self.sites_per_shard,
            size: [self.size.height, self.size.width],
        };
        group_document(&RootAttributes { cellshard: attributes })
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
            return fail("dtype uint8 with 256 levels", &format!("{} with {}", attributes.dtype, attributes.levels));
        }
        let [height, width] = attributes.size;
        let sides = 1..=ImageSize::MAX_SIDE;
        if !sides.contains(&height) || !sides.contains(&width) {
            return fail("sides of 1 to 16384", &format!("{height} x {width}"));
        }
        let site_bytes = attributes.channels.len() as u64 * u64::from(height) * u64::from(width);
        if !(1..=64).contains(&attributes.channels.len()) || site_bytes > MAX_SITE_BYTES {
            return fail("1 to 64 channels and sites of at most 4 GiB", &format!("{site_bytes} bytes a site"));
        }
        if !(1..=MAX_SITES_PER_SHARD).contains(&attributes.sites_per_shard) {
            return fail("1 to 65536 sites a shard", &attributes.sites_per_shard);
        }
        if let Some(channel) = attributes.channels.iter().find(|channel| !channel.is_plain()) {
            return fail("channels with a name of 1 to 256 bytes and a colour RRGGBB", &format!("{channel:?}"));
        }
        let codec = attributes.codec.parse().map_err(|e| Error::malformed(place, "a codec", e))?;
        Ok(Self {
            channels: attributes.channels,
            size: ImageSize { height, width },
            codec,
            sites_per_shard: attributes.sites_per_shard,
        })
    }

    /// Whether a root document is what this format writes for these settings, by whichever version of a producer.
    #[must_use]
    pub fn is_document_of(&self, document: &[u8]) -> bool {
        let found: Value = serde_json::from_slice(document).unwrap_or_default();
        let Some(producer) = found.pointer("/attributes/cellshard/producer").and_then(Value::as_str) else {
            return false;
        };
        self.document_by(producer) == document
    }

    /// Finds out from a plate's `zarr.json` what holds for the whole store, where the root's document is lost, and how
    /// many sites the plate has. `None` unless it is the very document that this version would write.
    #[must_use]
    pub fn guess_from_plate(document: &[u8]) -> Option<(Self, usize)> {
        let value: Value = serde_json::from_slice(document).ok()?;
        let number = |path: &str| value.pointer(path)?.as_u64();
        let side = |path: &str| number(path)?.try_into().ok().filter(|side| (1..=ImageSize::MAX_SIDE).contains(side));
        let n_sites: u32 = number("/shape/0")?.try_into().ok()?;
        let n_channels = number("/shape/1").filter(|n| (1..=64).contains(n))? as usize;
        let level = number("/codecs/0/configuration/codecs/1/configuration/level");
        let codec = match level {
            None => Codec::Raw,
            Some(level) => format!("zstd:{level}").parse().ok()?,
        };
        let sites_per_shard = number("/chunk_grid/configuration/chunk_shape/0")?.try_into().ok()?;
        let size = ImageSize { height: side("/shape/2")?, width: side("/shape/3")? };
        let spec = Self { channels: channels(n_channels), size, codec, sites_per_shard };
        let is_ours =
            (1..=MAX_SITES_PER_SHARD).contains(&sites_per_shard) && spec.site_bytes() as u64 <= MAX_SITE_BYTES;
        (is_ours && spec.plate_document(n_sites as usize) == document).then_some((spec, n_sites as usize))
    }

    /// A plate's `zarr.json`: an array `[site, channel, y, x] uint8`, one shard of `sites_per_shard` chunks a file.
    #[must_use]
    pub fn plate_document(&self, n_sites: usize) -> Vec<u8> {
        let shape = |sites| [sites, self.channels.len() as u64, self.size.height.into(), self.size.width.into()];
        let codecs = match self.codec {
            Codec::Raw => vec![zarr::Codec::bytes()],
            Codec::Zstd(level) => vec![zarr::Codec::bytes(), zarr::Codec::zstd(level), zarr::Codec::crc32c()],
        };
        let array = ArraySpec {
            shape: shape(n_sites as u64),
            chunk_shape: shape(self.sites_per_shard.into()),
            data_type: "uint8",
            dimension_names: ["site", "channel", "y", "x"],
            codecs: vec![zarr::Codec::sharding(shape(1), codecs)],
        };
        array_document(&array, &NoAttributes {})
    }
}

/// The `zarr.json` of an experiment's group.
#[must_use]
pub fn experiment_document() -> Vec<u8> {
    group_document(&NoAttributes {})
}

fn parse_json(bytes: &[u8], place: &str) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| Error::malformed(place, "JSON", e))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn spec(codec: Codec) -> StoreSpec {
        StoreSpec { channels: channels(2), size: ImageSize { height: 3, width: 5 }, codec, sites_per_shard: 4 }
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
    fn a_plate_document_tells_what_it_was_made_from() {
        for codec in [Codec::Raw, Codec::Zstd(7)] {
            let document = spec(codec).plate_document(9);
            let (found, n_sites) = StoreSpec::guess_from_plate(&document).unwrap();
            assert_eq!((found, n_sites), (spec(codec), 9));
            let text = String::from_utf8(document).unwrap();
            assert!(StoreSpec::guess_from_plate(text.replacen('9', "8", 1).as_bytes()).is_some());
            assert!(StoreSpec::guess_from_plate(text.replacen("uint8", "uint9", 1).as_bytes()).is_none());
            assert!(StoreSpec::guess_from_plate(b"{}").is_none());
        }
    }

    #[test]
    fn a_root_document_is_read_back_and_each_lie_in_it_refused() {
        let good = spec(Codec::Zstd(3));
        let document = good.root_document();
        assert_eq!(StoreSpec::parse_root(&document, "x").unwrap(), good);
        let text = String::from_utf8(document).unwrap();
        let older = text.replace(env!("CARGO_PKG_VERSION"), "0.0.1");
        assert!(good.is_document_of(text.as_bytes()) && good.is_document_of(older.as_bytes()));
        let twice = text.replace("\"levels\": 256", "\"levels\": 255,\n      \"levels\": 256");
        assert!(StoreSpec::parse_root(twice.as_bytes(), "x").is_ok() && !good.is_document_of(twice.as_bytes()));
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
            ("FFFFFF", "x"),
            ("FFFFFF", "ffffff"),
            ("\"w2\"", "\"\""),
            ("\"w2\"", "\"\\u001b[2J\""),
            ("\"w2\"", "\"\\u202e\""),
            ("}", ""),
        ] {
            assert!(text.contains(from), "{from}");
            let bad = text.replacen(from, to, 1);
            assert!(StoreSpec::parse_root(bad.as_bytes(), "x").is_err(), "{from} -> {to}");
        }
    }
}

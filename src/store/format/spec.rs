//! What holds for a whole store, and the Zarr documents that follow from it. No I/O; what is parsed here is
//! hostile until it has been checked.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result, is_unshowable};
use crate::site::{Dtype, ImageSize, PlateId};
use crate::wave::Shape;

pub use self::codec::Codec;
use super::zarr::{self, ArraySpec, NoAttributes, array_document, group_document};

mod codec;

/// The versions of the store's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pixels of 8 bits, plates with numbers, channels with colours. A store of it stays of it.
    V1,
    /// Also pixels of 16 bits, plates with names, channels of which no usual colour is known.
    V2,
}

impl Format {
    /// That of new stores.
    pub const LATEST: Self = Self::V2;

    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// The colour that format 1 has for a channel of which none is known.
const NO_COLOUR: &str = "FFFFFF";

/// Chunks of the `raw` codec start at multiples of this, so that a mapped chunk starts at a page.
pub const ALIGNMENT: u64 = 4096;
/// Sites a shard holds where nothing else is asked for: 121 MB of RxRx1, an eighth of a full plate.
pub const DEFAULT_SITES_PER_SHARD: u32 = 77;
/// The most sites a shard may hold: what a plate of 1536 wells and four sites has, and more.
pub const MAX_SITES_PER_SHARD: u32 = 65_536;
/// The most bytes a site may have, so that no size computed from it overflows.
const MAX_SITE_BYTES: u64 = 1 << 32;

/// One channel: what it shows, and the colour it is usually shown in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// `RRGGBB`; always there in format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<String>,
    /// What is stained.
    pub name: String,
}

impl Channel {
    /// A channel of which no usual colour is known.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), colour: None }
    }

    /// The same as a format has it.
    fn in_format(&self, format: Format) -> Self {
        let colour = self.colour.as_deref();
        let colour = match format {
            Format::V1 => Some(colour.unwrap_or(NO_COLOUR)),
            Format::V2 => colour.filter(|colour| *colour != NO_COLOUR),
        };
        Self { name: self.name.clone(), colour: colour.map(str::to_owned) }
    }

    /// Whether name and colour are what a store may hold: they are shown to people, and drawn with.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'F');
        let is_colour = |colour: &String| colour.len() == 6 && colour.bytes().all(is_hex);
        (1..=256).contains(&self.name.len())
            && !self.name.contains(is_unshowable)
            && self.colour.as_ref().is_none_or(is_colour)
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
    let channel = |name: &str, colour: &str| Channel { name: name.to_owned(), colour: Some(colour.to_owned()) };
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
    /// The version of the format.
    pub format: Format,
    /// The channels, in order.
    pub channels: Vec<Channel>,
    /// Size of every image.
    pub size: ImageSize,
    /// The type of pixels.
    pub dtype: Dtype,
    /// How pixels are stored.
    pub codec: Codec,
    /// Sites a shard holds (the last one of a plate may hold fewer).
    pub sites_per_shard: u32,
    /// Whether it was packed from what was present of its source, whatever more the source's tables name.
    pub present_only: bool,
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
    /// Only in format 2, and only where it is so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    present_only: bool,
    producer: String,
    sites_per_shard: u32,
    size: [u32; 2],
}

impl StoreSpec {
    /// Bytes of one site's pixels, `[C, H, W]`, those of 16 bits with the lower byte first.
    #[must_use]
    pub fn site_bytes(&self) -> usize {
        self.channels.len() * self.plane_bytes()
    }

    /// The shape of a site's pixels.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let side = |side: u32| side as usize;
        Shape { channels: self.channels.len(), height: side(self.size.height), width: side(self.size.width) }
    }

    /// Bytes of one channel of a site, `[H, W]`.
    #[must_use]
    pub fn plane_bytes(&self) -> usize {
        self.size.pixels() * self.dtype.bytes()
    }

    /// The same as another version of the format has it.
    ///
    /// # Errors
    /// If that has no such pixels; `place` names the store in errors.
    pub fn in_format(&self, format: Format, place: &str) -> Result<Self> {
        if format == Format::V1 && self.dtype != Dtype::Uint8 {
            return Err(Error::refused(
                place,
                "pixels of uint8, as its format 1 has them (or another --dst)",
                self.dtype,
            ));
        }
        if format == Format::V1 && self.present_only {
            let expected =
                "a store that can say so: its format 1 cannot (pack --src STORE --dst NEW makes format 2 of it)";
            return Err(Error::refused(format!("--present: {place}"), expected, "format 1"));
        }
        let channels = self.channels.iter().map(|channel| channel.in_format(format)).collect();
        Ok(Self { format, channels, ..self.clone() })
    }

    /// Refuses a plate of which the format has no name.
    ///
    /// # Errors
    /// If it is a text in a store of format 1.
    pub fn check_plate(&self, plate: &PlateId) -> Result<()> {
        if self.format == Format::V1 && plate.plate.number().is_none() {
            let expected = "a plate with a number, as format 1 of the store has them (pack --src STORE --dst NEW makes format 2 of it)";
            return Err(Error::refused(plate, expected, &plate.plate));
        }
        Ok(())
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
            dtype: self.dtype.to_string(),
            format: self.format.number(),
            levels: self.dtype.levels() as u32,
            present_only: self.present_only,
            producer: producer.to_owned(),
            sites_per_shard: self.sites_per_shard,
            size: [self.size.height, self.size.width],
        };
        group_document(&RootAttributes { cellshard: attributes })
    }

    /// Parses the root group's `zarr.json`; `place` names it in errors.
    ///
    /// # Errors
    /// If it is not that of a store of format 1 or 2, or any value is outside its bounds.
    pub fn parse_root(document: &[u8], place: &str) -> Result<Self> {
        let fail = |expected: &str, found: &dyn fmt::Display| Err(Error::malformed(place, expected, found));
        let document: Value = parse_json(document, place)?;
        let attributes = document.pointer("/attributes/cellshard").cloned().unwrap_or_default();
        if document["zarr_format"] != 3 || document["node_type"] != "group" || attributes.is_null() {
            return fail("a Zarr v3 group with attributes.cellshard", &"another document");
        }
        let format = [Format::V1, Format::V2].into_iter().find(|format| attributes["format"] == format.number());
        let Some(format) = format else {
            return fail("format 1 or 2 (a newer cellshard may read it)", &attributes["format"]);
        };
        let expected = format!("attributes of format {}", format.number());
        let attributes: Attributes =
            serde_json::from_value(attributes).map_err(|e| Error::malformed(place, expected, e))?;
        let dtypes: &[Dtype] = if format == Format::V1 { &[Dtype::Uint8] } else { &[Dtype::Uint8, Dtype::Uint16] };
        let is_of = |dtype: &&Dtype| dtype.name() == attributes.dtype && dtype.levels() == attributes.levels as usize;
        let Some(&dtype) = dtypes.iter().find(is_of) else {
            let known =
                dtypes.iter().map(|dtype| format!("{dtype} with {} levels", dtype.levels())).collect::<Vec<_>>();
            let found = format!("{} with {}", attributes.dtype, attributes.levels);
            return fail(&format!("dtype {}", known.join(" or ")), &found);
        };
        let [height, width] = attributes.size;
        let sides = 1..=ImageSize::MAX_SIDE;
        if !sides.contains(&height) || !sides.contains(&width) {
            return fail("sides of 1 to 16384", &format!("{height} x {width}"));
        }
        let pixels = attributes.channels.len() as u64 * u64::from(height) * u64::from(width);
        let site_bytes = pixels * dtype.bytes() as u64;
        if !(1..=64).contains(&attributes.channels.len()) || site_bytes > MAX_SITE_BYTES {
            return fail("1 to 64 channels and sites of at most 4 GiB", &format!("{site_bytes} bytes a site"));
        }
        if !(1..=MAX_SITES_PER_SHARD).contains(&attributes.sites_per_shard) {
            return fail("1 to 65536 sites a shard", &attributes.sites_per_shard);
        }
        if format == Format::V1 && attributes.present_only {
            return fail("no present_only in format 1", &"it");
        }
        let is_known = |channel: &Channel| channel.is_plain() && (format == Format::V2 || channel.colour.is_some());
        if let Some(channel) = attributes.channels.iter().find(|channel| !is_known(channel)) {
            return fail("channels with a name of 1 to 256 bytes and a colour RRGGBB", &format!("{channel:?}"));
        }
        let codec: Codec = attributes.codec.parse().map_err(|e| Error::malformed(place, "a codec", e))?;
        if !codec.takes(dtype) {
            return fail("pixels of uint8 in a store of wave", &dtype);
        }
        Ok(Self {
            format,
            channels: attributes.channels,
            size: ImageSize { height, width },
            dtype,
            codec,
            sites_per_shard: attributes.sites_per_shard,
            present_only: attributes.present_only,
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
    /// many sites the plate has. `None` unless it is the very document that this version would write. Of which format the
    /// store is and what its channels are called, no plate tells.
    #[must_use]
    pub fn guess_from_plate(document: &[u8]) -> Option<(Self, usize)> {
        let value: Value = serde_json::from_slice(document).ok()?;
        let number = |path: &str| value.pointer(path)?.as_u64();
        let side = |path: &str| number(path)?.try_into().ok().filter(|side| (1..=ImageSize::MAX_SIDE).contains(side));
        let n_sites: u32 = number("/shape/0")?.try_into().ok()?;
        let n_channels = number("/shape/1").filter(|n| (1..=64).contains(n))? as usize;
        let level = number("/codecs/0/configuration/codecs/1/configuration/level");
        let first = value.pointer("/codecs/0/configuration/codecs/0/name").and_then(Value::as_str);
        let codec = match level {
            None if first == Some(zarr::WAVE) => {
                let mode = value.pointer("/codecs/0/configuration/codecs/0/configuration/mode")?.as_str()?;
                Codec::Wave(mode.parse().ok()?)
            }
            None => Codec::Raw,
            Some(level) => format!("zstd:{level}").parse().ok()?,
        };
        let sites_per_shard = number("/chunk_grid/configuration/chunk_shape/0")?.try_into().ok()?;
        let size = ImageSize { height: side("/shape/2")?, width: side("/shape/3")? };
        let dtype = value["data_type"].as_str()?.parse().ok()?;
        let channels = channels(n_channels);
        let spec = Self { format: Format::LATEST, channels, size, dtype, codec, sites_per_shard, present_only: false };
        let is_ours = (1..=MAX_SITES_PER_SHARD).contains(&sites_per_shard)
            && spec.site_bytes() as u64 <= MAX_SITE_BYTES
            && codec.takes(dtype);
        (is_ours && spec.plate_document(n_sites as usize) == document).then_some((spec, n_sites as usize))
    }

    /// Bytes of a chunk whatever its pixels.
    #[must_use]
    pub fn least_site_bytes(&self) -> u64 {
        self.channels.len() as u64 * self.codec.least_bytes_of_channel()
    }

    /// A plate's `zarr.json`: an array `[site, channel, y, x]`, one shard of `sites_per_shard` chunks a file.
    #[must_use]
    pub fn plate_document(&self, n_sites: usize) -> Vec<u8> {
        let shape = |sites| [sites, self.channels.len() as u64, self.size.height.into(), self.size.width.into()];
        let bytes = match self.dtype {
            Dtype::Uint8 => zarr::Codec::bytes(),
            Dtype::Uint16 => zarr::Codec::little_endian(),
        };
        let codecs = match self.codec {
            Codec::Raw => vec![bytes],
            Codec::Zstd(level) => vec![bytes, zarr::Codec::zstd(level), zarr::Codec::crc32c()],
            Codec::Wave(mode) => vec![zarr::Codec::wave(mode), zarr::Codec::crc32c()],
        };
        let array = ArraySpec {
            shape: shape(n_sites as u64),
            chunk_shape: shape(self.sites_per_shard.into()),
            data_type: self.dtype.name(),
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
pub(crate) mod tests;

//! What a TIFF says of its image: size, samples, and how they are stored.

use std::io::{Read, Seek};

use crate::site::Dtype;

use super::super::fault::ImageFault;
use super::super::header::{Bands, Header, check_sides};
use super::super::inflate::MOST_INFLATED;
use super::directory::{Directory, Entry, Tag, Tiff};
use super::lzw;
use super::packbits;

/// How segments are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

impl Compression {
    fn of(number: u64) -> Result<Self, ImageFault> {
        let name = match number {
            1 => return Ok(Self::None),
            5 => return Ok(Self::Lzw),
            8 | 32_946 => return Ok(Self::Deflate),
            32_773 => return Ok(Self::PackBits),
            2..=4 => "fax",
            6 | 7 => "JPEG",
            33_003..=33_005 | 34_712 => "JPEG 2000",
            34_925 => "LZMA",
            50_000 => "zstd",
            50_001 => "WebP",
            _ => "another",
        };
        let found = format_args!("{name} ({number})");
        Err(ImageFault::undecodable("a TIFF without compression or of LZW, deflate or PackBits", found))
    }

    /// Bytes that one byte can become at most.
    fn most_of_a_byte(self) -> u64 {
        match self {
            Self::None => 1,
            Self::Lzw => lzw::MOST_UNPACKED,
            Self::Deflate => MOST_INFLATED,
            Self::PackBits => packbits::MOST_UNPACKED,
        }
    }
}

/// Strips or tiles, as many as the size says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// Whether a segment at the border is as large as any other, with pixels that are none of the image.
    pub(super) is_tiled: bool,
    /// Pixels of a segment.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Where the segments are in the file, and their bytes.
    pub(super) offsets: Entry,
    pub(super) byte_counts: Option<Entry>,
}

/// What a TIFF says of its one image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) header: Header,
    /// Whether the samples of each band are stored by themselves.
    pub(crate) is_planar: bool,
    pub(super) compression: Compression,
    /// Whether samples are differences to the one before it.
    pub(super) is_differences: bool,
    pub(super) grid: Grid,
}

impl Page {
    pub(super) fn read<R: Read + Seek>(tiff: &mut Tiff<R>, directory: &Directory) -> Result<Self, ImageFault> {
        let mut value = |tag: Tag| tiff.value(directory, tag);
        let size = check_sides(
            required(value(Tag::ImageWidth)?, Tag::ImageWidth)?,
            required(value(Tag::ImageLength)?, Tag::ImageLength)?,
        )?;
        let compression = Compression::of(value(Tag::Compression)?.unwrap_or(1))?;
        let is_planar = match value(Tag::PlanarConfiguration)? {
            None | Some(1) => false,
            Some(2) => true,
            Some(other) => return Err(ImageFault::undecodable("a PlanarConfiguration of 1 or 2", other)),
        };
        let is_differences = match value(Tag::Predictor)? {
            None | Some(1) => false,
            Some(2) if matches!(compression, Compression::Lzw | Compression::Deflate) => true,
            Some(other) => {
                return Err(ImageFault::undecodable("no predictor, or differences under LZW or deflate", other));
            }
        };
        // The first bit is the highest, and the first pixel is at the top left.
        for tag in [Tag::FillOrder, Tag::Orientation] {
            if let Some(other) = value(tag)?.filter(|value| *value != 1) {
                return Err(ImageFault::undecodable(format_args!("the value 1 of {tag:?}"), other));
            }
        }
        let photometric = value(Tag::Photometric)?;
        let n_samples = value(Tag::SamplesPerPixel)?.unwrap_or(1);
        let extra = all_equal(tiff, directory, Tag::ExtraSamples)?;
        let bits = all_equal(tiff, directory, Tag::BitsPerSample)?.unwrap_or(1);
        let format = all_equal(tiff, directory, Tag::SampleFormat)?.unwrap_or(1);
        let grid = Grid::read(tiff, directory, size.width as usize, size.height as usize)?;
        let (bands, samples) = match (photometric, n_samples, extra, format) {
            (Some(0), 1, ..) => (Bands::Other, "grey in which white is zero"),
            (Some(1), 1, _, 1) => (Bands::Grey, "grey"),
            (Some(1), 1, _, 2) => (Bands::Grey, "signed grey"),
            (Some(1), 1, _, 3) => (Bands::Grey, "floating-point grey"),
            (Some(1), 1, ..) => (Bands::Grey, "grey of an unknown format"),
            (Some(2), 3, _, 1) => (Bands::Rgb, "RGB"),
            (Some(2), 4, Some(1 | 2), 1) => (Bands::Rgba, "RGB with alpha"),
            (Some(0 | 1), ..) => (Bands::Other, "grey of several samples"),
            (Some(2), ..) => (Bands::Other, "RGB of an unusual format"),
            (Some(3), ..) => (Bands::Other, "palette"),
            (Some(6), ..) => (Bands::Other, "YCbCr"),
            (Some(_), ..) => (Bands::Other, "unknown colour"),
            (None, ..) => (Bands::Other, "unnamed colour"),
        };
        let dtype = match (bits, format) {
            (8, 1) => Some(Dtype::Uint8),
            (16, 1) => Some(Dtype::Uint16),
            _ => None,
        };
        // Of what is not taken, only words are made.
        let bits = u32::from(u16::try_from(bits).unwrap_or(u16::MAX));
        let of_pixel = bits.saturating_mul(u32::from(u16::try_from(n_samples).unwrap_or(u16::MAX)));
        let most_of_a_byte = compression.most_of_a_byte();
        let header = Header { size, dtype, bands, bits: (bits, of_pixel), samples, is_planar, most_of_a_byte };
        Ok(Self { header, is_planar, compression, is_differences, grid })
    }

    /// Bytes of a raw segment that has all of its rows.
    pub(super) fn segment_bytes(&self) -> u64 {
        let (of_sample, of_pixel) = self.header.bits;
        let bits = u64::from(if self.is_planar { of_sample } else { of_pixel });
        (self.grid.width as u64).saturating_mul(bits).div_ceil(8).saturating_mul(self.grid.height as u64)
    }

    /// Bytes of a sample, of an image of 8 or 16 bits.
    pub(super) fn sample_bytes(&self) -> usize {
        self.header.dtype.map_or(1, Dtype::bytes)
    }
}

impl Grid {
    fn read<R: Read + Seek>(
        tiff: &mut Tiff<R>,
        directory: &Directory,
        width: usize,
        height: usize,
    ) -> Result<Self, ImageFault> {
        let offsets = |tag: Tag| directory.entry(tag).copied();
        let side = |value: u64, tag: Tag| match usize::try_from(value) {
            Ok(side @ 1..) => Ok(side),
            _ => Err(ImageFault::undecodable(format_args!("a {tag:?} of at least 1"), value)),
        };
        match (offsets(Tag::StripOffsets), offsets(Tag::TileOffsets)) {
            (Some(offsets), None) => {
                let rows = tiff.value(directory, Tag::RowsPerStrip)?.unwrap_or(height as u64);
                let height = side(rows, Tag::RowsPerStrip)?.min(height);
                let byte_counts = directory.entry(Tag::StripByteCounts).copied();
                Ok(Self { is_tiled: false, width, height, offsets, byte_counts })
            }
            (None, Some(offsets)) => {
                let mut of = |tag| side(required(tiff.value(directory, tag)?, tag)?, tag);
                let (width, height) = (of(Tag::TileWidth)?, of(Tag::TileLength)?);
                let byte_counts = directory.entry(Tag::TileByteCounts).copied();
                Ok(Self { is_tiled: true, width, height, offsets, byte_counts })
            }
            (None, None) => Err(ImageFault::undecodable("strips or tiles", "none")),
            _ => Err(ImageFault::undecodable("strips or tiles", "both")),
        }
    }
}

fn required(value: Option<u64>, tag: Tag) -> Result<u64, ImageFault> {
    value.ok_or_else(|| ImageFault::undecodable(format_args!("the tag {tag:?}"), "none"))
}

/// The value of a tag that has one for each sample, all of them equal.
fn all_equal<R: Read + Seek>(tiff: &mut Tiff<R>, directory: &Directory, tag: Tag) -> Result<Option<u64>, ImageFault> {
    let Some(entry) = directory.entry(tag) else { return Ok(None) };
    let values = tiff.values(entry, 8)?;
    if values.iter().any(|value| *value != values[0]) {
        return Err(ImageFault::undecodable(format_args!("one {tag:?} for all samples"), format_args!("{values:?}")));
    }
    Ok(values.first().copied())
}

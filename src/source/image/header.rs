//! What the header of an image says, of whatever format it is, and what is expected of it.

use std::fmt;

use crate::fault::FaultKind;
use crate::site::{Dtype, ImageSize};

use super::fault::ImageFault;

/// What becomes of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Colour {
    /// An image is one channel, and must be grey.
    Grey,
    /// An image is one channel: a grey one, or one in which red, green and blue are equal in every pixel.
    EqualRgb,
    /// An image is three channels, in the order red, green, blue.
    Rgb,
}

impl Colour {
    /// Channels of one image.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Self::Grey | Self::EqualRgb => 1,
            Self::Rgb => 3,
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Grey => "grey",
            Self::EqualRgb => "grey or RGB",
            Self::Rgb => "RGB",
        })
    }
}

/// The samples of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bands {
    /// One, black is zero.
    Grey,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, alpha.
    Rgba,
    /// What no store takes: a palette, grey with alpha, white that is zero, and so on.
    Other,
}

impl Bands {
    /// What becomes of them, if a store takes them.
    pub(crate) fn colour(self) -> Option<Colour> {
        match self {
            Self::Grey => Some(Colour::Grey),
            Self::Rgb | Self::Rgba => Some(Colour::Rgb),
            Self::Other => None,
        }
    }

    /// How many; 0 of others.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Rgba => 4,
            Self::Other => 0,
        }
    }
}

/// What the header of an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The size.
    pub size: ImageSize,
    /// The type of its samples; `None` where it is one that no store has.
    pub dtype: Option<Dtype>,
    /// The samples of a pixel.
    pub bands: Bands,
    /// Bits of a sample, and of a pixel.
    pub(super) bits: (u32, u32),
    /// What the samples are, as words: `grey`.
    pub(super) samples: &'static str,
    /// Whether the samples of each band are stored by themselves.
    pub(super) is_planar: bool,
    /// Bytes that one byte of the file can become at most.
    pub(super) most_of_a_byte: u64,
}

impl Header {
    /// That of a plane of an array, which has no header of its own.
    #[must_use]
    pub fn of_array(size: ImageSize, dtype: Dtype) -> Self {
        let bits = 8 * dtype.bytes() as u32;
        let (bands, samples) = (Bands::Grey, "grey");
        Self {
            size,
            dtype: Some(dtype),
            bands,
            bits: (bits, bits),
            samples,
            is_planar: false,
            most_of_a_byte: u64::MAX,
        }
    }

    /// Checks that it is the header of an image of this size, type and colour.
    ///
    /// # Errors
    /// A fault if it is another.
    pub fn check(&self, size: ImageSize, dtype: Dtype, colour: Colour) -> Result<(), ImageFault> {
        let is_taken = match self.bands {
            Bands::Grey => colour != Colour::Rgb,
            Bands::Rgb | Bands::Rgba => colour != Colour::Grey,
            Bands::Other => false,
        };
        if !is_taken || self.dtype != Some(dtype) {
            let kind = if is_taken { FaultKind::WrongDtype } else { FaultKind::WrongColour };
            let expected = format_args!("{}-bit {colour}", 8 * dtype.bytes());
            return Err(ImageFault::new(kind, expected, self.shown()));
        }
        if self.size != size {
            let found = self.size;
            let expected = format_args!("{} x {}", size.width, size.height);
            let found = format_args!("{} x {}", found.width, found.height);
            return Err(ImageFault::new(FaultKind::WrongSize, expected, found));
        }
        Ok(())
    }

    /// What the samples are, in words: `16-bit grey`.
    pub(crate) fn shown(&self) -> String {
        format!("{}-bit {}", self.bits.0, self.samples)
    }

    /// Whether it is of colours that are three planes, one behind the other, as those of a stack may be.
    pub(crate) fn is_of_planes(&self) -> bool {
        self.is_planar && self.bands.colour() == Some(Colour::Rgb)
    }

    /// Whether a file of so many bytes can hold the pixels that its header claims, so that no memory is asked for by
    /// the word of a header alone.
    #[must_use]
    pub fn can_be_true(&self, file_bytes: u64) -> bool {
        file_bytes.saturating_mul(self.most_of_a_byte) >= self.bytes()
    }

    /// Bytes of all samples.
    pub(super) fn bytes(&self) -> u64 {
        (self.size.pixels() as u64 * u64::from(self.bits.1)).div_ceil(8)
    }
}

/// Checks that no side is absurd, so that no size computed from them overflows.
pub(crate) fn check_sides(width: u64, height: u64) -> Result<ImageSize, ImageFault> {
    let side = |side: u64| u32::try_from(side).ok().filter(|side| (1..=ImageSize::MAX_SIDE).contains(side));
    match (side(width), side(height)) {
        (Some(width), Some(height)) => Ok(ImageSize { height, width }),
        _ => {
            let expected = format_args!("sides of 1 to {}", ImageSize::MAX_SIDE);
            Err(ImageFault::new(FaultKind::WrongSize, expected, format_args!("{width} x {height}")))
        }
    }
}

/// Bytes of metadata that a file may have: OME-XML tells of all images of a set in each file.
const METADATA: u64 = 16 << 20;

/// The bytes that a file of such an image can need, with room for much metadata and for smaller copies of it. A larger
/// file is no such image, and reading it could take all memory.
#[must_use]
pub fn largest_file(size: ImageSize, dtype: Dtype, colour: Colour) -> u64 {
    let bands = if colour == Colour::Grey { Bands::Grey } else { Bands::Rgba };
    4 * (size.pixels() * dtype.bytes() * bands.count()) as u64 + METADATA
}

//! What images are: their size and the type of their pixels.

use std::fmt;
use std::str::FromStr;

use super::text::ParseError;

/// Height and width of images, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl ImageSize {
    /// The largest side that is accepted: larger than any plate camera, small enough that no size computed from it
    /// overflows.
    pub const MAX_SIDE: u32 = 16_384;

    /// Pixels of one channel.
    #[must_use]
    pub fn pixels(self) -> usize {
        self.height as usize * self.width as usize
    }
}

/// The type of pixels, by the name that NumPy and Zarr have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// 8 bits, 256 grey levels.
    Uint8,
    /// 16 bits, 65,536 grey levels.
    Uint16,
}

impl Dtype {
    /// The name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
        }
    }

    /// Bytes of a pixel.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Uint8 => 1,
            Self::Uint16 => 2,
        }
    }

    /// Grey levels that a pixel can have.
    #[must_use]
    pub fn levels(self) -> usize {
        1 << (8 * self.bytes())
    }
}

impl FromStr for Dtype {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = [Self::Uint8, Self::Uint16].into_iter().find(|dtype| dtype.name() == text);
        known.ok_or_else(|| ParseError::new("uint8 or uint16", text))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

//! How pixels are stored, and what it is called.

use std::fmt;
use std::str::FromStr;

use crate::site::{Dtype, ParseError, parse_number};
use crate::wave::Mode;

/// How the pixels of a site are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As they are, chunks at multiples of 4096 bytes: a mapped chunk is the tensor.
    Raw,
    /// Zstandard at this level, followed by a crc32c.
    Zstd(i32),
    /// [`wave`](crate::wave), followed by a crc32c: about half of what zstd makes. Of pixels of 8 bits only.
    Wave(Mode),
}

impl Codec {
    /// Whether chunks are of pixels of this type.
    #[must_use]
    pub fn takes(self, dtype: Dtype) -> bool {
        !matches!(self, Self::Wave(_)) || dtype == Dtype::Uint8
    }

    /// Bytes that a chunk has for each channel whatever its pixels: models, states and tables.
    #[must_use]
    pub fn least_bytes_of_channel(self) -> u64 {
        match self {
            Self::Raw | Self::Zstd(_) => 0,
            Self::Wave(_) => 512,
        }
    }
}

impl FromStr for Codec {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let level = text.strip_prefix("zstd:").and_then(parse_number).filter(|level| (1..=22).contains(level));
        match (text, level) {
            ("raw", _) => Ok(Self::Raw),
            ("wave", _) => Ok(Self::Wave(Mode::Small)),
            ("wave:fast", _) => Ok(Self::Wave(Mode::Fast)),
            (_, Some(level)) => Ok(Self::Zstd(level)),
            _ => Err(ParseError { expected: "raw, wave, wave:fast or zstd:1 to zstd:22", found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.pad("raw"),
            Self::Zstd(level) => f.pad(&format!("zstd:{level}")),
            Self::Wave(Mode::Small) => f.pad("wave"),
            Self::Wave(Mode::Fast) => f.pad("wave:fast"),
        }
    }
}

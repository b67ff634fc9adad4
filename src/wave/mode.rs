//! What an encoder is asked for.

use std::str::FromStr;

use super::model::CONTEXTS;
use crate::site::ParseError;

/// What matters more. The first byte of a stream says which it is; decoders take both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The size: residuals are coded by how much is left around them.
    Small,
    /// The time that decoding takes: residuals of a channel are all coded alike.
    Fast,
}

impl FromStr for Mode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mode = [Self::Small, Self::Fast].into_iter().find(|mode| mode.name() == text);
        mode.ok_or_else(|| ParseError { expected: "small or fast", found: text.to_owned() })
    }
}

impl Mode {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Fast => "fast",
        }
    }

    /// Tables of a channel.
    pub(super) fn contexts(self) -> usize {
        match self {
            Self::Small => CONTEXTS,
            Self::Fast => 1,
        }
    }
}

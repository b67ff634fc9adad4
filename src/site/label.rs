//! What a site is: its population and its label.

use std::fmt;
use std::str::FromStr;

use super::text::{Name, Names, ParseError};

/// What a well was given: the groups whose statistics are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Population {
    /// Untreated wells.
    NegativeControl,
    /// Wells with a well-known siRNA, the same on every plate.
    PositiveControl,
    /// Wells with the siRNA under study.
    Treatment,
    /// A tree without CSVs tells nothing, nor does a row without a label.
    Unknown,
}

impl Population {
    /// All populations, in the order in which statistics are stored.
    pub const ALL: [Self; 4] = [Self::NegativeControl, Self::PositiveControl, Self::Treatment, Self::Unknown];

    /// The name in files, as in RxRx1's `well_type`; `unknown` where that is empty.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NegativeControl => "negative_control",
            Self::PositiveControl => "positive_control",
            Self::Treatment => "treatment",
            Self::Unknown => "unknown",
        }
    }

    /// Whether its wells are controls, of either kind.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::NegativeControl | Self::PositiveControl)
    }

    /// Position in [`Population::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

impl FromStr for Population {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "" => Ok(Self::Unknown),
            _ => Self::ALL
                .into_iter()
                .find(|p| p.name() == text)
                .ok_or_else(|| ParseError::new("negative_control, positive_control or treatment", text)),
        }
    }
}

impl fmt::Display for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of a site beyond its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// `train`, `val`, `test`, or empty where unknown.
    pub dataset: Name,
    /// The population.
    pub population: Population,
    /// The siRNA as the source names it; empty where unknown.
    pub sirna: Name,
    /// The class (0..1107 treatments, 1108..1137 positive controls, 1138 untreated in RxRx1).
    pub class: Option<u32>,
}

impl Label {
    /// The label of a site of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self { dataset: Name::default(), population: Population::Unknown, sirna: Name::default(), class: None }
    }

    /// Shares its texts with equal ones.
    pub fn share(&mut self, names: &mut Names) {
        names.share(&mut self.dataset);
        names.share(&mut self.sirna);
    }
}

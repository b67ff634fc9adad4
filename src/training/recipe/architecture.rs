//! The names of the networks and what each asks of an image. Builds none.

use std::fmt;
use std::str::FromStr;

use strum::{VariantArray, VariantNames};

use super::options::Architecture;

impl Architecture {
    /// All of them, small to large within a family.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// The name in a recipe, which is torchvision's for all but `base-cnn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The smallest side of an image that leaves a pixel after all halvings: five in torchvision's networks, four in
    /// `base-cnn`.
    #[must_use]
    pub fn smallest_side(self) -> u32 {
        if self == Self::BaseCnn { 16 } else { 32 }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|architecture| architecture.name() == text).ok_or_else(|| {
            let names = <Self as VariantNames>::VARIANTS.join(", ");
            format!("expected a network ({names}), found {text:?}")
        })
    }
}

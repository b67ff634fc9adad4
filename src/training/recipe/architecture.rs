//! The names of the networks and what each asks of an image. Builds none.

use std::fmt;
use std::str::FromStr;

use super::options::Architecture;

impl Architecture {
    /// All of them, small to large within a family.
    pub const ALL: [Self; 12] = [
        Self::BaseCnn,
        Self::ResNet18,
        Self::ResNet34,
        Self::ResNet50,
        Self::ResNet101,
        Self::ResNet152,
        Self::DenseNet121,
        Self::DenseNet161,
        Self::DenseNet169,
        Self::DenseNet201,
        Self::Vgg16,
        Self::Vgg16Bn,
    ];

    /// The name in a recipe, which is torchvision's for all but `base-cnn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BaseCnn => "base-cnn",
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
            Self::ResNet50 => "resnet50",
            Self::ResNet101 => "resnet101",
            Self::ResNet152 => "resnet152",
            Self::DenseNet121 => "densenet121",
            Self::DenseNet161 => "densenet161",
            Self::DenseNet169 => "densenet169",
            Self::DenseNet201 => "densenet201",
            Self::Vgg16 => "vgg16",
            Self::Vgg16Bn => "vgg16_bn",
        }
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
        Self::ALL.into_iter().find(|architecture| architecture.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("expected a network ({names}), found {text:?}")
        })
    }
}

//! What the keys of a recipe can be, where that is a choice of names. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray, VariantNames};

/// What a value of this type can be, where that is a choice of names.
pub(super) trait Choice {
    /// The names; none where it is no such choice.
    const NAMES: &'static [&'static str] = &[];
}

/// Types that are no choice of names.
macro_rules! free {
    ($($type:ty),*) => { $(impl Choice for $type {})* };
}
free!(bool, u32, u64, f64, Fold, Vec<String>, Option<String>);

/// Types that are one.
macro_rules! choice {
    ($($type:ty),*) => { $(impl Choice for $type {
        const NAMES: &'static [&'static str] = <Self as VariantNames>::VARIANTS;
    })* };
}
choice!(Architecture, Normalize, SplitBy, Controls, BatchBy, Optimizer, Schedule, Precision, Watch);

/// A network, by its name in torchvision (dashes for underscores are not taken: `vgg16_bn`); `base-cnn` is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Architecture {
    #[serde(rename = "base-cnn")]
    #[strum(serialize = "base-cnn")]
    BaseCnn,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    DenseNet121,
    DenseNet161,
    DenseNet169,
    DenseNet201,
    Vgg16,
    #[serde(rename = "vgg16_bn")]
    #[strum(serialize = "vgg16_bn")]
    Vgg16Bn,
}

/// Whose statistics an image is normalised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Normalize {
    /// The negative and positive controls of its plate.
    PlateControls,
    /// All wells of its plate.
    Plate,
    /// The controls of its experiment.
    ExperimentControls,
    /// All wells of its experiment.
    Experiment,
    /// All wells of the plates that are trained on.
    Global,
    /// The image by itself.
    Site,
    /// None: grey levels divided by 255.
    None,
}

/// How the validation set is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum SplitBy {
    /// Whole experiments, some of each cell type: what tells how well unseen batches are recognised.
    Experiment,
    /// Single wells at random: shares plates between both sides, and so flatters.
    Well,
    /// No validation: everything is trained on.
    None,
}

/// Which control wells are trained on beside the treatments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Controls {
    /// None.
    None,
    /// Those of the experiments that are trained on.
    Train,
    /// Those of all experiments of the dataset train, also of those that validate: they are no treatments.
    All,
}

/// What the sites of a batch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum BatchBy {
    /// Nothing: they come from anywhere.
    Any,
    /// Their plate, so that batch norm compares like with like.
    Plate,
    /// Their experiment.
    Experiment,
}

/// How parameters are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Optimizer {
    /// Adam; weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// How the learning rate changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Schedule {
    /// Not at all (after the warm-up).
    Constant,
    /// Times `gamma` after every epoch.
    Exponential,
    /// Along half a cosine to 0 at the last step.
    Cosine,
}

/// The numbers that a network computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Precision {
    /// float32, rounded to TF32 in products where the device can.
    Tf32,
    /// float32 throughout.
    F32,
    /// bfloat16 by autocast (CUDA only); parameters stay float32.
    Bf16,
}

/// What early stopping watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantArray, VariantNames, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Watch {
    /// Validation loss.
    Loss,
    /// Validation accuracy per well.
    Accuracy,
    /// Nothing: all epochs are trained.
    None,
}

/// The K-th of N folds, K from 1: `1/5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fold {
    /// Which fold is the validation set, from 1.
    pub k: u32,
    /// How many there are.
    pub n: u32,
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.k, self.n)
    }
}

impl From<Fold> for String {
    fn from(fold: Fold) -> Self {
        fold.to_string()
    }
}

impl TryFrom<String> for Fold {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((k, n)) if n >= 2 && (1..=n).contains(&k) => Ok(Self { k, n }),
            _ => Err("a fold such as 1/5".to_owned()),
        }
    }
}

//! What a training run is to do, as a table of keys: read from TOML, changed by flags, checked, written back resolved.
//! Pure; the caller reads and writes files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network, by its name in torchvision (dashes for underscores are not taken: `vgg16_bn`); `base-cnn` is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Architecture {
    #[serde(rename = "base-cnn")]
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
    Vgg16Bn,
}

/// Whose statistics an image is normalised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// The negative and positive controls of its plate.
    PlateControls,
    /// All wells of its plate.
    Plate,
    /// The controls of its experiment.
    ExperimentControls,
    /// All wells of its experiment.
    Experiment,
    /// All sites that are trained on.
    Global,
    /// The image by itself.
    Site,
    /// None: grey levels divided by 255.
    None,
}

/// How the validation set is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitBy {
    /// Whole experiments, some of each cell type: what tells how well unseen batches are recognised.
    Experiment,
    /// Single wells at random: shares plates between both sides, and so flatters.
    Well,
    /// No validation: everything is trained on.
    None,
}

/// Which control wells are trained on beside the treatments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Controls {
    /// None.
    None,
    /// Those of the experiments that are trained on.
    Train,
    /// Those of all experiments, also of validation and test: they carry no label of a treatment.
    All,
}

/// How parameters are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Adam; weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// How the learning rate changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Not at all (after the warm-up).
    Constant,
    /// Times `gamma` after every epoch.
    Exponential,
    /// Along half a cosine to 0 at the last step.
    Cosine,
}

/// The numbers that a network computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// float32, rounded to TF32 in products where the device can.
    Tf32,
    /// float32 throughout.
    F32,
    /// bfloat16 by autocast (CUDA only); parameters stay float32.
    Bf16,
}

/// What early stopping watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// Validation loss.
    Loss,
    /// Validation accuracy per well.
    Accuracy,
    /// Nothing: all epochs are trained.
    None,
}

/// A whole recipe. Every field is a key of the TOML file, and a flag of `train`; see `KEYS` for what each means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "KEYS describes each, with its unit")]
pub struct Recipe {
    pub model: Architecture,
    pub init_from: Option<String>,
    pub seed: u64,
    // Data.
    pub cell_type: Vec<String>,
    pub experiments: Vec<String>,
    pub controls: Controls,
    pub split: SplitBy,
    pub fold: Fold,
    pub validation_share: f64,
    pub normalize: Normalize,
    pub robust: bool,
    // Training.
    pub epochs: u32,
    pub batch: u32,
    pub accumulate: u32,
    pub precision: Precision,
    pub optimizer: Optimizer,
    pub lr: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub schedule: Schedule,
    pub gamma: f64,
    pub warmup_epochs: f64,
    pub label_smoothing: f64,
    pub clip_norm: f64,
    pub early_stopping: Watch,
    pub patience: u32,
    pub two_step: bool,
    pub second_epochs: u32,
    pub second_lr: f64,
    // Augmentation; 0 or false switches one off.
    pub flip: bool,
    pub rotate90: bool,
    pub rotate: f64,
    pub scale: f64,
    pub translate: f64,
    pub perspective: f64,
    pub crop: u32,
    pub resize: u32,
    pub noise: f64,
    pub gain: f64,
    pub offset: f64,
    pub cutmix: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            model: Architecture::ResNet18,
            init_from: None,
            seed: 0,
            cell_type: Vec::new(),
            experiments: Vec::new(),
            controls: Controls::None,
            split: SplitBy::Experiment,
            fold: Fold { k: 1, n: 5 },
            validation_share: 0.2,
            normalize: Normalize::PlateControls,
            robust: false,
            epochs: 15,
            batch: 64,
            accumulate: 1,
            precision: Precision::Tf32,
            optimizer: Optimizer::Adam,
            lr: 6e-4,
            momentum: 0.9,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            gamma: 0.9,
            warmup_epochs: 0.0,
            label_smoothing: 0.0,
            clip_norm: 0.0,
            early_stopping: Watch::None,
            patience: 3,
            two_step: false,
            second_epochs: 0,
            second_lr: 0.0,
            flip: false,
            rotate90: false,
            rotate: 0.0,
            scale: 0.0,
            translate: 0.0,
            perspective: 0.0,
            crop: 0,
            resize: 0,
            noise: 0.0,
            gain: 0.0,
            offset: 0.0,
            cutmix: 0.0,
        }
    }
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
            _ => Err(format!("expected a fold such as 1/5, found {text:?}")),
        }
    }
}

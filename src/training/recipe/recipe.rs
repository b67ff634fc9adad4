//! What a training run is to do, as a table of keys. Each is named here and nowhere else: its type, its value where
//! nothing is said, what stands for the value in help, the numbers that it can be, and what it means.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::feed::mix;

use super::options::{
    Architecture, BatchBy, Controls, Fold, Normalize, Optimizer, Precision, Schedule, SplitBy, Watch,
};
use super::schema::recipe;

recipe! {
    /// A whole recipe. Every field is a key of the TOML file, with dashes for underscores, and a flag of `train`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    #[expect(clippy::doc_markdown, reason = "what describes a field is also the help of its flag")]
    pub struct Recipe {
        "Recipe (defaults hold where the recipe says nothing): network" {
            /// base-cnn, resnet18, resnet34, resnet50, resnet101, resnet152, densenet121, densenet161, densenet169,
            /// densenet201, vgg16 or vgg16_bn
            model: Architecture = Architecture::ResNet18, "NAME";
            /// Pretrained weights as safetensors, under torchvision's names; a first convolution of other channels is
            /// spread, a classifier of another size is left as it is
            #[serde(skip_serializing_if = "Option::is_none")]
            init_from: Option<String> = None, "FILE";
            /// Seed of weights, order and augmentation; the split has its own
            seed: u64 = 0, "NUMBER";
            /// tf32 (float32 with TF32 products on CUDA), f32, or bf16 (autocast, CUDA only)
            precision: Precision = Precision::Tf32, "NAME";
        }
        "Recipe: data" {
            /// Cell types to use, separated by commas; none: all
            cell_type: Vec<String> = Vec::new(), "NAMES";
            /// Experiments to use, separated by commas; none: all
            experiments: Vec<String> = Vec::new(), "NAMES";
            /// Control wells that are trained on as classes of their own: none, train (of the experiments that are
            /// trained on) or all (also of those that validate; never of the test set)
            controls: Controls = Controls::None, "WHICH";
            /// How wells are held out to validate on: experiment, well (at random: flatters), or none
            split: SplitBy = SplitBy::Experiment, "BY";
            /// Which of N folds of experiments is held out, within each cell type
            fold: Fold = Fold { k: 1, n: 5 }, "K/N";
            /// Seed of what is held out: folds belong together where it is the same, whatever else is not
            split_seed: u64 = 0, "NUMBER";
            /// Share of wells held out with split = well, 0 to 1
            validation_share: f64 = 0.2, "SHARE", 0.001 => 0.999;
            /// Mean and deviation are those of: plate-controls, plate, experiment-controls, experiment, global, site,
            /// or none (grey levels / the largest of their type)
            normalize: Normalize = Normalize::PlateControls, "BY";
            /// Normalise by median and MAD instead of mean and deviation
            robust: bool = false, "true|false";
        }
        "Recipe: training" {
            /// Epochs at most
            epochs: u32 = 15, "COUNT", 1 => 1_000_000;
            /// Sites in a batch
            batch: u32 = 64, "COUNT", 1 => 1_000_000;
            /// What the sites of a batch have in common, as batch norm compares them: any (nothing), plate or
            /// experiment
            batch_by: BatchBy = BatchBy::Any, "WHAT";
            /// Batches whose gradients are averaged for one step of the optimiser
            accumulate: u32 = 1, "COUNT", 1 => 1_000_000;
            /// adam, adamw or sgd
            optimizer: Optimizer = Optimizer::Adam, "NAME";
            /// Learning rate
            lr: f64 = 6e-4, "RATE", 1e-12 => 1e3;
            /// Momentum of sgd
            momentum: f64 = 0.9, "SHARE", 0.0 => 0.9999;
            /// Weight decay; decoupled with adamw
            weight_decay: f64 = 0.0, "RATE", 0.0 => 1e3;
            /// Whether biases and batch norms decay, too, as with PyTorch's optimisers; false: only weights of
            /// convolutions and linear layers
            decay_bias_and_norm: bool = true, "true|false";
            /// constant, exponential (times gamma after each epoch from the end of the warm-up) or cosine (from the end of
            /// the warm-up, to 0 after the last step)
            schedule: Schedule = Schedule::Constant, "NAME";
            /// Factor of the exponential schedule
            gamma: f64 = 0.9, "FACTOR", 1e-6 => 1.0;
            /// Epochs over which the learning rate rises in a line to its full value, before the schedule begins
            warmup_epochs: f64 = 0.0, "EPOCHS";
            /// Label smoothing, 0 to 1
            label_smoothing: f64 = 0.0, "SHARE", 0.0 => 0.99;
            /// Largest L2 norm of all gradients together; 0: no limit
            clip_norm: f64 = 0.0, "NORM", 0.0 => 1e9;
            /// Stop when validation loss or accuracy (per well) has not become better: loss, accuracy or none
            early_stopping: Watch = Watch::None, "WATCH";
            /// Epochs that early stopping waits
            patience: u32 = 3, "EPOCHS", 1 => 1_000_000;
            /// After all cell types together, train one network for each cell type, from the best of the first step and
            /// on the same split
            two_step: bool = false, "true|false";
            /// Epochs of the second step at most; 0: as many as this recipe has for the first
            second_epochs: u32 = 0, "COUNT";
            /// Learning rate of the second step; 0: as the first
            second_lr: f64 = 0.0, "RATE", 0.0 => 1e3;
            /// Epochs of warm-up of the second step
            second_warmup_epochs: f64 = 0.0, "EPOCHS";
        }
        "Recipe: augmentation, a new choice for each site and epoch" {
            /// Flip left-right and up-down, each with chance 1/2
            flip: bool = false, "true|false";
            /// Turn by 0, 90, 180 or 270 degrees
            rotate90: bool = false, "true|false";
            /// Turn by up to so much either way
            rotate: f64 = 0.0, "DEGREES", 0.0 => 180.0;
            /// Scale by a factor between 1/(1 + SHARE) and 1 + SHARE
            scale: f64 = 0.0, "SHARE", 0.0 => 4.0;
            /// Shift by up to this share of the image either way
            translate: f64 = 0.0, "SHARE", 0.0 => 1.0;
            /// Move each corner by up to this share of the image either way
            perspective: f64 = 0.0, "SHARE", 0.0 => 0.45;
            /// Train on a random window of this side, validate on the middle one; 0: the whole image
            crop: u32 = 0, "PIXELS";
            /// Side of the image that the network gets, after the crop; 0: as it is
            resize: u32 = 0, "PIXELS";
            /// Salt and pepper: share of pixels set to the darkest or brightest level (0, 255; those that a channel has, of 16 bits)
            noise: f64 = 0.0, "SHARE", 0.0 => 1.0;
            /// Multiply each channel by a factor between 1 - SHARE and 1 + SHARE
            gain: f64 = 0.0, "SHARE", 0.0 => 0.99;
            /// Add up to so many standard deviations to each channel, either way
            offset: f64 = 0.0, "DEVIATIONS", 0.0 => 10.0;
            /// Share of sites that get a box from another site of the batch, and a share of its label
            cutmix: f64 = 0.0, "SHARE", 0.0 => 1.0;
        }
    }
}

impl Recipe {
    /// The recipe of the second of two steps, which trains by a seed of its own: the order and the augmentation of the
    /// first do not come again.
    #[must_use]
    pub fn second_step(&self) -> Self {
        Self {
            // 32 bits, as whoever begins such a run by hand has to type them.
            seed: mix(self.seed ^ mix(2)) >> 32,
            epochs: if self.second_epochs > 0 { self.second_epochs } else { self.epochs },
            lr: if self.second_lr > 0.0 { self.second_lr } else { self.lr },
            warmup_epochs: self.second_warmup_epochs,
            two_step: false,
            second_epochs: 0,
            second_lr: 0.0,
            second_warmup_epochs: 0.0,
            ..self.clone()
        }
    }

    /// Makes sure that what is written of it is read again as it is.
    ///
    /// # Errors
    /// If a value is one that no recipe may have.
    pub fn check_written(&self) -> Result<()> {
        let read = Self::parse(&self.to_toml(), "recipe")?;
        if read == *self {
            Ok(())
        } else {
            Err(Error::refused("recipe", "one that is read as it is written", "another"))
        }
    }

    /// What no type can say: ranges, and keys that contradict each other.
    pub(super) fn check(&self, place: &dyn Fn(&str) -> String) -> Result<()> {
        let refuse = |key: &str, expected: &str, found: String| Err(Error::refused(place(key), expected, found));
        if self.batch == 1 {
            return refuse("batch", "2 or more: batch norm compares the sites of a batch", "1".into());
        }
        for (key, value, [least, most]) in self.numbers() {
            if !(least..=most).contains(&value) {
                return refuse(&key, &format!("{least} to {most}"), value.to_string());
            }
        }
        if !(0.0..=f64::from(self.epochs)).contains(&self.warmup_epochs) {
            return refuse("warmup-epochs", &format!("0 to {}", self.epochs), self.warmup_epochs.to_string());
        }
        if self.two_step {
            // Whatever is written of the second step has to be read again.
            let key_of = |key: &str| match key {
                "epochs" | "lr" | "warmup-epochs" => place(&format!("second-{key}")),
                _ => place(key),
            };
            self.second_step().check(&key_of)?;
        }
        for (key, value) in [("crop", self.crop), ("resize", self.resize)] {
            if value != 0 && !(16..=4096).contains(&value) {
                return refuse(key, "0, or 16 to 4096 pixels", value.to_string());
            }
        }
        if self.split == SplitBy::None && self.early_stopping != Watch::None {
            return refuse("early-stopping", "none where split is none: there is nothing to watch", "another".into());
        }
        Ok(())
    }
}

//! The keys of a recipe: what each means, in which unit. A key is a line of the TOML file and a flag of `train`.

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, as in TOML and after `--`.
    pub name: &'static str,
    /// What stands for its value in help.
    pub value: &'static str,
    /// Under which heading it is shown.
    pub group: &'static str,
    /// What it means, with its unit.
    pub help: &'static str,
}

const fn key(group: &'static str, name: &'static str, value: &'static str, help: &'static str) -> Key {
    Key { name, value, group, help }
}

const NETWORK: &str = "Recipe (defaults hold where the recipe says nothing): network";
const DATA: &str = "Recipe: data";
const TRAINING: &str = "Recipe: training";
const AUGMENTATION: &str = "Recipe: augmentation, a new choice for each site and epoch";

/// Every key, in the order of help and of a resolved recipe.
pub const KEYS: &[Key] = &[
    key(
        NETWORK,
        "model",
        "NAME",
        "base-cnn, resnet18, resnet34, resnet50, resnet101, resnet152, densenet121, densenet161, densenet169, densenet201, vgg16 or vgg16_bn",
    ),
    key(
        NETWORK,
        "init-from",
        "FILE",
        "Pretrained weights as safetensors, under torchvision's names; a first convolution of other channels is spread, a classifier of another size is left as it is",
    ),
    key(NETWORK, "seed", "NUMBER", "Seed of weights, split, order and augmentation"),
    key(NETWORK, "precision", "NAME", "tf32 (float32 with TF32 products on CUDA), f32, or bf16 (autocast, CUDA only)"),
    key(DATA, "cell-type", "NAMES", "Cell types to use, separated by commas; none: all"),
    key(DATA, "experiments", "NAMES", "Experiments to use, separated by commas; none: all"),
    key(
        DATA,
        "controls",
        "WHICH",
        "Control wells that are trained on as classes of their own: none, train (of the experiments that are trained on) or all (also of those that validate; never of the test set)",
    ),
    key(DATA, "split", "BY", "How wells are held out to validate on: experiment, well (at random: flatters), or none"),
    key(DATA, "fold", "K/N", "Which of N folds of experiments is held out, within each cell type"),
    key(DATA, "validation-share", "SHARE", "Share of wells held out with split = well, 0 to 1"),
    key(
        DATA,
        "normalize",
        "BY",
        "Mean and deviation are those of: plate-controls, plate, experiment-controls, experiment, global, site, or none (grey levels / 255)",
    ),
    key(DATA, "robust", "true|false", "Normalise by median and MAD instead of mean and deviation"),
    key(TRAINING, "epochs", "COUNT", "Epochs at most"),
    key(TRAINING, "batch", "COUNT", "Sites in a batch"),
    key(
        TRAINING,
        "batch-by",
        "WHAT",
        "What the sites of a batch have in common, as batch norm compares them: any (nothing), plate or experiment",
    ),
    key(TRAINING, "accumulate", "COUNT", "Batches whose gradients are averaged for one step of the optimiser"),
    key(TRAINING, "optimizer", "NAME", "adam, adamw or sgd"),
    key(TRAINING, "lr", "RATE", "Learning rate"),
    key(TRAINING, "momentum", "SHARE", "Momentum of sgd"),
    key(TRAINING, "weight-decay", "RATE", "Weight decay; decoupled with adamw"),
    key(
        TRAINING,
        "schedule",
        "NAME",
        "constant, exponential (times gamma after each epoch) or cosine (to 0 at the last step)",
    ),
    key(TRAINING, "gamma", "FACTOR", "Factor of the exponential schedule"),
    key(TRAINING, "warmup-epochs", "EPOCHS", "Epochs over which the learning rate rises from 0"),
    key(TRAINING, "label-smoothing", "SHARE", "Label smoothing, 0 to 1"),
    key(TRAINING, "clip-norm", "NORM", "Largest L2 norm of all gradients together; 0: no limit"),
    key(
        TRAINING,
        "early-stopping",
        "WATCH",
        "Stop when validation loss or accuracy (per well) has not become better: loss, accuracy or none",
    ),
    key(TRAINING, "patience", "EPOCHS", "Epochs that early stopping waits"),
    key(
        TRAINING,
        "two-step",
        "true|false",
        "After all cell types together, train one network for each cell type, from the best of the first step and on the same split",
    ),
    key(TRAINING, "second-epochs", "COUNT", "Epochs of the second step at most; 0: as the first"),
    key(TRAINING, "second-lr", "RATE", "Learning rate of the second step; 0: as the first"),
    key(AUGMENTATION, "flip", "true|false", "Flip left-right and up-down, each with chance 1/2"),
    key(AUGMENTATION, "rotate90", "true|false", "Turn by 0, 90, 180 or 270 degrees"),
    key(AUGMENTATION, "rotate", "DEGREES", "Turn by up to so much either way"),
    key(AUGMENTATION, "scale", "SHARE", "Scale by a factor between 1/(1 + SHARE) and 1 + SHARE"),
    key(AUGMENTATION, "translate", "SHARE", "Shift by up to this share of the image either way"),
    key(AUGMENTATION, "perspective", "SHARE", "Move each corner by up to this share of the image either way"),
    key(
        AUGMENTATION,
        "crop",
        "PIXELS",
        "Train on a random window of this side, validate on the middle one; 0: the whole image",
    ),
    key(AUGMENTATION, "resize", "PIXELS", "Side of the image that the network gets, after the crop; 0: as it is"),
    key(AUGMENTATION, "noise", "SHARE", "Salt and pepper: share of pixels set to 0 or 255"),
    key(AUGMENTATION, "gain", "SHARE", "Multiply each channel by a factor between 1 - SHARE and 1 + SHARE"),
    key(AUGMENTATION, "offset", "DEVIATIONS", "Add up to so many standard deviations to each channel, either way"),
    key(
        AUGMENTATION,
        "cutmix",
        "SHARE",
        "Share of sites that get a box from another site of the batch, and a share of its label",
    ),
];

/// The key of this name.
#[must_use]
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

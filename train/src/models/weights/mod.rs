//! Weights of networks as files, and pretrained ones put into a network of other channels and classes.

mod pretrained;
mod safetensors;

pub use self::safetensors::{Weights, load, read, save, write};
pub use pretrained::{InitReport, init_from};

//! What happens to pixels between the store and the network, on the device: normalisation and augmentation.

pub mod ops;
pub mod params;
pub mod pipeline;

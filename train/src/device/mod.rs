//! The way to the device and back: which one, its streams and events, and batches that are copied while the one before
//! is computed with. Knows neither networks nor recipes.

pub mod batch;
mod choice;
pub(crate) mod ffi;
pub mod loader;
#[cfg(test)]
pub(crate) mod small;
pub mod staging;
pub(crate) mod transfer;

pub use choice::{DeviceChoice, DeviceMemory, memory, open, synchronize};
pub(crate) use choice::{environment, set_up};

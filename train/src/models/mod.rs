//! The networks, under torchvision's names and in its order, so that weights go to torchvision and back as they are.

mod base_cnn;
mod densenet;
pub mod export;
mod format;
mod init;
mod layers;
mod network;
mod resnet;
mod spec;
#[cfg(test)]
mod tests;
mod vgg;
pub mod weights;

pub use format::MemoryFormat;
pub use network::Network;
pub use spec::{Mode, NetworkSpec};

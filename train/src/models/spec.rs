//! What a network is made for, and what the ways through it have in common. Builds none.

use std::fmt;

use tch::{TchError, Tensor};

use cellshard::site::ImageSize;
use cellshard::training::recipe::Architecture;

/// What a layer gives back; libtorch's errors are named by [`crate::models::Network`].
pub(super) type Outcome<T = Tensor> = Result<T, TchError>;

/// What a network is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Which network.
    pub architecture: Architecture,
    /// Channels of an image.
    pub n_channels: usize,
    /// Logits an image gets.
    pub n_classes: usize,
    /// Size of an image as the network gets it. Only `base-cnn` depends on it (its first linear layer has an input a
    /// pixel of the last map: 65536 at 512 x 512); the others take any size from [`Architecture::smallest_side`] on.
    pub size: ImageSize,
}

impl NetworkSpec {
    /// Far above any microscope and any screen, far below what a product of sizes could overflow with.
    pub(super) const MOST_CHANNELS: usize = 4096;
    pub(super) const MOST_CLASSES: usize = 1 << 24;

    pub(super) fn channels(&self) -> i64 {
        i64::try_from(self.n_channels).expect("checked to be at most MOST_CHANNELS")
    }

    pub(super) fn classes(&self) -> i64 {
        i64::try_from(self.n_classes).expect("checked to be at most MOST_CLASSES")
    }
}

/// Which of its two ways a network works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm by the batch, keeping its running statistics up; dropout on.
    Train,
    /// Batch norm by the running statistics; no dropout. Nothing changes.
    Eval,
}

/// How one pass goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    pub(super) mode: Mode,
    pub(super) dropout: f64,
}

/// Everything before the last linear layer.
pub(super) trait Body: fmt::Debug + Send {
    /// `[N, C, H, W]` to `[N, D]`.
    fn embed(&self, x: &Tensor, pass: Pass) -> Outcome;
}

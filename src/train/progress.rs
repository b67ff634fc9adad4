//! How far training has come: what a checkpoint says of it.

use serde::{Deserialize, Serialize};

use super::schedule::EarlyStopping;

/// How far a stage has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch under way, from 0.
    pub epoch: u32,
    /// Optimiser steps taken in it.
    pub step: u64,
    /// Sums over them.
    pub sums: Sums,
    /// Best epochs so far.
    pub early: EarlyStopping,
    /// Damaged sites that were left out.
    pub n_skipped: u64,
}

/// Sums over the training steps of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Loss times sites.
    pub loss: f64,
    /// Sites whose most probable class is theirs.
    pub correct: f64,
    /// Sites.
    pub sites: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Seconds of it spent waiting for data.
    pub waited: f64,
}

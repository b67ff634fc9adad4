//! How far training has come: what a checkpoint says of it.

use serde::{Deserialize, Serialize};

use crate::training::early_stopping::EarlyStopping;
use crate::training::evaluate::metrics::Sums;

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

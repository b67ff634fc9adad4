//! How far training has come: what a checkpoint says of it.

use serde::{Deserialize, Serialize};

use crate::training::early_stopping::{EarlyStopping, has_stopped};
use crate::training::evaluate::metrics::Sums;
use crate::training::recipe::Recipe;

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
    /// What it was told after it had begun: to train for more epochs, or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// Of the first of two steps: epochs at most that the networks of the second were told, instead of the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_epochs: Option<u32>,
}

/// What `--resume --epochs N` says: it holds from then on, whoever resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Epochs at most, instead of the recipe's.
    pub epochs: u32,
    /// The epochs that were over when it was said: patience counts from there.
    pub after: u32,
}

impl Progress {
    /// What is trained by from here on: the recipe, but for what was told since.
    #[must_use]
    pub fn recipe(&self, recipe: &Recipe) -> Recipe {
        let epochs = self.told.map_or(recipe.epochs, |told| told.epochs);
        Recipe { epochs, ..recipe.clone() }
    }

    /// Whether nothing was trained and nothing judged yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.epoch == 0 && self.step == 0 && self.early == EarlyStopping::default()
    }

    /// Whether early stopping has ended it.
    #[must_use]
    pub fn has_stopped_early(&self, recipe: &Recipe) -> bool {
        has_stopped(recipe, &self.early, self.told.map_or(0, |told| told.after))
    }
}

//! The learning rate as a function of the step, and when training stops early. Pure.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::metrics::EpochMetrics;
use super::recipe::{Recipe, Schedule, Watch};

/// The learning rate of optimiser step `step` (from 0, over all epochs). The warm-up rises linearly, so that the step
/// after it has the full rate.
#[must_use]
pub fn learning_rate(recipe: &Recipe, step: u64, steps_per_epoch: u64) -> f64 {
    let warmup = (recipe.warmup_epochs * steps_per_epoch as f64).round();
    let step_number = step as f64;
    if step_number < warmup {
        return recipe.lr * (step_number + 1.0) / (warmup + 1.0);
    }
    match recipe.schedule {
        Schedule::Constant => recipe.lr,
        Schedule::Exponential => {
            let epoch = (step / steps_per_epoch.max(1)).min(u64::from(u32::MAX));
            recipe.lr * recipe.gamma.powf(epoch as f64)
        }
        Schedule::Cosine => {
            let last = (u64::from(recipe.epochs) * steps_per_epoch) as f64;
            let share = ((step_number - warmup) / (last - warmup).max(1.0)).min(1.0);
            recipe.lr * 0.5 * (1.0 + (PI * share).cos())
        }
    }
}

/// An epoch and its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Its validation loss.
    pub loss: f64,
    /// Its validation accuracy per well.
    pub accuracy: f64,
}

/// The best epochs so far. Least loss is not highest accuracy, so both are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// Epochs seen.
    pub epochs: u32,
    /// The epoch of least validation loss.
    pub best_loss: Option<BestEpoch>,
    /// The epoch of highest validation accuracy per well; of equals, the one of smaller loss.
    pub best_accuracy: Option<BestEpoch>,
}

/// Which bests an epoch set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewBest {
    /// Validation loss was never smaller.
    pub loss: bool,
    /// Validation accuracy per well was never higher.
    pub accuracy: bool,
}

impl EarlyStopping {
    /// Takes note of an epoch. Without a validation set every epoch is the best.
    pub fn observe(&mut self, row: &EpochMetrics) -> NewBest {
        self.epochs = row.epoch;
        let Some(validation) = &row.validation else { return NewBest { loss: true, accuracy: true } };
        let this = BestEpoch { epoch: row.epoch, loss: validation.loss, accuracy: validation.accuracy_well };
        let better_loss = self.best_loss.is_none_or(|best| this.loss < best.loss);
        let better_accuracy = self.best_accuracy.is_none_or(|best| {
            this.accuracy > best.accuracy || (this.accuracy == best.accuracy && this.loss < best.loss)
        });
        if better_loss {
            self.best_loss = Some(this);
        }
        if better_accuracy {
            self.best_accuracy = Some(this);
        }
        NewBest { loss: better_loss, accuracy: better_accuracy }
    }
}

/// Whether what a recipe watches has not become better for as many epochs as its patience.
#[must_use]
pub fn has_stopped(recipe: &Recipe, early: &EarlyStopping) -> bool {
    let best = match recipe.early_stopping {
        Watch::Loss => early.best_loss,
        Watch::Accuracy => early.best_accuracy,
        Watch::None => None,
    };
    best.is_some_and(|best| early.epochs - best.epoch >= recipe.patience)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::metrics::tests::epoch;

    fn recipe(schedule: Schedule) -> Recipe {
        Recipe { schedule, lr: 1.0, gamma: 0.5, epochs: 4, ..Recipe::default() }
    }

    #[test]
    fn the_rate_follows_its_schedule() {
        let rates = |recipe: &Recipe| (0..8).map(|step| learning_rate(recipe, step, 2)).collect::<Vec<_>>();
        assert_eq!(rates(&recipe(Schedule::Constant)), [1.0; 8]);
        assert_eq!(rates(&recipe(Schedule::Exponential)), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
        let cosine = rates(&recipe(Schedule::Cosine));
        assert!(cosine[0] == 1.0 && (cosine[4] - 0.5).abs() < 1e-12 && cosine.is_sorted_by(|a, b| a > b));
        assert!(learning_rate(&recipe(Schedule::Cosine), 8, 2).abs() < 1e-12);
    }

    #[test]
    fn the_warm_up_rises_to_the_full_rate() {
        let recipe = Recipe { warmup_epochs: 1.5, ..recipe(Schedule::Constant) };
        let rates: Vec<f64> = (0..4).map(|step| learning_rate(&recipe, step, 2)).collect();
        assert_eq!(rates, [0.25, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn least_loss_and_highest_accuracy_are_kept_apart_and_patience_counts_from_what_is_watched() {
        let mut early = EarlyStopping::default();
        let loss = Recipe { early_stopping: Watch::Loss, patience: 2, ..Recipe::default() };
        let accuracy = Recipe { early_stopping: Watch::Accuracy, ..loss.clone() };
        assert!(!has_stopped(&loss, &early));
        for (i, (value, share, best)) in [
            (1.0, 0.1, NewBest { loss: true, accuracy: true }),
            (0.8, 0.1, NewBest { loss: true, accuracy: true }),
            (0.9, 0.3, NewBest { loss: false, accuracy: true }),
            (0.9, 0.3, NewBest { loss: false, accuracy: false }),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(early.observe(&epoch(i as u32 + 1, value, share)), best, "epoch {i}");
        }
        assert!(has_stopped(&loss, &early) && !has_stopped(&accuracy, &early));
        assert_eq!(early.best_loss.unwrap().epoch, 2);
        assert_eq!(early.best_accuracy.unwrap().epoch, 3);
    }
}

//! When training stops early: the best epochs so far, and how long ago they were. Pure.

use serde::{Deserialize, Serialize};

use crate::training::recipe::{Recipe, Watch};

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
    /// Takes note of an epoch (from 1) with its validation loss and its accuracy per well. Without a validation set
    /// every epoch is the best.
    pub fn observe(&mut self, epoch: u32, validation: Option<(f64, f64)>) -> NewBest {
        self.epochs = epoch;
        let Some((loss, accuracy)) = validation else { return NewBest { loss: true, accuracy: true } };
        let this = BestEpoch { epoch, loss, accuracy };
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

/// Whether what a recipe watches has not become better for as many epochs as its patience; those up to `after` do not
/// count.
#[must_use]
pub fn has_stopped(recipe: &Recipe, early: &EarlyStopping, after: u32) -> bool {
    let best = match recipe.early_stopping {
        Watch::Loss => early.best_loss,
        Watch::Accuracy => early.best_accuracy,
        Watch::None => None,
    };
    best.is_some_and(|best| early.epochs.saturating_sub(best.epoch.max(after)) >= recipe.patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_loss_and_highest_accuracy_are_kept_apart_and_patience_counts_from_what_is_watched() {
        let mut early = EarlyStopping::default();
        let loss = Recipe { early_stopping: Watch::Loss, patience: 2, ..Recipe::default() };
        let accuracy = Recipe { early_stopping: Watch::Accuracy, ..loss.clone() };
        assert!(!has_stopped(&loss, &early, 0));
        for (i, (value, share, best)) in [
            (1.0, 0.1, NewBest { loss: true, accuracy: true }),
            (0.8, 0.1, NewBest { loss: true, accuracy: true }),
            (0.9, 0.3, NewBest { loss: false, accuracy: true }),
            (0.9, 0.3, NewBest { loss: false, accuracy: false }),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(early.observe(i as u32 + 1, Some((value, share))), best, "epoch {i}");
        }
        assert!(has_stopped(&loss, &early, 0) && !has_stopped(&accuracy, &early, 0));
        // Whoever asks for more epochs after the third gets as many as patience has.
        assert!(!has_stopped(&loss, &early, 3) && has_stopped(&loss, &EarlyStopping { epochs: 5, ..early.clone() }, 3));
        assert_eq!(early.best_loss.unwrap().epoch, 2);
        assert_eq!(early.best_accuracy.unwrap().epoch, 3);
    }
}

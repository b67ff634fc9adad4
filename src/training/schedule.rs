//! The learning rate as a function of the step. Pure.

use std::f64::consts::PI;

use crate::training::recipe::{Recipe, Schedule};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}

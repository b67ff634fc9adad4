//! The learning rate as a function of the step: a warm-up, then a schedule, as PyTorch's `SequentialLR` joins
//! `LinearLR` and one of `ConstantLR`, `ExponentialLR` and `CosineAnnealingLR`. Pure.

use std::f64::consts::PI;

use crate::error::{Error, Result};
use crate::training::recipe::{Recipe, Schedule};

/// The learning rate of optimiser step `step` (from 0, over all epochs). Of `warmup` steps, step `s` has
/// `lr * (s + 1) / (warmup + 1)`, so that the one after them has the full rate. From there on, `t` steps after the
/// warm-up, of `n` in all:
///
/// | schedule | rate |
/// |---|---|
/// | constant | `lr` |
/// | exponential | `lr * gamma ^ floor(t / steps_per_epoch)` |
/// | cosine | `lr * (1 + cos(pi * t / n)) / 2`, which would be 0 at `t = n`, after the last step |
#[must_use]
pub fn learning_rate(recipe: &Recipe, step: u64, steps_per_epoch: u64) -> f64 {
    let warmup = n_warmup(recipe, steps_per_epoch);
    if step < warmup {
        return recipe.lr * (step + 1) as f64 / (warmup + 1) as f64;
    }
    let since = step - warmup;
    match recipe.schedule {
        Schedule::Constant => recipe.lr,
        Schedule::Exponential => recipe.lr * recipe.gamma.powf((since / steps_per_epoch.max(1)) as f64),
        Schedule::Cosine => {
            let n_left = n_steps(recipe, steps_per_epoch).saturating_sub(warmup).max(1);
            let share = (since as f64 / n_left as f64).min(1.0);
            recipe.lr * 0.5 * (1.0 + (PI * share).cos())
        }
    }
}

fn n_warmup(recipe: &Recipe, steps_per_epoch: u64) -> u64 {
    (recipe.warmup_epochs * steps_per_epoch as f64).round() as u64
}

fn n_steps(recipe: &Recipe, steps_per_epoch: u64) -> u64 {
    u64::from(recipe.epochs) * steps_per_epoch
}

/// Makes sure that a step or more has the full rate; `key` names the warm-up in the error.
///
/// # Errors
/// If the warm-up takes all steps.
pub fn leaves_warm_up(recipe: &Recipe, steps_per_epoch: u64, key: &str) -> Result<()> {
    if n_warmup(recipe, steps_per_epoch) < n_steps(recipe, steps_per_epoch) {
        return Ok(());
    }
    let expected =
        format!("fewer than the {} epochs that are trained, so that a step has the full rate", recipe.epochs);
    Err(Error::refused(key, expected, recipe.warmup_epochs))
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

    #[test]
    fn every_schedule_begins_with_its_full_rate_after_the_warm_up() {
        let of = |schedule, warmup_epochs| Recipe { warmup_epochs, ..recipe(schedule) };
        let rates = |recipe: &Recipe| (0..8).map(|step| learning_rate(recipe, step, 2)).collect::<Vec<_>>();
        // Two steps an epoch, four epochs; a warm-up of two epochs, or of one and a half.
        let warm = [0.2, 0.4, 0.6, 0.8];
        assert_eq!(rates(&of(Schedule::Constant, 2.0)), [&warm[..], &[1.0; 4]].concat());
        assert_eq!(rates(&of(Schedule::Exponential, 2.0)), [&warm[..], &[1.0, 1.0, 0.5, 0.5]].concat());
        let short = [0.25, 0.5, 0.75];
        assert_eq!(rates(&of(Schedule::Exponential, 1.5)), [&short[..], &[1.0, 1.0, 0.5, 0.5, 0.25]].concat());
        let cosine = rates(&of(Schedule::Cosine, 2.0));
        assert_eq!(cosine[..4], warm);
        for (t, rate) in cosine[4..].iter().enumerate() {
            let expected = [1.0, 0.5 + 0.125_f64.sqrt(), 0.5, 0.5 - 0.125_f64.sqrt()][t];
            assert!((rate - expected).abs() < 1e-12, "{t} {rate}");
        }
    }

    #[test]
    fn a_warm_up_that_takes_all_steps_is_refused() {
        let of = |warmup_epochs, epochs| Recipe { epochs, warmup_epochs, ..recipe(Schedule::Constant) };
        let check =
            |recipe: &Recipe, steps| leaves_warm_up(recipe, steps, "--warmup-epochs").map_err(|e| e.to_string());
        assert_eq!(check(&of(1.5, 2), 2), Ok(()));
        // With so few steps an epoch the warm-up is rounded to all of them.
        for recipe in [of(2.0, 2), of(1.9, 2)] {
            let error = check(&recipe, 2).unwrap_err();
            assert!(error.starts_with("--warmup-epochs: expected fewer than the 2 epochs"), "{error}");
        }
    }
}

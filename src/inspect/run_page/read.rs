//! What run folders tell. Draws nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Result;
use crate::files;
use crate::training::evaluate::epoch_row::EpochRow;
use crate::training::recipe::KEYS;
use crate::training::run::metrics_csv::{GroupRow, read_epochs, read_groups, read_losses};
use crate::training::run::{AnswerRow, BEST_ACCURACY, RunFolder, RunInfo};

/// Losses of steps that a curve has at most; each is the mean of those it stands for.
const MOST_LOSSES: usize = 400;

/// One run, or one of its second steps.
pub struct Run {
    /// What it is called: its folder, and below it the cell type of a second step.
    pub name: String,
    /// Whether training is over.
    pub finished: bool,
    /// What it trains, on what.
    pub info: RunInfo,
    /// Every key of its recipe, with its value.
    pub recipe: Vec<(&'static str, String)>,
    /// Its epochs, in order.
    pub epochs: Vec<Epoch>,
    /// Their figures by cell type, experiment and plate.
    pub groups: Vec<GroupRow>,
    /// `[step, loss]`, thinned.
    pub losses: Vec<(f64, f64)>,
    /// Wells by part of the split and experiment.
    pub split: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// What its network of highest accuracy says of each well that validates; none where it has no such table.
    pub answers: Vec<AnswerRow>,
}

/// One epoch.
#[derive(Debug, Clone, Serialize)]
pub struct Epoch {
    /// From 1; 0 is a second step's network before it is trained.
    #[serde(rename = "epoch")]
    pub number: u32,
    /// Optimiser steps so far.
    pub step: u64,
    /// Those that there are, by the names of `metrics.csv`.
    pub figures: BTreeMap<&'static str, f64>,
}

/// An epoch that is the best by some figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Best {
    /// The epoch.
    pub epoch: u32,
    /// The figure.
    pub value: f64,
}

impl Run {
    /// The first epoch with the least of a figure, or with the most of it; `None` where none has it.
    #[must_use]
    pub fn best(&self, figure: &str, least: bool) -> Option<Best> {
        let known = self.epochs.iter().filter_map(|epoch| Some((epoch.number, *epoch.figures.get(figure)?)));
        known.filter(|(_, value)| value.is_finite()).fold(None, |best: Option<Best>, (epoch, value)| match best {
            Some(best) if (least && best.value <= value) || (!least && best.value >= value) => Some(best),
            _ => Some(Best { epoch, value }),
        })
    }

    /// The first epoch with a loss that is not finite.
    #[must_use]
    pub fn diverged(&self) -> Option<u32> {
        let is_lost = |epoch: &&Epoch| {
            ["train_loss", "val_loss"].iter().any(|name| epoch.figures.get(name).is_some_and(|loss| !loss.is_finite()))
        };
        self.epochs.iter().find(is_lost).map(|epoch| epoch.number)
    }

    /// The epoch of least validation loss.
    #[must_use]
    pub fn best_loss(&self) -> Option<Best> {
        self.best("val_loss", true)
    }

    /// The epoch of highest accuracy per well.
    #[must_use]
    pub fn best_accuracy(&self) -> Option<Best> {
        self.best("val_accuracy_well", false)
    }

    /// A figure of an epoch.
    #[must_use]
    pub fn figure(&self, epoch: u32, name: &str) -> Option<f64> {
        self.epochs.iter().find(|known| known.number == epoch)?.figures.get(name).copied()
    }

    /// Seconds that its epochs took.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().filter_map(|epoch| epoch.figures.get("seconds")).sum()
    }
}

/// Reads runs, each followed by its second steps where it has any.
///
/// # Errors
/// If one is no run folder, or cannot be read.
pub fn read_runs(roots: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for root in roots {
        let folder = RunFolder::open(root)?;
        let name =
            files::resolve(root)?.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        // Two folders of one name are told apart by where they are.
        let name = name.filter(|name| runs.iter().all(|run| run.name != *name));
        let name = name.unwrap_or_else(|| root.display().to_string());
        let first = read_run(&folder, &name)?;
        let mut cell_types: Vec<String> = first.info.cell_types.values().cloned().collect();
        cell_types.sort();
        cell_types.dedup();
        let is_second = first.info.second_step_of.is_some();
        runs.push(first);
        for cell_type in cell_types.iter().filter(|_| !is_second) {
            let second = folder.of_cell_type(cell_type);
            if second.exists()? {
                runs.push(read_run(&second, &format!("{name}/{cell_type}"))?);
            }
        }
    }
    Ok(runs)
}

fn read_run(folder: &RunFolder, name: &str) -> Result<Run> {
    let recipe = folder.recipe()?;
    let value = |name: &'static str| (name, recipe.value(name).unwrap_or_default());
    let mut split: BTreeMap<&'static str, BTreeMap<String, u64>> = BTreeMap::new();
    for (well, part) in folder.parts()? {
        *split.entry(part.into()).or_default().entry(well.plate.experiment.to_string()).or_default() += 1;
    }
    let epoch = |row: &EpochRow| Epoch { number: row.epoch, step: row.step, figures: row.figures().collect() };
    Ok(Run {
        name: name.to_owned(),
        finished: folder.is_finished()?,
        info: folder.info()?,
        recipe: KEYS.iter().map(|key| value(key.name)).collect(),
        epochs: read_epochs(folder.root())?.iter().map(epoch).collect(),
        groups: read_groups(folder.root())?,
        losses: thinned(&read_losses(folder.root())?),
        split,
        answers: folder.answers(BEST_ACCURACY)?,
    })
}

/// Means of neighbours, so that there are at most [`MOST_LOSSES`].
fn thinned(losses: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(u64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|(step, _)| *step as f64).sum::<f64>() / n, part.iter().map(|(_, loss)| loss).sum::<f64>() / n)
    };
    losses.chunks(losses.len().div_ceil(MOST_LOSSES).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_thinned_to_means() {
        let short: Vec<(u64, f64)> = (1..=3).map(|step| (step, step as f64)).collect();
        assert_eq!(thinned(&short), [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]);
        let long: Vec<(u64, f64)> = (1..=1000).map(|step| (step, step as f64)).collect();
        let found = thinned(&long);
        assert_eq!((found.len(), found[0]), (334, (2.0, 2.0)));
        assert!(thinned(&[]).is_empty());
    }
}

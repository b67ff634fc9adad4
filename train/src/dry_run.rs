//! What a run will be, without running it: recipe, split, networks, and by some steps on the real device and data how
//! long it will take. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use tch::Device;

use crate::begun::Summary;
use crate::bench::{StepBench, StepFigures};
use crate::checked::{Checked, checked};
use crate::engine::checkpoint;
use crate::libtorch::caught;
use crate::plan::{Plan, StagePlan, TrainConfig};
use cellshard::error::{Error, Result};
use cellshard::site::WellId;
use cellshard::training::recipe::KEYS;
use cellshard::training::run::{Doing, Pace, RunFolder, SUMMARY, Work};

/// Steps that are timed.
const STEPS: u64 = 3;

/// What a run will be.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun {
    /// The run folder, where it is told.
    pub run: Option<PathBuf>,
    /// Whether there is a run that is gone on with.
    pub goes_on: bool,
    /// Every key of the recipe that has a value.
    pub recipe: BTreeMap<&'static str, String>,
    /// The device, and why it is this one.
    pub device: String,
    /// The GPU's name, where it is one.
    pub gpu: Option<String>,
    /// The version of libtorch.
    pub libtorch: String,
    /// The store.
    pub store: PathBuf,
    /// Classes that are told apart.
    pub classes: usize,
    /// What is trained on and validates, by experiment.
    pub split: Vec<SplitRow>,
    /// What a user should know.
    pub warnings: Vec<String>,
    /// The networks to train, in order.
    pub networks: Vec<NetworkRow>,
    /// Steps of training that were timed.
    pub training: StepFigures,
    /// Batches of validation that were timed; none where nothing validates.
    pub validation: Option<StepFigures>,
    /// Seconds that all that is left takes at most.
    pub seconds: f64,
    /// Seconds that it may take, where that is told.
    pub limit_seconds: Option<f64>,
}

/// Some wells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitRow {
    /// `train`, `control` (a control that is trained on) or `validation`.
    pub part: &'static str,
    /// Their cell type.
    pub cell_type: String,
    /// Their experiment.
    pub experiment: String,
    /// How many they are.
    pub wells: usize,
    /// Their sites.
    pub sites: usize,
}

/// A network to train.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkRow {
    /// The cell type of the second of two steps.
    pub cell_type: Option<String>,
    /// Epochs at most.
    pub epochs: u32,
    /// Epochs that are trained already.
    pub epochs_done: u32,
    /// Optimiser steps of an epoch.
    pub steps_per_epoch: u64,
    /// Sites that an epoch trains on, and those that it judges.
    pub sites_per_epoch: Work,
    /// Seconds of an epoch, its validation included.
    pub epoch_seconds: f64,
    /// Seconds of what is left of it, at most.
    pub seconds: f64,
}

/// Checks what `train` would do by this configuration, and times some steps of it; `measures` is called before that.
///
/// # Errors
/// As [`train`](crate::train::train) before it writes anything; or if data is damaged or memory runs out.
pub fn dry_run(config: &TrainConfig, measures: &dyn Fn()) -> Result<DryRun> {
    let started = Instant::now();
    caught("the dry run", || checked(config, |run| measured(&run, config, started, measures)))
}

fn measured(checked: &Checked<'_>, config: &TrainConfig, started: Instant, measures: &dyn Fn()) -> Result<DryRun> {
    let Checked { plan, begun, stages, environment, .. } = checked;
    if let (None, Some(root)) = (begun, &config.run) {
        RunFolder::at(root).check_new()?;
    }
    let done = stages.iter().map(|stage| done(stage, checked.folder())).collect::<Result<Vec<_>>>()?;
    measures();
    let mut steps = StepBench::of(checked, config)?;
    // The first steps are mostly a GPU getting ready.
    let training = steps.real(if plan.device == Device::Cpu { 1 } else { 10 }, STEPS)?;
    if training.sites == 0 {
        return Err(Error::malformed(plan.store.root().display(), "whole sites to train on", "none"));
    }
    let validation = steps.validation(STEPS)?;
    let mut pace = Pace::default();
    let of = |figures: &StepFigures| [figures.seconds, figures.waited_s].map(Duration::from_secs_f64);
    let [took, waited] = of(&training);
    pace.add(Doing::Training, training.sites, took, waited);
    if let Some(found) = &validation {
        let [took, waited] = of(found);
        pace.add(Doing::Validating, found.sites, took, waited);
    }
    let seconds = |work: Work| pace.time_for(work).unwrap_or_default().as_secs_f64();
    let networks: Vec<NetworkRow> = stages
        .iter()
        .zip(done)
        .map(|(stage, (epochs_done, done))| NetworkRow {
            cell_type: stage.cell_type.clone(),
            epochs: stage.epochs,
            epochs_done,
            steps_per_epoch: stage.order.steps_per_epoch(),
            sites_per_epoch: stage.work().epoch,
            epoch_seconds: seconds(stage.work().epoch),
            seconds: seconds(stage.work().all(stage.epochs).without(done)),
        })
        .collect();
    let limit = config.stop.deadline.map(|deadline| deadline.saturating_duration_since(started));
    let mut recipe: BTreeMap<&'static str, String> =
        KEYS.iter().filter_map(|key| Some((key.name, plan.recipe.value(key.name)?))).collect();
    for (key, told) in [("epochs", config.epochs), ("second-epochs", config.second_epochs)] {
        if let Some(told) = told {
            recipe.insert(key, told.to_string());
        }
    }
    Ok(DryRun {
        run: config.run.clone(),
        goes_on: begun.is_some(),
        recipe,
        device: environment.device.clone(),
        gpu: environment.gpu.clone(),
        libtorch: environment.libtorch.clone(),
        store: plan.store.root().to_owned(),
        classes: plan.classes.n_treatments(),
        split: split(plan),
        warnings: checked.warnings()?.into_iter().chain(plan.split.warnings.clone()).collect(),
        seconds: networks.iter().map(|network| network.seconds).sum(),
        networks,
        training,
        validation,
        limit_seconds: limit.map(|limit| limit.as_secs_f64().round()),
    })
}

/// What is done of a network: epochs, and what of all its work.
fn done(stage: &StagePlan, root: Option<&RunFolder>) -> Result<(u32, Work)> {
    let Some(root) = root else { return Ok((0, Work::default())) };
    let folder = stage.cell_type.as_ref().map_or_else(|| root.clone(), |name| root.of_cell_type(name));
    let work = stage.work();
    if folder.is_finished()? && !stage.is_reopened {
        // Also where it stopped early: nothing is left of it.
        let summary: Summary = folder.read_json(SUMMARY)?;
        return Ok((summary.epochs, work.all(stage.epochs)));
    }
    if !folder.exists()? {
        return Ok((0, Work::default()));
    }
    let progress = checkpoint::progress(&folder)?.unwrap_or_default();
    let trained = work.epoch.trained / stage.order.steps_per_epoch() * progress.step;
    let before = if progress.is_new() { Work::default() } else { work.all(progress.epoch) };
    Ok((progress.epoch, before + Work { trained, judged: 0 }))
}

/// The split by part, cell type and experiment.
fn split(plan: &Plan<'_>) -> Vec<SplitRow> {
    let mut rows: BTreeMap<(u8, &str, &str), (BTreeSet<&WellId>, usize)> = BTreeMap::new();
    let Plan { store, split, .. } = plan;
    for (sites, validates) in [(&split.train, false), (&split.validation, true)] {
        for &site in sites {
            let row = &store.sites()[site];
            let part = if validates { 2 } else { u8::from(row.label.population.is_control()) };
            let experiment = &row.id.well.plate.experiment;
            let found = rows.entry((part, experiment.cell_type(), experiment.as_str())).or_default();
            found.0.insert(&row.id.well);
            found.1 += 1;
        }
    }
    let row =
        |((part, cell_type, experiment), (wells, sites)): ((u8, &str, &str), (BTreeSet<&WellId>, usize))| SplitRow {
            part: ["train", "control", "validation"][usize::from(part)],
            cell_type: cell_type.to_owned(),
            experiment: experiment.to_owned(),
            wells: wells.len(),
            sites,
        };
    rows.into_iter().map(row).collect()
}

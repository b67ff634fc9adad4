//! Where training goes on: `resume.safetensors` holds network, optimiser and progress in one file, so that it is whole
//! or not there. The networks for use (`best-*`, `last`) are files of their own, with nothing but torchvision's
//! tensors.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::models::Network;
use crate::models::weights::{self, Weights};
use crate::optim::optimizer::Optimizer;
use cellshard::error::{Error, Result};
use cellshard::files;
use cellshard::training::run::metrics_csv::{METRICS, STEPS, n_epochs};
use cellshard::training::run::{BEST_ACCURACY, BEST_LOSS, LAST, Progress, RESUME, RunFolder, SUMMARY};

const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
const PROGRESS: &str = "progress";
const N_STEPS: &str = "optimizer_steps";
/// In the metadata of a file: what the run that it is of is known by.
pub(crate) const RUN: &str = "run";
/// In the metadata of a network: the epoch after which it was written.
pub(crate) const EPOCH: &str = "epoch";

/// Writes where training goes on.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn save(folder: &RunFolder, network: &Network, optimizer: &Optimizer, progress: &Progress) -> Result<()> {
    let model = network.tensors().into_iter();
    let model = model.map(|(name, tensor)| (format!("{MODEL}{name}"), tensor.shallow_clone()));
    let state = optimizer.state().into_iter().map(|(name, tensor)| (format!("{OPTIMIZER}{name}"), tensor));
    let tensors: Vec<(String, Tensor)> = model.chain(state).collect();
    let tensors: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let json = serde_json::to_string(progress).expect("names and numbers");
    let mut metadata =
        BTreeMap::from([(PROGRESS.to_owned(), json), (N_STEPS.to_owned(), optimizer.n_steps().to_string())]);
    metadata.extend(folder.identity()?.map(|run| (RUN.to_owned(), run)));
    weights::save(&folder.file(RESUME), &tensors, &metadata)
}

/// Restores network and optimiser, and tells how far training had come; `None` where nothing was ever saved, as a run
/// that was killed before its first step.
///
/// # Errors
/// If the file is lost or damaged, or of another network or optimiser.
pub(crate) fn load(folder: &RunFolder, network: &mut Network, optimizer: &mut Optimizer) -> Result<Option<Progress>> {
    let Some((progress, Weights { tensors, metadata, .. })) = read_resume(folder)? else { return Ok(None) };
    let place = folder.file(RESUME).display().to_string();
    let n_steps = entry(&metadata, N_STEPS, &place)?;
    let n_steps = n_steps.parse().map_err(|e| Error::malformed(&place, "a number of steps", e))?;
    let mut model = Weights { tensors: BTreeMap::new(), metadata: BTreeMap::new(), is_proven: true };
    let mut state = BTreeMap::new();
    for (name, tensor) in tensors {
        if let Some(name) = name.strip_prefix(MODEL) {
            model.tensors.insert(name.to_owned(), tensor);
        } else if let Some(name) = name.strip_prefix(OPTIMIZER) {
            state.insert(name.to_owned(), tensor);
        }
    }
    weights::load(network, &model, &place)?;
    optimizer.restore(n_steps, &state, &place)?;
    check_networks(folder, &progress)?;
    Ok(Some(progress))
}

/// Makes sure that a run without `resume.safetensors` never had one.
fn never_saved(folder: &RunFolder) -> Result<()> {
    let is_sealed = folder.info()?.is_sealed();
    // A run saves where it is before its first step, and so before it writes any of these. 0.1.0 did so after an epoch
    // or ten minutes, and may have written those of a first epoch.
    let later: &[&str] =
        if is_sealed { &[STEPS, METRICS, LAST, BEST_LOSS, BEST_ACCURACY, SUMMARY] } else { &[SUMMARY] };
    let mut trace = None;
    for name in later {
        if files::exists(&folder.file(name))? {
            trace = Some(*name);
        }
    }
    if trace.is_none() && !is_sealed && n_epochs(folder.root())? > 1 {
        trace = Some(METRICS);
    }
    trace.map_or(Ok(()), |trace| Err(lost(folder, RESUME, &format!("where training goes on, as there is {trace}"))))
}

/// Makes sure that the networks are there that a run has written by some point.
///
/// # Errors
/// If one is lost. Of a run of 0.1.0 only the best is looked for, as nothing else is needed of it.
pub(crate) fn check_networks(folder: &RunFolder, progress: &Progress) -> Result<()> {
    let (begun, is_sealed) = (progress.epoch > 0, folder.info()?.is_sealed());
    let wanted = [
        (LAST, begun && is_sealed),
        (BEST_LOSS, is_sealed && (begun || progress.early.best_loss.is_some())),
        (BEST_ACCURACY, begun || progress.early.best_accuracy.is_some()),
    ];
    for (name, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        if !files::exists(&folder.file(name))? {
            return Err(lost(folder, name, "the network that the run has written"));
        }
    }
    Ok(())
}

fn lost(folder: &RunFolder, name: &str, expected: &str) -> Error {
    Error::malformed(folder.file(name).display(), expected, "none: lost since")
}

/// How far training had come; `None` where nothing was ever saved.
///
/// # Errors
/// If the file is lost or damaged, or of another run.
pub(crate) fn progress(folder: &RunFolder) -> Result<Option<Progress>> {
    Ok(read_resume(folder)?.map(|(progress, _)| progress))
}

/// Reads where training goes on; `None` where nothing was ever saved.
fn read_resume(folder: &RunFolder) -> Result<Option<(Progress, Weights)>> {
    let path = folder.file(RESUME);
    if !files::exists(&path)? {
        never_saved(folder)?;
        return Ok(None);
    }
    let place = path.display().to_string();
    let weights = read(folder, RESUME)?;
    let progress = entry(&weights.metadata, PROGRESS, &place)?;
    let progress = serde_json::from_str(progress).map_err(|e| Error::malformed(&place, "its progress", e))?;
    Ok(Some((progress, weights)))
}

/// An entry of a file's metadata; `place` names the file.
fn entry<'m>(metadata: &'m BTreeMap<String, String>, name: &str, place: &str) -> Result<&'m str> {
    let text = metadata.get(name).map(String::as_str);
    text.ok_or_else(|| Error::malformed(place, format!("its {name}"), "none"))
}

/// Writes a network for use, with what it is.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn save_network(folder: &RunFolder, name: &str, network: &Network, epoch: u32) -> Result<()> {
    let mut metadata = BTreeMap::from([
        ("model".to_owned(), network.spec().architecture.name().to_owned()),
        (EPOCH.to_owned(), epoch.to_string()),
    ]);
    metadata.extend(folder.identity()?.map(|run| (RUN.to_owned(), run)));
    weights::save(&folder.file(name), &network.tensors(), &metadata)
}

/// Reads a file of a run, once it is proven to be whole and of that run; one of a run without a seal, as older versions
/// made, is believed.
///
/// # Errors
/// If it is damaged, or of another run.
pub(crate) fn read(folder: &RunFolder, name: &str) -> Result<Weights> {
    let path = folder.file(name);
    let weights = weights::read(&path)?;
    let Some(run) = folder.identity()? else { return Ok(weights) };
    match weights.metadata.get(RUN) {
        Some(found) if weights.is_proven && *found == run => Ok(weights),
        Some(_) if weights.is_proven => Err(Error::malformed(path.display(), "a file of this run", "one of another")),
        _ => Err(Error::malformed(path.display(), "a file of this run with its own SHA-256", "one without")),
    }
}

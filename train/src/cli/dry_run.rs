//! `train --dry-run`: what is printed of a run before it runs.

use std::io::{Write, stderr};
use std::time::Duration;

use crate::dry_run::{DryRun, NetworkRow, dry_run};
use crate::plan::TrainConfig;
use cellshard::cli::report::print_json;
use cellshard::cli::{Align, Exit, Table, agree, count, plural, screen, show};
use cellshard::error::shown;
use cellshard::training::recipe::KEYS;
use cellshard::training::run::in_words;

/// Measures and reports.
///
/// # Errors
/// Those of [`dry_run`], or of stdout.
pub(super) fn run(config: &TrainConfig, as_json: bool) -> anyhow::Result<Exit> {
    // On a CPU a few steps may take minutes.
    let measures = || drop(writeln!(stderr(), "measuring  some steps of training and validation"));
    let found = dry_run(config, &measures)?;
    show(if as_json { print_json("train", &found) } else { print(&found) })?;
    Ok(Exit::Success)
}

fn print(found: &DryRun) -> anyhow::Result<()> {
    let mut out = screen();
    let values = KEYS.iter().filter_map(|key| Some((key.name, found.recipe.get(key.name)?)));
    for (i, (key, value)) in values.enumerate() {
        writeln!(out, "{:<9}  {key} = {value}", if i == 0 { "recipe" } else { "" })?;
    }
    let run = found.run.as_ref().map_or("the first free one".to_owned(), |run| run.display().to_string());
    writeln!(out, "run        {run}: {}", if found.goes_on { "goes on" } else { "begins" })?;
    let gpu = found.gpu.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
    writeln!(out, "device     {}{gpu}, libtorch {}", found.device, found.libtorch)?;
    writeln!(out, "store      {}: {} classes", found.store.display(), count(found.classes as u64))?;
    for warning in &found.warnings {
        writeln!(out, "warning    {}", shown(warning))?;
    }
    let (left, right) = (Align::Left, Align::Right);
    let mut table =
        Table::new([("part", left), ("cell type", left), ("experiment", left), ("wells", right), ("sites", right)]);
    for row in &found.split {
        let [wells, sites] = [row.wells, row.sites].map(|n| count(n as u64));
        table.row([row.part.to_owned(), row.cell_type.clone(), row.experiment.clone(), wells, sites]);
    }
    write!(out, "\n{table}\n")?;
    let heads = ["epochs", "done", "steps an epoch", "an epoch takes", "what is left"].map(|head| (head, right));
    let mut table = Table::new(std::iter::once(("network", left)).chain(heads));
    for network in &found.networks {
        let NetworkRow { cell_type, epochs, epochs_done, steps_per_epoch, epoch_seconds, seconds, .. } = network;
        let name = cell_type.clone().unwrap_or_else(|| "all cell types".to_owned());
        let numbers = [u64::from(*epochs), u64::from(*epochs_done), *steps_per_epoch].map(count);
        table.row([name].into_iter().chain(numbers).chain([words(*epoch_seconds), words(*seconds)]));
    }
    writeln!(out, "{table}")?;
    let training = &found.training;
    let waiting = 100.0 * training.waited_s / training.seconds.max(1e-9);
    let rate = format!("{:.0} sites/s in training, {waiting:.0} % waiting for data", training.sites_per_s);
    let judging = found.validation.as_ref().map(|judged| format!("; {:.0} sites/s in validation", judged.sites_per_s));
    let steps = plural(training.steps, "step");
    writeln!(out, "measured   {rate} ({steps}){}", judging.unwrap_or_default())?;
    Ok(writeln!(out, "{}", conclusion(found))?)
}

/// What it comes to.
fn conclusion(found: &DryRun) -> String {
    let of = |network: &NetworkRow| {
        let left = network.epochs.saturating_sub(network.epochs_done);
        let name = network.cell_type.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        format!("{left} {}{name}", agree(left.into(), "epoch", "epochs"))
    };
    let left: Vec<String> = found.networks.iter().filter(|network| network.seconds > 0.0).map(of).collect();
    if left.is_empty() {
        return "in all     nothing is left to train".to_owned();
    }
    let verb = if left[..] == ["1 epoch"] { "needs" } else { "need" };
    let need = format!("in all     {} {verb} {} at most", left.join(", "), words(found.seconds));
    match found.limit_seconds {
        None => need,
        Some(limit) if limit >= found.seconds => format!("{need}, the limit is {}", words(limit)),
        Some(limit) => format!("{need}, the limit is {}: it will stop, and --resume goes on", words(limit)),
    }
}

fn words(seconds: f64) -> String {
    if 0.0 < seconds && seconds < 1.0 {
        return "less than 1s".to_owned();
    }
    in_words(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

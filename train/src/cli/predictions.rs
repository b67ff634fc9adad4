//! What `predict` reports: how many wells, where they were written, and how many are right where that is known.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;

use serde::Serialize;

use crate::predict::Predictions;
use cellshard::cli::{Align, Table, count, plural, report};

/// Accuracy over some wells.
#[derive(Debug, Default, Clone, Serialize)]
struct Score {
    n_wells: u64,
    n_sites: u64,
    accuracy: f64,
    top5: f64,
    /// Of single sites.
    accuracy_site: f64,
}

#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    wells: usize,
    sites: usize,
    classes: usize,
    chance: f64,
    /// Wells whose class is known; none where no class is.
    all: Option<Score>,
    by_cell_type: BTreeMap<String, Score>,
    by_experiment: BTreeMap<String, Score>,
    written: Vec<&'a PathBuf>,
}

/// Prints the report, as text or JSON.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print(found: &Predictions, written: &[Option<&PathBuf>], json: bool) -> anyhow::Result<()> {
    let mut all: BTreeMap<(), Score> = BTreeMap::new();
    let mut by_cell_type: BTreeMap<String, Score> = BTreeMap::new();
    let mut by_experiment: BTreeMap<String, Score> = BTreeMap::new();
    for (row, well) in found.wells.iter().enumerate() {
        // Controls and classes that the network does not know are no part of the question.
        let Some(class) = found.known[row].filter(|class| found.classes[..found.n_treatments].contains(class)) else {
            continue;
        };
        let ranked = found.ranked(row);
        let experiment = &well.plate.experiment;
        for score in [
            all.entry(()).or_default(),
            by_cell_type.entry(experiment.cell_type().to_owned()).or_default(),
            by_experiment.entry(experiment.to_string()).or_default(),
        ] {
            score.n_wells += 1;
            score.n_sites += found.best_of_sites[row].len() as u64;
            score.accuracy += f64::from(ranked[0] == class);
            score.top5 += f64::from(ranked.iter().take(5).any(|&c| c == class));
            score.accuracy_site += found.best_of_sites[row].iter().filter(|&&c| c == class).count() as f64;
        }
    }
    let means = |scores: BTreeMap<String, Score>| scores.into_iter().map(|(name, s)| (name, s.mean())).collect();
    let report = Report {
        device: &found.device,
        wells: found.wells.len(),
        sites: found.n_sites,
        classes: found.n_treatments,
        chance: 1.0 / found.n_treatments as f64,
        all: all.remove(&()).map(|score: Score| score.mean()),
        by_cell_type: means(by_cell_type),
        by_experiment: means(by_experiment),
        written: written.iter().copied().flatten().collect(),
    };
    if json {
        return report::print_json("predict", &report);
    }
    let mut out = stdout().lock();
    writeln!(out, "device     {}", report.device)?;
    let (wells, sites) = (plural(report.wells as u64, "well"), plural(report.sites as u64, "site"));
    writeln!(out, "predicted  {wells} by {sites}, {} classes", count(report.classes as u64))?;
    for path in &report.written {
        writeln!(out, "written    {}", path.display())?;
    }
    let Some(score) = &report.all else {
        return Ok(writeln!(out, "accuracy   unknown: no class of these wells is known (--truth FILE gives them)")?);
    };
    let mut table = Table::new([
        ("", Align::Left),
        ("wells", Align::Right),
        ("right %", Align::Right),
        ("top 5 %", Align::Right),
        ("sites right %", Align::Right),
    ]);
    let groups = report.by_cell_type.iter().chain(&report.by_experiment).map(|(name, score)| (name.as_str(), score));
    for (name, score) in std::iter::once(("all", score)).chain(groups) {
        let shares = [score.accuracy, score.top5, score.accuracy_site].map(|share| format!("{:.1}", 100.0 * share));
        table.row([name.to_owned(), count(score.n_wells)].into_iter().chain(shares));
    }
    writeln!(out, "\n{table}")?;
    Ok(writeln!(out, "chance     {:.1} %", 100.0 * report.chance)?)
}

impl Score {
    fn mean(self) -> Self {
        let n = self.n_wells.max(1) as f64;
        let accuracy_site = self.accuracy_site / self.n_sites.max(1) as f64;
        Self { accuracy: self.accuracy / n, top5: self.top5 / n, accuracy_site, ..self }
    }
}

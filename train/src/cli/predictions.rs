//! What `predict` reports: how many wells, where they were written, and how many are right where that is known.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::predict::Predictions;
use cellshard::cli::{Align, Table, count, plural, report, screen};
use cellshard::error::shown;
use cellshard::training::data::Part;

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

/// Accuracy over the wells of one part.
#[derive(Debug, Default, Serialize)]
struct Scores {
    all: Score,
    by_cell_type: BTreeMap<String, Score>,
    by_experiment: BTreeMap<String, Score>,
}

#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    wells: usize,
    sites: usize,
    classes: usize,
    chance: f64,
    /// Of wells whose class is known, by what they are to the networks: figures of one part say nothing of another.
    by_part: BTreeMap<&'static str, Scores>,
    warnings: &'a [String],
    written: Vec<&'a PathBuf>,
}

/// Prints the report, as text or JSON.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print(found: &Predictions, written: &[Option<&PathBuf>], json: bool) -> anyhow::Result<()> {
    let scores = scores(found);
    let report = Report {
        device: &found.device,
        wells: found.wells.len(),
        sites: found.n_sites,
        classes: found.n_treatments,
        chance: 1.0 / found.n_treatments as f64,
        by_part: scores.into_iter().map(|(part, scores)| (part.name(), scores)).collect(),
        warnings: &found.warnings,
        written: written.iter().copied().flatten().collect(),
    };
    if json {
        return report::print_json("predict", &report);
    }
    let mut out = screen();
    writeln!(out, "device     {}", report.device)?;
    let (wells, sites) = (plural(report.wells as u64, "well"), plural(report.sites as u64, "site"));
    writeln!(out, "predicted  {wells} by {sites}, {}", plural(report.classes as u64, "class"))?;
    for path in &report.written {
        writeln!(out, "written    {}", path.display())?;
    }
    for warning in report.warnings {
        writeln!(out, "warning    {}", shown(warning))?;
    }
    if report.by_part.is_empty() {
        return Ok(writeln!(out, "accuracy   unknown: no class of these wells is known (--truth FILE gives them)")?);
    }
    for part in [Part::Unseen, Part::Validation, Part::Train] {
        let Some(scores) = report.by_part.get(part.name()) else { continue };
        let mut table = Table::new([
            (part.name(), Align::Left),
            ("wells", Align::Right),
            ("right %", Align::Right),
            ("top 5 %", Align::Right),
            ("sites right %", Align::Right),
        ]);
        let groups =
            scores.by_cell_type.iter().chain(&scores.by_experiment).map(|(name, score)| (name.as_str(), score));
        for (name, score) in std::iter::once(("all", &scores.all)).chain(groups) {
            let shares = [score.accuracy, score.top5, score.accuracy_site].map(|share| format!("{:.1}", 100.0 * share));
            table.row([name.to_owned(), count(score.n_wells)].into_iter().chain(shares));
        }
        write!(out, "\n{table}")?;
    }
    Ok(writeln!(out, "\nchance     {:.1} %", 100.0 * report.chance)?)
}

/// How many wells of each part are right, where their class is known.
fn scores(found: &Predictions) -> BTreeMap<Part, Scores> {
    let mut by_part: BTreeMap<Part, Scores> = BTreeMap::new();
    for (row, well) in found.wells.iter().enumerate() {
        // Controls and classes that the network does not know are no part of the question.
        let Some(class) = found.known[row].filter(|class| found.classes[..found.n_treatments].contains(class)) else {
            continue;
        };
        let ranked = found.ranked(row);
        let experiment = &well.plate.experiment;
        let Scores { all, by_cell_type, by_experiment } = by_part.entry(found.parts[row]).or_default();
        for score in [
            all,
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
    for Scores { all, by_cell_type, by_experiment } in by_part.values_mut() {
        let groups = by_cell_type.values_mut().chain(by_experiment.values_mut());
        std::iter::once(all).chain(groups).for_each(|score| *score = std::mem::take(score).mean());
    }
    by_part
}

impl Score {
    fn mean(self) -> Self {
        let n = self.n_wells.max(1) as f64;
        let accuracy_site = self.accuracy_site / self.n_sites.max(1) as f64;
        Self { accuracy: self.accuracy / n, top5: self.top5 / n, accuracy_site, ..self }
    }
}

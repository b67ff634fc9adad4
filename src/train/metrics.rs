//! What is measured of an epoch, and the CSVs that keep it. Knows no network: probabilities in, figures out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result, read_text};
use crate::site::WellId;
use crate::store::rows::SiteRow;
use crate::whole_file::write_whole;

use super::progress::Sums;
use super::schedule::NewBest;

/// Accuracy over some wells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Score {
    /// Wells.
    pub n_wells: u64,
    /// Sites.
    pub n_sites: u64,
    /// Share of sites whose most probable class is theirs.
    pub accuracy_site: f64,
    /// Share of wells whose class is the most probable by the mean over their sites.
    pub accuracy_well: f64,
    /// Share of wells whose class is among the five most probable.
    pub top5_well: f64,
}

/// What a validation set says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// Mean cross entropy over sites.
    pub loss: f64,
    /// Accuracy per site.
    pub accuracy_site: f64,
    /// Accuracy per well.
    pub accuracy_well: f64,
    /// Top 5 per well.
    pub top5_well: f64,
    /// The same by cell type.
    pub by_cell_type: BTreeMap<String, Score>,
    /// The same by experiment.
    pub by_experiment: BTreeMap<String, Score>,
}

/// Gathers probabilities of sites until all are there.
pub struct Evaluation<'a> {
    rows: &'a [SiteRow],
    outputs: &'a [i64],
    n_treatments: usize,
    losses: (f64, u64),
    wells: BTreeMap<&'a WellId, WellSum>,
}

struct WellSum {
    probabilities: Vec<f64>,
    n_sites: u64,
    n_right: u64,
    output: usize,
}

impl<'a> Evaluation<'a> {
    /// Of a store's sites, with the network's output for each one's class (-1 where there is none). Only the first
    /// `n_treatments` outputs compete: that a well is no control is known.
    #[must_use]
    pub fn new(rows: &'a [SiteRow], outputs: &'a [i64], n_treatments: usize) -> Self {
        Self { rows, outputs, n_treatments, losses: (0.0, 0), wells: BTreeMap::new() }
    }

    /// Adds a site's probabilities and loss. A site without a class is left out.
    pub fn add(&mut self, site: usize, probabilities: &[f32], loss: f32) {
        let Ok(output) = usize::try_from(self.outputs[site]) else { return };
        let treatments = &probabilities[..self.n_treatments];
        let well = self.wells.entry(&self.rows[site].id.well).or_insert_with(|| WellSum {
            probabilities: vec![0.0; treatments.len()],
            n_sites: 0,
            n_right: 0,
            output,
        });
        well.probabilities.iter_mut().zip(treatments).for_each(|(sum, &p)| *sum += f64::from(p));
        well.n_sites += 1;
        well.n_right += u64::from(rank(treatments, output) == 0);
        self.losses = (self.losses.0 + f64::from(loss), self.losses.1 + 1);
    }

    /// The figures; `None` where nothing was added.
    #[must_use]
    pub fn finish(self) -> Option<Validation> {
        let mut all = Score::default();
        let mut by_cell_type: BTreeMap<String, Score> = BTreeMap::new();
        let mut by_experiment: BTreeMap<String, Score> = BTreeMap::new();
        for (id, well) in &self.wells {
            let rank = rank(&well.probabilities, well.output);
            let experiment = &id.plate.experiment;
            for score in [
                &mut all,
                by_cell_type.entry(experiment.cell_type().to_owned()).or_default(),
                by_experiment.entry(experiment.to_string()).or_default(),
            ] {
                score.n_wells += 1;
                score.n_sites += well.n_sites;
                score.accuracy_site += well.n_right as f64;
                score.accuracy_well += f64::from(rank == 0);
                score.top5_well += f64::from(rank < 5);
            }
        }
        let share = |score: &mut Score| {
            score.accuracy_site /= score.n_sites.max(1) as f64;
            score.accuracy_well /= score.n_wells.max(1) as f64;
            score.top5_well /= score.n_wells.max(1) as f64;
        };
        share(&mut all);
        by_cell_type.values_mut().chain(by_experiment.values_mut()).for_each(share);
        (self.losses.1 > 0).then(|| Validation {
            loss: self.losses.0 / self.losses.1 as f64,
            accuracy_site: all.accuracy_site,
            accuracy_well: all.accuracy_well,
            top5_well: all.top5_well,
            by_cell_type,
            by_experiment,
        })
    }
}

/// How many values are larger than that at `i`, or as large and before it: 0 for the most probable.
fn rank<T: PartialOrd>(values: &[T], i: usize) -> usize {
    values.iter().enumerate().filter(|&(k, value)| *value > values[i] || (*value == values[i] && k < i)).count()
}

/// The figures of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpochMetrics {
    /// The epoch, from 1; 0 is a second step's network before it is trained.
    pub epoch: u32,
    /// Optimiser steps so far.
    pub step: u64,
    /// The learning rate of its last step.
    pub lr: f64,
    /// Mean loss over the sites that were trained on, with augmentation, while the network changed.
    pub train_loss: f64,
    /// Share of them that were recognised.
    pub train_accuracy: f64,
    /// What the validation set says; `None` without one.
    pub validation: Option<Validation>,
    /// The accuracy that guessing has.
    pub chance: f64,
    /// Sites trained on a second.
    pub sites_per_second: f64,
    /// Share of the time that was spent waiting for data.
    pub wait_share: f64,
    /// Seconds of training.
    pub seconds: f64,
}

impl EpochMetrics {
    /// The figures of an epoch from its sums.
    #[must_use]
    pub fn new(epoch: u32, step: u64, lr: f64, sums: &Sums, validation: Option<Validation>, chance: f64) -> Self {
        let sites = sums.sites.max(1) as f64;
        Self {
            epoch,
            step,
            lr,
            train_loss: sums.loss / sites,
            train_accuracy: sums.correct / sites,
            validation,
            chance,
            sites_per_second: sums.sites as f64 / sums.seconds.max(1e-9),
            wait_share: sums.waited / sums.seconds.max(1e-9),
            seconds: sums.seconds,
        }
    }

    /// A line of the log; a best epoch is marked.
    #[must_use]
    pub fn line(&self, best: NewBest) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let mut line = match self.epoch {
            0 => "start    ".to_owned(),
            epoch => {
                format!("epoch {epoch:>3}  loss {:.3}, accuracy {}", self.train_loss, percent(self.train_accuracy))
            }
        };
        if let Some(Validation { loss, accuracy_site, accuracy_well, top5_well, .. }) = &self.validation {
            let [site, well, top5] = [accuracy_site, accuracy_well, top5_well].map(|share| percent(*share));
            line += &format!("   validation loss {loss:.3}, sites {site}, wells {well}, top 5 {top5}");
            line += match (best.loss, best.accuracy) {
                (true, true) => " (best)",
                (true, false) => " (least loss)",
                (false, true) => " (most right)",
                (false, false) => "",
            };
        }
        if self.epoch > 0 {
            line += &format!("   {:.0} sites/s, {} waiting", self.sites_per_second, percent(self.wait_share));
        }
        line
    }

    /// Names and values of the figures, for CSV and TensorBoard; `None` where there is no validation set.
    #[must_use]
    pub fn scalars(&self) -> [(&'static str, Option<f64>); 11] {
        let validation = |figure: fn(&Validation) -> f64| self.validation.as_ref().map(figure);
        let trained = |figure: f64| (self.epoch > 0).then_some(figure);
        [
            ("lr", trained(self.lr)),
            ("train_loss", trained(self.train_loss)),
            ("train_accuracy", trained(self.train_accuracy)),
            ("val_loss", validation(|v| v.loss)),
            ("val_accuracy_site", validation(|v| v.accuracy_site)),
            ("val_accuracy_well", validation(|v| v.accuracy_well)),
            ("val_top5_well", validation(|v| v.top5_well)),
            ("chance", Some(self.chance)),
            ("sites_per_second", trained(self.sites_per_second)),
            ("wait_share", trained(self.wait_share)),
            ("seconds", trained(self.seconds)),
        ]
    }
}

const METRICS: &str = "metrics.csv";
const GROUPS: &str = "metrics-groups.csv";
const GROUPS_HEADER: &str = "epoch,kind,group,wells,sites,accuracy_site,accuracy_well,top5_well";

/// `metrics.csv`, a line an epoch, and `metrics-groups.csv`, a line an epoch and cell type or experiment.
pub struct MetricsFile {
    metrics: (PathBuf, String),
    groups: (PathBuf, String),
}

impl MetricsFile {
    /// Opens the files of a run folder and keeps what they have of the first `n_epochs` epochs.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn open(root: &Path, n_epochs: u32) -> Result<Self> {
        let names = EpochMetrics::new(0, 0, 0.0, &Sums::default(), None, 0.0).scalars().map(|(name, _)| name);
        let header = format!("epoch,step,{}", names.join(","));
        Ok(Self {
            metrics: kept(root.join(METRICS), &header, u64::from(n_epochs))?,
            groups: kept(root.join(GROUPS), GROUPS_HEADER, u64::from(n_epochs))?,
        })
    }

    /// Adds an epoch.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn append(&mut self, row: &EpochMetrics) -> Result<()> {
        let values = row.scalars().map(|(_, value)| value.map(|value| value.to_string()).unwrap_or_default());
        let _ = writeln!(self.metrics.1, "{},{},{}", row.epoch, row.step, values.join(","));
        if let Some(validation) = &row.validation {
            for (kind, scores) in [("cell-type", &validation.by_cell_type), ("experiment", &validation.by_experiment)] {
                for (group, score) in scores {
                    let Score { n_wells, n_sites, accuracy_site, accuracy_well, top5_well } = score;
                    let figures = format!("{n_wells},{n_sites},{accuracy_site},{accuracy_well},{top5_well}");
                    let _ = writeln!(self.groups.1, "{},{kind},{group},{figures}", row.epoch);
                }
            }
        }
        write_whole(&self.metrics.0, self.metrics.1.as_bytes())?;
        write_whole(&self.groups.0, self.groups.1.as_bytes())
    }
}

/// `steps.csv`: the loss of every optimiser step.
pub struct StepsFile {
    path: PathBuf,
    file: File,
}

impl StepsFile {
    /// Opens the file of a run folder and keeps what it has of the first `n_steps` steps.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(root: &Path, n_steps: u64) -> Result<Self> {
        let (path, text) = kept(root.join("steps.csv"), "step,lr,loss", n_steps)?;
        write_whole(&path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(&path, "open"))?;
        Ok(Self { path, file })
    }

    /// Adds steps: number from 1, learning rate, loss.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, steps: impl IntoIterator<Item = (u64, f64, f64)>) -> Result<()> {
        let lines: String = steps.into_iter().map(|(step, lr, loss)| format!("{step},{lr},{loss}\n")).collect();
        self.file.write_all(lines.as_bytes()).map_err(Error::io(&self.path, "write"))
    }
}

/// The lines of a file whose first cell, an epoch or a step, is at most `n`, under its header.
fn kept(path: PathBuf, header: &str, n: u64) -> Result<(PathBuf, String)> {
    let mut text = format!("{header}\n");
    if path.exists() {
        let found = read_text(&path)?;
        let mut lines = found.lines();
        if lines.next().is_some_and(|first| first != header) {
            return Err(Error::malformed(format!("{}:1", path.display()), header, "another header"));
        }
        let number = |line: &str| line.split(',').next().and_then(|cell| cell.parse::<u64>().ok());
        for line in lines.filter(|line| number(line).is_some_and(|number| number <= n)) {
            text += line;
            text.push('\n');
        }
    }
    Ok((path, text))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::site::{Label, SiteId};

    /// An epoch with these validation figures and nothing else.
    pub(crate) fn epoch(epoch: u32, loss: f64, accuracy_well: f64) -> EpochMetrics {
        let score = Score { n_wells: 2, n_sites: 4, accuracy_site: 0.5, accuracy_well, top5_well: 1.0 };
        let groups = |name: &str| BTreeMap::from([(name.to_owned(), score)]);
        let validation = Validation {
            loss,
            accuracy_site: 0.5,
            accuracy_well,
            top5_well: 1.0,
            by_cell_type: groups("RPE"),
            by_experiment: groups("RPE-01"),
        };
        EpochMetrics::new(epoch, 3, 0.1, &Sums::default(), Some(validation), 0.25)
    }

    fn rows() -> Vec<SiteRow> {
        let site = |experiment: &str, well: &str, site| SiteRow {
            id: SiteId::new(experiment, 1, well, site).unwrap(),
            label: Label::unknown(),
            row: 0,
            crc32c: 0,
        };
        vec![
            site("RPE-01", "B02", 1),
            site("RPE-01", "B02", 2),
            site("RPE-02", "B02", 1),
            site("HUVEC-01", "C03", 1),
            site("HUVEC-01", "C04", 1),
        ]
    }

    #[test]
    fn wells_are_judged_by_the_mean_over_their_sites() {
        let rows = rows();
        // Three treatments and a control, which does not compete.
        let outputs = [1, 1, 0, 2, -1];
        let mut evaluation = Evaluation::new(&rows, &outputs, 3);
        evaluation.add(0, &[0.5, 0.4, 0.0, 0.1], 1.0); // wrong alone, right together
        evaluation.add(1, &[0.1, 0.6, 0.3, 0.0], 2.0);
        evaluation.add(2, &[0.2, 0.1, 0.1, 0.6], 3.0); // right: the control is out of the question
        evaluation.add(3, &[0.4, 0.3, 0.3, 0.0], 6.0); // wrong, in the top 5
        evaluation.add(4, &[0.4, 0.3, 0.3, 0.0], 100.0); // no class
        let found = evaluation.finish().unwrap();
        assert_eq!(found.loss, 3.0);
        assert_eq!((found.accuracy_site, found.accuracy_well, found.top5_well), (0.5, 2.0 / 3.0, 1.0));
        assert_eq!(found.by_cell_type["RPE"].accuracy_well, 1.0);
        assert_eq!(found.by_cell_type["HUVEC"].accuracy_well, 0.0);
        assert_eq!(
            found.by_experiment["RPE-01"],
            Score { n_wells: 1, n_sites: 2, accuracy_site: 0.5, accuracy_well: 1.0, top5_well: 1.0 }
        );
        assert!(Evaluation::new(&rows, &outputs, 3).finish().is_none());
    }

    #[test]
    fn equal_probabilities_are_no_hit_for_all() {
        assert_eq!((0..3).map(|i| rank(&[0.25, 0.25, 0.5], i)).collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn a_resumed_run_drops_the_epochs_that_it_trains_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = MetricsFile::open(dir.path(), 0).unwrap();
        (1..=3).for_each(|i| file.append(&epoch(i, 1.0, 0.5)).unwrap());
        let lines = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap().lines().count();
        assert_eq!((lines(METRICS), lines(GROUPS)), (4, 7));
        MetricsFile::open(dir.path(), 2).unwrap().append(&epoch(3, 1.0, 0.5)).unwrap();
        assert_eq!((lines(METRICS), lines(GROUPS)), (4, 7));
        MetricsFile::open(dir.path(), 0).unwrap().append(&epoch(1, 1.0, 0.5)).unwrap();
        assert_eq!((lines(METRICS), lines(GROUPS)), (2, 3));
    }
}

//! The CSVs of a run folder: what is measured of each epoch, of its cell types and experiments, and the loss of each
//! step. A resumed run drops what it measures again.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, write_whole};
use crate::training::evaluate::metrics::{EpochMetrics, Score, Sums};

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
        let file = files::append(&path)?;
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
    if files::exists(&path)? {
        let found = files::read_text(&path)?;
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
mod tests {
    use super::*;
    use crate::training::evaluate::metrics::tests::epoch;

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

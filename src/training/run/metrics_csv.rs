//! The CSVs of a run folder: what is measured of each epoch, of its cell types, experiments and plates, and the loss of
//! each step. A resumed run drops what it measures again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::csv_table::{self, Figure, Header, Rows, from_csv, to_csv, to_lines};
use crate::error::{Error, Result};
use crate::files::{self, write_whole};
use crate::training::evaluate::epoch_row::EpochRow;
use crate::training::evaluate::metrics::{EpochMetrics, Score};

/// A line an epoch.
pub const METRICS: &str = "metrics.csv";
const GROUPS: &str = "metrics-groups.csv";
/// A line a step.
pub const STEPS: &str = "steps.csv";

/// A row of `metrics-groups.csv`: an epoch's figures of a cell type, an experiment or a plate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRow {
    /// The epoch, from 1; 0 is a second step's network before it is trained.
    pub epoch: u32,
    /// `cell-type`, `experiment` or `plate`.
    pub kind: String,
    /// Its name.
    pub group: String,
    /// Wells that validate.
    pub wells: u64,
    /// Their sites.
    pub sites: u64,
    /// Share of sites that are right.
    pub accuracy_site: Figure,
    /// Share of wells that are right, by the mean over their sites.
    pub accuracy_well: Figure,
    /// Share of wells whose class is among the first five.
    pub top5_well: Figure,
}

impl GroupRow {
    fn new(epoch: u32, kind: &str, group: &str, score: &Score) -> Self {
        let Score { n_wells, n_sites, accuracy_site, accuracy_well, top5_well } = *score;
        let [accuracy_site, accuracy_well, top5_well] = [accuracy_site, accuracy_well, top5_well].map(Figure);
        let (kind, group) = (kind.to_owned(), group.to_owned());
        Self { epoch, kind, group, wells: n_wells, sites: n_sites, accuracy_site, accuracy_well, top5_well }
    }
}

/// A row of `steps.csv`.
#[derive(Serialize, Deserialize)]
struct StepRow {
    step: u64,
    lr: Figure,
    loss: Figure,
}

/// `metrics.csv`, a line an epoch, and `metrics-groups.csv`, a line an epoch and cell type, experiment or plate. Versions
/// that did not tell of plates have no such lines.
pub struct MetricsFile {
    metrics: (PathBuf, String),
    groups: (PathBuf, String),
}

impl MetricsFile {
    /// Opens the files of a run folder and keeps what they have of the first `n_epochs` epochs, a start before the first
    /// included; with `None` nothing.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn open(root: &Path, n_epochs: Option<u32>) -> Result<Self> {
        let keeps = |epoch: u32| n_epochs.is_some_and(|n| epoch <= n);
        let metrics = kept(root.join(METRICS), |row: &EpochRow| keeps(row.epoch))?;
        let expected = n_epochs.unwrap_or(0) as usize;
        let found = epochs_of(&metrics, |row: &EpochRow| (row.epoch > 0).then_some(row.epoch))?.len();
        if found != expected {
            // It is written whole, and before what says how many epochs are over.
            let expected = format!("a row for each of the {expected} epochs that are over");
            return Err(Error::malformed(metrics.0.display(), expected, found));
        }
        let groups = kept(root.join(GROUPS), |row: &GroupRow| keeps(row.epoch))?;
        let told = epochs_of(&groups, |row: &GroupRow| Some(row.epoch))?;
        let judged = epochs_of(&metrics, |row: &EpochRow| row.val_loss.map(|_| row.epoch))?;
        if let Some(epoch) = judged.difference(&told).next() {
            let expected = format!("rows of epoch {epoch}, which {METRICS} has");
            return Err(Error::malformed(groups.0.display(), expected, "none: lost since"));
        }
        Ok(Self { metrics, groups })
    }

    /// Adds an epoch.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn append(&mut self, row: &EpochMetrics) -> Result<()> {
        self.metrics.1 += &to_lines(&[EpochRow::of(row)]);
        if let Some(validation) = &row.validation {
            for (kind, scores) in [
                ("cell-type", &validation.by_cell_type),
                ("experiment", &validation.by_experiment),
                ("plate", &validation.by_plate),
            ] {
                let rows = scores.iter().map(|(group, score)| GroupRow::new(row.epoch, kind, group, score));
                self.groups.1 += &to_lines(&rows.collect::<Vec<_>>());
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
        let path = root.join(STEPS);
        if n_steps > 0 && !files::exists(&path)? {
            let expected = format!("a row for each of the {n_steps} steps that were taken");
            return Err(Error::malformed(path.display(), expected, "none: lost since"));
        }
        // A link is refused before what it leads to is written.
        drop(files::append(&path)?);
        let (path, text) = kept(path, |row: &StepRow| row.step <= n_steps)?;
        write_whole(&path, text.as_bytes())?;
        let file = files::append(&path)?;
        Ok(Self { path, file })
    }

    /// Adds steps: number from 1, learning rate, loss.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, steps: impl IntoIterator<Item = (u64, f64, f64)>) -> Result<()> {
        let rows = steps.into_iter().map(|(step, lr, loss)| StepRow { step, lr: Figure(lr), loss: Figure(loss) });
        let lines = to_lines(&rows.collect::<Vec<_>>());
        self.file.write_all(lines.as_bytes()).map_err(Error::io(&self.path, "write"))
    }
}

/// The rows of a run folder's `metrics.csv`; none where there is none.
///
/// # Errors
/// If it cannot be read.
pub fn read_epochs(root: &Path) -> Result<Vec<EpochRow>> {
    read_if_there(&root.join(METRICS))
}

/// The rows of a run folder's `metrics-groups.csv`; none where there is none.
///
/// # Errors
/// If it cannot be read.
pub fn read_groups(root: &Path) -> Result<Vec<GroupRow>> {
    read_if_there(&root.join(GROUPS))
}

/// Number and loss of each step of a run folder's `steps.csv`; none where there is none.
///
/// # Errors
/// If it cannot be read.
pub fn read_losses(root: &Path) -> Result<Vec<(u64, f64)>> {
    let rows: Vec<StepRow> = read_if_there(&root.join(STEPS))?;
    Ok(rows.into_iter().map(|row| (row.step, row.loss.0)).collect())
}

/// The rows of a table of a run folder; none where it is not there.
pub(super) fn read_if_there<R: DeserializeOwned>(path: &Path) -> Result<Vec<R>> {
    if files::exists(path)? { from_csv(&files::read_text(path)?, &path.display().to_string()) } else { Ok(Vec::new()) }
}

/// How many epochs a run folder's `metrics.csv` tells of; 0 where there is none.
///
/// # Errors
/// If it cannot be read.
pub fn n_epochs(root: &Path) -> Result<usize> {
    let all = kept(root.join(METRICS), |_: &EpochRow| true)?;
    Ok(epochs_of(&all, |row: &EpochRow| (row.epoch > 0).then_some(row.epoch))?.len())
}

/// The epochs that rows of a file that is continued are of.
fn epochs_of<R: DeserializeOwned>(
    (path, text): &(PathBuf, String),
    epoch: impl Fn(&R) -> Option<u32>,
) -> Result<BTreeSet<u32>> {
    let (place, mut epochs) = (path.display().to_string(), BTreeSet::new());
    for row in Rows::<R>::open(text, &place, Header::Exact)? {
        epochs.extend(epoch(&row?.1));
    }
    Ok(epochs)
}

/// What a file that is continued has of the rows to keep, under its header; the header alone where it is not there.
fn kept<R: Serialize + DeserializeOwned>(path: PathBuf, keep: impl Fn(&R) -> bool) -> Result<(PathBuf, String)> {
    let found = if files::exists(&path)? { files::read_text(&path)? } else { String::new() };
    let text = match found.as_str() {
        "" => to_csv::<R>(&[]),
        found => csv_table::kept(found, &path.display().to_string(), keep)?,
    };
    Ok((path, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::evaluate::metrics::tests::epoch;

    const METRICS_TEXT: &str = "\
epoch,step,lr,train_loss,train_accuracy,val_loss,val_accuracy_site,val_accuracy_well,val_top5_well,chance,\
sites_per_second,wait_share,seconds
0,3,,,,2.5,0.5,0.25,1,0.25,,,
1,3,0.1,0,0,1,0.5,0.5,1,0.25,0,0,0
2,3,0.0000001,2,0,,,,,0.25,1000000000000000000000,0,0.30000000000000004
3,3,0.0000001,2,0,NaN,0.5,1,1,0.25,1000000000000000000000,0,0.30000000000000004
";
    const GROUPS_TEXT: &str = "\
epoch,kind,group,wells,sites,accuracy_site,accuracy_well,top5_well
0,experiment,RPE-01,2,4,0.5,0.25,1
0,plate,RPE-01/Plate1,2,4,0.5,0.25,1
1,cell-type,RPE,2,4,0.5,0.5,1
1,experiment,RPE-01,2,4,0.5,0.5,1
1,plate,RPE-01/Plate1,2,4,0.5,0.5,1
3,cell-type,RPE,2,4,0.5,1,1
3,experiment,RPE-01,2,4,0.5,1,1
3,plate,RPE-01/Plate1,2,4,0.5,1,1
";
    const STEPS_TEXT: &str = "step,lr,loss\n1,0,3\n2,0.0000001,0.30000000000000004\n3,1,inf\n";

    #[test]
    fn the_files_of_a_run_folder_have_these_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let mut file = MetricsFile::open(dir.path(), Some(0)).unwrap();
        let mut start = epoch(0, 2.5, 0.25);
        start.validation.as_mut().unwrap().by_cell_type.clear();
        let mut last = epoch(3, f64::NAN, 1.0);
        (last.lr, last.train_loss, last.seconds, last.sites_per_second) = (1e-7, 2.0, 0.1 + 0.2, 1e21);
        let trained = EpochMetrics { epoch: 2, validation: None, ..last.clone() };
        for row in [start, epoch(1, 1.0, 0.5), trained, last] {
            file.append(&row).unwrap();
        }
        assert_eq!(text(METRICS), METRICS_TEXT);
        assert_eq!(text(GROUPS), GROUPS_TEXT);
        let mut steps = StepsFile::open(dir.path(), 0).unwrap();
        steps.append([(1, 0.0, 3.0), (2, 1e-7, 0.1 + 0.2), (3, 1.0, f64::INFINITY)]).unwrap();
        steps.append([]).unwrap();
        assert_eq!(text(STEPS), STEPS_TEXT);
        // What is kept of them is kept as it stands.
        MetricsFile::open(dir.path(), Some(3)).unwrap().append(&epoch(4, 1.0, 0.5)).unwrap();
        assert!(text(METRICS).starts_with(METRICS_TEXT) && text(GROUPS).starts_with(GROUPS_TEXT));
        StepsFile::open(dir.path(), 3).unwrap();
        assert_eq!(text(STEPS), STEPS_TEXT);
    }

    #[test]
    fn a_table_that_lost_epochs_is_an_error_and_not_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = MetricsFile::open(dir.path(), Some(0)).unwrap();
        (1..=3).for_each(|i| file.append(&epoch(i, 1.0, 0.5)).unwrap());
        assert_eq!(n_epochs(dir.path()).unwrap(), 3);
        let path = dir.path().join(METRICS);
        let text = std::fs::read_to_string(&path).unwrap();
        let error = |n| MetricsFile::open(dir.path(), Some(n)).map(|_| ()).unwrap_err().to_string();
        assert!(error(4).contains("a row for each of the 4 epochs that are over, found 3"), "{}", error(4));
        std::fs::write(&path, text.replacen("\n2,", "\n2x,", 1)).unwrap();
        assert!(error(3).contains("found 2") && MetricsFile::open(dir.path(), Some(1)).is_ok());
        std::fs::remove_file(&path).unwrap();
        assert!(error(1).contains("found 0") && MetricsFile::open(dir.path(), Some(0)).is_ok());
        assert_eq!(n_epochs(dir.path()).unwrap(), 0);
    }

    #[test]
    fn a_resumed_run_drops_the_epochs_that_it_trains_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = MetricsFile::open(dir.path(), Some(0)).unwrap();
        (1..=3).for_each(|i| file.append(&epoch(i, 1.0, 0.5)).unwrap());
        let lines = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap().lines().count();
        assert_eq!((lines(METRICS), lines(GROUPS)), (4, 10));
        MetricsFile::open(dir.path(), Some(2)).unwrap().append(&epoch(3, 1.0, 0.5)).unwrap();
        assert_eq!((lines(METRICS), lines(GROUPS)), (4, 10));
        MetricsFile::open(dir.path(), Some(0)).unwrap().append(&epoch(1, 1.0, 0.5)).unwrap();
        assert_eq!((lines(METRICS), lines(GROUPS)), (2, 4));
        // Where the network that it starts from was judged, and nothing saved of that: once more, and once in the file.
        MetricsFile::open(dir.path(), None).unwrap().append(&epoch(0, 1.0, 0.5)).unwrap();
        MetricsFile::open(dir.path(), None).unwrap().append(&epoch(0, 1.0, 0.5)).unwrap();
        assert_eq!((lines(METRICS), lines(GROUPS)), (2, 4));
        MetricsFile::open(dir.path(), Some(0)).unwrap().append(&epoch(1, 1.0, 0.5)).unwrap();
        assert_eq!((lines(METRICS), lines(GROUPS)), (3, 7));
    }
}

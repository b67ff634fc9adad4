//! TensorBoard event files: the figures of epochs and steps, and the recipe as hyperparameters. Reads nothing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::files;
use crate::training::evaluate::epoch_row::EpochRow;
use crate::training::evaluate::metrics::{EpochMetrics, Score};
use crate::training::recipe::{KEYS, Recipe};

use super::event_proto::{self as proto, Value};

/// One event file, appended to.
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Starts an event file in a folder, with the recipe. TensorBoard reads all of a folder's files together, and drops
    /// what earlier ones say of `step` and later: a resumed run says it again.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(root: &Path, step: u64, recipe: &Recipe) -> Result<Self> {
        let now = seconds();
        let mut n = 0;
        loop {
            let path = root.join(format!("events.out.tfevents.{now:010.0}.cellshard.{n}"));
            match files::create_new(&path) {
                Ok(file) => {
                    let mut writer = Self { path, file };
                    let hparams = hparams(recipe);
                    writer.records(&[
                        proto::version(now),
                        proto::start(now, step),
                        proto::experiment(now, &hparams, &JUDGED_BY),
                        proto::session_start(now, &hparams),
                    ])?;
                    return Ok(writer);
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(Error::io(&path, "create")(e)),
            }
        }
    }

    /// Appends the figures of an epoch, of its cell types and of its experiments, at its optimiser step.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, row: &EpochMetrics) -> Result<()> {
        let of_epoch = EpochRow::of(row);
        let figures = of_epoch.figures().map(|(name, value)| {
            let tag = name.split_once('_').filter(|(kind, _)| ["train", "val"].contains(kind));
            let tag = tag.map_or_else(|| format!("run/{name}"), |(kind, rest)| format!("{kind}/{rest}"));
            (tag, value)
        });
        let mut scalars: Vec<(String, f64)> = figures.collect();
        if let Some(found) = &row.validation {
            for (kind, scores) in [("cell-type", &found.by_cell_type), ("experiment", &found.by_experiment)] {
                scalars.extend(scores.iter().flat_map(|(group, score)| of_group(kind, group, score)));
            }
        }
        self.records(&[proto::scalars(seconds(), row.step, &scalars)])
    }

    /// Appends steps: number from 1, learning rate, loss.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn steps(&mut self, steps: &[(u64, f64, f64)]) -> Result<()> {
        let now = seconds();
        let event = |&(step, lr, loss): &(u64, f64, f64)| {
            proto::scalars(now, step, &[("step/lr".to_owned(), lr), ("step/loss".to_owned(), loss)])
        };
        self.records(&steps.iter().map(event).collect::<Vec<_>>())
    }

    /// Says that training is over.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.records(&[proto::session_end(seconds())])
    }

    fn records(&mut self, all: &[Vec<u8>]) -> Result<()> {
        let framed: Vec<u8> = all.iter().flat_map(|data| proto::framed(data)).collect();
        self.file.write_all(&framed).map_err(Error::io(&self.path, "write"))
    }
}

/// The figures that runs are compared by.
const JUDGED_BY: [&str; 4] = ["val/accuracy_well", "val/top5_well", "val/accuracy_site", "val/loss"];

/// Every key of a recipe that has a value.
fn hparams(recipe: &Recipe) -> Vec<(String, Value)> {
    let value = |text: String| match (text.parse(), text.parse()) {
        (Ok(number), _) => Value::Number(number),
        (_, Ok(flag)) => Value::Flag(flag),
        _ => Value::Text(text),
    };
    KEYS.iter().filter_map(|key| Some((key.name.to_owned(), value(recipe.value(key.name)?)))).collect()
}

/// What is told of a cell type or an experiment.
fn of_group(kind: &str, group: &str, score: &Score) -> [(String, f64); 3] {
    [("accuracy_site", score.accuracy_site), ("accuracy_well", score.accuracy_well), ("top5_well", score.top5_well)]
        .map(|(name, value)| (format!("{kind}/{group}/{name}"), value))
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::evaluate::metrics::tests::epoch;

    #[test]
    fn a_resumed_run_writes_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut events = EventWriter::create(dir.path(), 0, &Recipe::default()).unwrap();
            events.append(&epoch(1, 0.5, 0.5)).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_recipes_values_are_numbers_flags_and_texts_as_they_are_written() {
        let recipe = Recipe { init_from: Some("infinity.safetensors".to_owned()), ..Recipe::default() };
        let all = hparams(&recipe);
        let of = |key: &str| all.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        assert_eq!(of("epochs"), Some(Value::Number(15.0)));
        assert_eq!(of("lr"), Some(Value::Number(6e-4)));
        assert_eq!(of("flip"), Some(Value::Flag(false)));
        assert_eq!(of("model"), Some(Value::Text("resnet18".to_owned())));
        assert_eq!(of("init-from"), Some(Value::Text("infinity.safetensors".to_owned())));
        assert_eq!((of("cell-type"), all.len()), (None, KEYS.len() - 2));
    }
}

//! What a run believes of its own files and of its store is proven: a flipped bit, an edit or another run's file is
//! refused by name.

use std::fs;
use std::path::Path;

use cellshard::training::run::{BEST_ACCURACY, INFO, LAST, RECIPE, RESUME, SEAL, SPLIT};

use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::predict::{PredictConfig, predict};
use cellshard_train::train::train;

use super::{config, copy_of_store, recipe, run, store};
use crate::common::copy_folder;

/// Two runs of another seed, each stopped and one taken to its end.
struct Runs {
    dir: tempfile::TempDir,
    config: TrainConfig,
}

impl Runs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, seed: &str| {
            let mut config = config(&dir.path().join(name), recipe(&[("model", "base-cnn"), ("seed", seed)]));
            config.stop = Stop { after_steps: Some(2), ..Stop::default() };
            config
        };
        for (name, seed) in [("half", "0"), ("other", "9")] {
            run(&of(name, seed));
        }
        copy_folder(&dir.path().join("half"), &dir.path().join("whole"));
        let mut config = TrainConfig { resume: Resume::Yes, ..of("whole", "0") };
        config.stop = Stop::default();
        run(&config);
        Self { dir, config }
    }

    /// A copy of a run, what `change` makes of it, and the error that resuming it ends in, if any.
    fn resumed(&self, change: impl FnOnce(&Path)) -> Option<String> {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.dir.path().join("half"), copy.path());
        change(copy.path());
        let config = TrainConfig { run: Some(copy.path().to_owned()), ..self.config.clone() };
        train(&config, &mut ()).err().map(|error| error.to_string())
    }

    fn predicted(&self, checkpoint: &str, change: impl FnOnce(&Path)) -> Option<String> {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.dir.path().join("whole"), copy.path());
        change(copy.path());
        let config = PredictConfig { device: self.config.device, ..PredictConfig::new(&store(), copy.path()) };
        let config = PredictConfig { checkpoint: checkpoint.into(), ..config };
        predict(&config, &|_| {}).err().map(|error| error.to_string())
    }
}

fn flip(path: &Path, at: usize, mask: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= mask;
    fs::write(path, bytes).unwrap();
}

fn replace(path: &Path, by: &Path) {
    fs::copy(by, path).unwrap();
}

#[test]
fn a_flipped_bit_of_a_checkpoint_is_refused_wherever_it_is_and_so_is_another_runs() {
    let runs = Runs::new();
    assert_eq!(runs.resumed(|_| {}), None);
    assert_eq!(runs.predicted(LAST, |_| {}), None);
    let n_bytes = |name: &str, run: &str| fs::metadata(runs.dir.path().join(run).join(name)).unwrap().len() as usize;
    let header = |name: &str, run: &str| {
        let bytes = fs::read(runs.dir.path().join(run).join(name)).unwrap();
        8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
    };
    let (n, values) = (n_bytes(RESUME, "half"), header(RESUME, "half"));
    // Values, and what the header says beside them: names, shapes, progress, the sum itself.
    for at in (values..n).step_by((n - values) / 7).chain((8..values).step_by(values / 23)) {
        let error = runs.resumed(|run| flip(&run.join(RESUME), at, 0x10)).unwrap_or_else(|| panic!("byte {at}"));
        assert!(error.contains(RESUME), "{at}: {error}");
    }
    for name in [BEST_ACCURACY, LAST] {
        let (n, values) = (n_bytes(name, "whole"), header(name, "whole"));
        for at in (values + 3..n).step_by((n - values) / 5 / 4 * 4) {
            let error = runs.predicted(name, |run| flip(&run.join(name), at, 0x40)).unwrap_or_else(|| panic!("{at}"));
            assert!(error.contains(name), "{at}: {error}");
        }
    }
    let other = runs.dir.path().join("other");
    let error = runs.resumed(|run| replace(&run.join(RESUME), &other.join(RESUME))).unwrap();
    assert!(error.contains(RESUME) && error.contains("found one of another"), "{error}");
    let mut config = TrainConfig { run: Some(other.clone()), ..runs.config.clone() };
    config.recipe = recipe(&[("model", "base-cnn"), ("seed", "9")]);
    run(&config);
    let error = runs.predicted(LAST, |run| replace(&run.join(LAST), &other.join(LAST))).unwrap();
    assert!(error.contains(LAST) && error.contains("found one of another"), "{error}");
}

#[test]
fn what_was_written_before_training_began_is_sealed() {
    let runs = Runs::new();
    let edit = |name: &'static str, from: &'static str, to: &'static str| {
        move |run: &Path| {
            let text = fs::read_to_string(run.join(name)).unwrap();
            assert!(text.contains(from), "{from} in {text}");
            fs::write(run.join(name), text.replacen(from, to, 1)).unwrap();
        }
    };
    for (name, from, to) in [
        (RECIPE, "batch = ", "batch = 1"),
        (SPLIT, ",validation\n", ",train\n"),
        (INFO, "\"format\": 1", "\"format\":  1"),
    ] {
        for error in [runs.resumed(edit(name, from, to)), runs.predicted(LAST, edit(name, from, to))] {
            let error = error.unwrap_or_else(|| panic!("{name}"));
            assert!(error.contains(name) && error.contains("as it was when the run began"), "{error}");
        }
    }
    let lose_seal = |run: &Path| fs::remove_file(run.join(SEAL)).unwrap();
    for error in [runs.resumed(lose_seal), runs.predicted(LAST, lose_seal)] {
        assert!(error.as_ref().is_some_and(|e| e.contains(SEAL) && e.contains("lost since")), "{error:?}");
    }
}

#[test]
fn a_label_that_was_changed_in_a_store_is_not_trained_on_and_not_predicted_by() {
    let runs = Runs::new();
    for name in ["metadata.csv", "classes.csv", "plates/HUVEC-01/Plate1/histogram.csv"] {
        let dir = tempfile::tempdir().unwrap();
        let copy = copy_of_store(dir.path());
        let text = fs::read(copy.join(name)).unwrap();
        let digit = text.iter().rposition(u8::is_ascii_digit).unwrap();
        flip(&copy.join(name), digit, 1);
        let new = TrainConfig {
            shards: copy.clone(),
            run: Some(dir.path().join("run")),
            resume: Resume::No,
            ..runs.config.clone()
        };
        let whole = runs.dir.path().join("whole");
        let config = PredictConfig { device: runs.config.device, ..PredictConfig::new(&copy, &whole) };
        let errors =
            [train(&new, &mut ()).unwrap_err().to_string(), predict(&config, &|_| {}).unwrap_err().to_string()];
        for error in errors {
            assert!(error.contains(name) && error.contains("as SHA256SUMS says"), "{error}");
        }
        assert!(!dir.path().join("run").exists());
    }
}

//! Runs that version 0.1.0 trained, as `fixtures/README.md` describes them: later versions predict with the finished
//! one what it predicted, and take the stopped one to where the finished one came. Floating-point sums depend on the
//! processor in their last bits, and so are compared with a little room.

use std::fs;
use std::path::{Path, PathBuf};

use cellshard::training::recipe::Recipe;
use cellshard::training::run::BEST_ACCURACY;
use tch::Tensor;

use cellshard_train::device::DeviceChoice;
use cellshard_train::models::weights;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::train::train;

use crate::common::{copy_folder, stderr, stdout, tool};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// Compares two CSVs cell by cell, numbers up to a ten-thousandth, but for columns of times.
fn assert_same_csv(found: &Path, expected: &Path) {
    let (found, expected) = (fs::read_to_string(found).unwrap(), fs::read_to_string(expected).unwrap());
    // Later versions tell of plates, too.
    let found: String =
        found.lines().filter(|line| !line.contains(",plate,")).map(|line| format!("{line}\n")).collect();
    let header: Vec<&str> = expected.lines().next().unwrap().split(',').collect();
    assert_eq!(found.lines().count(), expected.lines().count(), "{found}");
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found.split(',').count(), header.len(), "{found}");
        for ((found, expected), column) in found.split(',').zip(expected.split(',')).zip(&header) {
            let is_close = match (found.parse::<f64>(), expected.parse::<f64>()) {
                (Ok(found), Ok(expected)) => (found - expected).abs() <= 1e-4 * expected.abs().max(1.0),
                _ => found == expected,
            };
            let is_time = ["sites_per_second", "wait_share", "seconds"].contains(column);
            assert!(is_close || is_time, "{column}: expected {expected}, found {found}");
        }
    }
}

#[test]
fn the_finished_run_predicts_what_it_predicted() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy_folder(&fixture("run-0.1.0"), &run);
    let (out, probabilities) = (dir.path().join("submission.csv"), dir.path().join("p.npy"));
    let mut command = tool("predict");
    command.arg("--shards").arg(fixture("store-0.1.0")).arg("--run").arg(run).args(["--device", "cpu"]);
    let output = command.arg("--out").arg(&out).arg("--probabilities").arg(&probabilities).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(text(&out), text(&fixture("run-0.1.0.submission.csv")));
    assert!(stdout(&output).contains("warning    ") && stdout(&output).contains("before runs were sealed"));
    // Later versions say in one more column what each well is to the run.
    let named: String = text(&dir.path().join("p.npy.csv")).replace(",unseen\n", "\n").replace(",part\n", "\n");
    assert_eq!(named, text(&fixture("run-0.1.0.probabilities.npy.csv")));
    let found = Tensor::read_npy(&probabilities).unwrap();
    let expected = Tensor::read_npy(fixture("run-0.1.0.probabilities.npy")).unwrap();
    assert_eq!((found.size(), expected.size()), (vec![7, 4], vec![7, 4]));
    let largest = (found - expected).abs().max().double_value(&[]);
    assert!(largest <= 1e-5, "{largest}");
}

#[test]
fn the_stopped_run_goes_on_to_where_the_finished_one_came() {
    let dir = tempfile::tempdir().unwrap();
    let (run, whole) = (dir.path().join("run"), fixture("run-0.1.0"));
    copy_folder(&fixture("run-0.1.0-stopped"), &run);
    let config = TrainConfig {
        run: Some(run.clone()),
        resume: Resume::Yes,
        device: DeviceChoice::Cpu,
        ..TrainConfig::new(&fixture("store-0.1.0"), "test", Recipe::default())
    };
    assert!(train(&config, &mut ()).unwrap().stopped.is_none());
    let log = fs::read_to_string(run.join("train.log")).unwrap();
    assert!(log.contains("warning    ") && log.contains("before runs were sealed"), "{log}");
    for name in ["steps.csv", "metrics.csv", "metrics-groups.csv"] {
        assert_same_csv(&run.join(name), &whole.join(name));
    }
    let [found, expected] = [&run, &whole].map(|run| weights::read(&run.join(BEST_ACCURACY)).unwrap().tensors);
    assert_eq!(found.len(), expected.len());
    for ((name, found), (expected_name, expected)) in found.iter().zip(&expected) {
        assert_eq!((name, found.size()), (expected_name, expected.size()));
        let largest = (found - expected).abs().max().double_value(&[]);
        assert!(largest <= 1e-4, "{name}: {largest}");
    }
}

#[test]
fn a_finished_run_that_kept_only_its_networks_is_never_trained_anew_over_them() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy_folder(&fixture("run-0.1.0"), &run);
    let best = fs::read(run.join(BEST_ACCURACY)).unwrap();
    let config = TrainConfig {
        run: Some(run.clone()),
        resume: Resume::Yes,
        epochs: Some(8),
        device: DeviceChoice::Cpu,
        ..TrainConfig::new(&fixture("store-0.1.0"), "test", Recipe::default())
    };
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("resume.safetensors") && error.contains("lost since"), "{error}");
    fs::remove_file(run.join("summary.json")).unwrap();
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("as there is metrics.csv"), "{error}");
    assert!(fs::read(run.join(BEST_ACCURACY)).unwrap() == best);
}

#[test]
fn what_0_1_0_meant_otherwise_by_a_recipe_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy_folder(&fixture("run-0.1.0-stopped"), &run);
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    let change = |key: &str, value: &str, text: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        text.replace(line, &format!("{key} = {value}"))
    };
    let recipe = change("schedule", "\"exponential\"", &change("warmup-epochs", "1.0", &recipe));
    fs::write(run.join("recipe.toml"), recipe).unwrap();
    let config = TrainConfig {
        run: Some(run.clone()),
        resume: Resume::Yes,
        device: DeviceChoice::Cpu,
        ..TrainConfig::new(&fixture("store-0.1.0"), "test", Recipe::default())
    };
    train(&config, &mut ()).unwrap();
    let log = fs::read_to_string(run.join("train.log")).unwrap();
    assert!(log.contains("warning    what is not trained yet follows the rules of today"), "{log}");
}

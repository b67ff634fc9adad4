//! Damaged and lost sites, and losses that are not finite: told by their place, and no network is saved that suffered.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use cellshard::store::Store;
use cellshard::training::run::{BEST_ACCURACY, LAST, Progress, RESUME, SPLIT};
use cellshard::verify::{Depth, StoreConfig, verify_store};

use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::train::train;

use super::{config, copy_of_store, recipe, run};
use crate::common::{stderr, stdout, tool};

#[test]
fn damage_planted_after_verify_stops_training_and_names_the_site() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of_store(dir.path());
    let whole = StoreConfig { root: copy.clone(), depth: Depth::Full, manifest: None };
    assert_eq!(verify_store(&whole, &|_| {}).unwrap().findings, []);
    let shard = "pixels.zarr/HUVEC-01/Plate1/c/1/0/0/0";
    let file = OpenOptions::new().read(true).write(true).open(copy.join(shard)).unwrap();
    // Row 8 of the array is the first site of its second shard.
    let store = Store::open(&copy).unwrap();
    let site = store.sites().iter().find(|site| site.id.well.plate.experiment.as_str() == "HUVEC-01" && site.row == 8);
    let site = site.unwrap().id.shown();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    let mut train = tool("train");
    train.args(["--recipe", "demo", "--controls", "all", "--batch", "4", "--epochs", "1", "--model", "base-cnn"]);
    train.args(["--device", "cpu", "--crop", "0", "--resize", "0", "--split", "none", "--early-stopping", "none"]);
    let output = train.arg("--shards").arg(&copy).arg("--run").arg(dir.path().join("run")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    assert!(
        stderr(&output).contains(&format!("site {site}")) && stderr(&output).contains(shard),
        "{}",
        stderr(&output)
    );
    // Told to, it leaves the site out and counts it.
    let split = [("split", "none"), ("controls", "all"), ("cutmix", "0")];
    let changes = [&[("model", "base-cnn"), ("batch", "4"), ("epochs", "1")][..], &split].concat();
    let skipping =
        TrainConfig { shards: copy, skip_damaged: true, ..config(&dir.path().join("skipped"), recipe(&changes)) };
    assert_eq!(run(&skipping).n_skipped, 1);
}

#[test]
fn lost_shards_are_left_out_named_and_counted_and_no_epoch_passes_without_data() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of_store(dir.path());
    let lost = ["HUVEC-01/Plate1/c/1/0/0/0", "RPE-02/Plate1/c/2/0/0/0", "HUVEC-02/Plate1/c/3/0/0/0"];
    for shard in lost {
        fs::remove_file(copy.join("pixels.zarr").join(shard)).unwrap();
    }
    // Batches of two sites, of which one or none is often left.
    let changes = [("batch", "2"), ("split", "well"), ("validation-share", "0.3"), ("epochs", "2")];
    let strict = TrainConfig { shards: copy.clone(), ..config(&dir.path().join("strict"), recipe(&changes)) };
    let error = train(&strict, &mut ()).unwrap_err();
    assert!(
        error.is_data_fault() && error.to_string().contains("no file") && error.to_string().contains("site "),
        "{error}"
    );
    let root = dir.path().join("run");
    let skipping = TrainConfig { skip_damaged: true, ..TrainConfig { run: Some(root.clone()), ..strict } };
    let report = run(&skipping);
    let log = fs::read_to_string(root.join("train.log")).unwrap();
    let named = log.lines().filter(|line| line.contains("left out ") && line.contains("site ")).count();
    let store = Store::open(&copy).unwrap();
    let is_lost = |i: &&usize| {
        let row = &store.sites()[**i];
        lost.contains(&format!("{}/c/{}/0/0/0", row.id.well.plate, row.row / 8).as_str())
    };
    let split = cellshard::training::data::Split::read(&root.join(SPLIT), &store).unwrap();
    let n_validation = split.validation.iter().filter(is_lost).count();
    let n_lost = split.train.iter().filter(is_lost).count() + n_validation;
    // The last site of an odd number is in no batch of some epochs.
    assert!((n_lost - 1..=n_lost).contains(&named) && n_validation > 0, "{named} of {n_lost}");
    assert!(report.n_skipped >= 2 * named as u64 - 2, "{}", report.n_skipped);
    // Steps are numbered without gaps, as the optimiser took them.
    let steps = fs::read_to_string(root.join("steps.csv")).unwrap();
    let numbers: Vec<u64> =
        steps.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64) && numbers.len() > 20, "{numbers:?}");
    // With nothing left there is an error, and no network.
    fs::remove_dir_all(copy.join("pixels.zarr/HUVEC-01/Plate1/c")).unwrap();
    fs::remove_dir_all(copy.join("pixels.zarr/HUVEC-02/Plate1/c")).unwrap();
    fs::remove_dir_all(copy.join("pixels.zarr/RPE-01/Plate1/c")).unwrap();
    fs::remove_dir_all(copy.join("pixels.zarr/RPE-02/Plate1/c")).unwrap();
    let none = TrainConfig { run: Some(dir.path().join("none")), ..skipping };
    let error = train(&none, &mut ()).unwrap_err();
    assert!(error.is_data_fault() && error.to_string().contains("whole sites to train on"), "{error}");
    assert!(!dir.path().join("none").join(BEST_ACCURACY).exists());
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_at_its_step_and_keeps_what_was_saved() {
    let dir = tempfile::tempdir().unwrap();
    let run_folder = dir.path().join("run");
    let mut config = config(
        &run_folder,
        recipe(&[
            ("lr", "1000"),
            ("warmup-epochs", "0"),
            ("batch", "4"),
            ("optimizer", "sgd"),
            ("model", "base-cnn"),
            ("epochs", "50"),
        ]),
    );
    config.stop = Stop { after_steps: Some(1), ..Stop::default() };
    assert!(run(&config).stopped.is_some());
    let saved = fs::read(run_folder.join(RESUME)).unwrap();
    (config.resume, config.stop) = (Resume::Yes, Stop::default());
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("step ") && error.contains("finite loss"), "{error}");
    // It came to no end of an epoch, so that what was saved is what there is.
    assert!(fs::read(run_folder.join(RESUME)).unwrap() == saved && !run_folder.join(LAST).exists());
    // What is kept can be gone on with: to the same end.
    let again = train(&config, &mut ()).unwrap_err().to_string();
    assert_eq!(again, error);
    assert!(fs::read(run_folder.join(RESUME)).unwrap() == saved);
}

#[test]
fn weights_that_are_not_finite_are_never_saved() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let changes = [("lr", "30"), ("optimizer", "sgd"), ("split", "none"), ("epochs", "40"), ("schedule", "constant")];
    let config = TrainConfig { checkpoint_every: std::time::Duration::ZERO, ..config(&root, recipe(&changes)) };
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
    // Saved after every step that left finite weights, of which there are some.
    let weights = cellshard_train::models::weights::read(&root.join(RESUME)).unwrap();
    let progress: Progress = serde_json::from_str(&weights.metadata["progress"]).unwrap();
    assert!(weights.tensors.len() > 100 && progress.step >= 2, "{progress:?}");
    assert!(weights.tensors.iter().all(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 1));
    assert!(!root.join(LAST).exists() && !root.join(BEST_ACCURACY).exists(), "no epoch was over");
}

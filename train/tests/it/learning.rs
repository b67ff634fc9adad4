//! That training learns, and what it learns, on simulated plates whose truth is known: small versions of what `make
//! learning` measures.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use cellshard::pack::{PackConfig, pack};
use cellshard::simulate::{CellType, Config, simulate};
use cellshard::source::SourceConfig;
use cellshard::store::Store;
use cellshard::training::evaluate::submission::{Spelling, WellTable};
use cellshard::training::recipe::Recipe;
use tempfile::TempDir;

use cellshard_train::device::DeviceChoice;
use cellshard_train::plan::TrainConfig;
use cellshard_train::predict::{PredictConfig, predict};
use cellshard_train::train::train;

use crate::common::{Fixture, small};

/// One cell type with four experiments, the last of which is the test set; 120 wells a plate, 6 siRNAs, 6 x 32 x 32.
static PLATES: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        cell_types: vec![CellType { name: "RPE".into(), n_experiments: 4 }],
        n_test_experiments: 1,
        n_plates: 1,
        n_wells: 120,
        n_sirnas: 6,
        size: 32,
        ..Config::default()
    };
    simulate(&config, &dir.path().join("data"), &|_| {}).unwrap();
    let source = SourceConfig { root: dir.path().join("data"), ..SourceConfig::default() };
    pack(&PackConfig { source, dst: dir.path().join("store"), ..Fixture::bare(small()).config() }, &|_| {}).unwrap();
    dir
});

/// Accuracy per well: best in validation, and on the test set by the truth.
fn accuracies(changes: &[(&str, &str)]) -> (f64, f64) {
    let base = [
        ("epochs", "5"),
        ("batch", "32"),
        ("lr", "1e-3"),
        ("flip", "true"),
        ("rotate90", "true"),
        ("schedule", "cosine"),
    ];
    let changes: Vec<_> = base.iter().chain(changes).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let (store, run) = (PLATES.path().join("store"), tempfile::tempdir().unwrap());
    let config = TrainConfig {
        run: Some(run.path().to_owned()),
        device: DeviceChoice::Cpu,
        ..TrainConfig::new(&store, "test", Recipe::default().with(&changes).unwrap())
    };
    let report = train(&config, &mut ()).unwrap();
    let validation = report.stages[0].early.best_accuracy.unwrap().accuracy;
    let config = PredictConfig { device: DeviceChoice::Cpu, ..PredictConfig::new(&store, run.path()) };
    let found = predict(&config, &|_| {}).unwrap();
    let classes = Store::open(&store).unwrap().classes().clone();
    let truth =
        WellTable::read(Path::new(&PLATES.path().join("data/truth.csv")), Spelling::new(&classes, None)).unwrap();
    let truth: std::collections::HashMap<_, _> = truth.rows.into_iter().collect();
    let right = (0..found.wells.len()).filter(|&i| Some(found.best(i)) == truth[&found.wells[i]]).count();
    assert!(fs::read_to_string(run.path().join("metrics.csv")).unwrap().lines().count() == 6);
    (validation, right as f64 / found.wells.len() as f64)
}

#[test]
fn normalising_by_the_plates_controls_is_what_lets_new_experiments_be_recognised() {
    let (validation, truth) = accuracies(&[("normalize", "plate-controls")]);
    let (_, plain) = accuracies(&[("normalize", "none")]);
    println!("plate-controls: validation {validation:.2}, truth {truth:.2}; none: truth {plain:.2}; chance 0.17");
    assert!(truth >= 2.0 * plain && truth >= 3.0 / 6.0, "{truth} {plain}");
    // Whole experiments held out tell the truth.
    assert!((validation - truth).abs() < 0.2, "{validation} {truth}");
}

#[test]
fn wells_held_out_at_random_promise_more_than_new_experiments_keep() {
    let (validation, truth) = accuracies(&[("normalize", "global"), ("split", "well")]);
    println!("global, wells at random: validation {validation:.2}, truth {truth:.2}; chance 0.17");
    assert!(validation >= 1.5 * truth, "{validation} {truth}");
}

//! The tables beside the best networks: what each says of every well that validates, as `predict` says it.

use std::collections::BTreeMap;
use std::fs;

use cellshard::training::run::{BEST_ACCURACY, BEST_LOSS, RunFolder, SUMMARY};

use cellshard_train::device::DeviceChoice;
use cellshard_train::predict::{PredictConfig, Wells, predict};
use cellshard_train::train::Summary;

use super::{config, recipe, run, store};

/// The cells of a table by the names of their columns, a map a row.
fn table(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines.map(|cells| header.iter().copied().zip(cells).collect()).collect()
}

#[test]
fn the_tables_say_what_the_networks_beside_them_say_of_the_wells_that_validate() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    run(&config(&root, recipe(&[("model", "base-cnn"), ("epochs", "3")])));
    let summary: Summary = RunFolder::at(&root).read_json(SUMMARY).unwrap();
    let [best_loss, best_accuracy] = [summary.early.best_loss.unwrap(), summary.early.best_accuracy.unwrap()];
    for (network, best) in [(BEST_ACCURACY, best_accuracy), (BEST_LOSS, best_loss)] {
        let text = fs::read_to_string(root.join(RunFolder::answers_of(network))).unwrap();
        let rows = table(&text);
        assert!(rows.iter().all(|row| row["epoch"] == best.epoch.to_string()), "{text}");
        let right = rows.iter().filter(|row| row["rank"] == "1").count();
        assert!((right as f64 / rows.len() as f64 - best.accuracy).abs() < 1e-9, "{right} of {}", rows.len());
        let config = PredictConfig {
            wells: Wells::Validation,
            checkpoint: network.to_owned(),
            device: DeviceChoice::Cpu,
            ..PredictConfig::new(&store(), &root)
        };
        let found = predict(&config, &|_| {}).unwrap();
        assert_eq!(rows.len(), found.wells.len());
        for (i, (row, well)) in rows.iter().zip(&found.wells).enumerate() {
            assert_eq!(row["well_id"], well.to_string());
            assert_eq!(row["class"], found.known[i].unwrap().to_string());
            let ranked = found.ranked(i);
            let rank: usize = row["rank"].parse().unwrap();
            assert_eq!(ranked[rank - 1].to_string(), row["class"], "{row:?}");
            let first: Vec<String> = (1..=5).map(|n| row[&*format!("class_{n}")].to_owned()).collect();
            assert_eq!(first, ranked[..5].iter().map(ToString::to_string).collect::<Vec<_>>(), "{row:?}");
            let p = |n: usize| row[&*format!("probability_{n}")].parse::<f64>().unwrap();
            assert!((1..5).all(|n| p(n) >= p(n + 1)) && (0.0..=1.0).contains(&p(1)), "{row:?}");
        }
    }
}

#[test]
fn a_run_without_a_validation_set_has_no_such_tables() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    run(&config(&root, recipe(&[("model", "base-cnn"), ("epochs", "1"), ("split", "none")])));
    assert!(root.join(BEST_ACCURACY).exists() && !root.join("best-accuracy.csv").exists());
}

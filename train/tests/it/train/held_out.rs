//! What is held out to validate on is not trained on.

use std::collections::BTreeSet;
use std::fs;

use cellshard::store::Store;
use cellshard::training::run::RunFolder;

use cellshard_train::train::train;

use super::{Fed, config, recipe, store};

#[test]
fn no_well_of_the_validation_split_is_fed_to_any_step_of_two_step() {
    for split in ["experiment", "well"] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("run");
        let two_step = [("model", "base-cnn"), ("two-step", "true"), ("epochs", "1")];
        let recipe = recipe(&[&two_step[..], &[("split", split), ("controls", "all")]].concat());
        let mut fed = Fed::default();
        let report = train(&config(&root, recipe), &mut fed).unwrap();
        assert_eq!(report.stages.len(), 3, "all cell types, then HUVEC and RPE");
        let store = Store::open(&store()).unwrap();
        let well = |&site: &usize| store.sites()[site].id.well.to_string();
        let fed: BTreeSet<String> = fed.0.iter().map(well).collect();
        let split = fs::read_to_string(root.join("split.csv")).unwrap();
        let validation: BTreeSet<String> =
            split.lines().filter_map(|line| line.strip_suffix(",validation")).map(str::to_owned).collect();
        assert!(!validation.is_empty() && fed.len() > 20);
        assert!(fed.is_disjoint(&validation));
        // And no treatment of the test set.
        let tested = store.sites().iter().filter(|site| site.label.dataset == "test" && site.label.class.is_none());
        let tested: BTreeSet<String> = tested.map(|site| site.id.well.to_string()).collect();
        assert!(!tested.is_empty() && fed.is_disjoint(&tested));
        for cell_type in ["HUVEC", "RPE"] {
            let folder = RunFolder::open(&root.join(cell_type)).unwrap();
            assert!(folder.is_finished().unwrap());
            let lines = fs::read_to_string(folder.file("split.csv")).unwrap();
            // Of its own cell type as the run has it; of the others, what the first step was trained on and chosen by.
            let own = |line: &str| line.starts_with(cell_type) && split.contains(line);
            let first = |line: &str| {
                let (well, part) = line.split_once(',').unwrap();
                let parts = if part == "pretrained" { &["train", "control"][..] } else { &["validation"] };
                parts.iter().any(|part| split.contains(&format!("{well},{part}\n")))
            };
            let (rest, lines): (Vec<&str>, Vec<&str>) =
                lines.lines().skip(1).partition(|line| line.contains(",pretrained"));
            assert!(lines.iter().all(|line| own(line)) && rest.iter().all(|line| first(line)) && !rest.is_empty());
        }
    }
}

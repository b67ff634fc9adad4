use crate::device::ffi::allows_tf32;
use crate::device::small::sites;
use crate::plan::TrainConfig;
use crate::train::train;
use cellshard::training::recipe::{Architecture, Recipe};

use super::*;
use crate::device::DeviceChoice;

/// The only test of this program that looks at what is set for the whole process.
#[test]
fn each_run_is_computed_in_its_own_precision() {
    let dir = tempfile::tempdir().unwrap();
    sites(dir.path(), 2, 16);
    let store = dir.path().join("store");
    for (name, precision) in [("tf32", Precision::Tf32), ("f32", Precision::F32)] {
        let recipe = Recipe { model: Architecture::BaseCnn, epochs: 1, batch: 4, precision, ..Recipe::default() };
        let config = TrainConfig::new(&store, name, recipe);
        train(&TrainConfig { run: Some(dir.path().join(name)), device: DeviceChoice::Cpu, ..config }, &mut ()).unwrap();
    }
    // What is set when a run's sites are done is what they were computed by.
    for (first, second, expected) in [("tf32", "f32", [true, false]), ("f32", "tf32", [false, true])] {
        let seen = std::cell::RefCell::new(Vec::new());
        let config = PredictConfig::new(&store, &dir.path().join(first));
        let runs = vec![dir.path().join(first), dir.path().join(second)];
        let config = PredictConfig { runs, device: DeviceChoice::Cpu, batch: 1000, ..config };
        let see = |progress| {
            if matches!(progress, Progress::Done(_)) {
                seen.borrow_mut().push(allows_tf32());
            }
        };
        predict(&config, &see).unwrap();
        assert_eq!(seen.into_inner(), expected, "{first}, {second}");
    }
}

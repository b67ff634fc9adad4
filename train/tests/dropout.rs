//! Dropout draws from libtorch's generator, which all threads of a process share: so this is a program of its own.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::simulate::{CellType, Config, simulate};
use cellshard::store::Codec;
use cellshard::training::recipe::Recipe;
use cellshard::training::run::LAST;

use cellshard_train::device::DeviceChoice;
use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::train::train;

#[test]
fn a_network_with_dropout_ends_with_the_same_bits_after_a_resume() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        cell_types: vec![CellType { name: "RPE".to_owned(), n_experiments: 2 }],
        n_test_experiments: 0,
        n_plates: 1,
        n_wells: 14,
        n_sirnas: 4,
        size: 32,
        n_channels: 1,
        ..Config::default()
    };
    simulate(&config, &dir.path().join("data"), &|_| {}).unwrap();
    let store = dir.path().join("store");
    pack(&PackConfig { codec: Some(Codec::Raw), ..PackConfig::new(&dir.path().join("data"), &store) }, &|_| {})
        .unwrap();
    // Without a momentum there is no state beside the weights, of which VGG-16 has half a gigabyte.
    let changes =
        [("model", "vgg16"), ("epochs", "1"), ("batch", "8"), ("optimizer", "sgd"), ("momentum", "0"), ("lr", "1e-2")];
    let recipe = Recipe::default().with(&changes.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    let config = |name: &str| TrainConfig {
        run: Some(dir.path().join(name)),
        device: DeviceChoice::Cpu,
        ..TrainConfig::new(&store, "vgg", recipe.clone())
    };
    let whole = config("whole");
    train(&whole, &mut ()).unwrap();
    let mut parts = config("parts");
    parts.stop = Stop { after_steps: Some(1), ..Stop::default() };
    assert!(train(&parts, &mut ()).unwrap().stopped.is_some());
    (parts.resume, parts.stop) = (Resume::Yes, Stop::default());
    train(&parts, &mut ()).unwrap();
    let steps = |run: &Path| fs::read_to_string(run.join("steps.csv")).unwrap();
    let [whole, parts] = [whole, parts].map(|config| config.run.unwrap());
    assert_eq!(steps(&whole), steps(&parts));
    assert!(steps(&whole).lines().count() >= 3, "a step on either side of the stop");
    assert!(fs::read(whole.join(LAST)).unwrap() == fs::read(parts.join(LAST)).unwrap());
}

//! Training on small simulated plates: that it goes on where it was bit by bit, feeds no validation well, stops at
//! damage, and refuses what cannot work before it starts.

mod another_store;
mod answers;
mod beginnings;
mod damage;
mod dry_run;
mod held_out;
mod memory;
mod more_epochs;
mod refusals;
mod resume;
mod resume_auto;
mod seals;
mod two_steps;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cellshard::pack::{PackConfig, pack};
use cellshard::simulate::simulate;
use cellshard::store::Codec;
use cellshard::training::recipe::Recipe;
use cellshard::training::run::Observer;
use tempfile::TempDir;

use cellshard_train::device::DeviceChoice;
use cellshard_train::plan::TrainConfig;
use cellshard_train::train::{TrainReport, train};

use crate::common::{copy_folder, two_cell_types};

/// Two cell types with three and two experiments, of which one each is the test set; 24 wells, 6 siRNAs, 3 x 32 x 32.
static PLATES: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let config = two_cell_types(1);
    simulate(&config, &dir.path().join("data"), &|_| {}).unwrap();
    let config = PackConfig {
        codec: Some(Codec::Raw),
        sites_per_shard: Some(8),
        threads: 2,
        ..PackConfig::new(&dir.path().join("data"), &dir.path().join("store"))
    };
    pack(&config, &|_| {}).unwrap();
    dir
});

fn store() -> PathBuf {
    PLATES.path().join("store")
}

/// A copy of the store that a test may damage.
fn copy_of_store(to: &Path) -> PathBuf {
    let copy = to.join("copy");
    copy_folder(&store(), &copy);
    copy
}

/// A recipe of two short epochs with everything in it that has to be resumed: schedule, noise, mixing, and light.
fn recipe(changes: &[(&str, &str)]) -> Recipe {
    let base = [
        ("model", "resnet18"),
        ("epochs", "2"),
        ("batch", "8"),
        ("flip", "true"),
        ("rotate", "20"),
        ("noise", "0.02"),
        ("gain", "0.2"),
        ("cutmix", "0.5"),
        ("schedule", "cosine"),
    ];
    let all: Vec<(String, String)> =
        base.iter().chain(changes).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Recipe::default().with(&all).unwrap()
}

fn config(run: &Path, recipe: Recipe) -> TrainConfig {
    let run = Some(run.to_owned());
    TrainConfig { run, device: DeviceChoice::Cpu, ..TrainConfig::new(&store(), "test", recipe) }
}

fn run(config: &TrainConfig) -> TrainReport {
    train(config, &mut ()).unwrap()
}

fn refused(config: &TrainConfig) -> String {
    let run = config.run.clone().unwrap();
    let error = train(config, &mut ()).unwrap_err().to_string();
    assert!(!run.join("run.json").exists(), "nothing is written before it is refused: {error}");
    error
}

/// Notes all sites that are trained on, in their order.
#[derive(Default)]
struct Fed(Vec<usize>);

impl Observer for Fed {
    fn line(&mut self, _: &str) {}

    fn fed(&mut self, sites: &[usize]) {
        self.0.extend(sites);
    }
}

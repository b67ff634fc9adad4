//! Training on small simulated plates: that it goes on where it was bit by bit, feeds no validation well, stops at
//! damage, and refuses what cannot work before it starts.
#![cfg(feature = "torch")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use cellshard::feed::mix;
use cellshard::pack::{OnError, PackConfig, Partition, pack};
use cellshard::runs::{BEST_ACCURACY, LAST, RESUME, RunFolder};
use cellshard::simulate::{CellType, Config, simulate};
use cellshard::source::SourceConfig;
use cellshard::store::{Codec, Store};
use cellshard::train::device::DeviceChoice;
use cellshard::train::journal::Observer;
use cellshard::train::recipe::Recipe;
use cellshard::train::stop::Stop;
use cellshard::train::trainer::{TrainConfig, TrainReport, train};
use common::{contents, stderr, stdout, tool};
use tempfile::TempDir;

mod common;

/// Two cell types with three and two experiments, of which one each is the test set; 24 wells, 6 siRNAs, 3 x 32 x 32.
static PLATES: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let cell_type = |name: &str, n_experiments| CellType { name: name.to_owned(), n_experiments };
    let config = Config {
        cell_types: vec![cell_type("HUVEC", 3), cell_type("RPE", 3)],
        n_test_experiments: 1,
        n_plates: 1,
        n_wells: 24,
        n_sirnas: 6,
        size: 32,
        n_channels: 3,
        ..Config::default()
    };
    simulate(&config, &dir.path().join("data"), &|_| {}).unwrap();
    let config = PackConfig {
        source: SourceConfig { root: dir.path().join("data"), ..SourceConfig::default() },
        dst: dir.path().join("store"),
        codec: Codec::Raw,
        sites_per_shard: Some(8),
        threads: 2,
        on_error: OnError::Fail,
        partition: Partition::WHOLE,
        rehash: false,
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
    for (name, bytes) in contents(&store()) {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
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

#[test]
fn a_run_interrupted_at_random_steps_ends_with_the_same_bits() {
    for (i, changes) in
        [&[][..], &[("optimizer", "sgd"), ("model", "base-cnn"), ("lr", "0.01"), ("accumulate", "2"), ("epochs", "4")]]
            .into_iter()
            .enumerate()
    {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        run(&config(&whole, recipe(changes)));
        let parts = dir.path().join("parts");
        let mut first = config(&parts, recipe(changes));
        let mut n_interruptions = 0;
        loop {
            // One to four steps further each time, at steps that the seed chooses.
            first.stop = Stop { after_steps: Some(1 + mix(i as u64 ^ (n_interruptions << 8)) % 4), ..Stop::default() };
            if run(&first).stopped.is_none() {
                break;
            }
            n_interruptions += 1;
            first.resume = true;
        }
        assert!(n_interruptions >= 5, "{n_interruptions} interruptions");
        for name in [LAST, BEST_ACCURACY, RESUME] {
            assert!(fs::read(whole.join(name)).unwrap() == fs::read(parts.join(name)).unwrap(), "{name} differs ({i})");
        }
    }
}

/// Collects the sites that were trained on.
#[derive(Default)]
struct Fed(Mutex<BTreeSet<usize>>);

impl Observer for Fed {
    fn line(&mut self, _: &str) {}

    fn fed(&mut self, sites: &[usize]) {
        self.0.lock().unwrap().extend(sites);
    }
}

#[test]
fn no_well_of_the_validation_split_is_fed_to_any_step_of_two_step() {
    for split in ["experiment", "well"] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("run");
        let recipe = recipe(&[("two-step", "true"), ("epochs", "1"), ("split", split), ("controls", "all")]);
        let mut fed = Fed::default();
        let report = train(&config(&root, recipe), &mut fed).unwrap();
        assert_eq!(report.stages.len(), 3, "all cell types, then HUVEC and RPE");
        let store = Store::open(&store()).unwrap();
        let well = |&site: &usize| store.sites()[site].id.well.to_string();
        let fed: BTreeSet<String> = fed.0.into_inner().unwrap().iter().map(well).collect();
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
            assert!(folder.is_finished());
            let lines = fs::read_to_string(folder.file("split.csv")).unwrap();
            assert!(lines.lines().skip(1).all(|line| split.contains(line) && line.starts_with(cell_type)));
        }
    }
}

#[test]
fn damage_planted_after_verify_stops_training_and_names_the_site() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of_store(dir.path());
    assert!(tool("verify").arg(&copy).output().unwrap().status.success());
    let shard = "pixels.zarr/HUVEC-01/Plate1/c/1/0/0/0";
    let file = OpenOptions::new().read(true).write(true).open(copy.join(shard)).unwrap();
    // Row 8 of the array is the first site of its second shard.
    let store = Store::open(&copy).unwrap();
    let site = store.sites().iter().find(|site| site.id.well.plate.experiment.as_str() == "HUVEC-01" && site.row == 8);
    let site = site.unwrap().id.to_string();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    let mut train = tool("train");
    train.args(["--recipe", "demo", "--controls", "all", "--batch", "4", "--epochs", "1", "--model", "resnet18"]);
    train.args(["--device", "cpu", "--crop", "0", "--resize", "0", "--split", "none", "--early-stopping", "none"]);
    let output = train.arg("--shards").arg(&copy).arg("--run").arg(dir.path().join("run")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    assert!(
        stderr(&output).contains(&format!("site {site}")) && stderr(&output).contains(shard),
        "{}",
        stderr(&output)
    );
    // Told to, it leaves the site out and counts it.
    let changes = [("split", "none"), ("batch", "4"), ("epochs", "1"), ("controls", "all"), ("cutmix", "0")];
    let skipping =
        TrainConfig { shards: copy, skip_damaged: true, ..config(&dir.path().join("skipped"), recipe(&changes)) };
    assert_eq!(run(&skipping).n_skipped, 1);
}

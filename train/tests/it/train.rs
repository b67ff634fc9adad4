//! Training on small simulated plates: that it goes on where it was bit by bit, feeds no validation well, stops at
//! damage, and refuses what cannot work before it starts.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use crate::common::{Fixture, TreeSpec, contents, small, stderr, stdout, tool};
use cellshard::feed::mix;
use cellshard::pack::{OnError, PackConfig, Partition, pack};
use cellshard::simulate::{CellType, Config, simulate};
use cellshard::source::SourceConfig;
use cellshard::store::{Codec, Store};
use cellshard::training::recipe::Recipe;
use cellshard::training::run::{BEST_ACCURACY, LAST, Observer, RESUME, RunFolder, SPLIT};
use tempfile::TempDir;

use cellshard_train::device::DeviceChoice;
use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::TrainConfig;
use cellshard_train::train::{TrainReport, train};

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
            first.stop = Stop { after_steps: Some(1 + mix(i as u64 ^ (n_interruptions << 8)) % 2), ..Stop::default() };
            if run(&first).stopped.is_none() {
                break;
            }
            n_interruptions += 1;
            first.resume = true;
        }
        assert!(n_interruptions >= 10, "{n_interruptions} interruptions");
        let second = ["HUVEC/last.safetensors", "RPE/last.safetensors", "RPE/best-accuracy.safetensors"];
        let names = [LAST, BEST_ACCURACY, RESUME, "metrics-groups.csv"];
        for name in names.iter().chain(second.iter().filter(|_| i == 2)) {
            let (a, b) = (fs::read(whole.join(name)).unwrap(), fs::read(parts.join(name)).unwrap());
            let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
            let header = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
            assert!(a == b, "{name} ({i}): {differing} bytes differ\n{}\n{}", header(&a), header(&b));
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
            assert!(folder.is_finished().unwrap());
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

fn refused(config: &TrainConfig) -> String {
    let run = config.run.clone().unwrap();
    let error = train(config, &mut ()).unwrap_err().to_string();
    assert!(!run.join("run.json").exists(), "nothing is written before it is refused: {error}");
    error
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let check = |changes: &[(&str, &str)], expected: &[&str]| {
        let error = refused(&config(&run, recipe(changes)));
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    check(&[("batch", "1000")], &["--batch", "at most", "1000"]);
    check(&[("batch", "64"), ("two-step", "true"), ("accumulate", "1")], &["--batch", "HUVEC"]);
    check(&[("precision", "bf16")], &["--precision", "bf16"]);
    check(&[("crop", "64")], &["--crop", "32 x 32", "64"]);
    check(&[("cell-type", "U2OS")], &["cell-type", "U2OS"]);
    check(&[("init-from", "no-such-file.safetensors")], &["no-such-file.safetensors"]);
    let gpu = TrainConfig { device: DeviceChoice::Cuda(97), ..config(&run, recipe(&[])) };
    assert!(refused(&gpu).contains("--device"));
    let unfinished = TrainConfig { shards: copy_of_store(dir.path()), ..config(&run, recipe(&[])) };
    fs::remove_file(unfinished.shards.join("SHA256SUMS")).unwrap();
    assert!(refused(&unfinished).contains("finished store"));
    let tree = TrainConfig { shards: PLATES.path().join("data"), ..config(&run, recipe(&[])) };
    assert!(refused(&tree).contains("expected a store"));
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("thesis.txt"), "do not lose me").unwrap();
    check(&[], &["--run", "new or empty"]);
    assert!(run.join("thesis.txt").exists());
}

#[test]
fn an_experiment_without_controls_is_refused_under_normalisations_that_need_them() {
    let wells = vec!["B03", "B04", "AA02"];
    let fixture = Fixture::kaggle(TreeSpec {
        experiments: vec![("RPE-01", "train"), ("RPE-02", "train")],
        wells,
        size: (32, 32),
        ..small()
    });
    fs::write(fixture.data().join("train_controls.csv"), "id_code,experiment,plate,well,sirna,well_type\n").unwrap();
    fixture.pack();
    let run_folder = fixture.path().join("run");
    for (normalize, fits) in
        [("plate-controls", false), ("experiment-controls", false), ("plate", true), ("site", true)]
    {
        let recipe = recipe(&[("normalize", normalize), ("epochs", "1"), ("model", "base-cnn")]);
        let config = TrainConfig { shards: fixture.store(), ..config(&run_folder, recipe) };
        if fits {
            run(&config);
            fs::remove_dir_all(&run_folder).unwrap();
        } else {
            let error = refused(&config);
            assert!(error.contains("RPE-01") && error.contains("controls"), "{error}");
        }
    }
}

#[test]
fn labels_outside_of_the_classes_and_a_single_class_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    // The store's tables are changed as a store of such data would have them; its lists are not looked at here.
    let copy = copy_of_store(dir.path());
    let config = TrainConfig { shards: copy.clone(), ..config(&dir.path().join("run"), recipe(&[])) };
    let text = fs::read_to_string(copy.join("classes.csv")).unwrap();
    let keep = |line: &&str| !line.ends_with(",treatment") || line.starts_with("3,");
    fs::write(copy.join("classes.csv"), text.lines().filter(keep).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let error = refused(&config);
    assert!(error.contains("a class of classes.csv"), "{error}");
    let metadata = fs::read_to_string(copy.join("metadata.csv")).unwrap();
    let one_class = metadata.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[8] == "treatment" && !cells[10].is_empty() {
            (cells[9], cells[10]) = ("3", "3");
        }
        cells.join(",") + "\n"
    });
    fs::write(copy.join("metadata.csv"), one_class.collect::<String>()).unwrap();
    let error = refused(&config);
    assert!(error.contains("two classes of treatments"), "{error}");
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_at_its_step_and_keeps_what_was_saved() {
    let dir = tempfile::tempdir().unwrap();
    let run_folder = dir.path().join("run");
    let mut config =
        config(&run_folder, recipe(&[("lr", "1000"), ("optimizer", "sgd"), ("model", "base-cnn"), ("epochs", "50")]));
    config.stop = Stop { after_steps: Some(1), ..Stop::default() };
    assert!(run(&config).stopped.is_some());
    let saved = fs::read(run_folder.join(RESUME)).unwrap();
    (config.resume, config.stop) = (true, Stop::default());
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("step ") && error.contains("finite loss"), "{error}");
    assert!(fs::read(run_folder.join(RESUME)).unwrap() == saved || run_folder.join(LAST).exists());
    // What is kept can be read.
    config.stop = Stop { after_steps: Some(0), ..Stop::default() };
    let again = train(&config, &mut ());
    assert!(again.is_ok() || again.unwrap_err().to_string().contains("finite"));
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run_folder = dir.path().join("run");
    let mut config = config(&run_folder, recipe(&[("model", "base-cnn")]));
    config.stop = Stop { after_steps: Some(2), ..Stop::default() };
    run(&config);
    config.resume = true;
    let whole = fs::read(run_folder.join(RESUME)).unwrap();
    for cut in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(run_folder.join(RESUME), &whole[..cut]).unwrap();
        let error = train(&config, &mut ()).unwrap_err().to_string();
        assert!(error.contains(RESUME), "{cut}: {error}");
    }
    // Another network's.
    let other = dir.path().join("other");
    let mut foreign = TrainConfig { run: Some(other.clone()), resume: false, ..config.clone() };
    foreign.recipe = recipe(&[]);
    run(&foreign);
    fs::copy(other.join(RESUME), run_folder.join(RESUME)).unwrap();
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains(RESUME) && error.contains("expected"), "{error}");
    fs::write(run_folder.join(RESUME), &whole).unwrap();
    config.stop = Stop::default();
    assert!(run(&config).stopped.is_none());
    // And a run is not taken up on another store.
    let copy = copy_of_store(dir.path());
    let sums = fs::read_to_string(copy.join("SHA256SUMS")).unwrap();
    fs::write(copy.join("SHA256SUMS"), sums + "\n").unwrap();
    config.shards = copy;
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("the store it was trained on"), "{error}");
}

#[test]
fn a_run_that_is_over_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run_folder = dir.path().join("run");
    let mut config = config(&run_folder, recipe(&[("model", "base-cnn"), ("epochs", "1")]));
    run(&config);
    let before = contents(&run_folder);
    config.resume = true;
    assert!(run(&config).stopped.is_none());
    for name in [LAST, BEST_ACCURACY, RESUME, "metrics.csv", "steps.csv", "recipe.toml", "split.csv"] {
        assert!(contents(&run_folder)[name] == before[name], "{name}");
    }
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
fn a_time_limit_shorter_than_an_evaluation_still_gets_past_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("run"), recipe(&[("model", "base-cnn")]));
    config.stop.deadline = Some(std::time::Instant::now());
    let mut n_stops = 0;
    while run(&config).stopped.is_some() {
        n_stops += 1;
        config.resume = true;
        assert!(n_stops < 60, "it goes on for ever");
    }
}

#[test]
fn a_treatment_with_the_class_of_a_control_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of_store(dir.path());
    let metadata = fs::read_to_string(copy.join("metadata.csv")).unwrap();
    fs::write(copy.join("metadata.csv"), metadata.replace(",treatment,3,3,", ",treatment,36,36,")).unwrap();
    for controls in ["none", "all"] {
        let recipe = recipe(&[("controls", controls)]);
        let config = TrainConfig { shards: copy.clone(), ..config(&dir.path().join("run"), recipe) };
        let error = refused(&config);
        assert!(error.contains("the class of a treatment") && error.contains("36"), "{error}");
    }
}

#[test]
fn weights_that_are_not_finite_are_never_saved() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let changes = [("lr", "1000"), ("optimizer", "sgd"), ("split", "none"), ("epochs", "40"), ("schedule", "constant")];
    let config = TrainConfig { checkpoint_every: std::time::Duration::ZERO, ..config(&root, recipe(&changes)) };
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
    for name in [RESUME, LAST, BEST_ACCURACY] {
        let path = root.join(name);
        if path.exists() {
            let weights = cellshard_train::models::weights::read(&path).unwrap();
            assert!(weights.tensors.iter().all(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 1), "{name}");
        }
    }
}

#[test]
fn the_folder_of_a_second_step_is_not_taken_for_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let mut config = config(&root, recipe(&[("two-step", "true"), ("model", "base-cnn"), ("epochs", "1")]));
    run(&config);
    (config.resume, config.run) = (true, Some(root.join("HUVEC")));
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("the run folder above"), "{error}");
    assert!(!root.join("HUVEC/HUVEC").exists());
}

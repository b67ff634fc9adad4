//! Several runs, and one on wells that it knows: who answers for which well, and what is said of the answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cellshard::pack::{PackConfig, pack};
use cellshard::simulate::simulate;
use cellshard::site::WellId;
use cellshard::source::SourceConfig;
use cellshard::training::data::Part;
use cellshard::training::recipe::Recipe;
use cellshard::training::run::LAST;
use tempfile::TempDir;

use cellshard_train::device::DeviceChoice;
use cellshard_train::plan::TrainConfig;
use cellshard_train::predict::{PredictConfig, Predictions, Wells, predict};
use cellshard_train::train::train;

use crate::common::{Fixture, contents, copy_folder, small, stderr, stdout, tool, two_cell_types, write_resealed};

/// A store of two cell types with three experiments of two plates each, and runs on it: two folds, and two steps.
static RUNS: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let config = two_cell_types(2);
    simulate(&config, &dir.path().join("data"), &|_| {}).unwrap();
    packed(&dir.path().join("data"), &dir.path().join("store"));
    for (name, changes) in [
        ("a", &[("fold", "1/2")][..]),
        ("b", &[("fold", "2/2")]),
        ("again", &[("fold", "1/2"), ("seed", "5")]),
        ("two", &[("fold", "1/2"), ("two-step", "true")]),
    ] {
        trained(&dir.path().join("store"), &dir.path().join(name), changes);
    }
    dir
});

fn packed(tree: &Path, to: &Path) {
    let source = SourceConfig { root: tree.to_owned(), ..SourceConfig::default() };
    pack(&PackConfig { source, dst: to.to_owned(), ..Fixture::bare(small()).config() }, &|_| {}).unwrap();
}

fn trained(shards: &Path, run: &Path, changes: &[(&str, &str)]) {
    let base = [("model", "base-cnn"), ("epochs", "2"), ("batch", "8"), ("lr", "3e-3")];
    let changes: Vec<_> = base.iter().chain(changes).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let recipe = Recipe::default().with(&changes).unwrap();
    let config =
        TrainConfig { run: Some(run.to_owned()), device: DeviceChoice::Cpu, ..TrainConfig::new(shards, "r", recipe) };
    train(&config, &mut ()).unwrap();
}

fn path(name: &str) -> PathBuf {
    RUNS.path().join(name)
}

fn config(runs: &[&str], wells: Wells) -> PredictConfig {
    let runs = runs.iter().map(|run| path(run)).collect();
    let config = PredictConfig {
        device: DeviceChoice::Cpu,
        checkpoint: LAST.into(),
        ..PredictConfig::new(&path("store"), &path("a"))
    };
    PredictConfig { runs, wells, ..config }
}

fn predicted(runs: &[&str], wells: Wells) -> Predictions {
    predict(&config(runs, wells), &|_| {}).unwrap()
}

/// What is said of each well.
fn answers(found: &Predictions) -> BTreeMap<&WellId, &[f32]> {
    found.wells.iter().zip(found.probabilities.iter().map(Vec::as_slice)).collect()
}

/// The wells of a run's `split.csv` that are in a part.
fn of_part(run: &str, part: &str) -> Vec<WellId> {
    let text = fs::read_to_string(path(run).join("split.csv")).unwrap();
    let of = |line: &str| line.strip_suffix(&format!(",{part}")).map(|well| well.parse().unwrap());
    text.lines().filter_map(of).collect()
}

#[test]
fn folds_answer_for_each_well_by_the_run_that_was_not_trained_on_it() {
    let both = predicted(&["a", "b"], Wells::Validation);
    let (a, b) = (predicted(&["a"], Wells::Validation), predicted(&["b"], Wells::Validation));
    assert_eq!(both.wells.len(), a.wells.len() + b.wells.len(), "the validation sets of both");
    assert!(!a.wells.is_empty() && both.parts.iter().all(|part| *part == Part::Validation));
    let alone: BTreeMap<_, _> = answers(&a).into_iter().chain(answers(&b)).collect();
    assert_eq!(alone.len(), both.wells.len());
    for (well, found) in answers(&both) {
        let largest = found.iter().zip(alone[well]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-6, "{well}: {largest}");
    }
    // What no run was trained on, both answer for.
    let test = predicted(&["a", "b"], Wells::Test);
    let (of_a, of_b) = (predicted(&["a"], Wells::Test), predicted(&["b"], Wells::Test));
    let (of_a, of_b) = (answers(&of_a), answers(&of_b));
    for (well, found) in answers(&test) {
        let mean = |i: usize| f32::midpoint(of_a[well][i], of_b[well][i]);
        assert!(found.iter().enumerate().all(|(i, p)| (p - mean(i)).abs() < 1e-6) && of_a[well] != of_b[well]);
    }
    assert!(test.parts.iter().all(|part| *part == Part::Unseen) && test.warnings.is_empty(), "{:?}", test.warnings);
    // Two runs of one fold know the same wells: what both were trained on is train, and both answer.
    let same = predicted(&["a", "again"], Wells::All);
    let part = |well: &WellId| same.parts[same.wells.iter().position(|w| w == well).unwrap()];
    for (name, expected) in [("train", Part::Train), ("validation", Part::Validation)] {
        let wells = of_part("a", name);
        assert!(!wells.is_empty() && wells.iter().all(|well| part(well) == expected), "{name}");
    }
    assert_eq!(same.parts.iter().filter(|part| **part == Part::Unseen).count(), test.wells.len());
}

#[test]
fn figures_of_wells_that_were_trained_on_never_mix_with_those_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let report = |runs: &[&str], flags: &[&str]| {
        let mut predict = tool("predict");
        predict.arg("--shards").arg(path("store")).args(["--device", "cpu", "--json", "--truth"]);
        predict.arg(path("data/truth.csv"));
        for run in runs {
            predict.arg("--run").arg(path(run));
        }
        let output = predict.args(flags).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).unwrap()
    };
    let n = |report: &serde_json::Value, part: &str| report["by_part"][part]["all"]["n_wells"].as_u64();
    let n_wells = |run: &str, part: &str| Some(of_part(run, part).len() as u64);
    let n_test = predicted(&["a"], Wells::Test).wells.len();
    let all = report(&["a"], &["--wells", "all"]);
    assert_eq!((n(&all, "train"), n(&all, "validation")), (n_wells("a", "train"), n_wells("a", "validation")));
    assert_eq!(n(&all, "unseen"), Some(n_test as u64));
    // The store knows no class of the test set.
    let parts = dir.path().join("p.npy");
    let output = tool("predict")
        .args(["--device", "cpu", "--json", "--wells", "all", "--shards"])
        .arg(path("store"))
        .arg("--run")
        .arg(path("a"))
        .arg("--probabilities")
        .arg(&parts)
        .output()
        .unwrap();
    let all: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((n(&all, "train"), n(&all, "unseen")), (n_wells("a", "train"), None));
    assert_eq!(n(&all, "validation"), n_wells("a", "validation"));
    assert_eq!(all.get("all"), None, "no figure over all of them");
    // And the CSV beside the matrix says of each row what it is.
    let index = fs::read_to_string(dir.path().join("p.npy.csv")).unwrap();
    let listed = |part: &str| index.lines().filter(|line| line.ends_with(&format!(",{part}"))).count();
    assert_eq!(Some(listed("train") as u64), n_wells("a", "train"));
    assert_eq!((Some(listed("validation") as u64), listed("unseen")), (n_wells("a", "validation"), n_test));
    // Out of fold nothing is left that was trained on.
    let folds = tool("predict")
        .args(["--device", "cpu", "--json", "--wells", "all", "--shards"])
        .arg(path("store"))
        .arg("--run")
        .args([path("a"), path("b")])
        .output()
        .unwrap();
    let folds: serde_json::Value = serde_json::from_str(&stdout(&folds)).unwrap();
    let expected = n_wells("a", "validation").unwrap() + n_wells("b", "validation").unwrap();
    assert_eq!((n(&folds, "train"), n(&folds, "validation")), (None, Some(expected)));
    let accuracy = |runs: &[&str]| {
        let found = predicted(runs, Wells::Validation);
        (0..found.wells.len()).filter(|&i| Some(found.best(i)) == found.known[i]).count()
    };
    assert_eq!(accuracy(&["a", "b"]), accuracy(&["a"]) + accuracy(&["b"]));
}

#[test]
fn the_network_of_a_second_step_knows_what_the_first_was_trained_on() {
    // Of HUVEC alone by its split, and by its weights of all.
    let found = predicted(&["two/HUVEC"], Wells::All);
    let part = |well: &WellId| found.parts[found.wells.iter().position(|w| w == well).unwrap()];
    let trained = of_part("two", "train");
    assert!(trained.iter().any(|well| well.plate.experiment.cell_type() == "RPE"));
    assert!(trained.iter().all(|well| part(well) == Part::Train));
    // And what the first step's network was chosen by, which it starts from, is nothing unseen.
    let chosen = of_part("two", "validation");
    assert!(chosen.iter().any(|well| well.plate.experiment.cell_type() == "RPE"));
    assert!(chosen.iter().all(|well| part(well) == Part::Validation));
    let tested = predicted(&["two"], Wells::Test).wells;
    assert_eq!(found.parts.iter().filter(|part| **part == Part::Unseen).count(), tested.len());
    // Its validation wells are those that it held out itself.
    let own = predicted(&["two/HUVEC"], Wells::Validation).wells;
    let held_out: Vec<WellId> =
        chosen.into_iter().filter(|well| well.plate.experiment.cell_type() == "HUVEC").collect();
    assert_eq!(own, held_out);
}

#[test]
fn embeddings_are_of_one_network_and_the_first_of_two_steps_can_be_asked() {
    let embeddings = |runs: &[&str], first_step: bool, wells: Wells| {
        let config = PredictConfig { embeddings: true, first_step, ..config(runs, wells) };
        predict(&config, &|_| {}).map_err(|e| e.to_string())
    };
    for (runs, n) in [(&["two"][..], "2 networks"), (&["a", "b"], "2 networks"), (&["a", "two"], "3 networks")] {
        let error = embeddings(runs, false, Wells::Test).unwrap_err();
        assert!(error.starts_with("--embeddings: expected one network") && error.ends_with(n), "{error}");
    }
    let first = embeddings(&["two"], true, Wells::Test).unwrap();
    // `a` is the same training without a second step.
    let a = embeddings(&["a"], false, Wells::Test).unwrap();
    assert_eq!((&first.embeddings, &first.probabilities), (&a.embeddings, &a.probabilities));
    let second = predicted(&["two"], Wells::Test);
    assert_ne!(second.probabilities, first.probabilities);
    // Wells of one cell type are one network's.
    let huvec: Vec<WellId> =
        second.wells.iter().filter(|well| well.plate.experiment.cell_type() == "HUVEC").cloned().collect();
    let own = embeddings(&["two"], false, Wells::Listed(huvec)).unwrap();
    assert_ne!(own.embeddings.unwrap()[0], first.embeddings.unwrap()[0]);
}

#[test]
fn what_a_run_has_never_seen_is_said_when_it_predicts() {
    let dir = tempfile::tempdir().unwrap();
    let said = |shards: &Path, run: &Path, wells: Wells| {
        let config = PredictConfig { runs: vec![run.to_owned()], shards: shards.to_owned(), ..config(&["a"], wells) };
        predict(&config, &|_| {}).unwrap().warnings.join("\n")
    };
    let huvec = dir.path().join("huvec");
    trained(&path("store"), &huvec, &[("cell-type", "HUVEC")]);
    let warnings = said(&path("store"), &huvec, Wells::Test);
    assert!(warnings.ends_with("huvec was never trained on cell type RPE"), "{warnings}");
    let only: Vec<WellId> =
        of_part("a", "validation").into_iter().filter(|w| w.to_string().starts_with("HUVEC")).collect();
    assert_eq!(said(&path("store"), &huvec, Wells::Listed(only)), "");
    // Plates of number 2, which in every experiment have the same treatments, are in the test set alone.
    let (tree, store) = (dir.path().join("data"), dir.path().join("one-plate"));
    copy_folder(&path("data"), &tree);
    for experiment in ["HUVEC-01", "HUVEC-02", "RPE-01", "RPE-02"] {
        fs::remove_dir_all(tree.join(format!("train/{experiment}/Plate2"))).unwrap();
    }
    for name in ["train.csv", "train_controls.csv"] {
        let text = fs::read_to_string(tree.join(name)).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| line.split(',').nth(2) != Some("2")).collect();
        fs::write(tree.join(name), kept.join("\n") + "\n").unwrap();
    }
    packed(&tree, &store);
    let first = dir.path().join("first-plates");
    trained(&store, &first, &[]);
    let warnings = said(&store, &first, Wells::Test);
    assert!(warnings.contains("was never trained on a plate with number 2"), "{warnings}");
    let single = dir.path().join("single-plate");
    trained(&store, &single, &[("experiments", "HUVEC-01"), ("split", "well")]);
    let warnings = said(&store, &single, Wells::Test);
    assert!(warnings.contains("was never trained on a plate with number 2"), "{warnings}");
    // A class that the store knows and no well of the training set has.
    let copy = dir.path().join("copy");
    copy_folder(&path("store"), &copy);
    let metadata = fs::read_to_string(copy.join("metadata.csv")).unwrap();
    write_resealed(&copy, "metadata.csv", &metadata.replace(",treatment,3,3,", ",treatment,4,4,"));
    let without = dir.path().join("without");
    trained(&copy, &without, &[]);
    let warnings = said(&copy, &without, Wells::Test);
    assert!(warnings.ends_with("was never trained on class 3 (3), which it may answer with"), "{warnings}");
}

#[test]
fn a_prediction_that_nothing_would_come_of_is_refused_before_it_is_made() {
    let run = |flags: &[&str]| {
        let mut predict = tool("predict");
        predict.arg("--shards").arg(path("store")).arg("--run").arg(path("a")).args(["--device", "cpu"]);
        predict.args(flags).output().unwrap()
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--out") && stderr(&output).contains("--truth"), "{}", stderr(&output));
    let truth = path("data/truth.csv").display().to_string();
    for flags in [&["--wells", "validation"][..], &["--truth", &truth]] {
        let output = run(flags);
        assert!(output.status.success() && stdout(&output).contains("chance "), "{flags:?}: {}", stderr(&output));
    }
    for tta in ["0", "3", "5", "6", "7", "9"] {
        let output = run(&["--wells", "validation", "--tta", tta]);
        assert_eq!(output.status.code(), Some(2), "{tta}");
        assert!(stderr(&output).contains("1, 2, 4, 8"), "{}", stderr(&output));
    }
    let three = PredictConfig { n_symmetries: 3, ..config(&["a"], Wells::Test) };
    assert!(predict(&three, &|_| {}).unwrap_err().to_string().starts_with("--tta: expected 1, 2, 4 or 8"));
}

#[test]
fn no_output_replaces_another_or_what_is_read_or_anything_of_a_run_or_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let [run, store] = ["run", "store"].map(|name| dir.path().join(name));
    copy_folder(&path("a"), &run);
    copy_folder(&path("store"), &store);
    fs::copy(path("data/sample_submission.csv"), dir.path().join("like.csv")).unwrap();
    for (link, to) in [("dangling.csv", "run/new.csv"), ("same.npy", "p.npy")] {
        std::os::unix::fs::symlink(to, dir.path().join(link)).unwrap();
    }
    copy_folder(&path("two"), &dir.path().join("two"));
    std::os::unix::fs::symlink(&run, dir.path().join("link")).unwrap();
    let before = (contents(&run), contents(&store), fs::read(dir.path().join("like.csv")).unwrap());
    let predict = |flags: &[&str]| {
        let mut predict = tool("predict");
        predict.current_dir(&dir).args(["--shards", "store", "--device", "cpu"]);
        if !flags.contains(&"--run") {
            predict.args(["--run", "run"]);
        }
        predict.args(flags).output().unwrap()
    };
    for (flags, expected) in [
        (&["--probabilities", "p.npy", "--embeddings", "p.npy"][..], "found that of --probabilities"),
        (&["--out", "p.npy.csv", "--probabilities", "p.npy"], "found that of --out"),
        (&["--out", "./x/../p.npy", "--probabilities", "p.npy"], "found that of --out"),
        (&["--out", "like.csv", "--like", "like.csv"], "found that of --like"),
        (&["--probabilities", "p.npy", "--embeddings", "same.npy"], "found that of --probabilities"),
        (&["--out", "dangling.csv"], "a file outside of --run run"),
        (&["--run", "two/HUVEC", "--probabilities", "two/last.safetensors"], "a file outside of the run of --run"),
        (&["--out", "run/split.csv"], "a file outside of --run run"),
        (&["--embeddings", "link/best-accuracy.npy"], "a file outside of --run run"),
        (&["--out", "store/metadata.csv"], "a file outside of --shards store"),
        (&["--probabilities", "store/plates/new.npy"], "a file outside of --shards store"),
    ] {
        fs::create_dir_all(dir.path().join("x")).unwrap();
        let output = predict(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", stdout(&output));
        assert!(stderr(&output).contains(expected), "{flags:?}: {}", stderr(&output));
    }
    let after = (contents(&run), contents(&store), fs::read(dir.path().join("like.csv")).unwrap());
    assert!(after == before);
    let output =
        predict(&["--out", "o.csv", "--probabilities", "p.npy", "--embeddings", "e.npy", "--like", "like.csv"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(predict(&["--out", "/dev/null", "--probabilities", "p.npy"]).status.success());
}

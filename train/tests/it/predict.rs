//! Predictions of small runs: the wells, order and dialect of a sample submission, ensembles, cell types, symmetries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cellshard::pack::pack;
use cellshard::simulate::{Config, Layout, simulate};
use cellshard::source::SourceConfig;
use cellshard::store::Store;
use cellshard::training::recipe::Recipe;
use cellshard::training::run::LAST;
use tempfile::TempDir;

use cellshard_train::device::DeviceChoice;
use cellshard_train::plan::TrainConfig;
use cellshard_train::predict::{PredictConfig, Predictions, Wells, predict};
use cellshard_train::train::train;

use crate::common::{Fixture, JsonPage, copy_folder, small, stderr, stdout, tool, two_cell_types, write_resealed};

/// A store whose classes have names, and two runs on it: `one` with one step, `two` with two.
static RUNS: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { layout: Layout::Kaggle2023, ..two_cell_types(2) };
    simulate(&config, &dir.path().join("data"), &|_| {}).unwrap();
    let fixture = Fixture::bare(small());
    let source = SourceConfig { root: dir.path().join("data"), ..SourceConfig::default() };
    let config = cellshard::pack::PackConfig { source, dst: dir.path().join("store"), ..fixture.config() };
    pack(&config, &|_| {}).unwrap();
    for (name, two_step) in [("one", "false"), ("two", "true")] {
        let changes = [("model", "base-cnn"), ("epochs", "2"), ("batch", "8"), ("two-step", two_step)];
        let recipe = Recipe::default().with(&changes.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        let config = TrainConfig {
            run: Some(dir.path().join(name)),
            device: DeviceChoice::Cpu,
            ..TrainConfig::new(&dir.path().join("store"), name, recipe)
        };
        train(&config, &mut ()).unwrap();
    }
    dir
});

fn path(name: &str) -> PathBuf {
    RUNS.path().join(name)
}

fn config(run: &str) -> PredictConfig {
    PredictConfig {
        device: DeviceChoice::Cpu,
        checkpoint: LAST.into(),
        ..PredictConfig::new(&path("store"), &path(run))
    }
}

fn predicted(config: &PredictConfig) -> Predictions {
    predict(config, &|_| {}).unwrap()
}

fn largest_difference(a: &Predictions, b: &Predictions) -> f32 {
    assert_eq!(a.wells, b.wells);
    let pairs = a.probabilities.iter().flatten().zip(b.probabilities.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_test_set_is_predicted_without_its_controls_and_probabilities_add_up() {
    let found = predicted(&config("one"));
    let store = Store::open(&path("store")).unwrap();
    let expected: BTreeSet<String> = fs::read_to_string(path("data/test.csv"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().to_owned())
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(found.wells.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), expected);
    assert_eq!(found.n_sites, 2 * expected.len());
    assert_eq!(found.classes.len(), store.classes().rows().iter().filter(|row| row.class < 6).count());
    for row in &found.probabilities {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert!(found.known.iter().all(Option::is_none), "Kaggle's test set has no labels");
}

#[test]
fn a_submission_follows_the_sample_in_rows_order_and_dialect() {
    let sample = fs::read_to_string(path("data/sample_submission.csv")).unwrap();
    let mut lines: Vec<&str> = sample.lines().skip(1).collect();
    lines.reverse();
    let dir = tempfile::tempdir().unwrap();
    let like = dir.path().join("like.csv");
    fs::write(&like, format!("id_code,sirna\n{}\n", lines[..7].join("\n"))).unwrap();
    let out = dir.path().join("submission.csv");
    let run = |extra: &[&Path]| {
        let mut command = tool("predict");
        command.arg("--shards").arg(path("store")).arg("--run").arg(path("one")).args(["--device", "cpu", "--like"]);
        command.arg(&like).arg("--out").arg(&out).args(extra).output().unwrap()
    };
    let output = run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let written = fs::read_to_string(&out).unwrap();
    let ids = |text: &str| text.lines().map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&written)[1..], ids(&lines[..7].join("\n")));
    assert!(written.lines().skip(1).all(|line| line.split(',').nth(1).unwrap().starts_with("sirna_")), "{written}");
    // Numbers where the sample has numbers, and somebody says what they stand for.
    let numbers: String = lines[..7].iter().map(|line| format!("{},1\n", line.split(',').next().unwrap())).collect();
    fs::write(&like, format!("id_code,sirna\n{numbers}")).unwrap();
    assert_eq!(run(&[]).status.code(), Some(2));
    assert_eq!(fs::read_to_string(&out).unwrap(), written, "a refused run leaves the file as it is");
    let numbered = run(&["--classes".as_ref(), &path("store/classes.csv")]);
    assert!(numbered.status.success(), "{}", stderr(&numbered));
    let written = fs::read_to_string(&out).unwrap();
    assert!(written.lines().skip(1).all(|line| line.split(',').nth(1).unwrap().parse::<u32>().unwrap() < 6));
    // A well that the store does not have.
    fs::write(&like, "id_code,sirna\nHUVEC-09_1_B02,sirna_1\n").unwrap();
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("HUVEC-09_1_B02"), "{}", stderr(&output));
}

#[test]
fn accuracy_is_told_where_the_truth_is_known() {
    let output = tool("predict")
        .arg("--shards")
        .arg(path("store"))
        .arg("--run")
        .arg(path("one"))
        .args(["--device", "cpu", "--json", "--truth"])
        .arg(path("data/truth.csv"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut page = JsonPage::of(&["predict"]);
    let report = page.check(&stdout(&output));
    page.check_all_were_printed();
    let truth = fs::read_to_string(path("data/truth.csv")).unwrap();
    let class = |well: &str| {
        let line = truth.lines().find(|line| line.starts_with(&format!("{well},"))).unwrap();
        let name = line.split(',').nth(4).unwrap();
        Store::open(&path("store")).unwrap().classes().class_of(name).unwrap()
    };
    let found = predicted(&PredictConfig { checkpoint: "best-accuracy.safetensors".into(), ..config("one") });
    let right = found.wells.iter().enumerate().filter(|(i, well)| found.best(*i) == class(&well.to_string())).count();
    let accuracy = report["by_part"]["unseen"]["all"]["accuracy"].as_f64().unwrap();
    assert!((accuracy - right as f64 / found.wells.len() as f64).abs() < 1e-12, "{accuracy} {right}");
    assert_eq!(report["chance"].as_f64().unwrap(), 1.0 / 6.0);

    // The store was numbered by us, so that a number in a table means nothing until somebody says what it stands for.
    let dir = tempfile::tempdir().unwrap();
    let names = Store::open(&path("store")).unwrap().classes().rows().to_vec();
    let number = |sirna: &str| 100 - names.iter().position(|class| class.sirna == sirna).unwrap();
    let mut lines = truth.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let mut table = format!("{},{}\n", lines.next().unwrap()[0], "sirna");
    lines.for_each(|cells| table += &format!("{},{}\n", cells[0], number(cells[4])));
    let meaning: String = names.iter().map(|class| format!("{},{},\n", number(&class.sirna), class.sirna)).collect();
    let [numbers, classes] = ["numbers.csv", "classes.csv"].map(|name| dir.path().join(name));
    fs::write(&numbers, table).unwrap();
    fs::write(&classes, format!("class,sirna,well_type\n{meaning}")).unwrap();
    let run = |explained: bool| {
        let mut predict = tool("predict");
        predict.arg("--shards").arg(path("store")).arg("--run").arg(path("one"));
        predict.args(["--device", "cpu", "--json", "--truth"]).arg(&numbers);
        if explained {
            predict.arg("--classes").arg(&classes);
        }
        predict.output().unwrap()
    };
    let refused = run(false);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--classes FILE"), "{}", stderr(&refused));
    let again: serde_json::Value = serde_json::from_str(&stdout(&run(true))).unwrap();
    assert_eq!(again["by_part"]["unseen"]["all"]["accuracy"], report["by_part"]["unseen"]["all"]["accuracy"]);
}

#[test]
fn the_validation_wells_score_as_they_did_in_training() {
    let found = predicted(&PredictConfig { wells: Wells::Validation, ..config("one") });
    let right = (0..found.wells.len()).filter(|&i| Some(found.best(i)) == found.known[i]).count();
    let metrics = fs::read_to_string(path("one/metrics.csv")).unwrap();
    let header: Vec<&str> = metrics.lines().next().unwrap().split(',').collect();
    let column = header.iter().position(|name| *name == "val_accuracy_well").unwrap();
    let last: f64 = metrics.lines().last().unwrap().split(',').nth(column).unwrap().parse().unwrap();
    assert!((right as f64 / found.wells.len() as f64 - last).abs() < 1e-9);
}

#[test]
fn a_wells_prediction_does_not_depend_on_which_others_are_asked_for() {
    for run in ["one", "two"] {
        let all = predicted(&config(run));
        for i in [0, all.wells.len() / 2, all.wells.len() - 1] {
            let alone = predicted(&PredictConfig { wells: Wells::Listed(vec![all.wells[i].clone()]), ..config(run) });
            let difference = |(a, b): (&f32, &f32)| (a - b).abs();
            let largest = all.probabilities[i].iter().zip(&alone.probabilities[0]).map(difference).fold(0.0, f32::max);
            assert!(largest < 1e-5, "{run} {} {largest}", all.wells[i]);
        }
    }
}

#[test]
fn a_store_that_means_other_sirnas_by_its_classes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    copy_folder(&path("store"), &copy);
    let classes = fs::read_to_string(copy.join("classes.csv")).unwrap();
    let first = classes.lines().nth(1).unwrap().to_owned();
    let other = first.replace("sirna_", "sirna_9");
    write_resealed(&copy, "classes.csv", &classes.replace(&first, &other));
    let error = predict(&PredictConfig { shards: copy, ..config("one") }, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("classes.csv: class 0") && error.contains("as the run has it"), "{error}");
}

#[test]
fn a_second_step_that_is_not_over_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&path("two"), dir.path());
    let config = PredictConfig { runs: vec![dir.path().to_owned()], ..config("two") };
    assert!(predict(&config, &|_| {}).is_ok());
    fs::remove_file(dir.path().join("RPE/summary.json")).unwrap();
    let error = predict(&config, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("RPE") && error.contains("--resume"), "{error}");
}

#[test]
fn an_ensemble_is_the_mean_and_two_steps_answer_by_cell_type() {
    let (one, two) = (predicted(&config("one")), predicted(&config("two")));
    let both = predicted(&PredictConfig { runs: vec![path("one"), path("two")], ..config("one") });
    for i in 0..one.wells.len() {
        for c in 0..6 {
            let mean = f32::midpoint(one.probabilities[i][c], two.probabilities[i][c]);
            assert!((both.probabilities[i][c] - mean).abs() < 1e-6);
        }
    }
    // Each cell type's wells are answered by that cell type's network.
    for cell_type in ["HUVEC", "RPE"] {
        let own = predicted(&PredictConfig { runs: vec![path("two").join(cell_type)], ..config("two") });
        let is_own = |i: &usize| own.wells[*i].plate.experiment.cell_type() == cell_type;
        let (same, other): (Vec<usize>, Vec<usize>) = (0..own.wells.len()).partition(is_own);
        let equal = |i: usize| own.probabilities[i] == two.probabilities[i];
        assert!(!same.is_empty() && same.into_iter().all(equal));
        assert!(!other.into_iter().all(equal));
    }
}

#[test]
fn symmetries_are_averaged_and_embeddings_and_probabilities_are_written() {
    let plain = predicted(&config("one"));
    let eight = predicted(&PredictConfig { n_symmetries: 8, embeddings: true, ..config("one") });
    assert!(largest_difference(&plain, &eight) > 1e-4);
    let embeddings = eight.embeddings.as_ref().unwrap();
    assert_eq!((embeddings.len(), embeddings[0].len()), (eight.wells.len(), 2216));
    let dir = tempfile::tempdir().unwrap();
    let (p, e) = (dir.path().join("p.npy"), dir.path().join("e.safetensors"));
    let mut command = tool("predict");
    command.arg("--shards").arg(path("store")).arg("--run").arg(path("one")).args(["--device", "cpu", "--tta", "8"]);
    let output = command.arg("--probabilities").arg(&p).arg("--embeddings").arg(&e).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for file in [&p, &e] {
        let index = fs::read_to_string(format!("{}.csv", file.display())).unwrap();
        let expected = format!("1,{},unseen", eight.wells[1]);
        assert_eq!(index.lines().nth(2), Some(expected.as_str()));
    }
    let output = tool("predict").arg("--shards").arg(path("store")).arg("--run").arg(path("store")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("a run folder"), "{}", stderr(&output));
}

/// Writes the cell type of each experiment into all CSVs of a tree.
fn tell_cell_types(tree: &Path, told: impl Fn(&str) -> String) {
    for name in ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"] {
        let text = fs::read_to_string(tree.join(name)).unwrap();
        let with = |(n, line): (usize, &str)| {
            let cell = if n == 0 { "cell_type".to_owned() } else { told(line.split(',').nth(1).unwrap()) };
            format!("{line},{cell}\n")
        };
        fs::write(tree.join(name), text.lines().enumerate().map(with).collect::<String>()).unwrap();
    }
}

#[test]
fn a_cell_types_network_answers_for_experiments_that_the_run_has_never_seen_also_where_a_table_tells_the_type() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, store) = (dir.path().join("data"), dir.path().join("store"));
    copy_folder(&path("data"), &tree);
    let told = |experiment: &str| if experiment.starts_with("RPE") { "retina" } else { "primary vein" }.to_owned();
    tell_cell_types(&tree, told);
    let fixture = Fixture::bare(small());
    let source = SourceConfig { root: tree.clone(), ..SourceConfig::default() };
    let whole = cellshard::pack::PackConfig { source, dst: store.clone(), ..fixture.config() };
    pack(&whole, &|_| {}).unwrap();
    let changes = [("model", "base-cnn"), ("epochs", "1"), ("batch", "8"), ("two-step", "true")];
    let recipe = Recipe::default().with(&changes.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    let train_on = |store: &Path, run: &str| {
        let run = Some(dir.path().join(run));
        train(&TrainConfig { run, device: DeviceChoice::Cpu, ..TrainConfig::new(store, "r", recipe.clone()) }, &mut ())
    };
    train_on(&store, "run").unwrap();
    let run = dir.path().join("run");
    assert!(run.join("primary vein").is_dir() && run.join("retina").is_dir());
    let predict_on = |shards: &Path| {
        let config = PredictConfig { device: DeviceChoice::Cpu, ..PredictConfig::new(shards, &run) };
        predict(&PredictConfig { checkpoint: LAST.into(), ..config }, &|_| {})
    };
    // The experiments of the test set alone, in a store of their own.
    let mut part = cellshard::pack::PackConfig { dst: dir.path().join("part"), ..whole.clone() };
    part.source.experiments = vec!["HUVEC-03".into(), "RPE-03".into()];
    part.source.classes = Some(store.join("classes.csv"));
    pack(&part, &|_| {}).unwrap();
    let (all, few) = (predict_on(&store).unwrap(), predict_on(&part.dst).unwrap());
    assert!(largest_difference(&all, &few) < 1e-5, "{}", largest_difference(&all, &few));
    // A store that says another cell type of what the run was trained on is answered for by nobody.
    let error = predict_on(&path("store")).unwrap_err().to_string();
    let expected = "cell type of HUVEC-01: expected \"primary vein\", as the run was trained with it, found \"HUVEC\"";
    assert!(error.ends_with(expected), "{error}");
    // A cell type that would be a file of the run.
    for name in ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"] {
        let text = fs::read_to_string(tree.join(name)).unwrap().replace(",retina", ",recipe.toml");
        fs::write(tree.join(name), text).unwrap();
    }
    let odd = cellshard::pack::PackConfig { dst: dir.path().join("odd"), ..whole };
    pack(&odd, &|_| {}).unwrap();
    let error = train_on(&odd.dst, "odd-run").unwrap_err().to_string();
    assert!(
        error.contains("found \"recipe.toml\"") && !dir.path().join("odd-run/last.safetensors").exists(),
        "{error}"
    );
}

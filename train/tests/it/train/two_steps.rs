//! The second of two steps: checked before the first begins, and no repetition of it.

use std::fs;
use std::path::Path;

use cellshard::training::recipe::Recipe;
use cellshard::training::run::{BEST_LOSS, LAST, RunFolder};

use cellshard_train::device::DeviceChoice;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::predict::{PredictConfig, predict};
use cellshard_train::train::train;

use super::{Fed, config, recipe, refused, run, store};

/// The losses of a run's steps, as they are written.
fn losses(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("steps.csv")).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().to_owned()).collect()
}

#[test]
fn the_second_step_has_an_order_and_an_augmentation_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    // One cell type, so that both steps have the same sites, and a rate at which the network stays as it is.
    let changes =
        [("model", "base-cnn"), ("two-step", "true"), ("cell-type", "HUVEC"), ("lr", "1e-12"), ("epochs", "1")];
    let mut fed = Fed::default();
    train(&config(&root, recipe(&changes)), &mut fed).unwrap();
    let (first, second) = (losses(&root), losses(&root.join("HUVEC")));
    assert!(first.len() == second.len() && !first.is_empty());
    assert!(first.iter().zip(&second).all(|(a, b)| a != b), "{first:?} {second:?}");
    let (first, second) = fed.0.split_at(fed.0.len() / 2);
    assert_ne!(first, second);
    // Nothing but the seed is another.
    let read = |run: &Path| fs::read_to_string(run.join("recipe.toml")).unwrap();
    let (first, second) = (read(&root), read(&root.join("HUVEC")));
    let changed: Vec<&str> = first.lines().filter(|line| !second.lines().any(|other| other == *line)).collect();
    assert_eq!(changed, ["seed = 0", "two-step = true"]);
}

#[test]
fn what_the_second_step_cannot_do_is_refused_before_the_first_begins() {
    let dir = tempfile::tempdir().unwrap();
    let run_folder = dir.path().join("run");
    let check = |recipe: Recipe, expected: &str| {
        let error = refused(&config(&run_folder, recipe));
        assert!(error.contains(expected), "{error}");
    };
    let two = |changes: &[(&str, &str)]| recipe(&[&[("model", "base-cnn"), ("two-step", "true")], changes].concat());
    check(two(&[("warmup-epochs", "2.0")]), "--warmup-epochs: expected fewer than the 2 epochs");
    let whole = [("second-epochs", "1"), ("second-warmup-epochs", "1.0")];
    check(two(&whole), "--second-warmup-epochs: expected fewer than the 1 epochs");
    // A library's user can write down what no file and no flag can.
    check(Recipe { second_lr: 1e-13, ..two(&[]) }, "second-lr");
    check(Recipe { second_epochs: 2_000_000, ..two(&[]) }, "second-epochs");
    check(Recipe { epochs: 0, ..two(&[]) }, "epochs");
    check(Recipe { lr: f64::NAN, ..two(&[]) }, "lr");
    // The first step's warm-up is not the second's.
    let root = dir.path().join("warm");
    let changes = [("model", "base-cnn"), ("two-step", "true"), ("warmup-epochs", "1.5"), ("second-epochs", "1")];
    run(&config(&root, recipe(&[&changes[..], &[("second-lr", "1e-12"), ("schedule", "constant")]].concat())));
    let rates = fs::read_to_string(root.join("RPE/steps.csv")).unwrap();
    assert!(rates.lines().skip(1).all(|line| line.contains(",0.000000000001,")), "{rates}");
    let resumed = TrainConfig { resume: Resume::Yes, ..config(&root, recipe(&[])) };
    assert!(run(&resumed).stopped.is_none(), "and it is read back");
}

#[test]
fn a_network_that_was_trained_on_what_validates_is_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let small = [("model", "base-cnn"), ("epochs", "1")];
    let of = |changes: &[(&str, &str)]| recipe(&[&small[..], changes].concat());
    run(&config(&path("first"), of(&[("fold", "1/2")])));
    let start = path("first").join(BEST_LOSS).display().to_string();
    let error = refused(&config(&path("leak"), of(&[("fold", "2/2"), ("init-from", &start)])));
    assert!(error.contains("--init-from") && error.contains("--split-seed"), "{error}");
    // Of the same fold it is, and what it was trained on stays known: also to what begins from there in turn.
    let huvec = [("fold", "1/2"), ("cell-type", "HUVEC")];
    run(&config(&path("second"), of(&[&huvec[..], &[("init-from", &start)]].concat())));
    let split = fs::read_to_string(path("second").join("split.csv")).unwrap();
    let pretrained: Vec<&str> = split.lines().filter(|line| line.ends_with(",pretrained")).collect();
    assert!(!pretrained.is_empty() && pretrained.iter().all(|line| line.starts_with("RPE-")), "{split}");
    let start = path("second").join(LAST).display().to_string();
    let rpe = [("fold", "2/2"), ("cell-type", "RPE"), ("init-from", start.as_str())];
    let error = refused(&config(&path("third"), of(&rpe)));
    assert!(error.contains("--init-from") && error.contains("RPE-"), "{error}");
    // A link to it is what it leads to, whatever it is called, and so is another name in its folder.
    let link = path("link.safetensors");
    std::os::unix::fs::symlink(path("first").join(BEST_LOSS), &link).unwrap();
    let renamed = path("first").join("mine.safetensors");
    fs::copy(path("first").join(BEST_LOSS), &renamed).unwrap();
    for start in [&link, &renamed].map(|path| path.display().to_string()) {
        let error = refused(&config(&path("leak"), of(&[("fold", "2/2"), ("init-from", &start)])));
        assert!(error.contains("--init-from") && error.contains("--split-seed"), "{error}");
    }
    // Taken out of its folder, nobody knows any more: that is said, now and by whoever predicts with it.
    let moved = path("moved.safetensors");
    fs::copy(path("first").join(BEST_LOSS), &moved).unwrap();
    let moved = moved.display().to_string();
    let fourth = config(&path("fourth"), of(&[("fold", "2/2"), ("init-from", &moved)]));
    run(&fourth);
    run(&TrainConfig { resume: Resume::Yes, ..fourth });
    let log = fs::read_to_string(path("fourth").join("train.log")).unwrap();
    assert_eq!(
        log.lines().filter(|line| line.contains("warning") && line.contains("is not known")).count(),
        2,
        "{log}"
    );
    let config = PredictConfig { device: DeviceChoice::Cpu, ..PredictConfig::new(&store(), &path("fourth")) };
    let warnings = predict(&config, &|_| {}).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("is not known"), "{warnings:?}");
    // Nor of what begins with that in turn.
    let start = path("fourth").join(LAST).display().to_string();
    let fifth = self::config(&path("fifth"), of(&[("fold", "2/2"), ("init-from", &start)]));
    run(&fifth);
    let info = RunFolder::open(&path("fifth")).unwrap().info().unwrap();
    assert!(info.starts_from.unwrap().of_unknown_run);
}

#[test]
fn a_run_is_known_by_the_weights_that_it_starts_from_and_begins_with_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let small = [("model", "base-cnn"), ("epochs", "1")];
    let start = path("start.safetensors");
    let start_flag = start.display().to_string();
    let with = |seed: &'static str, name: &str| {
        run(&config(&path(&format!("of {seed}")), recipe(&[&small[..], &[("seed", seed)]].concat())));
        fs::copy(path(&format!("of {seed}")).join(LAST), &start).unwrap();
        run(&config(&path(name), recipe(&[&small[..], &[("init-from", start_flag.as_str())]].concat())));
        RunFolder::open(&path(name)).unwrap().info().unwrap().run_id
    };
    let (first, second) = (with("1", "first"), with("2", "second"));
    assert!(first.is_some() && first != second);
    // Killed before it had saved where it begins.
    for name in fs::read_dir(path("first")).unwrap().map(|entry| entry.unwrap().file_name()) {
        if !["train.log", "seal.sha256", "recipe.toml", "split.csv", "run.json"].contains(&name.to_str().unwrap()) {
            fs::remove_file(path("first").join(name)).unwrap();
        }
    }
    let resumed = TrainConfig { resume: Resume::Yes, ..config(&path("first"), recipe(&[])) };
    let error = train(&resumed, &mut ()).unwrap_err().to_string();
    assert!(
        error.ends_with("start.safetensors: expected the weights that the run began with, found others"),
        "{error}"
    );
    fs::copy(path("of 1").join(LAST), &start).unwrap();
    run(&resumed);
}

#[test]
fn the_second_step_begins_with_the_best_network_of_the_first_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let mut config = config(&root, recipe(&[("model", "base-cnn"), ("two-step", "true"), ("epochs", "2")]));
    run(&config);
    config.resume = Resume::Yes;
    for name in ["HUVEC", "RPE"] {
        fs::remove_dir_all(root.join(name)).unwrap();
    }
    fs::rename(root.join("best-accuracy.safetensors"), dir.path().join("kept")).unwrap();
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("best-accuracy.safetensors") && error.contains("lost since"), "{error}");
    fs::rename(dir.path().join("kept"), root.join("best-accuracy.safetensors")).unwrap();
    run(&config);
}

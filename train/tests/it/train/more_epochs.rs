//! `--resume --epochs N`: a run that is over is trained on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use cellshard::training::run::{LAST, Observer, RESUME, SUMMARY};

use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::train::{Summary, train};

use super::{config, recipe, run, store};
use crate::common::{contents, stderr, stdout, tool};

fn epochs(run: &Path) -> u32 {
    let summary: Summary = serde_json::from_slice(&fs::read(run.join(SUMMARY)).unwrap()).unwrap();
    summary.epochs
}

#[test]
fn a_run_that_is_over_is_trained_on_as_if_it_had_been_told_so_from_the_start() {
    // A schedule that does not look at how many epochs there are.
    let changes = [("model", "base-cnn"), ("schedule", "exponential"), ("warmup-epochs", "0.5")];
    let of = |epochs: &'static str| recipe(&[&changes[..], &[("epochs", epochs)]].concat());
    let dir = tempfile::tempdir().unwrap();
    let [whole, more] = ["whole", "more"].map(|name| dir.path().join(name));
    run(&config(&whole, of("4")));
    let mut config = config(&more, of("2"));
    run(&config);
    assert_eq!(epochs(&more), 2);
    (config.resume, config.epochs) = (Resume::Yes, Some(4));
    // Stopped and gone on with by somebody who does not say it again.
    config.stop = Stop { after_steps: Some(1), ..Stop::default() };
    assert!(run(&config).stopped.is_some() && !more.join(SUMMARY).exists());
    (config.stop, config.epochs) = (Stop::default(), None);
    assert!(run(&config).stopped.is_none());
    assert_eq!(epochs(&more), 4);
    let lines = |root: &Path, name: &str| {
        let text = fs::read_to_string(root.join(name)).unwrap();
        // All but the last three columns of metrics.csv, which are times.
        let n = if name == "metrics.csv" { 10 } else { usize::MAX };
        text.lines().map(|line| line.split(',').take(n).collect::<Vec<_>>().join(",")).collect::<Vec<_>>()
    };
    for name in ["steps.csv", "metrics.csv"] {
        assert_eq!(lines(&more, name), lines(&whole, name));
    }
    // The runs are not the same run, but their networks are.
    let tensors = |root: &Path| cellshard_train::models::weights::read(&root.join(LAST)).unwrap().tensors;
    let (a, b) = (tensors(&whole), tensors(&more));
    assert!(a.len() > 3 && a.iter().all(|(name, tensor)| tensor.equal(&b[name])));
    // Once more over, it is left as it is.
    let before = fs::read(more.join(RESUME)).unwrap();
    run(&config);
    assert!(fs::read(more.join(RESUME)).unwrap() == before);
    // Said once more, as whoever restarts a job says it, it is no news; fewer are refused.
    run(&TrainConfig { epochs: Some(4), ..config.clone() });
    assert!(fs::read(more.join(RESUME)).unwrap() == before);
    for epochs in [3, 1] {
        let error = train(&TrainConfig { epochs: Some(epochs), ..config.clone() }, &mut ()).unwrap_err().to_string();
        assert!(error.starts_with("--epochs: expected more than the 4 epochs that it was told before"), "{error}");
        assert_eq!(self::epochs(&more), 4, "and it stays over");
    }
}

#[test]
fn patience_begins_anew_where_more_epochs_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    // A rate at which nothing becomes better.
    let changes =
        [("model", "base-cnn"), ("epochs", "9"), ("lr", "1e-12"), ("early-stopping", "loss"), ("patience", "1")];
    let mut config = config(&root, recipe(&changes));
    run(&config);
    let stopped = epochs(&root);
    assert!(stopped < 9, "{stopped}");
    (config.resume, config.epochs) = (Resume::Yes, Some(20));
    run(&config);
    let again = epochs(&root);
    assert!(again > stopped && again < 20, "{stopped} {again}");
    // And it is over until somebody asks for more than that.
    for told in [None, Some(20)] {
        config.epochs = told;
        run(&config);
        assert_eq!(epochs(&root), again);
    }
}

#[test]
fn what_early_stopping_ended_is_over_whatever_was_told_before() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let changes = [("model", "base-cnn"), ("two-step", "true"), ("epochs", "1"), ("second-lr", "1e-12")];
    let stops = [("early-stopping", "loss"), ("patience", "1")];
    let mut config = config(&root, recipe(&[&changes[..], &stops].concat()));
    run(&config);
    (config.resume, config.second_epochs) = (Resume::Yes, Some(20));
    run(&config);
    let of_both = || ["HUVEC", "RPE"].map(|name| epochs(&root.join(name)));
    let stopped = of_both();
    assert!(stopped.iter().all(|epochs| (2..20).contains(epochs)), "{stopped:?}");
    for told in [None, Some(20), Some(2)] {
        config.second_epochs = told;
        run(&config);
        assert_eq!(of_both(), stopped, "{told:?}");
    }
}

#[test]
fn what_networks_that_are_over_were_told_holds_for_whoever_goes_on_and_is_checked_before_any_is_trained() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let mut config = config(&root, recipe(&[("model", "base-cnn"), ("two-step", "true"), ("epochs", "1")]));
    run(&config);
    let of_both = || ["HUVEC", "RPE"].map(|name| epochs(&root.join(name)));
    // The checkpoint of the last network is lost: the first is not trained on before that is said.
    let lost = root.join("RPE").join(RESUME);
    let kept = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    (config.resume, config.second_epochs) = (Resume::Yes, Some(3));
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("RPE") && error.contains("lost since"), "{error}");
    assert_eq!(of_both(), [1, 1]);
    fs::write(&lost, kept).unwrap();
    // Stopped in the first of them, and gone on with as the program says.
    config.stop = Stop { after_steps: Some(1), ..Stop::default() };
    assert!(run(&config).stopped.is_some());
    (config.second_epochs, config.stop) = (None, Stop::default());
    run(&config);
    assert_eq!(of_both(), [3, 3]);
    // A job that says all of it at each start.
    (config.epochs, config.second_epochs) = (Some(1), Some(3));
    run(&config);
    assert_eq!(of_both(), [3, 3]);
}

/// Whether two folders hold the same, but for their logs.
fn same_but_the_log(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) -> bool {
    let of = |all: &BTreeMap<String, Vec<u8>>| {
        let mut all = all.clone();
        all.retain(|name, _| !name.ends_with("train.log"));
        all
    };
    of(a) == of(b)
}

#[test]
fn of_two_steps_the_second_is_trained_on_and_the_first_only_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let train = |extra: &[&str]| {
        let mut train = tool("train");
        train.arg("--shards").arg(store()).arg("--run").arg(&root).args(["--device", "cpu", "--threads", "1"]);
        train.args(extra).output().unwrap()
    };
    let begin = ["--model", "base-cnn", "--epochs", "1", "--batch", "8", "--two-step"];
    assert!(train(&begin).status.success());
    let refused = |extra: &[&str], expected: &str| {
        let output = train(extra);
        assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    };
    refused(&["--resume", "--epochs", "3"], "as the second step has begun from it");
    refused(&["--resume", "--warmup-epochs", "3"], "found --warmup-epochs");
    assert_eq!([epochs(&root), epochs(&root.join("HUVEC")), epochs(&root.join("RPE"))], [1, 1, 1]);
    let output = train(&["--resume", "--second-epochs", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("HUVEC: 2 instead of 1"), "{}", stdout(&output));
    assert_eq!([epochs(&root), epochs(&root.join("HUVEC")), epochs(&root.join("RPE"))], [1, 2, 2]);
    // What was said holds for whoever goes on, also for networks that nobody had begun then.
    let of_first = fs::read_to_string(root.join("steps.csv")).unwrap().lines().count() as u64 - 1;
    for (name, steps) in [("in the first", 2), ("in HUVEC", of_first + 1)] {
        let root = dir.path().join(name);
        let changes = [("model", "base-cnn"), ("two-step", "true"), ("epochs", "1")];
        let mut config = config(&root, recipe(&changes));
        config.stop = Stop { after_steps: Some(steps), ..Stop::default() };
        run(&config);
        assert_eq!(root.join("HUVEC").is_dir(), steps > 2, "{name}");
        (config.resume, config.second_epochs) = (Resume::Yes, Some(3));
        config.stop = Stop { after_steps: Some(1), ..Stop::default() };
        run(&config);
        (config.second_epochs, config.stop) = (None, Stop::default());
        run(&config);
        assert_eq!([epochs(&root), epochs(&root.join("HUVEC")), epochs(&root.join("RPE"))], [1, 3, 3], "{name}");
    }
    // What is refused changes nothing.
    refused(&["--resume", "--epochs", "4", "--second-epochs", "5"], "as the second step has begun from it");
    refused(&["--resume", "--second-epochs", "0"], "1 or more");
    let before = contents(&root);
    assert!(train(&["--resume"]).status.success());
    assert!(same_but_the_log(&contents(&root), &before));
    // A kill between the last checkpoint and the summary leaves nothing to be told.
    fs::remove_file(root.join("HUVEC").join(SUMMARY)).unwrap();
    assert!(train(&["--resume"]).status.success());
    assert_eq!(epochs(&root.join("HUVEC")), 2);
    fs::remove_file(root.join("HUVEC").join(SUMMARY)).unwrap();
    assert!(train(&["--resume", "--second-epochs", "2"]).status.success());
    assert_eq!(epochs(&root.join("HUVEC")), 2);
    // What the second step was told is lost with the first's checkpoint, and that is said.
    let kept = fs::read(root.join(RESUME)).unwrap();
    fs::remove_file(root.join(RESUME)).unwrap();
    let output = train(&["--resume"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains(RESUME) && stderr(&output).contains("lost since"), "{}", stderr(&output));
    fs::write(root.join(RESUME), kept).unwrap();
    let one = dir.path().join("one");
    run(&config(&one, recipe(&[("model", "base-cnn"), ("epochs", "1")])));
    let resumed = TrainConfig { resume: Resume::Yes, second_epochs: Some(3), ..config(&one, recipe(&[])) };
    let error = cellshard_train::train::train(&resumed, &mut ()).unwrap_err().to_string();
    assert!(error.contains("--second-epochs") && error.contains("a run of one"), "{error}");
}

/// Asks for an end at the line that is said of the first step's last epoch.
struct EndAfterTheFirst(Stop);

impl Observer for EndAfterTheFirst {
    fn line(&mut self, text: &str) {
        if text.starts_with("epoch   1") {
            self.0.asked.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_start_that_was_not_judged_yet_is_judged_whatever_is_told_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let changes = [("model", "base-cnn"), ("two-step", "true"), ("epochs", "1"), ("second-epochs", "2")];
    let [whole, parts] = ["whole", "parts"].map(|name| dir.path().join(name));
    run(&config(&whole, recipe(&changes)));
    let mut config = config(&parts, recipe(&[&changes[..3], &[("second-epochs", "1")]].concat()));
    let mut observer = EndAfterTheFirst(config.stop.clone());
    assert!(train(&config, &mut observer).unwrap().stopped.is_some());
    assert!(parts.join("HUVEC").join(RESUME).exists() && !parts.join("HUVEC/metrics.csv").exists());
    (config.resume, config.second_epochs, config.stop) = (Resume::Yes, Some(2), Stop::default());
    run(&config);
    let rows = |run: &Path| {
        let text = fs::read_to_string(run.join("HUVEC/metrics-groups.csv")).unwrap();
        assert!(text.contains("\n0,cell-type,HUVEC,"), "{text}");
        text
    };
    assert_eq!(rows(&parts), rows(&whole));
}

#[test]
fn an_end_within_the_warm_up_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let changes = [("model", "base-cnn"), ("epochs", "6"), ("warmup-epochs", "4"), ("schedule", "constant")];
    let mut config = config(&dir.path().join("run"), recipe(&changes));
    config.stop = Stop { after_steps: Some(2), ..Stop::default() };
    run(&config);
    (config.resume, config.epochs) = (Resume::Yes, Some(3));
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert_eq!(error, "--epochs: expected more than the 4 epochs of warm-up, found 3");
    config.epochs = Some(5);
    run(&config);
}

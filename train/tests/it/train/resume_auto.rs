//! `--resume auto`: one line that begins a run, goes on with it, and finds it finished; and never begins over what is left
//! of one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use cellshard::training::run::{BEST_ACCURACY, INFO, LAST, LOG, RECIPE, RESUME, SEAL, SPLIT};

use cellshard_train::plan::Resume;

use super::{config, recipe, run, store};
use crate::common::{contents, copy_folder, stderr, stdout, tool};

const RECIPE_FLAGS: [&str; 7] = ["--model", "base-cnn", "--epochs", "2", "--batch", "8", "--flip"];

/// The same line each time, with more flags behind it.
fn job(run: &Path, more: &[&str]) -> Output {
    let mut train = tool("train");
    train.arg("--shards").arg(store()).arg("--run").arg(run).args(["--device", "cpu", "--threads", "1"]);
    train.args(["--resume", "auto"]).args(more).output().unwrap()
}

/// Runs it with a recipe, and tells its exit code.
fn code(run: &Path, more: &[&str]) -> i32 {
    let output = job(run, &[&RECIPE_FLAGS[..], more].concat());
    assert!(output.status.code().is_some_and(|code| [0, 75].contains(&code)), "{}", stderr(&output));
    output.status.code().unwrap()
}

fn refused(run: &Path, more: &[&str], expected: &[&str]) {
    let held = || {
        let mut held = if run.is_dir() { contents(run) } else { BTreeMap::new() };
        held.remove(LOG);
        held
    };
    let before = held();
    let output = job(run, more);
    assert!([1, 2].contains(&output.status.code().unwrap()), "{}", stdout(&output));
    let text = stderr(&output);
    assert!(expected.iter().all(|part| text.contains(part)), "{expected:?}: {text}");
    assert!(held() == before, "nothing but its log is changed: {text}");
}

#[test]
fn one_line_begins_a_run_goes_on_with_it_and_finds_it_finished() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, auto] = ["whole", "auto"].map(|name| dir.path().join(name));
    assert_eq!(code(&whole, &[]), 0);
    // Missing, then stopped in the first epoch, then in the second.
    for n in 0..2 {
        assert_eq!(code(&auto, &["--max-steps", "2"]), 75, "{n}");
    }
    assert_eq!(code(&auto, &[]), 0);
    for name in [LAST, BEST_ACCURACY, RESUME, "steps.csv", "metrics-groups.csv", RECIPE, SPLIT] {
        assert!(fs::read(whole.join(name)).unwrap() == fs::read(auto.join(name)).unwrap(), "{name}");
    }
    // Finished: it says so, trains nothing, and ends well; also without a word of the recipe.
    let before = contents(&auto);
    for flags in [&RECIPE_FLAGS[..], &[], &["--recipe", "resnet50", "--model", "base-cnn", "--epochs", "2"]] {
        if flags.len() == 6 {
            // resnet50 with its own batch is another recipe.
            refused(&auto, flags, &["batch: expected 8, by which the run was begun", "found 64"]);
            continue;
        }
        let output = job(&auto, flags);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stdout(&output);
        assert!(said.contains("nothing left to train") && said.contains("finished after 2 epochs"), "{said}");
        assert!(!said.contains("epoch   1"), "{said}");
    }
    for (name, bytes) in contents(&auto) {
        assert!(name == LOG || before[&name] == bytes, "{name}");
    }
}

#[test]
fn an_empty_folder_and_what_a_run_leaves_that_was_killed_before_it_began_are_begun_in() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    assert_eq!(code(&whole, &["--max-steps", "1"]), 75);
    // In the order in which they are written; with the last of them it is a run that has saved nothing yet.
    let written = [LOG, SEAL, RECIPE, SPLIT, INFO];
    for n in 0..=written.len() {
        let root = dir.path().join(format!("killed-{n}"));
        fs::create_dir(&root).unwrap();
        for name in &written[..n] {
            fs::copy(whole.join(name), root.join(name)).unwrap();
        }
        assert_eq!(code(&root, &["--max-steps", "1"]), 75, "{n}");
        assert!(fs::read(root.join("steps.csv")).unwrap() == fs::read(whole.join("steps.csv")).unwrap(), "{n}");
    }
}

#[test]
fn a_run_by_another_recipe_is_refused_with_key_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    assert_eq!(code(&root, &["--max-steps", "1"]), 75);
    refused(&root, &["--lr", "0.5"], &["lr: expected 0.0006, by which the run was begun, found 0.5"]);
    refused(&root, &["--lr", "0.5", "--seed", "3"], &["seed: expected 0,", "found 3, and 1 other key that is not"]);
    refused(&root, &["--init-from", "x"], &["init-from: expected none,", "found x"]);
    refused(&root, &["--recipe", "demo"], &["expected", "by which the run was begun", "other keys that are not"]);
    refused(&root, &["--epochs", "3"], &["epochs: expected 2,", "--resume --epochs N", "found 3"]);
    // What was told since is as good as what it began with, and holds.
    let mut told = config(&root, recipe(&[]));
    (told.resume, told.epochs) = (Resume::Yes, Some(3));
    run(&told);
    for epochs in ["2", "3"] {
        let output = job(&root, &["--epochs", epochs, "--batch", "8"]);
        assert!(output.status.success() && stdout(&output).contains("finished after 3 epochs"), "{}", stderr(&output));
    }
    refused(&root, &["--epochs", "4"], &["epochs: expected 2,", "found 4"]);
    // Nor is a run without --run, or another word behind --resume.
    for (flags, what) in [(&["--resume", "auto"][..], "--run"), (&["--resume", "maybe", "--run", "x"], "expected auto")]
    {
        let output = tool("train").arg("--shards").arg(store()).args(flags).output().unwrap();
        assert!(output.status.code() == Some(2) && stderr(&output).contains(what), "{}", stderr(&output));
    }
    // By itself it goes on as ever, and takes no recipe.
    for flags in [&["--recipe", "demo"][..], &["--lr", "0.5"]] {
        let mut train = tool("train");
        train.arg("--shards").arg(store()).arg("--resume").arg("--run").arg(&root).args(flags);
        let output = train.output().unwrap();
        assert!(output.status.code() == Some(2) && stderr(&output).contains("a run keeps"), "{}", stderr(&output));
    }
}

#[test]
fn what_is_left_of_a_damaged_run_is_never_begun_over() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, root] = ["whole", "damaged"].map(|name| dir.path().join(name));
    assert_eq!(code(&whole, &[]), 0);
    let damaged = |change: &dyn Fn(&Path), expected: &[&str]| {
        let _ = fs::remove_dir_all(&root);
        copy_folder(&whole, &root);
        change(&root);
        refused(&root, &RECIPE_FLAGS, expected);
    };
    let remove = |names: &'static [&str]| {
        move |root: &Path| names.iter().for_each(|name| fs::remove_file(root.join(name)).unwrap())
    };
    damaged(&remove(&[INFO]), &["expected a run (with run.json), or a new or empty folder, found"]);
    damaged(&remove(&[INFO, SEAL, RECIPE, SPLIT]), &["expected a run (with run.json)"]);
    damaged(&remove(&[SEAL]), &[SEAL, "lost since"]);
    damaged(&remove(&[RESUME, "summary.json"]), &[RESUME, "lost since"]);
    damaged(&remove(&[BEST_ACCURACY]), &[BEST_ACCURACY, "lost since"]);
    damaged(&|root| fs::write(root.join(RECIPE), "lr = 1.0\n").unwrap(), &[RECIPE, "as it was when the run began"]);
    damaged(&|root| fs::write(root.join(INFO), "{}").unwrap(), &[INFO]);
    // Somebody's own folder, and a file.
    let thesis = dir.path().join("thesis");
    fs::create_dir(&thesis).unwrap();
    fs::write(thesis.join("thesis.txt"), "mine").unwrap();
    refused(&thesis, &RECIPE_FLAGS, &["expected a run (with run.json), or a new or empty folder, found thesis.txt"]);
    refused(&thesis.join("thesis.txt"), &RECIPE_FLAGS, &["thesis.txt"]);
}

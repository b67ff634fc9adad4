//! How a run begins: in a folder that holds nothing of anybody's, saved before its first step, and with a note of what it
//! began on.

use std::fs;
use std::path::Path;
use std::process::Command;

use cellshard::training::recipe::Recipe;
use cellshard::training::run::{
    BEST_ACCURACY, BEST_LOSS, INFO, LAST, LOG, RECIPE, RESUME, RunFolder, RunInfo, SEAL, SPLIT,
};

use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::train::train;

use super::{config, recipe, run, store};
use crate::common::{contents, copy_folder, stderr, tool};

#[test]
fn what_a_run_leaves_that_was_killed_before_it_began_counts_as_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&config(&whole, recipe(&[("model", "base-cnn"), ("epochs", "1")])));
    let other = dir.path().join("other");
    run(&config(&other, recipe(&[("model", "base-cnn"), ("epochs", "1"), ("lr", "2e-3")])));
    // In the order in which they are written, each with a file that was under way.
    let written = [LOG, SEAL, RECIPE, SPLIT];
    for n in 0..=written.len() {
        let root = dir.path().join(format!("killed-{n}"));
        fs::create_dir(&root).unwrap();
        for name in &written[..n] {
            fs::copy(whole.join(name), root.join(name)).unwrap();
        }
        fs::write(root.join(".tmpA1b2C3"), "half").unwrap();
        if n == written.len() {
            // Killed once more, by a run of another recipe, when that had written its seal.
            fs::copy(other.join(SEAL), root.join(SEAL)).unwrap();
            for name in [RECIPE, SPLIT] {
                fs::remove_file(root.join(name)).unwrap();
            }
        }
        let again = config(&root, recipe(&[("model", "base-cnn"), ("epochs", "1"), ("lr", "1e-3")]));
        assert!(run(&again).stopped.is_none(), "{n}");
        assert!(fs::read_to_string(root.join(RECIPE)).unwrap().contains("\nlr = 0.001\n"), "a run of its own");
        RunFolder::open(&root).unwrap().check_seal().unwrap();
    }
}

/// Files by name, with what is in them.
type Files<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn nobodys_file_is_replaced_by_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&config(&whole, recipe(&[("model", "base-cnn"), ("epochs", "1")])));
    let seal = fs::read(whole.join(SEAL)).unwrap();
    let cases: [(&str, Files<'_>); 8] = [
        ("thesis", &[("thesis.txt", b"x")]),
        ("own recipe", &[(RECIPE, b"model = \"resnet18\"\n")]),
        ("own recipe and a log", &[(LOG, b""), (RECIPE, b"model = \"resnet18\"\n")]),
        ("own split beside a seal", &[(SEAL, &seal), (SPLIT, b"well_id,part\n")]),
        ("a list of others", &[(SEAL, b"nothing of ours\n")]),
        ("a run without its document", &[(SEAL, &seal), (RESUME, b"x")]),
        ("networks", &[(BEST_ACCURACY, b"x")]),
        ("a run", &[(INFO, b"{}")]),
    ];
    for (what, files) in cases {
        let root = dir.path().join(what);
        fs::create_dir(&root).unwrap();
        for (name, bytes) in files {
            fs::write(root.join(name), bytes).unwrap();
        }
        let before = contents(&root);
        let error = train(&config(&root, recipe(&[("model", "base-cnn")])), &mut ()).unwrap_err().to_string();
        assert!(error.contains("--run") && error.contains("new or empty"), "{what}: {error}");
        assert!(contents(&root) == before, "{what}");
    }
    // A log that is a link, or no file at all.
    let [linked, piped] = ["linked", "piped"].map(|name| dir.path().join(name));
    let diary = dir.path().join("diary.txt");
    fs::write(&diary, "mine").unwrap();
    for root in [&linked, &piped] {
        fs::create_dir(root).unwrap();
    }
    std::os::unix::fs::symlink(&diary, linked.join(LOG)).unwrap();
    assert!(Command::new("mkfifo").arg(piped.join(LOG)).status().unwrap().success());
    for root in [&linked, &piped] {
        let error = train(&config(root, recipe(&[("model", "base-cnn")])), &mut ()).unwrap_err().to_string();
        assert!(error.contains("--run") && error.contains(LOG), "{error}");
    }
    assert_eq!(fs::read_to_string(&diary).unwrap(), "mine");
    // A run that lost its log to one is not gone on with, and nobody waits for a reader.
    fs::remove_file(whole.join(LOG)).unwrap();
    assert!(Command::new("mkfifo").arg(whole.join(LOG)).status().unwrap().success());
    let resumed = TrainConfig { resume: Resume::Yes, ..config(&whole, recipe(&[])) };
    assert!(train(&resumed, &mut ()).unwrap_err().to_string().contains(LOG));
    // Whoever trains there already is told of first.
    let taken = dir.path().join("taken");
    run(&config(&taken, recipe(&[("model", "base-cnn"), ("epochs", "1")])));
    let log = RunFolder::at(&taken).open_log().unwrap();
    let error = train(&config(&taken, recipe(&[("model", "base-cnn")])), &mut ()).unwrap_err().to_string();
    assert!(error.contains("no other process that trains here"), "{error}");
    drop(log);
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = train(&config(&file, recipe(&[("model", "base-cnn")])), &mut ()).unwrap_err().to_string();
    assert!(error.contains("found a file"), "{error}");
}

#[test]
fn a_lost_checkpoint_is_an_error_and_training_never_begins_anew_over_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let mut config = config(&root, recipe(&[("model", "base-cnn")]));
    config.stop = Stop { after_steps: Some(1), ..Stop::default() };
    run(&config);
    config.resume = Resume::Yes;
    let [stopped, lost] = ["stopped", "lost"].map(|name| dir.path().join(name));
    copy_folder(&root, &stopped);
    let refused = |change: &dyn Fn(&Path)| {
        let _ = fs::remove_dir_all(&lost);
        copy_folder(&stopped, &lost);
        change(&lost);
        let error = train(&TrainConfig { run: Some(lost.clone()), ..config.clone() }, &mut ()).unwrap_err();
        error.to_string()
    };
    let error = refused(&|run| fs::remove_file(run.join(RESUME)).unwrap());
    assert!(error.contains(RESUME) && error.contains("lost since"), "{error}");
    // And what cannot be looked at is no reason to begin anew: here a name that leads round in a circle.
    for name in [RESUME, "metrics.csv", SPLIT, SEAL] {
        let error = refused(&|run| {
            let _ = fs::remove_file(run.join(name));
            std::os::unix::fs::symlink(name, run.join(name)).unwrap();
        });
        assert!(error.contains(name), "{name}: {error}");
    }
    // The networks that it wrote are as much a part of it, whether it is over or not.
    let whole = dir.path().join("over");
    copy_folder(&stopped, &whole);
    run(&TrainConfig { run: Some(whole.clone()), stop: Stop::default(), ..config.clone() });
    for epochs in [None, Some(3)] {
        for name in [BEST_ACCURACY, BEST_LOSS, LAST] {
            let _ = fs::remove_dir_all(&lost);
            copy_folder(&whole, &lost);
            fs::remove_file(lost.join(name)).unwrap();
            let config = TrainConfig { run: Some(lost.clone()), stop: Stop::default(), epochs, ..config.clone() };
            let error = train(&config, &mut ()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("lost since"), "{epochs:?} {name}: {error}");
        }
    }
    // And so are the tables of what it did.
    for name in ["metrics.csv", "metrics-groups.csv", "steps.csv"] {
        let _ = fs::remove_dir_all(&lost);
        copy_folder(&whole, &lost);
        fs::remove_file(lost.join(name)).unwrap();
        let config = TrainConfig { run: Some(lost.clone()), stop: Stop::default(), epochs: Some(3), ..config.clone() };
        let error = train(&config, &mut ()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("expected "), "{name}: {error}");
    }
    // Killed before its first step, it begins.
    let begun = dir.path().join("begun");
    fs::create_dir(&begun).unwrap();
    for name in [LOG, SEAL, RECIPE, SPLIT, INFO] {
        fs::copy(stopped.join(name), begun.join(name)).unwrap();
    }
    config.stop = Stop::default();
    run(&TrainConfig { run: Some(begun.clone()), ..config.clone() });
    run(&config);
    assert!(fs::read(begun.join(LAST)).unwrap() == fs::read(root.join(LAST)).unwrap());
}

#[test]
fn a_run_notes_on_what_it_began_and_its_files_do_not_depend_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("by program");
    let mut train = tool("train");
    train.arg("--shards").arg(store()).arg("--run").arg(&program);
    train.args(["--model", "base-cnn", "--epochs", "1", "--batch", "8", "--device", "cpu", "--threads", "1"]);
    let output = train.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let info = |root: &Path| -> RunInfo { RunFolder::open(root).unwrap().info().unwrap() };
    let on = info(&program).environment.unwrap();
    assert_eq!((on.device.as_str(), on.gpu), ("cpu", None));
    assert!(on.libtorch.starts_with("2.11.0"), "{}", on.libtorch);
    let line = on.command_line.join(" ");
    assert!(line.contains("--model base-cnn --epochs 1 --batch 8"), "{line}");
    let log = fs::read_to_string(program.join(LOG)).unwrap();
    assert!(log.contains("command    ") && log.contains("libtorch 2.11.0"), "{log}");
    // The same training from a library, in another folder: the same files, known by the same name.
    let library = dir.path().join("by library");
    let changes = [("model", "base-cnn"), ("epochs", "1"), ("batch", "8")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    run(&config(&library, Recipe::named("resnet50").unwrap().1.with(&changes).unwrap()));
    assert_eq!(info(&library).run_id, info(&program).run_id);
    for name in [LAST, BEST_ACCURACY, RESUME] {
        assert!(fs::read(library.join(name)).unwrap().len() == fs::read(program.join(name)).unwrap().len(), "{name}");
    }
    assert!(fs::read(library.join(LAST)).unwrap() == fs::read(program.join(LAST)).unwrap());
}

#[test]
fn an_error_that_ends_a_run_is_in_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let config =
        config(&root, recipe(&[("lr", "1000"), ("optimizer", "sgd"), ("model", "base-cnn"), ("epochs", "50")]));
    let error = train(&config, &mut ()).unwrap_err().to_string();
    let log = fs::read_to_string(root.join(LOG)).unwrap();
    assert!(log.trim_end().ends_with(&format!("error      {error}")), "{log}");
}

//! A pipe in the place of any file: every program ends, and says which file it is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Fixture, TreeSpec, contents, copy_folder, small, stderr, stdout, tool};

/// Runs a program that is ended by `timeout`, with exit code 124, should it wait for anyone.
fn bounded(program: &str, args: &[&str]) -> Output {
    let program = tool(program).get_program().to_owned();
    Command::new("timeout").args(["--signal=KILL", "30"]).arg(program).args(args).output().unwrap()
}

fn small_tree() -> Fixture {
    let spec = TreeSpec { experiments: vec![("HEPG2-01", "train")], plates: 1, wells: vec!["B02", "B03"], ..small() };
    Fixture::kaggle(spec)
}

fn replace_by_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
}

/// Checks that a run ended by itself; if it says that all is well, it must not have needed the file.
fn check(output: &Output, what: &str, path: &str, may_succeed: bool) {
    let shown = stdout(output) + &stderr(output);
    let code = output.status.code();
    assert!(matches!(code, Some(0..=2)), "{what}, a pipe as {path}: {code:?} {shown}");
    if !(may_succeed && code == Some(0)) {
        assert_ne!(code, Some(0), "{what}, a pipe as {path}: {shown}");
        assert!(shown.contains(path.rsplit('/').next().unwrap()), "{what}, a pipe as {path}: {shown}");
    }
}

#[test]
fn in_the_place_of_any_file_of_a_store_it_is_named_by_every_program() {
    let fixture = small_tree();
    fixture.pack();
    let (data, store) = (fixture.data().display().to_string(), fixture.path().join("piped"));
    let other = fixture.path().join("other").display().to_string();
    let text = store.display().to_string();
    for path in contents(&fixture.store()).keys() {
        let runs: [(&str, Vec<&str>, bool); 8] = [
            ("verify", vec![&text], false),
            ("verify", vec![&text, "--quick"], false),
            ("verify", vec![&text, "--deep"], false),
            ("verify", vec![&data, "--against", &text], true),
            ("stats", vec!["--shards", &text, "--csv"], true),
            ("bench", vec!["--shards", &text, "--seconds", "0.001", "--rounds", "1"], true),
            ("pack", vec!["--src", &text, "--dst", &other, "--codec", "raw"], true),
            ("pack", vec!["--src", &data, "--dst", &text, "--sites-per-shard", "5"], true),
        ];
        for (program, args, may_succeed) in runs {
            if store.exists() {
                fs::remove_dir_all(&store).unwrap();
            }
            let _ = fs::remove_dir_all(&other);
            copy_folder(&fixture.store(), &store);
            replace_by_pipe(&store.join(path));
            check(&bounded(program, &args), &format!("{program} {args:?}"), path, may_succeed);
        }
    }
}

#[test]
fn in_the_place_of_any_file_of_a_tree_it_is_named_by_every_program() {
    let fixture = small_tree();
    let store = fixture.store().display().to_string();
    fixture.pack();
    let (list, written) = (fixture.path().join("list"), fixture.path().join("written"));
    let (list, written) = (list.display().to_string(), written.display().to_string());
    let data = fixture.data().display().to_string();
    assert_eq!(bounded("verify", &[&data, "--write", &list]).status.code(), Some(0));
    let good = contents(&fixture.data());
    for (path, bytes) in &good {
        replace_by_pipe(&fixture.data().join(path));
        let fresh = fixture.path().join("fresh").display().to_string();
        let is_image = path.ends_with(".png");
        let runs: [(&str, Vec<&str>, bool); 6] = [
            ("verify", vec![&data], false),
            ("verify", vec![&data, "--write", &written], false),
            ("verify", vec![&data, "--against", &list], false),
            ("verify", vec![&data, "--against", &store], !is_image),
            ("pack", vec!["--src", &data, "--dst", &fresh], false),
            ("pack", vec!["--src", &data, "--dst", &store, "--sites-per-shard", "5"], false),
        ];
        for (program, args, may_succeed) in runs {
            check(&bounded(program, &args), &format!("{program} {args:?}"), path, may_succeed);
            let _ = fs::remove_dir_all(&fresh);
        }
        fs::remove_file(fixture.data().join(path)).unwrap();
        fs::write(fixture.data().join(path), bytes).unwrap();
    }
    for (what, path) in [("--manifest", &fixture.store()), ("--against", &fixture.data())] {
        let pipe = fixture.path().join("pipe");
        fs::write(&pipe, "").unwrap();
        replace_by_pipe(&pipe);
        let (path, pipe) = (path.display().to_string(), pipe.display().to_string());
        check(&bounded("verify", &[&path, what, &pipe]), what, &pipe, false);
        fs::remove_file(&pipe).unwrap();
    }
}

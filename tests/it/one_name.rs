//! `cellshard NAME`: the program beside it is run as if it had been called itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::{Fixture, small, stderr, stdout, tool};

fn run<S: AsRef<OsStr>>(args: &[S]) -> Output {
    tool("cellshard").args(args).output().unwrap()
}

fn check(output: &Output, code: i32, says: &[&str]) {
    let all = stdout(output) + &stderr(output);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in says {
        assert!(all.contains(text), "{text:?} not in {all}");
    }
}

/// A folder with `cellshard` and `verify`, and nothing else; beside the programs, so that hard links do. A copy could
/// not be run while another test starts a program: that holds what is open for writing here for a moment.
fn folder_of_two() -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in ["cellshard", "verify"] {
        fs::hard_link(tool(name).get_program(), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn arguments_go_to_the_program_and_its_exit_code_comes_back() {
    let fixture = Fixture::kaggle(small());
    let store = fixture.store().display().to_string();
    fixture.pack();
    check(&run(&["verify", &store, "--deep"]), 0, &["result     whole"]);
    fs::remove_file(fixture.store().join("classes.csv")).unwrap();
    check(&run(&["verify", &store]), 1, &["missing", "classes.csv"]);
    check(&run(&["verify", "no/such"]), 2, &["no/such: expected a folder, found none"]);
    // Not one of them is taken for its own.
    check(&run(&["verify", "--", "--help"]), 2, &["--help: expected a folder"]);
    check(&run(&["pack", "--version"]), 0, &["pack 0."]);
    check(&run(&["verify", "--help"]), 0, &["Usage: cellshard verify"]);
}

#[test]
fn arguments_that_are_not_utf8_stay_as_they_are() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let odd = fixture.path().join(OsStr::from_bytes(b"st\xffre"));
    fs::rename(fixture.store(), &odd).unwrap();
    check(&run(&[OsStr::new("verify"), odd.as_os_str()]), 0, &["whole"]);
}

#[test]
fn a_link_from_elsewhere_finds_the_programs() {
    let folder = tempfile::tempdir().unwrap();
    let (link, second) = (folder.path().join("cellshard"), folder.path().join("cs"));
    symlink(tool("cellshard").get_program(), &link).unwrap();
    symlink("cellshard", &second).unwrap();
    for link in [&link, &second] {
        let output = Command::new(link).args(["verify", "no/such"]).output().unwrap();
        check(&output, 2, &["no/such: expected a folder"]);
    }
    // As a shell finds it.
    let output = Command::new("cellshard").arg("help").arg("stats").env("PATH", folder.path()).output().unwrap();
    check(&output, 0, &["Usage: cellshard stats"]);
}

#[test]
fn the_programs_that_are_there_are_listed() {
    let listed = |of: &Path, args: &[&str]| {
        let output = Command::new(of).args(args).output().unwrap();
        check(&output, 0, &["Usage: cellshard PROGRAM [ARGS]..."]);
        let text = stdout(&output);
        let (_, list) = text.split_once("Programs:\n").unwrap();
        let (list, _) = list.split_once("\n\n").unwrap();
        list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let folder = folder_of_two();
    for args in [&[][..], &["--help"], &["-h"], &["help"]] {
        assert_eq!(listed(&folder.path().join("cellshard"), args), ["verify"]);
    }
    let all = listed(Path::new(tool("cellshard").get_program()), &[]);
    // The trainer's lie there, too, where they have been built.
    assert_eq!(all[..6], ["simulate", "pack", "verify", "stats", "inspect", "bench"]);
    check(&run(&["--version"]), 0, &[concat!("cellshard ", env!("CARGO_PKG_VERSION"), "\n")]);
}

#[test]
fn a_program_that_is_not_there_is_said_to_be_missing() {
    let folder = folder_of_two();
    for args in [&["train", "--shards", "x"][..], &["help", "train"]] {
        let output = Command::new(folder.path().join("cellshard")).args(args).output().unwrap();
        let expected =
            format!("error: cellshard train: expected the program {}/train, found none\n", folder.path().display());
        assert_eq!((output.status.code(), stderr(&output)), (Some(2), expected));
    }
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest() {
    check(&run(&["pakc", "--src", "x"]), 2, &["error: cellshard: expected a program (nearest: pack), found \"pakc\""]);
    check(&run(&["help", "state"]), 2, &["(nearest: stats)"]);
    check(
        &run(&["--json"]),
        2,
        &["expected a program (simulate, pack, verify, stats, inspect, bench, train, predict)"],
    );
    // Only a bare name is one.
    check(&run(&["../release/pack", "--version"]), 2, &["expected a program"]);
    check(&run(&[""]), 2, &["expected a program"]);
    check(&run(&[OsStr::from_bytes(b"pack\xff")]), 2, &["expected a program"]);
}

#[test]
fn a_working_folder_that_was_deleted_stops_only_what_computes_with_libtorch() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let there = |args: &str| {
        let (gone, program) = (fixture.path().join("gone"), tool("cellshard").get_program().to_owned());
        fs::create_dir(&gone).unwrap();
        let script = format!("rmdir ../gone; exec {} {args}", Path::new(&program).display());
        Command::new("sh").args(["-c", &script]).current_dir(gone).output().unwrap()
    };
    check(&there(&format!("verify {}", fixture.store().display())), 0, &["whole"]);
    let other = fixture.path().join("other");
    check(&there(&format!("pack --src {} --dst {}", fixture.data().display(), other.display())), 0, &["is finished"]);
    check(&there("train --version"), 2, &["expected a working folder, found that it was deleted"]);
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(tool("cellshard").stdout(writer).status().unwrap().code(), Some(0));
}

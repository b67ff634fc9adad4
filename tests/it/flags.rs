//! Flags and arguments as every program takes them, their help, and the pages that are made of them.

use std::fs;
use std::process::{Command, Output};

use crate::common::{Fixture, check_help, small, stderr, stdout, tool};

fn run(name: &str, args: &[&str]) -> Output {
    tool(name).args(args).output().unwrap()
}

#[test]
fn every_short_help_is_one_screen_and_every_long_one_has_it_all() {
    check_help(&tool("simulate"), &["Arguments", "Options"]);
    check_help(&tool("pack"), &["Arguments", "Options", "Output", "Source", "Labels"]);
    check_help(&tool("verify"), &["Arguments", "Options", "Output", "Source (a raw tree)", "Labels"]);
    check_help(&tool("stats"), &["Arguments", "Options", "Output"]);
    check_help(&tool("bench"), &["Arguments", "Options"]);
    check_help(&tool("inspect"), &["Arguments", "Options", "Output", "Looks"]);
    let all = stdout(&run("cellshard", &["-h"]));
    assert!(all.lines().count() <= 24 && all.lines().all(|line| line.chars().count() <= 80), "{all}");
}

#[test]
fn the_main_thing_is_an_argument_or_a_flag_and_not_both() {
    let fixture = Fixture::kaggle(small());
    let (data, store) = (fixture.data().display().to_string(), fixture.store().display().to_string());
    let (made, other) = (fixture.path().join("made").display().to_string(), fixture.path().join("other"));
    let succeeds = |name: &str, args: &[&str]| {
        let output = run(name, args);
        assert!(output.status.success(), "{name} {args:?}: {}", stderr(&output));
        stdout(&output)
    };
    succeeds("pack", &[&data, &store]);
    assert!(succeeds("pack", &["--src", &data, "--dst", &store]).contains("nothing: all is done"));
    assert!(succeeds("pack", &[&data, "--dst", &store]).contains("nothing: all is done"));
    assert_eq!(succeeds("stats", &[&store, "--csv"]), succeeds("stats", &["--csv", "--shards", &store]));
    succeeds("bench", &[&store, "--seconds", "0.001", "--rounds", "1"]);
    succeeds("simulate", &[&made, "--experiments", "HUVEC:1", "--plates", "1", "--wells", "2", "--size", "16"]);

    let refused = |name: &str, args: &[&str], says: &[&str]| {
        let output = run(name, args);
        assert_eq!(output.status.code(), Some(2), "{name} {args:?}");
        for text in says {
            assert!(stderr(&output).contains(text), "{text} not in {}", stderr(&output));
        }
    };
    let usage = "Usage: pack [OPTIONS] <SRC> <DST>";
    refused("pack", &[], &["<SRC> (or --src <SRC>)", "<DST> (or --dst <DST>)", usage]);
    refused("pack", &[&data], &["<DST> (or --dst <DST>)"]);
    refused("pack", &[&data, &store, "--src", &data], &["'<SRC>' cannot be used with '--src <SRC>'"]);
    refused("simulate", &[], &["<DST> (or --dst <DST>)"]);
    for name in ["stats", "bench"] {
        refused(name, &[], &["<STORE> (or --shards <STORE>)", &format!("Usage: {name} [OPTIONS] <STORE>")]);
        refused(name, &[&store, "--shards", &store], &["'<STORE>' cannot be used with '--shards <STORE>'"]);
    }
    refused("verify", &[], &["<STORE|TREE>"]);
    refused("inspect", &[], &["<STORE> (or --shards <STORE>)"]);
    refused("inspect", &[&store, "--shards", &store], &["'[STORE]' cannot be used with '--shards <STORE>'"]);
    assert_eq!(succeeds("inspect", &[&store]), succeeds("inspect", &["--shards", &store]));
    assert!(!other.exists());
}

#[test]
fn a_flag_of_another_program_is_answered_with_ours() {
    for (found, meant) in [("--num-workers", "--threads"), ("--dry_run", "--dry-run"), ("--on-eror", "--on-error")] {
        let output = run("pack", &["a", "b", found, "1"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(&format!("a similar argument exists: '{meant}'")), "{}", stderr(&output));
    }
}

/// What bash would offer after these words.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let ask = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
        _cellshard cellshard \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", ask, script]).args(words).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn man_pages_and_completions_have_every_program_and_flag() {
    let folder = tempfile::tempdir().unwrap();
    let output = tool("cellshard").arg("--pages").arg(folder.path()).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let programs = ["simulate", "pack", "verify", "stats", "bench"];
    let scripts = ["bash/cellshard", "zsh/_cellshard", "fish/cellshard.fish"].map(read);
    for program in programs {
        assert!(read("man1/cellshard.1").contains(&format!("cellshard\\-{program}(1)")), "{program}");
        let page = read(&format!("man1/cellshard-{program}.1"));
        assert!(page.contains(&format!("\\fBcellshard {program}\\fR")) && page.contains("Exit codes:"), "{page}");
        let help = stdout(&run(program, &["--help"]));
        let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        for flag in flags.map(|line| line.split([' ', ',']).next().unwrap()) {
            assert!(page.contains(&format!("\\-\\-{}", flag.replace('-', "\\-"))), "--{flag} in {page}");
            assert!(scripts.iter().all(|script| script.contains(flag)), "{flag}");
        }
    }
    // What the short help hides is explained.
    assert!(read("man1/cellshard-pack.1").contains("Compare the content of every source"));
    let script = folder.path().join("bash/cellshard").display().to_string();
    assert_eq!(offered(&script, &["cellshard", "sta"]), ["stats"]);
    assert_eq!(offered(&script, &["cellshard", "pack", "--dry"]), ["--dry-run"]);
    assert_eq!(offered(&script, &["cellshard", "stats", "--by", ""]), ["plate", "experiment", "cell-type", "store"]);
    assert!(offered(&script, &["cellshard", ""]).iter().filter(|word| programs.contains(&word.as_str())).count() == 5);
}

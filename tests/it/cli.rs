//! The programs as a user meets them: exit codes, where output goes, what errors say.

use std::fs;
use std::process::Output;

use crate::common::{Fixture, TreeSpec, small, stderr, stdout, tool};

fn run(name: &str, args: &[&str]) -> Output {
    tool(name).args(args).output().unwrap()
}

fn check(output: &Output, code: i32, says: &[&str]) {
    let all = stdout(output) + &stderr(output);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in says {
        assert!(all.contains(text), "{text:?} not in {all}");
    }
}

/// A tree, packed; the folders as text.
fn packed() -> (Fixture, String, String) {
    let fixture = Fixture::kaggle(small());
    let (data, store) = (fixture.data().display().to_string(), fixture.store().display().to_string());
    check(&run("pack", &["--src", &data, "--dst", &store]), 0, &["48 sites", "is finished"]);
    (fixture, data, store)
}

#[test]
fn sha256sum_agrees_with_our_lists() {
    let (fixture, ..) = packed();
    for (dir, list) in [
        (fixture.store(), "SHA256SUMS".to_owned()),
        (fixture.store(), "plates/RPE-02/Plate1/files.sha256".to_owned()),
        (fixture.data(), fixture.store().join("plates/RPE-02/Plate1/sources.sha256").display().to_string()),
    ] {
        let mut sums = std::process::Command::new("sha256sum");
        let output = sums.args(["--check", "--strict", "--quiet", &list]).current_dir(dir).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{list}: {}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn a_damaged_store_is_told_and_listed_for_rsync() {
    let (fixture, _, store) = packed();
    check(&run("verify", &[&store]), 0, &["whole", "48 sites"]);
    let shard = "pixels.zarr/RPE-02/Plate1/c/0/0/0/0";
    let mut bytes = fs::read(fixture.store().join(shard)).unwrap();
    bytes[20] ^= 1;
    fs::write(fixture.store().join(shard), bytes).unwrap();
    fs::remove_file(fixture.store().join("classes.csv")).unwrap();
    fs::write(fixture.store().join("notes.txt"), "mine").unwrap();
    let list = fixture.path().join("again.txt").display().to_string();
    let output = run("verify", &[&store, "--damaged-list", &list]);
    check(
        &output,
        1,
        &[
            "altered",
            shard,
            "site RPE-02/1/B02/1",
            "missing",
            "classes.csv",
            "extra",
            "notes.txt",
            "2 files to send again",
        ],
    );
    assert_eq!(fs::read_to_string(list).unwrap(), format!("classes.csv\n{shard}\n"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&run("verify", &[&store, "--json"]))).unwrap();
    let altered = &json["findings"][1];
    assert_eq!((&altered["kind"], &altered["n"], &altered["n_sites"]), (&"altered".into(), &1.into(), &1.into()));
    assert_eq!(altered["listed"][0]["sites"]["listed"], serde_json::json!(["RPE-02_1_B02_1"]));
    check(&run("verify", &[&store, "--quick"]), 1, &["classes.csv"]);
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    let unfinished = run("verify", &[&store, "--deep"]);
    check(&unfinished, 1, &["SHA256SUMS", "site RPE-02/1/B02/1", "result     not finished: run pack again"]);
    assert!(!stdout(&unfinished).contains("to send again"), "an unfinished store is packed, not sent");
    check(&run("stats", &["--shards", &store]), 1, &["expected a finished store"]);
}

#[test]
fn what_keeps_a_program_from_running_is_exit_2() {
    let (_fixture, data, store) = packed();
    check(&run("pack", &["--src", "no/such", "--dst", &store]), 2, &["no/such", "expected a folder with images"]);
    check(
        &run("pack", &["--src", &data, "--dst", &store, "--codec", "raw"]),
        2,
        &["--codec", "expected zstd:3, found raw"],
    );
    check(
        &run("pack", &["--src", &data, "--dst", &store, "--codec", "lz4"]),
        2,
        &["raw, wave, wave:fast or zstd:1 to zstd:22"],
    );
    check(&run("pack", &["--src", &data, "--dst", "/proc/no-store"]), 2, &["/proc/no-store"]);
    check(&run("pack", &["--src", &data, "--dst", &store, "--threads", "0"]), 2, &["1 to 1024"]);
    check(&run("verify", &["no/such"]), 2, &["no/such"]);
    check(&run("verify", &[&data, "--deep"]), 2, &["expected a store"]);
    check(&run("verify", &[&store, "--write", "x"]), 2, &["expected a raw tree"]);
    check(&run("verify", &[&store, "--damaged-list", "/no/such/file"]), 2, &["/no/such/file"]);
    check(&run("stats", &["--shards", &data]), 2, &["expected a store"]);
}

#[test]
fn a_place_elsewhere_is_refused_and_no_folder_is_made_of_its_name() {
    let (fixture, data, store) = packed();
    let url = "s3://bucket/data";
    for (name, args) in [
        ("pack", vec!["--src", url, "--dst", &store]),
        ("pack", vec!["--src", &data, "--dst", url]),
        ("pack", vec!["--src", &data, "--dst", "https://example.org/x"]),
        ("pack", vec!["--src", &data, "--dst", &store, "--faults", url]),
        ("verify", vec![url]),
        ("verify", vec![&data, "--write", url]),
        ("verify", vec![&data, "--against", url]),
        ("stats", vec!["--shards", url]),
        ("bench", vec!["--shards", url]),
        ("simulate", vec!["--dst", url]),
    ] {
        let output = tool(name).args(&args).current_dir(fixture.path()).output().unwrap();
        check(&output, 2, &["://", "expected a path of this machine"]);
    }
    let mut config = fixture.config();
    config.dst = fixture.path().join(url);
    assert!(cellshard::pack::pack(&config, &|_| {}).is_err(), "the library refuses it, too");
    let names: Vec<_> = fs::read_dir(fixture.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn faults_are_summed_up_on_the_terminal_and_whole_in_files() {
    let fixture = Fixture::kaggle(small());
    let (data, store) = (fixture.data().display().to_string(), fixture.store().display().to_string());
    for well in ["B02", "B03", "B04", "C03", "C07", "AA02"] {
        fs::write(fixture.image(&format!("train/HEPG2-01/Plate1/{well}_s1_w1.png")), b"").unwrap();
    }
    let list = fixture.path().join("faults.csv").display().to_string();
    let output = run("pack", &["--src", &data, "--dst", &store, "--faults", &list]);
    check(&output, 1, &["empty-file: 6 files on 1 plate", "and 3 more", "not finished", "--on-error skip"]);
    assert_eq!(stdout(&output).matches("_s1_w1.png").count(), 3);
    assert_eq!(fs::read_to_string(&list).unwrap().lines().count(), 7);
    let output = run("pack", &["--src", &data, "--dst", &store, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["faults"][0]["n"], &json["faults"][0]["n_plates"]), (&6.into(), &1.into()));
    assert_eq!(json["faults"][0]["listed"].as_array().unwrap().len(), 6);
    check(&run("pack", &["--src", &data, "--dst", &store, "--dry-run"]), 1, &["to pack", "empty-file: 1 file"]);
    check(
        &run("pack", &["--src", &data, "--dst", &store, "--on-error", "skip"]),
        0,
        &["1 plate, 6 sites", "is finished, 6 sites left out (rejected.csv)"],
    );
    check(
        &run("pack", &["--src", &data, "--dst", &store, "--on-error", "skip"]),
        0,
        &["is finished, 6 sites left out"],
    );
    check(&run("verify", &[&store]), 0, &["whole, 6 sites left out (rejected.csv)"]);
    for (program, args) in [
        ("pack", vec!["--src", &data, "--dst", &store, "--on-error", "skip", "--json"]),
        ("verify", vec![&store, "--json"]),
    ] {
        let json: serde_json::Value = serde_json::from_str(&stdout(&run(program, &args))).unwrap();
        assert_eq!(json["left_out"], serde_json::json!({ "sites": 6, "wells": 0 }), "{program}");
    }
}

#[test]
fn statistics_come_as_table_csv_json_and_in_kaggles_columns() {
    let (_fixture, _, store) = packed();
    check(&run("stats", &["--shards", &store]), 0, &["RPE-02/Plate1", "controls", "std/image"]);
    let csv = stdout(&run("stats", &["--shards", &store, "--by", "cell-type", "--csv"]));
    assert_eq!(csv.lines().count(), 1 + 2 * 5 * 2, "{csv}");
    let json = stdout(&run("stats", &["--shards", &store, "--by", "store", "--population", "treatment,all", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let counts: Vec<_> =
        json["groups"].as_array().unwrap().iter().map(|group| (&group["population"], &group["n_sites"])).collect();
    assert_eq!(format!("{counts:?}"), r#"[(String("treatment"), Number(24)), (String("all"), Number(48))]"#);
    let kaggle = stdout(&run("stats", &["--shards", &store, "--pixel-stats"]));
    assert!(kaggle.starts_with("experiment,plate,well,site,channel,mean,std,median,min,max,id_code\n"));
    assert_eq!(kaggle.lines().count(), 1 + 48 * 2);
    assert!(kaggle.lines().nth(1).unwrap().ends_with("HEPG2-01_1_B02"));
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code_and_loses_no_file() {
    let (fixture, data, store) = packed();
    let unread = |name: &str, args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        tool(name).args(args).stdout(writer).status().unwrap().code()
    };
    assert_eq!(unread("stats", &["--shards", &store, "--csv"]), Some(0));
    assert_eq!(unread("verify", &[&store]), Some(0));
    fs::write(fixture.image("test/RPE-02/Plate1/B02_s1_w1.png"), b"broken").unwrap();
    let list = fixture.path().join("faults.csv").display().to_string();
    assert_eq!(unread("pack", &["--src", &data, "--dst", &store, "--faults", &list]), Some(1));
    assert_eq!(fs::read_to_string(&list).unwrap().lines().count(), 2);
    fs::write(fixture.store().join("metadata.csv"), "").unwrap();
    assert_eq!(unread("verify", &[&store]), Some(1));
    let made = fixture.path().join("made").display().to_string();
    let small = ["--experiments", "HUVEC:1", "--plates", "1", "--wells", "2", "--size", "16", "--dst", &made];
    assert_eq!(unread("simulate", &small), Some(0));
}

#[test]
fn a_refused_run_leaves_output_files_alone() {
    let (fixture, data, store) = packed();
    let kept = fixture.path().join("kept.txt");
    fs::write(&kept, "keep").unwrap();
    let path = kept.display().to_string();
    check(&run("verify", &[&data, "--damaged-list", &path]), 2, &["--damaged-list"]);
    check(&run("pack", &["--src", "no/such", "--dst", &store, "--faults", &path]), 2, &["no/such"]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "keep");
}

#[test]
fn a_list_written_into_the_tree_it_lists_is_not_part_of_it() {
    let (fixture, data, _) = packed();
    let list = fixture.data().join("list.sha256").display().to_string();
    for _ in 0..2 {
        check(&run("verify", &[&data, "--write", &list]), 0, &["100 files"]);
        check(&run("verify", &[&data, "--against", &list]), 0, &["whole"]);
    }
}

#[test]
fn a_lost_csv_or_channel_is_pointed_at() {
    let (fixture, data, _) = packed();
    let other = fixture.path().join("other").display().to_string();
    check(&run("pack", &["--src", &data, "--dst", &other, "--dry-run"]), 0, &["warning", "2 channels", "RxRx1 have 6"]);
    check(&run("pack", &["--src", &data, "--dst", &other, "--channels", "3"]), 1, &["missing-channel: 48 files"]);
    fs::remove_file(fixture.data().join("train_controls.csv")).unwrap();
    check(&run("pack", &["--src", &data, "--dst", &other]), 1, &["train_controls.csv: expected it beside train.csv"]);
    check(&run("pack", &["--src", &other, "--dst", &data]), 2, &["expected a folder with images"]);
}

#[test]
fn a_full_disk_ends_in_an_error_and_the_rerun_completes() {
    let (fixture, data, _) = packed();
    let store = fixture.path().join("full").display().to_string();
    // A limit on the size of files stands in for a full disk: a write fails half way.
    let script = format!(
        "trap '' XFSZ; ulimit -f 2; exec {} --src {data} --dst {store} --codec raw",
        env!("CARGO_BIN_EXE_pack")
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    check(&output, 2, &["cannot write", "File too large"]);
    assert!(!fixture.path().join("full").exists(), "nothing half-written stays");
    check(&run("pack", &["--src", &data, "--dst", &store, "--codec", "raw"]), 0, &["is finished"]);
    check(&run("verify", &[&store, "--deep"]), 0, &["whole"]);
}

#[test]
fn a_shard_that_cannot_be_written_ends_the_run_at_any_number_of_threads() {
    let spec = TreeSpec { channels: 6, size: (96, 96), plates: 3, ..small() };
    let fixture = Fixture::kaggle(spec);
    let (data, store) = (fixture.data().display().to_string(), fixture.store().display().to_string());
    for threads in [1, 2, 4].repeat(4) {
        let pack = env!("CARGO_BIN_EXE_pack");
        let flags = format!("--codec raw --sites-per-shard 4 --threads {threads}");
        // A run that hangs is ended by `timeout`, with exit code 124.
        let script = format!("trap '' XFSZ; ulimit -f 100; exec timeout 20 {pack} --src {data} --dst {store} {flags}");
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        check(&output, 2, &["cannot write", "File too large"]);
    }
}

#[test]
fn every_help_says_what_the_exit_codes_mean() {
    for program in ["cellshard", "simulate", "pack", "verify", "stats", "inspect", "bench"] {
        let output = run(program, &["--help"]);
        check(&output, 0, &["Exit codes:\n    0  done", "\n    1  the data has faults", "\n    2  could not run"]);
        let page = include_str!("../../docs/reliability.md");
        for line in stdout(&output).split("Exit codes:\n").nth(1).unwrap().lines() {
            let (code, meaning) = line.trim().split_once("  ").unwrap();
            assert!(page.contains(&format!("| {code} | {meaning} |")), "{program}: {line}");
        }
    }
}

#[test]
fn a_name_is_shown_with_what_a_terminal_would_obey_written_out() {
    let (fixture, data, store) = packed();
    let name = "a\u{1b}[2Jb\nc\u{7}";
    for folder in [fixture.data().join("train/HEPG2-01/Plate1"), fixture.store()] {
        fs::write(folder.join(name), "x").unwrap();
    }
    fs::create_dir(fixture.path().join(name)).unwrap();
    let odd = fixture.path().join(name).display().to_string();
    let list = fixture.path().join(name).join("list").display().to_string();
    for (program, args) in [
        ("pack", vec!["--src", data.as_str(), "--dst", &store]),
        ("pack", vec!["--src", &odd, "--dst", &store]),
        ("verify", vec![&data]),
        ("verify", vec![&data, "--write", &list]),
        ("verify", vec![&data, "--against", &store]),
        ("verify", vec![&store]),
        ("verify", vec![&odd]),
        ("stats", vec!["--shards", &odd]),
        ("bench", vec!["--shards", &odd]),
        ("pack", vec!["--src", &data, "--dst", &odd]),
    ] {
        let output = run(program, &args);
        let shown = stdout(&output) + &stderr(&output);
        assert!(!shown.contains(['\u{1b}', '\u{7}']) && !shown.contains("b\nc"), "{program} {args:?}: {shown:?}");
        assert!(shown.contains("a\\u{1b}[2Jb\\nc\\u{7}"), "{program} {args:?}: {shown}");
    }
}

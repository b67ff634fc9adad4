//! `--json`: what each program prints is what docs/json.md says, key by key, both ways.

use std::fs;

use crate::common::{Fixture, JsonPage, small, stderr, stdout, tool};

/// What a program prints with `--json`, and its exit code.
fn json(program: &str, args: &[&str]) -> (String, i32) {
    let output = tool(program).args(args).arg("--json").output().unwrap();
    (stdout(&output), output.status.code().unwrap())
}

/// A tree with one empty image, a file that is none, and the store that skipped it; as text.
fn packed() -> (Fixture, String, String) {
    let fixture = Fixture::kaggle(small());
    fs::write(fixture.image("test/RPE-02/Plate2/C03_s1_w1.png"), b"").unwrap();
    fs::write(fixture.image("test/RPE-02/Plate2/notes.txt"), b"").unwrap();
    let (data, store) = (fixture.data().display().to_string(), fixture.store().display().to_string());
    (fixture, data, store)
}

#[test]
fn pack_prints_what_the_page_says() {
    let (fixture, data, store) = packed();
    let mut page = JsonPage::of(&["pack"]);
    let source = ["--src", data.as_str(), "--dst", &store];
    let dry = page.check(&json("pack", &[&source[..], &["--dry-run"]].concat()).0);
    assert_eq!((&dry["tool"], &dry["schema"]), (&"pack".into(), &1.into()));
    page.check(&json("pack", &[&source[..], &["--dry-run", "--present"]].concat()).0);
    let by_columns = Fixture::rxrx_ai(small());
    let of_columns = ["--src", &by_columns.data().display().to_string(), "--dst", &store, "--dry-run"];
    assert_eq!(page.check(&json("pack", &of_columns).0)["plan"]["labels"]["data_set"], "RxRx1");
    assert_eq!(dry["tool_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json("pack", &source).1, 1, "an empty image");
    let (text, code) = json("pack", &[&source[..], &["--on-error", "skip"]].concat());
    assert_eq!(code, 0, "{text}");
    assert_eq!(page.check(&text)["left_out"]["sites"], 1);
    let again = fixture.path().join("again").display().to_string();
    page.check(&json("pack", &["--src", &store, "--dst", &again, "--codec", "raw", "--partition", "1/3"]).0);
    fs::remove_dir_all(fixture.image("test/RPE-02/Plate2")).unwrap();
    let skip = [&source[..], &["--on-error", "skip"]].concat();
    for (flags, key) in [(&[][..], "kept"), (&["--prune"], "removed")] {
        let report = page.check(&json("pack", &[&skip[..], flags].concat()).0);
        assert_eq!(report[key]["listed"][0]["sites"]["n"], 11, "{report}");
    }
    page.check_all_were_printed();
}

#[test]
fn verify_prints_what_the_page_says_of_a_store_and_of_a_tree_with_a_list() {
    let (fixture, data, store) = packed();
    json("pack", &["--src", &data, "--dst", &store, "--on-error", "skip"]);
    let mut page = JsonPage::of(&["verify a store, or a tree with --against"]);
    let report = page.check(&json("verify", &[&store]).0);
    assert_eq!((&report["whole"], &report["what"]), (&true.into(), &"store".into()));
    let shard = "pixels.zarr/RPE-02/Plate1/c/0/0/0/0";
    let mut bytes = fs::read(fixture.store().join(shard)).unwrap();
    bytes.push(0);
    fs::write(fixture.store().join(shard), bytes).unwrap();
    fs::write(fixture.store().join("classes.csv"), "x").unwrap();
    fs::write(fixture.store().join("plates/RPE-02/Plate1/files.sha256"), "x").unwrap();
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    let report = page.check(&json("verify", &[&store]).0);
    assert_eq!((&report["whole"], &report["finished"]), (&false.into(), &false.into()));
    page.check(&json("verify", &[&data, "--against", &store]).0);
    let list = fixture.path().join("list").display().to_string();
    json("verify", &[&data, "--write", &list]);
    fs::write(fixture.image("test/RPE-02/Plate2/notes.txt"), b"more").unwrap();
    fs::write(fixture.image("test/RPE-02/Plate2/C02_s1_w1.png"), b"another").unwrap();
    let report = page.check(&json("verify", &[&data, "--against", &list]).0);
    let compared = &report["findings"][0]["listed"][0];
    assert_eq!((&compared["compared"], &compared["found"]), (&"bytes".into(), &4.into()), "{report}");
    page.check_all_were_printed();
}

#[test]
fn hashes_are_whole_for_machines_and_short_for_people() {
    let (fixture, data, store) = packed();
    json("pack", &["--src", &data, "--dst", &store, "--on-error", "skip"]);
    let path = fixture.store().join("classes.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen('7', "8", 1)).unwrap();
    let report: serde_json::Value = serde_json::from_str(&json("verify", &[&store]).0).unwrap();
    let finding = &report["findings"][0]["listed"][0];
    assert_eq!((&finding["path"], &finding["compared"]), (&"classes.csv".into(), &"sha256".into()));
    let whole = finding["found"].as_str().unwrap();
    assert!(whole.len() == 64 && finding["expected"].as_str().unwrap().len() == 64);
    let people = stdout(&tool("verify").arg(&store).output().unwrap());
    assert!(!people.contains(whole) && people.contains(&format!("{}...", &whole[..12])));
}

#[test]
fn a_tree_is_verified_and_statistics_are_made_as_the_page_says() {
    let (fixture, data, store) = packed();
    let list = fixture.path().join("list").display().to_string();
    let mut page = JsonPage::of(&["verify a tree"]);
    page.check(&json("verify", &[&data]).0);
    let report = page.check(&json("verify", &[&data, "--write", &list]).0);
    assert_eq!((&report["faults"][0]["kind"], &report["faults"][0]["n"]), (&"empty-file".into(), &1.into()));
    page.check_all_were_printed();

    json("pack", &["--src", &data, "--dst", &store, "--on-error", "skip"]);
    let mut page = JsonPage::of(&["stats"]);
    let report = page.check(&json("stats", &["--shards", &store]).0);
    assert_eq!((&report["by"], &report["groups"][0]["channels"][1]["name"]), (&"plate".into(), &"w2".into()));
    page.check_all_were_printed();
}

#[test]
fn simulate_and_bench_print_what_the_page_says() {
    let (fixture, data, store) = packed();
    let made = fixture.path().join("made").display().to_string();
    let small = ["--experiments", "HUVEC:1", "--plates", "1", "--wells", "2", "--size", "16", "--dst", &made];
    let mut page = JsonPage::of(&["simulate"]);
    page.check(&json("simulate", &small).0);
    page.check_all_were_printed();
    json("pack", &["--src", &data, "--dst", &store, "--on-error", "skip"]);
    let mut page = JsonPage::of(&["bench"]);
    page.check(&json("bench", &["--shards", &store, "--seconds", "0.01", "--rounds", "1"]).0);
    page.check_all_were_printed();
}

#[test]
fn an_error_is_an_object_beside_its_text() {
    let (fixture, data, store) = packed();
    json("pack", &["--src", &data, "--dst", &store, "--on-error", "skip"]);
    let classes = fixture.store().join("classes.csv");
    let text = fs::read_to_string(&classes).unwrap();
    let mut page = JsonPage::of(&["an error"]);
    let mut check = |program: &str, args: &[&str], kind: &str, code: i32| {
        let output = tool(program).args(args).arg("--json").output().unwrap();
        let report = page.check(&stdout(&output));
        assert_eq!((&report["error"]["kind"], &report["exit_code"]), (&kind.into(), &code.into()), "{args:?}");
        assert_eq!((output.status.code(), &report["tool"]), (Some(code), &program.into()), "{args:?}");
        let message = report["error"]["message"].as_str().unwrap().to_owned();
        assert!(stderr(&output).contains(&message), "{args:?}: {message}");
        report["error"].clone()
    };
    check("verify", &["no/such"], "refused", 2);
    check("pack", &["--sorce", "x"], "usage", 2);
    check("stats", &["--shards", &store, "--by", "x"], "usage", 2);
    check("verify", &[&store, "--damaged-list", "/no/such/file"], "io", 2);
    let error = check("pack", &["--src", &data, "--dst", &store, "--codec", "raw"], "refused", 2);
    assert_eq!((&error["expected"], &error["found"]), (&"zstd:3".into(), &"raw".into()));
    fs::write(&classes, text.replacen("treatment", "treatmint", 1)).unwrap();
    let error = check("stats", &["--shards", &store], "malformed", 1);
    assert_eq!((&error["path"], &error["line"]), (&classes.display().to_string().into(), &2.into()));
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    check("bench", &["--shards", &store], "unfinished", 1);
    page.check_all_were_printed();
}

#[test]
fn a_thousand_of_a_kind_are_listed_and_all_counted() {
    let wells: Vec<String> =
        (2..=46).flat_map(|column| ["B", "C", "D"].map(|row| format!("{row}{column:02}"))).collect();
    let wells: Vec<&'static str> = wells.into_iter().map(|well| &*well.leak()).collect();
    let spec = crate::common::TreeSpec { wells, size: (1, 1), ..small() };
    let fixture = Fixture::bare(spec);
    let mut n = 0;
    for path in crate::common::contents(&fixture.data()).keys().filter(|path| path.ends_with("_w2.png")) {
        fs::write(fixture.image(path), b"").unwrap();
        n += 1;
    }
    assert!(n > 1000, "{n}");
    let report: serde_json::Value =
        serde_json::from_str(&json("verify", &[&fixture.data().display().to_string()]).0).unwrap();
    let of_kind = &report["faults"][0];
    assert_eq!((&of_kind["n"], of_kind["listed"].as_array().unwrap().len()), (&n.into(), 1000));
}

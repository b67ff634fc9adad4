//! Stores that someone changed and made the lists anew of: what does not belong together is found, and no size that a
//! file claims is believed before the file has it.

use std::fs;
use std::path::Path;
use std::process::Command;

use cellshard::store::format::manifest::{self, Entry};
use cellshard::store::{Codec, Store};
use cellshard::verify::{Depth, Kind};

use super::{packed, verify};
use crate::common::{stderr, stdout, tool};

/// Makes every list say what is there now.
fn reseal(store: &Path) {
    let entry = |path: &str, sized: bool| {
        let entry = Entry::of(path, &fs::read(store.join(path)).unwrap());
        Entry { size: entry.size.filter(|_| sized), ..entry }
    };
    for plate in ["HEPG2-01/Plate1", "HEPG2-01/Plate2", "RPE-02/Plate1", "RPE-02/Plate2"] {
        let list = store.join(format!("plates/{plate}/files.sha256"));
        let Ok(entries) = manifest::parse(&fs::read_to_string(&list).unwrap(), "x") else { continue };
        let entries: Vec<Entry> = entries.iter().map(|old| entry(&old.path, true)).collect();
        fs::write(&list, manifest::format(&entries)).unwrap();
    }
    let sums = store.join("SHA256SUMS");
    let entries = manifest::parse(&fs::read_to_string(&sums).unwrap(), "x").unwrap();
    let entries: Vec<Entry> = entries.iter().map(|old| entry(&old.path, false)).collect();
    fs::write(&sums, manifest::format(&entries)).unwrap();
}

/// The kinds and paths of what is found after an edit of one file and of all lists.
fn found(path: &str, edit: impl Fn(&str) -> String) -> Vec<(Kind, String)> {
    let fixture = packed(Codec::Zstd(3));
    let full = fixture.store().join(path);
    let text = fs::read_to_string(&full).unwrap();
    let edited = edit(&text);
    assert_ne!(edited, text, "{path}");
    fs::write(&full, edited).unwrap();
    reseal(&fixture.store());
    let found = verify(&fixture.store(), Depth::Full).findings;
    found.into_iter().map(|finding| (finding.kind, finding.path)).collect()
}

/// The text with its lines `a` and `b` (from 0) exchanged.
fn swapped(text: &str, a: usize, b: usize) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(a, b);
    lines.join("\n") + "\n"
}

/// The text with the cell of a column of its second line replaced.
fn with_cell(text: &str, column: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = lines[0].split(',').position(|name| name == column).unwrap();
    let mut cells: Vec<&str> = lines[1].split(',').collect();
    cells[at] = value;
    lines[1] = cells.join(",");
    lines.join("\n") + "\n"
}

/// A list that names all but one file.
fn without(list: &str, end: &str) -> String {
    let mut entries = manifest::parse(list, "x").unwrap();
    let n = entries.len();
    entries.retain(|entry| !entry.path.ends_with(end));
    assert_eq!(entries.len(), n - 1);
    manifest::format(&entries)
}

#[test]
fn a_listing_that_pack_would_not_have_written_is_a_contradiction_of_that_file() {
    const PLATE: &str = "plates/HEPG2-01/Plate1";
    const N_OF_LINES: usize = 18;
    type Edit = fn(&str) -> String;
    let edits: [(&str, Edit); 21] = [
        ("histogram.csv", |text| swapped(text, 1, 2)),
        ("histogram.csv", |text| format!("{text}{}\n", text.lines().last().unwrap())),
        ("histogram.csv", |text| text.replacen('\n', "\r\n", 3)),
        ("comoments.csv", |text| swapped(text, 1, 2)),
        ("comoments.csv", |text| format!("{text}{}\n", text.lines().last().unwrap())),
        ("pixel_stats.csv", |text| with_cell(text, "mean", "NaN")),
        ("pixel_stats.csv", |text| with_cell(text, "std", "inf")),
        ("pixel_stats.csv", |text| with_cell(text, "std", "0.5")),
        ("pixel_stats.csv", |text| with_cell(text, "median", "256")),
        ("pixel_stats.csv", |text| with_cell(text, "mean", "1e400")),
        ("pixel_stats.csv", |text| with_cell(text, "sum", "1")),
        ("pixel_stats.csv", |text| with_cell(text, "min", "255")),
        ("pixel_stats.csv", |text| text.replace('\n', "\r\n")),
        ("sites.csv", |text| text.replace('\n', "\r\n")),
        ("sites.csv", |text| with_cell(text, "sirna", "7")),
        ("rejected.csv", |text| text.replace('\n', "\r\n")),
        ("sources.sha256", |text| text.to_uppercase()),
        ("files.sha256", |text| text.to_uppercase()),
        ("files.sha256", |text| {
            let entries = manifest::parse(text, "x").unwrap();
            manifest::format(&entries[1..].iter().cloned().chain([Entry::of("a", b"")]).collect::<Vec<_>>())
        }),
        ("files.sha256", |text| without(text, "/c/0/0/0/0")),
        ("files.sha256", |text| without(text, "/zarr.json")),
    ];
    for (i, (name, edit)) in edits.into_iter().enumerate() {
        let path = format!("{PLATE}/{name}");
        // The last edits make good lists, which must not be made anew by what is there.
        let found = if i >= N_OF_LINES { found_as_it_is(&path, edit) } else { found(&path, edit) };
        assert!(found.contains(&(Kind::Contradiction, path)), "edit {i} of {name}: {found:?}");
    }
}

/// As [`found`], but only the list of all is made anew.
fn found_as_it_is(path: &str, edit: impl Fn(&str) -> String) -> Vec<(Kind, String)> {
    let fixture = packed(Codec::Zstd(3));
    let full = fixture.store().join(path);
    fs::write(&full, edit(&fs::read_to_string(&full).unwrap())).unwrap();
    let sums = fixture.store().join("SHA256SUMS");
    let mut entries = manifest::parse(&fs::read_to_string(&sums).unwrap(), "x").unwrap();
    let changed = entries.iter_mut().find(|entry| entry.path == path).unwrap();
    changed.sha = Entry::of(path, &fs::read(&full).unwrap()).sha;
    fs::write(&sums, manifest::format(&entries)).unwrap();
    let found = verify(&fixture.store(), Depth::Full).findings;
    found.into_iter().map(|finding| (finding.kind, finding.path)).collect()
}

#[test]
fn the_stores_own_documents_are_held_against_what_the_format_says() {
    const ROOT: &str = "pixels.zarr/zarr.json";
    for (from, to) in [
        ("\"levels\": 256", "\"levels\": 255,\n      \"levels\": 256"),
        ("\"name\": \"w1\"", "\"colour\": \"x\",\n          \"name\": \"w1\""),
        ("\"w1\"", "\"\\u001b[2J\""),
        ("{\n", "{ \n"),
        ("\"format\": 2", "\"format\": \"2\""),
    ] {
        let named = found(ROOT, |text| text.replacen(from, to, 1));
        assert_eq!(named, [(Kind::Contradiction, ROOT.to_owned())], "{from} -> {to}");
    }
    // Names of classes that are exchanged, in a file that is well formed.
    let exchanged = found("classes.csv", |text| text.replacen("3,3,", "3,7,", 1).replacen("7,7,", "7,3,", 1));
    assert!(exchanged.iter().any(|(_, path)| path.ends_with("sites.csv")), "{exchanged:?}");
}

#[test]
fn a_size_that_a_document_claims_is_held_against_the_shards_before_memory_is_asked_for() {
    let fixture = packed(Codec::Zstd(3));
    let store = fixture.store();
    let document = store.join("pixels.zarr/zarr.json");
    let text = fs::read_to_string(&document).unwrap();
    let channel = "{\n          \"colour\": \"FFFFFF\",\n          \"name\": \"w\"\n        }";
    let start = text.find("[\n").unwrap();
    let end = text[start..].find(']').unwrap() + start;
    let channels = format!("[\n        {}\n      ", vec![channel; 64].join(",\n        "));
    let text = format!("{}{channels}{}", &text[..start], &text[end..]);
    assert!(text.contains("      10,\n      12\n") || text.contains("10,"), "{text}");
    let text = text.replacen("10,\n", "8192,\n", 1).replacen("12\n", "8192\n", 1);
    fs::write(&document, text).unwrap();
    reseal(&store);
    let error = Store::open(&store).unwrap_err();
    assert!(error.is_data_fault() && error.to_string().contains("long enough for a site"), "{error}");
    let (text, other) = (store.display().to_string(), fixture.path().join("other").display().to_string());
    for (program, args) in [
        ("verify", vec![text.as_str(), "--deep"]),
        ("stats", vec!["--shards", &text]),
        ("bench", vec!["--shards", &text]),
        ("pack", vec!["--src", &text, "--dst", &other, "--codec", "raw"]),
    ] {
        let path = tool(program).get_program().to_owned().into_string().unwrap();
        let script = format!("ulimit -v 2000000; exec {path} {}", args.join(" "));
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        // The disk may have no room for what is claimed, either.
        let is_refused = matches!(output.status.code(), Some(1 | 2));
        assert!(is_refused, "{program}: {}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn a_document_of_more_than_a_mebibyte_and_a_csv_that_is_a_hole_are_refused_unread() {
    let fixture = packed(Codec::Zstd(3));
    let store = fixture.store();
    for (path, size) in [("pixels.zarr/zarr.json", 120 << 20), ("metadata.csv", 1_u64 << 40)] {
        let good = fs::read(store.join(path)).unwrap();
        fs::File::options().write(true).open(store.join(path)).unwrap().set_len(size).unwrap();
        let report = verify(&store, Depth::Full);
        let finding = report.findings.iter().find(|finding| finding.path == path).unwrap();
        assert_eq!(finding.kind, Kind::Altered, "{path}: {}", finding.detail);
        assert!(finding.detail.contains(&format!("found {size}")), "{path}: {}", finding.detail);
        assert!(report.bytes < 1 << 20, "{path}: {} bytes read", report.bytes);
        let error = Store::open(&store).unwrap_err().to_string();
        let is_bounded = error.contains("at most") || error.contains("a row of more than 1 MiB");
        assert!(error.contains(path) && is_bounded, "{error}");
        fs::write(store.join(path), good).unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_listed_is_one_finding_and_the_rest_is_reported() {
    for (with_list, to) in [(true, "circle"), (false, "circle"), (true, ".."), (false, "..")] {
        for folder in
            ["plates", "plates/HEPG2-01", "pixels.zarr/RPE-02", "pixels.zarr/RPE-02/Plate1", "plates/RPE-02/Plate1"]
        {
            let fixture = packed(Codec::Zstd(3));
            let store = fixture.store();
            let circle = store.join(folder).join("circle");
            std::os::unix::fs::symlink(to, &circle).unwrap();
            fs::remove_file(store.join("classes.csv")).unwrap();
            if !with_list {
                fs::remove_file(store.join("SHA256SUMS")).unwrap();
            }
            let findings = verify(&store, Depth::Full).findings;
            let of_it: Vec<Kind> = findings
                .iter()
                .filter(|found| found.path == format!("{folder}/circle"))
                .map(|found| found.kind)
                .collect();
            assert_eq!(of_it, [Kind::Unreadable], "{with_list} {folder}: {findings:?}");
            let lost = findings.iter().any(|found| (found.kind, found.path.as_str()) == (Kind::Missing, "classes.csv"));
            assert!(lost, "{with_list} {folder}: {findings:?}");
        }
    }
}

#[test]
fn pack_with_rehash_mends_a_plate_that_was_forged_with_all_its_lists() {
    let fixture = crate::common::Fixture::kaggle(crate::common::small());
    fixture.pack();
    let whole = crate::common::contents(&fixture.store());
    let shard = |n: u32| fixture.store().join(format!("pixels.zarr/HEPG2-01/Plate1/c/{n}/0/0/0"));
    let histogram = fixture.store().join("plates/RPE-02/Plate1/histogram.csv");
    let exchanged = [fs::read(shard(0)).unwrap(), fs::read(shard(1)).unwrap()];
    fs::write(shard(0), &exchanged[1]).unwrap();
    fs::write(shard(1), &exchanged[0]).unwrap();
    fs::write(&histogram, swapped(&fs::read_to_string(&histogram).unwrap(), 1, 2)).unwrap();
    reseal(&fixture.store());
    assert!(!verify(&fixture.store(), Depth::Deep).findings.is_empty());
    let config = cellshard::pack::PackConfig { rehash: true, ..fixture.config() };
    assert!(cellshard::pack::pack(&config, &|_| {}).unwrap().finished);
    assert_eq!(verify(&fixture.store(), Depth::Deep).findings, []);
    assert!(crate::common::contents(&fixture.store()) == whole, "the bytes that it had");
}

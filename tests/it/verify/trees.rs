//! Raw trees, held to the rules of `pack` and compared with a list or with the store that was made of them; and folders
//! that hold what neither has.

use std::fs;
use std::path::Path;

use cellshard::fault::FaultKind;
use cellshard::source::SourceConfig;
use cellshard::store::Codec;
use cellshard::store::format::manifest;
use cellshard::verify::{Depth, Kind, compare_tree, verify_tree};

use super::{packed, verify};
use crate::common::{Fixture, small};

#[test]
fn a_list_written_before_an_upload_shows_what_changed_in_it() {
    let fixture = Fixture::kaggle(small());
    let list = fixture.path().join("list.sha256");
    let config = SourceConfig { root: fixture.data(), ..SourceConfig::default() };
    let report = verify_tree(&config, Some(&[&list]), &|_| {}, &|_| {}).unwrap();
    assert_eq!((report.faults, report.sites, report.list.as_ref().map(Vec::len)), (vec![], 48, Some(100)));
    fs::write(&list, manifest::format(report.list.as_ref().unwrap())).unwrap();
    assert_eq!(compare_tree(&source(fixture.data()), &list, &|_| {}).unwrap().findings, []);
    check_changes(&fixture, &list, true);
}

#[test]
fn the_sources_of_a_store_show_what_changed_since() {
    let fixture = packed(Codec::Zstd(3));
    assert_eq!(compare_tree(&source(fixture.data()), &fixture.store(), &|_| {}).unwrap().findings, []);
    check_changes(&fixture, &fixture.store(), false);
}

fn source(root: std::path::PathBuf) -> SourceConfig {
    SourceConfig { root, ..SourceConfig::default() }
}

fn check_changes(fixture: &Fixture, against: &Path, csvs_count: bool) {
    let image = |name: &str| format!("train/HEPG2-01/Plate1/{name}.png");
    let mut bytes = fs::read(fixture.image(&image("B03_s1_w1"))).unwrap();
    bytes[45] ^= 1;
    fs::write(fixture.image(&image("B03_s1_w1")), &bytes).unwrap();
    fs::write(fixture.image(&image("B03_s1_w2")), &bytes[..40]).unwrap();
    fs::remove_file(fixture.image(&image("B03_s2_w1"))).unwrap();
    fs::write(fixture.image(&image("B09_s1_w1")), &bytes).unwrap();
    fs::write(fixture.data().join("train.csv"), "").unwrap();
    let report = compare_tree(&source(fixture.data()), against, &|_| {}).unwrap();
    let found: Vec<(Kind, &str)> = report.findings.iter().map(|f| (f.kind, f.path.as_str())).collect();
    let names = ["B03_s2_w1", "B03_s1_w2", "B03_s1_w1", "B09_s1_w1"].map(image);
    let kinds = [Kind::Missing, Kind::CutShort, Kind::Altered, Kind::Extra];
    let mut expected: Vec<(Kind, &str)> = kinds.into_iter().zip(names.iter().map(String::as_str)).collect();
    // A list names the CSV, a store what it said.
    expected.push(if csvs_count { (Kind::CutShort, "train.csv") } else { (Kind::Contradiction, "labels") });
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_store_knows_what_the_csvs_of_its_tree_said() {
    let found = |fixture: &Fixture| {
        let report = compare_tree(&source(fixture.data()), &fixture.store(), &|_| {}).unwrap();
        report.findings.into_iter().map(|f| (f.kind, f.path, f.detail, f.sites.len())).collect::<Vec<_>>()
    };
    let fixture = packed(Codec::Zstd(3));
    let csv = fixture.image("train.csv");
    let text = fs::read_to_string(&csv).unwrap();
    let changed = text.replacen("HEPG2-01_1_B03,HEPG2-01,1,B03,7", "HEPG2-01_1_B03,HEPG2-01,1,B03,9", 1);
    fs::write(&csv, changed).unwrap();
    let detail =
        "labels of 1 well differ, B03: expected train treatment \"7\", class 7, found train treatment \"9\", class 9";
    assert_eq!(found(&fixture), [(Kind::Contradiction, "HEPG2-01/Plate1".into(), detail.into(), 2)]);
    fs::write(&csv, text.lines().next().unwrap()).unwrap();
    let lost = found(&fixture);
    assert_eq!(lost.len(), 2, "a CSV cut to its header: both plates of its experiment");
    assert!(lost.iter().all(|(.., detail, n)| detail.contains("found no row") && *n == 6), "{lost:?}");
    for name in ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"] {
        fs::remove_file(fixture.image(name)).unwrap();
    }
    let lost = found(&fixture);
    assert!(lost.len() == 1 && lost[0].2.contains("were they lost"), "{lost:?}");
    // What rxrx.ai's table says beyond names counts, too.
    let rxrx = Fixture::rxrx_ai(small());
    rxrx.pack();
    let csv = rxrx.image("metadata.csv");
    let text = fs::read_to_string(&csv).unwrap();
    for (from, to) in [(",s7,7\n", ",s7,8\n"), (",HEPG2,train,", ",liver,train,")] {
        fs::write(&csv, text.replace(from, to)).unwrap();
        assert!(!found(&rxrx).is_empty(), "{to}");
    }
    let bare = Fixture::bare(small());
    bare.pack();
    assert_eq!(found(&bare), [], "a store without labels is held against none");
}

#[test]
fn a_folder_of_a_tree_that_cannot_be_listed_is_one_finding_and_pack_refuses_the_tree() {
    for bare in [false, true] {
        let fixture = if bare { Fixture::bare(small()) } else { Fixture::kaggle(small()) };
        let (folder, image) = if bare {
            ("RPE-02", "HEPG2-01/Plate1/B03_s1_w1.png")
        } else {
            ("test/RPE-02", "train/HEPG2-01/Plate1/B03_s1_w1.png")
        };
        fs::write(fixture.image(image), b"").unwrap();
        // A link to itself cannot be looked at, whoever asks; permissions do not bind root.
        for name in [format!("{folder}/loop"), format!("{folder}/Plate1/loop")] {
            std::os::unix::fs::symlink("loop", fixture.image(&name)).unwrap();
            let report = verify_tree(&source(fixture.data()), None, &|_| {}, &|_| {}).unwrap();
            let found: Vec<_> = report.faults.iter().map(|fault| (fault.kind, fault.file.as_str())).collect();
            assert_eq!(found, [(FaultKind::Unreadable, name.as_str()), (FaultKind::Empty, image)]);
            let error = cellshard::pack::pack(&fixture.config(), &|_| {}).unwrap_err().to_string();
            assert!(error.contains(&name), "{error}");
            assert!(!fixture.store().exists(), "nothing was packed of a tree that is not known");
            fs::remove_file(fixture.image(&name)).unwrap();
        }
    }
}

#[test]
fn a_raw_tree_is_held_to_the_rules_of_pack() {
    let fixture = Fixture::kaggle(small());
    fs::write(fixture.image("train/HEPG2-01/Plate1/B03_s1_w1.png"), b"GIF89a").unwrap();
    fs::remove_file(fixture.image("train/HEPG2-01/Plate2/B03_s1_w1.png")).unwrap();
    let config = SourceConfig { root: fixture.data(), ..SourceConfig::default() };
    let report = verify_tree(&config, None, &|_| {}, &|_| {}).unwrap();
    assert_eq!(report.faults, fixture.pack().faults);
    let kinds: Vec<FaultKind> = report.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::Undecodable, FaultKind::MissingChannel]);
}

#[test]
fn a_tree_with_checksums_and_plates_of_its_own_is_no_store() {
    let fixture = Fixture::bare(small());
    fs::create_dir(fixture.data().join("plates")).unwrap();
    fs::write(fixture.data().join("SHA256SUMS"), "0123  RPE-02/Plate1/B02_s1_w1.png\n").unwrap();
    assert!(!cellshard::verify::is_store(&fixture.data()).unwrap());
    let store = packed(Codec::Raw);
    assert!(cellshard::verify::is_store(&store.store()).unwrap());
}

#[test]
fn links_in_circles_and_pipes_do_not_hold_it_up() {
    let fixture = packed(Codec::Raw);
    for name in ["a", "b"] {
        std::os::unix::fs::symlink(".", fixture.store().join(name)).unwrap();
    }
    let findings = verify(&fixture.store(), Depth::Full).findings;
    let found: Vec<(Kind, &str)> = findings.iter().map(|f| (f.kind, f.path.as_str())).collect();
    assert_eq!(found, [(Kind::Unreadable, "a"), (Kind::Unreadable, "b")], "each link is named, nothing else is wrong");
    assert!(findings[0].detail.contains("leads back"), "{}", findings[0].detail);
    fs::remove_file(fixture.store().join("metadata.csv")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(fixture.store().join("metadata.csv")).status().unwrap();
    assert!(made.success());
    let report = verify(&fixture.store(), Depth::Deep);
    assert!(report.findings.iter().any(|f| (f.kind, f.path.as_str()) == (Kind::Unreadable, "metadata.csv")));
}

#[test]
fn a_file_that_cannot_be_looked_at_is_a_finding_named_once_and_the_report_goes_on() {
    for with_list in [true, false] {
        let fixture = packed(Codec::Zstd(3));
        let store = fixture.store();
        for name in ["metadata.csv", "plates/RPE-02/Plate1/files.sha256"] {
            fs::remove_file(store.join(name)).unwrap();
            std::os::unix::fs::symlink(store.join(name), store.join(name)).unwrap();
        }
        let lost = "plates/RPE-02/Plate2/sites.csv";
        fs::remove_file(store.join(lost)).unwrap();
        if !with_list {
            fs::remove_file(store.join("SHA256SUMS")).unwrap();
        }
        let findings = verify(&store, Depth::Full).findings;
        for name in ["metadata.csv", "plates/RPE-02/Plate1/files.sha256"] {
            let of_it: Vec<Kind> = findings.iter().filter(|f| f.path == name).map(|f| f.kind).collect();
            assert!(matches!(of_it[..], [Kind::Unreadable | Kind::Altered]), "{with_list} {name}: {of_it:?}");
        }
        assert!(findings.iter().any(|f| (f.kind, f.path.as_str()) == (Kind::Missing, lost)), "{with_list}");
    }
}

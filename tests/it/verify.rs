//! What `verify` promises: nothing planted goes undetected, and each damage is named, down to the site.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::{Fixture, contents, small};
use cellshard::fault::FaultKind;
use cellshard::pack::{PackConfig, pack};
use cellshard::source::SourceConfig;
use cellshard::store::format::manifest;
use cellshard::store::{Codec, Store};
use cellshard::verify::{Depth, Finding, Kind, Report, StoreConfig, compare_tree, verify_store, verify_tree};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

fn verify(store: &Path, depth: Depth) -> Report {
    let config = StoreConfig { root: store.to_owned(), depth, manifest: None };
    verify_store(&config, &|_| {}).unwrap()
}

fn packed(codec: Codec) -> Fixture {
    let fixture = Fixture::kaggle(small());
    // One site is left out, so that the store has every kind of file there is.
    fs::write(fixture.image("test/RPE-02/Plate2/C03_s1_w1.png"), b"x").unwrap();
    let on_error = cellshard::pack::OnError::Skip;
    pack(&PackConfig { codec, on_error, ..fixture.config() }, &|_| {}).unwrap();
    fixture
}

fn shard_sites(store: &Path, path: &str) -> BTreeSet<String> {
    let store = Store::open(store).unwrap();
    let rows = store.sites().iter().filter(|row| {
        let shard = row.row / store.spec().sites_per_shard;
        path == format!("pixels.zarr/{}/c/{shard}/0/0/0", row.id.well.plate)
    });
    rows.map(|row| row.id.to_string()).collect()
}

fn sites(finding: &Finding) -> BTreeSet<String> {
    finding.sites.iter().map(ToString::to_string).collect()
}

#[test]
fn a_store_as_packed_is_whole_at_every_depth() {
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = packed(codec);
        for depth in [Depth::Quick, Depth::Full, Depth::Deep] {
            let report = verify(&fixture.store(), depth);
            assert_eq!((report.findings, report.sites), (vec![], 47), "{codec} {depth:?}");
        }
    }
}

/// One damage, done to a file of the store; returns the path that must be named, and its kind.
fn damage(store: &Path, files: &[String], rng: &mut SmallRng) -> (String, Kind) {
    let path = files[rng.random_range(0..files.len())].clone();
    let full = store.join(&path);
    let mut bytes = fs::read(&full).unwrap();
    match rng.random_range(0..10) {
        0..6 => {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
            fs::write(full, bytes).unwrap();
            (path, Kind::Altered)
        }
        6..8 => {
            bytes.truncate(rng.random_range(0..bytes.len()));
            fs::write(full, bytes).unwrap();
            (path, Kind::CutShort)
        }
        8 => {
            fs::remove_file(full).unwrap();
            (path, Kind::Missing)
        }
        _ => {
            let extra = format!("{path}.part");
            fs::write(store.join(&extra), bytes).unwrap();
            (extra, Kind::Extra)
        }
    }
}

#[test]
fn none_of_a_thousand_random_damages_goes_undetected() {
    let mut rng = SmallRng::seed_from_u64(20_261_124);
    let mut kinds_of_files = BTreeSet::new();
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = packed(codec);
        let whole = contents(&fixture.store());
        let files: Vec<String> = whole.keys().cloned().collect();
        for round in 0..600 {
            let (path, kind) = damage(&fixture.store(), &files, &mut rng);
            kinds_of_files.insert(path.rsplit('/').next().unwrap().to_owned());
            let report = verify(&fixture.store(), Depth::Full);
            let named = report.findings.iter().find(|finding| finding.path == path);
            let finding = named.unwrap_or_else(|| panic!("{codec} {round}: {kind:?} {path}: {:?}", report.findings));
            // The root's files are listed without their size, so a cut shows as another content.
            let same = finding.kind == kind || (finding.kind, kind) == (Kind::Altered, Kind::CutShort);
            assert!(same, "{codec} {round}: {kind:?} {path}: {finding:?}");
            if path.contains("/c/") && !path.contains("statistics") && kind != Kind::Extra {
                let held = shard_sites_of(&whole, &path);
                assert!(sites(finding).is_subset(&held), "{path}: {finding:?}");
                if kind != Kind::Altered {
                    assert_eq!(sites(finding), held, "{path}: without its index a shard cannot be read");
                }
            }
            // Mend it for the next round.
            match whole.get(&path) {
                Some(bytes) => fs::write(fixture.store().join(&path), bytes).unwrap(),
                None => fs::remove_file(fixture.store().join(&path)).unwrap(),
            }
        }
        assert_eq!(verify(&fixture.store(), Depth::Deep).findings, []);
    }
    for name in [
        "SHA256SUMS",
        "metadata.csv",
        "classes.csv",
        "rejected.csv",
        "sites.csv",
        "sources.sha256",
        "files.sha256",
        "0",
        "zarr.json",
    ] {
        assert!(kinds_of_files.contains(name), "{name} was never damaged");
    }
}

/// The sites that `metadata.csv` puts into a shard.
fn shard_sites_of(files: &std::collections::BTreeMap<String, Vec<u8>>, path: &str) -> BTreeSet<String> {
    let metadata = String::from_utf8(files["metadata.csv"].clone()).unwrap();
    let in_shard = |line: &&str| {
        let cells: Vec<&str> = line.split(',').collect();
        let shard = cells[12].parse::<usize>().unwrap() / 5;
        path == format!("pixels.zarr/{}/c/{shard}/0/0/0", cells[11])
    };
    metadata.lines().skip(1).filter(in_shard).map(|line| line.split(',').next().unwrap().to_owned()).collect()
}

#[test]
fn a_flipped_byte_in_a_site_names_that_site_alone() {
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = packed(codec);
        let path = "pixels.zarr/HEPG2-01/Plate1/c/1/0/0/0";
        let full = fixture.store().join(path);
        let good = fs::read(&full).unwrap();
        let held = shard_sites(&fixture.store(), path);
        assert_eq!(held.len(), 5);
        let mut named = BTreeSet::new();
        let index = good.len() - (16 * 5 + 4);
        for at in (0..index).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&full, &bad).unwrap();
            let report = verify(&fixture.store(), Depth::Full);
            assert_eq!(report.findings.len(), 1);
            // Between the pages of raw sites there is padding, which is nobody's.
            assert!(report.findings[0].sites.len() == 1 || codec == Codec::Raw);
            named.extend(sites(&report.findings[0]));
        }
        assert_eq!(named, held, "{codec}");
    }
}

#[test]
fn without_the_list_of_all_damage_is_told_apart_all_the_same() {
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = packed(codec);
        fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
        let report = verify(&fixture.store(), Depth::Deep);
        assert_eq!(
            report.findings.iter().map(|f| (f.kind, f.path.as_str())).collect::<Vec<_>>(),
            [(Kind::Missing, "SHA256SUMS")]
        );
        for plate in ["HEPG2-01/Plate1", "HEPG2-01/Plate2", "RPE-02/Plate1", "RPE-02/Plate2"] {
            fs::remove_file(fixture.store().join(format!("plates/{plate}/files.sha256"))).unwrap();
        }
        let full = fixture.store().join("pixels.zarr/RPE-02/Plate1/c/0/0/0/0");
        let mut bytes = fs::read(&full).unwrap();
        bytes[3] ^= 1;
        fs::write(full, bytes).unwrap();
        let report = verify(&fixture.store(), Depth::Deep);
        let finding = report
            .findings
            .iter()
            .find(|f| f.path.ends_with("RPE-02/Plate1/c/0/0/0/0") && f.kind == Kind::Altered)
            .unwrap();
        assert_eq!(sites(finding), BTreeSet::from(["RPE-02_1_B02_1".to_owned()]), "{codec}");
    }
}

#[test]
fn a_store_that_arrived_half_is_compared_with_a_list_kept_elsewhere() {
    let fixture = packed(Codec::Zstd(3));
    let kept = fixture.path().join("kept.sha256");
    fs::copy(fixture.store().join("SHA256SUMS"), &kept).unwrap();
    let lost = ["SHA256SUMS", "metadata.csv", "pixels.zarr/RPE-02/Plate2/c/2/0/0/0", "plates/RPE-02/Plate2/sites.csv"];
    for path in lost {
        fs::remove_file(fixture.store().join(path)).unwrap();
    }
    let config = StoreConfig { root: fixture.store(), depth: Depth::Full, manifest: Some(kept.clone()) };
    let report = verify_store(&config, &|_| {}).unwrap();
    let damaged: BTreeSet<&str> = report.damaged().collect();
    assert_eq!(damaged, BTreeSet::from(lost));
    fs::write(&kept, "nonsense").unwrap();
    assert!(verify_store(&config, &|_| {}).is_err());
}

#[test]
fn files_that_are_whole_but_do_not_belong_together_are_found() {
    // Someone changes a file and makes the lists anew: every checksum fits.
    let reseal = |store: &Path| {
        let plate = "plates/HEPG2-01/Plate1";
        let hash = |path: &str| manifest::Entry::of(path, &fs::read(store.join(path)).unwrap());
        let list = store.join(plate).join("files.sha256");
        let entries = manifest::parse(&fs::read_to_string(&list).unwrap(), "x").unwrap();
        fs::write(&list, manifest::format(&entries.iter().map(|entry| hash(&entry.path)).collect::<Vec<_>>())).unwrap();
        let sums = store.join("SHA256SUMS");
        let entries = manifest::parse(&fs::read_to_string(&sums).unwrap(), "x").unwrap();
        let entries: Vec<_> = entries.iter().map(|entry| manifest::Entry { size: None, ..hash(&entry.path) }).collect();
        fs::write(&sums, manifest::format(&entries)).unwrap();
    };
    let lies: [(&str, &str, &str); 7] = [
        ("metadata.csv", "HEPG2-01,1,B03,1,treatment,7,7", "HEPG2-01,1,B03,1,treatment,3,3"),
        ("plates/HEPG2-01/Plate1/sites.csv", "treatment,7,7", "treatment,3,3"),
        ("plates/HEPG2-01/Plate1/histogram.csv", "negative_control,1,", "negative_control,2,"),
        ("plates/HEPG2-01/Plate1/pixel_stats.csv", "1,B02,1,1,", "1,B02,1,2,"),
        ("plates/HEPG2-01/Plate1/comoments.csv", "control,1,1,", "control,1,1,1"),
        ("pixels.zarr/HEPG2-01/Plate1/zarr.json", "[\n    12,", "[\n    13,"),
        ("classes.csv", "1109,1109,positive_control\n", ""),
    ];
    for (path, from, to) in lies {
        let fixture = packed(Codec::Zstd(3));
        let full = fixture.store().join(path);
        let text = fs::read_to_string(&full).unwrap();
        assert!(text.contains(from), "{path}: {from}");
        fs::write(&full, text.replacen(from, to, 1)).unwrap();
        reseal(&fixture.store());
        let report = verify(&fixture.store(), Depth::Full);
        assert!(
            report.findings.iter().any(|finding| finding.kind == Kind::Contradiction),
            "{path}: {:?}",
            report.findings
        );
    }
    let fixture = packed(Codec::Zstd(3));
    let full = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
    let other = fs::read(fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/1/0/0/0")).unwrap();
    fs::write(full, other).unwrap();
    reseal(&fixture.store());
    assert_eq!(verify(&fixture.store(), Depth::Deep).findings[0].sites.len(), 5, "sites of another shard");
}

#[test]
fn a_list_written_before_an_upload_shows_what_changed_in_it() {
    let fixture = Fixture::kaggle(small());
    let list = fixture.path().join("list.sha256");
    let config = SourceConfig { root: fixture.data(), ..SourceConfig::default() };
    let report = verify_tree(&config, Some(&[&list]), &|_| {}, &|_| {}).unwrap();
    assert_eq!((report.faults, report.sites, report.list.len()), (vec![], 48, 100));
    fs::write(&list, manifest::format(&report.list)).unwrap();
    assert_eq!(compare_tree(&fixture.data(), &list, &|_| {}).unwrap().findings, []);
    check_changes(&fixture, &list, true);
}

#[test]
fn the_sources_of_a_store_show_what_changed_since() {
    let fixture = packed(Codec::Zstd(3));
    assert_eq!(compare_tree(&fixture.data(), &fixture.store(), &|_| {}).unwrap().findings, []);
    check_changes(&fixture, &fixture.store(), false);
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
    let report = compare_tree(&fixture.data(), against, &|_| {}).unwrap();
    let found: Vec<(Kind, &str)> = report.findings.iter().map(|f| (f.kind, f.path.as_str())).collect();
    let names = ["B03_s2_w1", "B03_s1_w2", "B03_s1_w1", "B09_s1_w1"].map(image);
    let kinds = [Kind::Missing, Kind::CutShort, Kind::Altered, Kind::Extra];
    let mut expected: Vec<(Kind, &str)> = kinds.into_iter().zip(names.iter().map(String::as_str)).collect();
    if csvs_count {
        expected.insert(1, (Kind::CutShort, "train.csv"));
        expected.sort();
    }
    assert_eq!(found, expected);
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
fn a_quick_look_sees_every_cut_and_every_loss() {
    let fixture = packed(Codec::Zstd(3));
    for (path, bytes) in contents(&fixture.store()) {
        let full = fixture.store().join(&path);
        for cut in [0, bytes.len() - 1] {
            fs::write(&full, &bytes[..cut]).unwrap();
            let report = verify(&fixture.store(), Depth::Quick);
            assert!(report.damaged().any(|damaged| damaged == path), "{path} cut to {cut}: {:?}", report.findings);
        }
        fs::remove_file(&full).unwrap();
        let report = verify(&fixture.store(), Depth::Quick);
        assert!(report.damaged().any(|damaged| damaged == path), "{path} lost: {:?}", report.findings);
        fs::write(&full, bytes).unwrap();
    }
}

#[test]
fn lost_plates_are_named_even_where_all_lists_are_lost() {
    for depth in [Depth::Quick, Depth::Full, Depth::Deep] {
        let fixture = packed(Codec::Zstd(3));
        let lost = ["plates/RPE-02/Plate1", "pixels.zarr/RPE-02/Plate1/c"];
        fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
        for dir in lost {
            fs::remove_dir_all(fixture.store().join(dir)).unwrap();
        }
        let report = verify(&fixture.store(), depth);
        let damaged: BTreeSet<&str> = report.damaged().collect();
        for path in [
            "plates/RPE-02/Plate1/sites.csv",
            "plates/RPE-02/Plate1/files.sha256",
            "pixels.zarr/RPE-02/Plate1/c/2/0/0/0",
        ] {
            assert!(damaged.contains(path), "{depth:?}: {damaged:?}");
        }
        let n_sites: usize = report.findings.iter().map(|finding| finding.sites.len()).sum();
        assert_eq!(n_sites, 12, "{depth:?}: {:?}", report.findings);
    }
}

#[test]
fn sites_are_named_without_the_document_of_the_store() {
    let fixture = packed(Codec::Zstd(3));
    fs::write(fixture.store().join("pixels.zarr/zarr.json"), "{}").unwrap();
    let shard = "pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0";
    let mut bytes = fs::read(fixture.store().join(shard)).unwrap();
    bytes[9] ^= 1;
    fs::write(fixture.store().join(shard), bytes).unwrap();
    let report = verify(&fixture.store(), Depth::Full);
    let finding = report.findings.iter().find(|finding| finding.path == shard).unwrap();
    assert_eq!(sites(finding), BTreeSet::from(["HEPG2-01_1_B02_1".to_owned()]));

    fs::remove_dir_all(fixture.store().join("pixels.zarr")).unwrap();
    let report = verify(&fixture.store(), Depth::Full);
    let n_sites: usize = report.findings.iter().map(|finding| finding.sites.len()).sum();
    assert_eq!(n_sites, 47, "every site is gone");
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
fn a_lost_plate_is_named_by_whatever_still_knows_of_it() {
    let fixture = packed(Codec::Zstd(3));
    for dir in ["plates/RPE-02/Plate1", "pixels.zarr/RPE-02/Plate1"] {
        fs::remove_dir_all(fixture.store().join(dir)).unwrap();
    }
    for file in ["metadata.csv", "SHA256SUMS"] {
        fs::remove_file(fixture.store().join(file)).unwrap();
    }
    for depth in [Depth::Quick, Depth::Full] {
        let report = verify(&fixture.store(), depth);
        let damaged: BTreeSet<&str> = report.damaged().collect();
        assert!(damaged.contains("plates/RPE-02/Plate1/sites.csv"), "{depth:?}: {damaged:?}");
    }
}

//! Stores whose lists or plates are lost, or do not belong together: what is left still tells what is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cellshard::store::Codec;
use cellshard::store::format::manifest;
use cellshard::verify::{Depth, Kind, StoreConfig, verify_store};

use super::{packed, sites, verify};

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

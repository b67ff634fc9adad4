//! Files that were altered, cut short, lost or added: each is found, with its kind and its sites.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::store::Codec;
use cellshard::verify::{Depth, Kind};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{packed, shard_sites, sites, verify};
use crate::common::{Fixture, TreeSpec, contents, small};

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
        // One plate is enough, as the store is read as a whole for each of some thousand bytes.
        let fixture = Fixture::kaggle(TreeSpec { experiments: vec![("HEPG2-01", "train")], plates: 1, ..small() });
        pack(&PackConfig { codec: Some(codec), ..fixture.config() }, &|_| {}).unwrap();
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

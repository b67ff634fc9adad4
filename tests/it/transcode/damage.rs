//! What is damaged in the source: named, left out with its plate, and done once it is mended.

use std::fs;
use std::path::Path;

use cellshard::Error;
use cellshard::fault::FaultKind;
use cellshard::pack::PackConfig;
use cellshard::store::{Codec, Store};
use cellshard::wave::Mode;

use super::{PLATE, SHARD, config, flip, pack_pngs, run, times};
use crate::common::{Fixture, assert_same, contents, small};

/// Harms `PLATE` of the source and expects these faults (kind, site, part of the message), the other three plates done,
/// the source as it was, and the rest done once the source is mended.
fn check_damage(codec: Codec, file: &str, harm: impl Fn(&Path), expected: &[(FaultKind, Option<&str>, &str)]) {
    let fixture = Fixture::kaggle(small());
    let src = pack_pngs(&fixture, "store", codec, 5);
    let direct = pack_pngs(&fixture, "direct", Codec::Zstd(9), 4);
    let whole = fs::read(src.join(file)).unwrap();
    harm(&src.join(file));
    let before = (contents(&src), times(&src));
    for threads in [1, 4] {
        let config = PackConfig {
            threads,
            sites_per_shard: Some(4),
            ..config(&fixture, &format!("to-{threads}"), Codec::Zstd(9))
        };
        let report = run(&config);
        let found: Vec<(FaultKind, Option<String>)> = report
            .faults
            .iter()
            .map(|fault| (fault.kind, fault.well.map(|well| format!("{well}_s{}", fault.site.unwrap()))))
            .collect();
        let wanted: Vec<(FaultKind, Option<String>)> =
            expected.iter().map(|&(kind, site, _)| (kind, site.map(str::to_owned))).collect();
        assert_eq!(found, wanted, "{file}");
        for (fault, (_, _, says)) in report.faults.iter().zip(expected) {
            assert_eq!((fault.plate.as_ref().unwrap().to_string().as_str(), fault.file.as_str()), (PLATE, file));
            assert!(fault.to_string().contains(says), "{says:?} not in {fault}");
            assert!(fault.detail.contains("expected ") && fault.detail.contains(", found "), "{fault}");
        }
        assert!(report.has_faults() && !report.finished, "{file}");
        assert_eq!((report.plates_packed, report.sites_packed), (3, 36), "{file}: whole plates are kept");
        assert!(matches!(Store::open(&config.dst), Err(Error::Unfinished { .. })), "{file}");
        for part in ["plates", "pixels.zarr"] {
            assert!(!config.dst.join(part).join(PLATE).exists(), "{file}");
        }
        assert!((contents(&src), times(&src)) == before, "{file}: the source is as it was");
    }
    fs::write(src.join(file), whole).unwrap();
    let config = PackConfig { sites_per_shard: Some(4), ..config(&fixture, "to-1", Codec::Zstd(9)) };
    let report = run(&config);
    assert_eq!((report.plan.plates_done, report.plates_packed, report.finished), (3, 1, true), "{file}");
    assert_same(&direct, &config.dst);
}

/// The sites of `SHARD`, the second of its plate.
const OF_SHARD: [&str; 5] = ["B04_s2", "C03_s1", "C03_s2", "C07_s1", "C07_s2"];

#[test]
fn a_flipped_bit_is_traced_to_its_site() {
    let site = |says| [(FaultKind::DamagedSite, Some("B04_s2"), says)];
    check_damage(Codec::Zstd(3), SHARD, flip(9), &site("site RPE-02/1/B04/2: expected chunk crc32c "));
    check_damage(Codec::Wave(Mode::Small), SHARD, flip(9), &site("site RPE-02/1/B04/2: expected chunk crc32c "));
    check_damage(Codec::Raw, SHARD, flip(9), &site("site RPE-02/1/B04/2: expected crc32c "));
    let two = |path: &Path| {
        flip(9)(path);
        flip(2 * 4096 + 5)(path);
    };
    let says = "expected crc32c ";
    let kind = FaultKind::DamagedSite;
    check_damage(Codec::Raw, SHARD, two, &[(kind, Some("B04_s2"), says), (kind, Some("C03_s2"), says)]);
}

#[test]
fn a_shard_cut_short_lost_or_without_its_index_names_all_of_its_sites() {
    let all = |says| OF_SHARD.map(|site| (FaultKind::DamagedSite, Some(site), says));
    for codec in [Codec::Raw, Codec::Zstd(3), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
        let cut = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
        check_damage(codec, SHARD, cut, &all("bytes, found 100"));
        check_damage(codec, SHARD, |path| fs::remove_file(path).unwrap(), &all("found none"));
        let folder = |path: &Path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        };
        check_damage_of_folder(codec, folder);
        let index = |path: &Path| flip(fs::metadata(path).unwrap().len() as usize - 20)(path);
        check_damage(codec, SHARD, index, &all("expected index crc32c "));
    }
}

/// A folder where a shard should be cannot be written over by the test's mending, so only the faults are looked at.
fn check_damage_of_folder(codec: Codec, harm: impl Fn(&Path)) {
    let fixture = Fixture::kaggle(small());
    let src = pack_pngs(&fixture, "store", codec, 5);
    harm(&src.join(SHARD));
    let report = run(&config(&fixture, "to", Codec::Zstd(9)));
    assert_eq!((report.faults.len(), report.plates_packed), (5, 3), "{:?}", report.faults);
}

#[test]
fn each_file_of_a_listing_is_proven() {
    let lists = ["sites.csv", "pixel_stats.csv", "histogram.csv", "comoments.csv", "rejected.csv", "sources.sha256"];
    for name in lists {
        let file = format!("plates/{PLATE}/{name}");
        let altered = [(FaultKind::DamagedListing, None, "expected SHA-256 ")];
        check_damage(Codec::Zstd(3), &file, flip(20), &altered);
    }
    let sites = format!("plates/{PLATE}/sites.csv");
    let lost = [(FaultKind::DamagedListing, None, "found none")];
    check_damage(Codec::Zstd(3), &sites, |path| fs::remove_file(path).unwrap(), &lost);
    let cut = |path: &Path| fs::write(path, "").unwrap();
    check_damage(Codec::Zstd(3), &sites, cut, &[(FaultKind::DamagedListing, None, "bytes, found 0")]);
    let own = format!("plates/{PLATE}/files.sha256");
    check_damage(Codec::Zstd(3), &own, flip(20), &[(FaultKind::DamagedListing, None, "expected SHA-256 ")]);
    check_damage(Codec::Zstd(3), &own, |path| fs::remove_file(path).unwrap(), &lost);
}

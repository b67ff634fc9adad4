//! A transcoded store is the one that packing the PNGs would make: whole, in parts, or with what was left out.

use std::fs;

use cellshard::pack::{PackConfig, pack};
use cellshard::store::Codec;
use cellshard::wave::Mode;

use super::{config, pack_pngs, run};
use crate::common::{Fixture, assert_same, small};

#[test]
fn a_transcoded_store_is_the_one_that_packing_the_pngs_would_make() {
    let fixture = Fixture::kaggle(small());
    let (raw, zstd, wave, fast) = (Codec::Raw, Codec::Zstd, Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast));
    let ways = [
        (raw, zstd(3)),
        (zstd(3), raw),
        (zstd(1), zstd(9)),
        (raw, raw),
        (wave, raw),
        (zstd(3), wave),
        (wave, wave),
        (wave, fast),
        (fast, wave),
    ];
    for (i, (from, to)) in ways.into_iter().enumerate() {
        for (shard_size, new_size) in [(5, None), (5, Some(4)), (5, Some(77)), (12, Some(1))] {
            let src = pack_pngs(&fixture, &format!("from-{i}-{shard_size}"), from, shard_size);
            let direct = pack_pngs(&fixture, &format!("{i}-{shard_size}-{new_size:?}"), to, new_size.unwrap_or(5));
            for threads in [1, 8] {
                let mut config = PackConfig { threads, sites_per_shard: new_size, ..config(&fixture, "", to) };
                config.source.root.clone_from(&src);
                config.dst = fixture.path().join(format!("to-{i}-{shard_size}-{new_size:?}-{threads}"));
                let report = run(&config);
                assert!(report.finished && report.faults.is_empty());
                assert_eq!((report.plates_packed, report.sites_packed), (4, 48));
                assert_same(&direct, &config.dst);
            }
        }
    }
}

#[test]
fn what_was_left_out_and_plates_with_no_site_are_carried_over() {
    let fixture = Fixture::kaggle(small());
    for well in ["B02_s1", "B04_s2", "AA02_s2"] {
        fs::write(fixture.image(&format!("train/HEPG2-01/Plate1/{well}_w2.png")), b"broken").unwrap();
    }
    for well in &fixture.spec.wells {
        for site in [1, 2] {
            fs::write(fixture.image(&format!("test/RPE-02/Plate2/{well}_s{site}_w1.png")), b"broken").unwrap();
        }
    }
    let src = pack_pngs(&fixture, "store", Codec::Zstd(3), 5);
    assert!(!src.join("pixels.zarr/RPE-02/Plate2").exists());
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let report = run(&config(&fixture, "raw", Codec::Raw));
    assert!(report.finished && report.faults.is_empty());
    assert_eq!((report.plates_packed, report.sites_packed, report.rejected_before), (4, 33, 15));
    assert_same(&direct, &fixture.path().join("raw"));
    let again = run(&config(&fixture, "raw", Codec::Raw));
    assert_eq!((again.plan.plates_done, again.plates_packed, again.rejected_before), (4, 0, 15));
}

#[test]
fn parts_complete_each_other() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let part = |part: &str| PackConfig { partition: part.parse().unwrap(), ..config(&fixture, "raw", Codec::Raw) };
    let first = run(&part("1/2"));
    assert_eq!((first.plates_packed, first.finished, first.waiting_for.len()), (2, false, 2));
    let second = run(&part("2/2"));
    assert_eq!((second.plates_packed, second.finished), (2, true));
    assert_same(&direct, &fixture.path().join("raw"));
}

#[test]
fn a_part_of_the_plates_can_be_asked_for_and_others_added() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let mut of = config(&fixture, "raw", Codec::Raw);
    of.source.experiments = vec!["RPE-02".into()];
    let report = run(&of);
    assert_eq!((report.plan.plates, report.plates_packed, report.finished), (2, 2, true));
    of.source.experiments.clear();
    of.source.plates = vec!["HEPG2-01/2".parse().unwrap()];
    assert_eq!(run(&of).plates_packed, 1);
    of.source.plates.clear();
    let report = run(&of);
    assert_eq!((report.plan.plates_done, report.plates_packed), (3, 1));
    assert_same(&direct, &of.dst);
    of.source.experiments = vec!["RPE-2".into()];
    let error = pack(&of, &|_| {}).unwrap_err().to_string();
    assert_eq!(error, "--experiments: expected some of HEPG2-01,RPE-02, found RPE-2");
}

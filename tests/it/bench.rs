//! The program `bench`: what it measures, what it says of it, and what it refuses.

use std::process::Output;

use cellshard::bench::{Bench, BenchConfig};
use cellshard::feed::Io;
use cellshard::pack::{PackConfig, pack};
use cellshard::store::Codec;
use cellshard::wave::Mode;
use serde_json::Value;

use crate::common::{Fixture, small, tool};

fn packed(codec: Codec) -> Fixture {
    let fixture = Fixture::kaggle_on_disk(small());
    pack(&PackConfig { codec: Some(codec), ..fixture.config() }, &|_| {}).unwrap();
    fixture
}

fn bench(fixture: &Fixture, flags: &[&str]) -> Output {
    let store = fixture.store();
    let words = ["--shards", store.to_str().unwrap(), "--seconds", "0.01", "--rounds", "2", "--threads", "2"];
    tool("bench").args(words).args(flags).output().unwrap()
}

#[test]
fn every_part_of_the_way_has_a_rate_or_a_reason() {
    let [copying, decoding] = ["copying past the caches alone", "decoding alone"];
    for (codec, unpacking) in [
        (Codec::Raw, copying),
        (Codec::Zstd(3), decoding),
        (Codec::Wave(Mode::Small), decoding),
        (Codec::Wave(Mode::Fast), decoding),
    ] {
        for io in ["mmap", "pread"] {
            let out = bench(&packed(codec), &["--json", "--batch", "5", "--io", io]);
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            let report: Value = serde_json::from_slice(&out.stdout).unwrap();
            let figures = report["feed"].as_array().unwrap();
            let names: Vec<&str> = figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
            for part in ["disk, direct I/O", "page cache, pread", unpacking, "feed, verified at every read"] {
                assert!(names.contains(&part), "{part} in {names:?}");
            }
            for figure in figures {
                let is_measured = figure["mb_per_s"].as_f64().is_some_and(|rate| rate > 0.0);
                assert!(is_measured != figure["reason"].is_string(), "{figure}");
                assert_eq!(figure["rounds"].as_array().unwrap().len(), if is_measured { 2 } else { 0 }, "{figure}");
            }
            assert_eq!((&report["batch"], &report["sites"]), (&5.into(), &48.into()));
            assert!(report["device"].is_null() && !report["bottleneck"].as_str().unwrap().is_empty());
        }
    }
}

#[test]
fn a_table_goes_from_the_disk_to_the_feed() {
    let out = bench(&packed(Codec::Raw), &[]);
    let text = String::from_utf8(out.stdout).unwrap();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text}"));
    assert!(at("disk, direct I/O") < at("crc32c alone") && at("crc32c alone") < at("feed, no checksum verified"));
    assert!(at("of copying past the caches alone") < at("bottleneck"));
}

#[test]
fn a_damaged_site_ends_it_with_its_name() {
    let fixture = packed(Codec::Raw);
    let shard = fixture.store().join("pixels.zarr/HEPG2-01/Plate2/c/0/0/0/0");
    let mut bytes = std::fs::read(&shard).unwrap();
    bytes[20] ^= 4;
    std::fs::write(&shard, bytes).unwrap();
    let out = bench(&fixture, &[]);
    let error = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{error}");
    assert!(error.contains("site HEPG2-01/2/B02/1") && error.contains("expected crc32c"), "{error}");
}

#[test]
fn a_lost_shard_ends_it_as_a_fault_of_the_data() {
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = packed(codec);
        let shard = fixture.store().join("pixels.zarr/HEPG2-01/Plate2/c/0/0/0/0");
        std::fs::remove_file(&shard).unwrap();
        let out = bench(&fixture, &[]);
        let error = String::from_utf8(out.stderr).unwrap();
        let expected = format!("{}: expected a shard, found no file", shard.display());
        assert!(out.status.code() == Some(1) && error.contains(&expected), "{codec}: {error}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is() {
    let fixture = packed(Codec::Raw);
    for (flags, what) in [
        (["--seconds", "0"], "expected seconds"),
        (["--rounds", "0"], "--rounds"),
        (["--batch", "0"], "--batch"),
        (["--threads", "0"], "--threads: expected 1 to 1024"),
    ] {
        let out = tool("bench").arg("--shards").arg(fixture.store()).args(flags).output().unwrap();
        let error = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.code() == Some(2) && error.contains(what), "{flags:?}: {error}");
    }
    let shards = fixture.store();
    let config = BenchConfig { shards, n_threads: 2, batch: 1 << 40, io: Io::Mmap, seconds: 1.0, rounds: 1 };
    let error = Bench::open(config).err().unwrap();
    assert!(!error.is_data_fault() && error.to_string().contains("3 batches have to fit into memory"), "{error}");
    let nowhere = fixture.path().join("nowhere");
    let out = tool("bench").args(["--shards", nowhere.to_str().unwrap()]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
}

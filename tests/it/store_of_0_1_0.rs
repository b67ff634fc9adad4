//! The store that version 0.1.0 wrote, as `fixtures/README.md` describes it: later versions open it, find it whole,
//! feed and transcode it, and count in it what was counted then.

use std::fs;
use std::path::{Path, PathBuf};

use cellshard::feed::{Io, Reader, Verify};
use cellshard::pack::{PackConfig, pack};
use cellshard::source::SourceConfig;
use cellshard::store::{Codec, Store};
use cellshard::verify::{Depth, StoreConfig, verify_store};

use crate::common::{Fixture, assert_same, small, stderr, stdout, tool};
use crate::feed::feed;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn store() -> PathBuf {
    fixture("store-0.1.0")
}

/// Cells of a column of `metadata.csv`, read without our reader.
fn column(name: &str) -> Vec<String> {
    let text = fs::read_to_string(store().join("metadata.csv")).unwrap();
    let at = text.lines().next().unwrap().split(',').position(|column| column == name).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(at).unwrap().to_owned()).collect()
}

#[test]
fn it_opens_with_all_that_its_tables_say() {
    let store = Store::open(&store()).unwrap();
    let spec = store.spec();
    assert_eq!((spec.codec, spec.sites_per_shard, spec.channels.len()), (Codec::Zstd(3), 8, 3));
    assert_eq!((spec.size.height, spec.size.width), (16, 16));
    let plates: Vec<String> = store.plates().keys().map(ToString::to_string).collect();
    assert_eq!(plates, ["HUVEC-01/Plate1", "HUVEC-02/Plate1", "HUVEC-03/Plate1"]);
    let found = |cell: fn(&cellshard::store::format::rows::SiteRow) -> String| -> Vec<String> {
        store.sites().iter().map(cell).collect()
    };
    assert_eq!(found(|site| site.id.to_string()), column("site_id"));
    assert_eq!(found(|site| site.label.dataset.clone()), column("dataset"));
    let class =
        |site: &cellshard::store::format::rows::SiteRow| site.label.class.map_or(String::new(), |c| c.to_string());
    assert_eq!(found(class), column("sirna_id"));
    assert_eq!(store.sites().len(), 60);
}

#[test]
fn it_is_whole_at_every_depth() {
    for depth in [Depth::Quick, Depth::Full, Depth::Deep] {
        let report = verify_store(&StoreConfig { root: store(), depth, manifest: None }, &|_| {}).unwrap();
        assert_eq!((report.findings, report.sites), (vec![], 60), "{depth:?}");
    }
}

#[test]
fn every_site_is_fed_with_the_pixels_of_its_checksum() {
    let crcs = column("crc32c");
    for io in [Io::Mmap, Io::Pread] {
        let reader = Reader::new(Store::open(&store()).unwrap(), io, Verify::Never);
        let bytes = reader.site_bytes();
        let mut met = vec![false; crcs.len()];
        for (sites, pixels, faults) in feed(reader, 7, 2, 0, 5) {
            assert!(faults.is_empty(), "{faults:?}");
            for (&site, pixels) in sites.iter().zip(pixels.chunks(bytes)) {
                assert_eq!(format!("{:08x}", crc32c::crc32c(pixels)), crcs[site], "site {site}");
                met[site] = true;
            }
        }
        assert!(met.into_iter().all(|met| met));
    }
}

#[test]
fn transcoded_to_raw_and_back_it_has_the_same_bytes() {
    let fixture = Fixture::bare(small());
    let transcode = |src: PathBuf, dst: &str, codec| {
        let source = SourceConfig { root: src, ..SourceConfig::default() };
        let dst = fixture.path().join(dst);
        let config = PackConfig { source, dst: dst.clone(), codec, sites_per_shard: None, ..fixture.config() };
        let report = pack(&config, &|_| {}).unwrap();
        assert_eq!((report.sites_packed, report.finished, report.faults.len()), (60, true, 0));
        dst
    };
    let raw = transcode(store(), "raw", Codec::Raw);
    assert_same(&store(), &transcode(raw, "back", Codec::Zstd(3)));
}

#[test]
fn its_statistics_are_those_of_then() {
    let output = tool("stats").arg("--shards").arg(store()).arg("--csv").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), fs::read_to_string(fixture("store-0.1.0.stats.csv")).unwrap());
}

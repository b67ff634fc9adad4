//! The store that version 0.1.0 wrote, as `fixtures/README.md` describes it: later versions open it, find it whole,
//! feed and transcode it, and count in it what was counted then.

use std::fs;
use std::path::{Path, PathBuf};

use cellshard::feed::{Io, Reader, Verify};
use cellshard::pack::{PackConfig, pack};
use cellshard::source::SourceConfig;
use cellshard::store::{Codec, Store};
use cellshard::training::data::experiments_sha256;
use cellshard::verify::{Depth, StoreConfig, verify_store};

use crate::common::{Fixture, TreeSpec, assert_same, contents, copy_folder, small, stderr, stdout, tool};
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
    assert_eq!(found(|site| site.label.dataset.to_string()), column("dataset"));
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
fn transcoded_to_raw_and_back_it_has_the_same_bytes_but_is_of_format_2_with_statistics_in_one_chunk_a_plate() {
    let fixture = Fixture::bare(small());
    let transcode = |src: PathBuf, dst: &str, codec| {
        let source = SourceConfig { root: src, ..SourceConfig::default() };
        let dst = fixture.path().join(dst);
        let config =
            PackConfig { source, dst: dst.clone(), codec: Some(codec), sites_per_shard: None, ..fixture.config() };
        let report = pack(&config, &|_| {}).unwrap();
        assert_eq!((report.sites_packed, report.finished, report.faults.len()), (60, true, 0));
        dst
    };
    let back = transcode(transcode(store(), "raw", Codec::Raw), "back", Codec::Zstd(3));
    let is_of_arrays =
        |path: &str| path.starts_with("pixels.zarr/statistics/") && path != "pixels.zarr/statistics/zarr.json";
    let kept = |store: &Path| -> Vec<(String, Vec<u8>)> {
        contents(store).into_iter().filter(|(path, _)| !is_of_arrays(path) && path != "SHA256SUMS").collect()
    };
    let [mut before, mut after] = [kept(&store()), kept(&back)];
    let root = |files: &mut Vec<(String, Vec<u8>)>| {
        let position = files.iter().position(|(path, _)| path == "pixels.zarr/zarr.json").unwrap();
        String::from_utf8(files.remove(position).1).unwrap()
    };
    let (first, second) = (root(&mut before), root(&mut after));
    assert!(before == after);
    let without_colour = first.replace("          \"colour\": \"FFFFFF\",\n", "");
    assert!(without_colour != first, "format 1 has a colour where none is known");
    assert_eq!(without_colour.replace("\"format\": 1", "\"format\": 2"), second);
    // So a run that was learned from the one is valid for the other.
    let learned = [&store(), &back].map(|store| {
        let store = Store::open(store).unwrap();
        let experiments = store.plates().keys().map(|plate| plate.experiment.as_str()).collect();
        experiments_sha256(&store, &experiments)
    });
    assert_eq!(learned[0], learned[1]);
    is_whole(&back, 60);
    assert_eq!(chunks(&store()), ["0"]);
    assert_eq!(chunks(&back), ["0", "1", "2"]);
}

/// The numbers of the chunks of each array of statistics.
fn chunks(store: &Path) -> Vec<String> {
    let of_array = |name: &str| -> Vec<String> {
        let prefix = format!("pixels.zarr/statistics/{name}/c/");
        let chunks = contents(store).into_keys().filter_map(|path| Some(path.strip_prefix(&prefix)?.to_owned()));
        chunks.map(|chunk| chunk.strip_suffix("/0/0/0").unwrap().to_owned()).collect()
    };
    assert_eq!(of_array("histogram"), of_array("comoments"));
    of_array("histogram")
}

fn is_whole(store: &Path, n_sites: u64) {
    for depth in [Depth::Quick, Depth::Full, Depth::Deep] {
        let config = StoreConfig { root: store.to_owned(), depth, manifest: None };
        let report = verify_store(&config, &|_| {}).unwrap();
        assert_eq!((report.findings, report.sites), (vec![], n_sites), "{depth:?}");
    }
    assert_eq!(Store::open(store).unwrap().sites().len() as u64, n_sites);
}

/// More plates of the same kind and classes: 48 sites on four plates of two experiments.
fn more_plates() -> Fixture {
    let experiments = vec![("HUVEC-04", "train"), ("HUVEC-05", "train")];
    let fixture = Fixture::kaggle(TreeSpec { experiments, channels: 3, size: (16, 16), ..small() });
    // Our wells have other classes than that store: each gets the name of one of its.
    let name = |class: u32| match class {
        1138 => "34",
        1109 => "5",
        1121 => "7",
        3 => "3",
        7 => "1",
        _ => "2",
    };
    fixture.write_kaggle_csvs(|class| name(class).to_owned());
    copy_folder(&store(), &fixture.store());
    fixture
}

fn growing(fixture: &Fixture, partition: &str) -> PackConfig {
    let classes = Some(fixture.store().join("classes.csv"));
    let config = fixture.config();
    let source = SourceConfig { classes, ..config.source };
    PackConfig { source, sites_per_shard: Some(8), partition: partition.parse().unwrap(), ..config }
}

#[test]
fn it_is_left_as_it_is_where_nothing_is_to_be_done_and_grows_by_more_plates() {
    let fixture = more_plates();
    let before = contents(&fixture.store());
    let nothing = SourceConfig { root: store(), ..SourceConfig::default() };
    pack(&PackConfig { source: nothing, sites_per_shard: None, ..fixture.config() }, &|_| {}).unwrap();
    assert!(contents(&fixture.store()) == before);

    let report = pack(&growing(&fixture, "1/1"), &|_| {}).unwrap();
    assert_eq!((report.sites_packed, report.finished, report.faults.len()), (48, true, 0));
    is_whole(&fixture.store(), 108);
    assert_eq!(chunks(&fixture.store()).len(), 7);
    let after = contents(&fixture.store());
    let is_plates = |path: &str| path.contains("HUVEC-0") || path == "classes.csv" || path == "pixels.zarr/zarr.json";
    for (path, bytes) in before.iter().filter(|(path, _)| is_plates(path)) {
        assert!(after[path] == *bytes, "{path} is what it was");
    }
}

#[test]
fn grown_by_partition_it_has_the_same_bytes_as_grown_at_once() {
    let [whole, parts] = [more_plates(), more_plates()];
    pack(&growing(&whole, "1/1"), &|_| {}).unwrap();
    let first = pack(&growing(&parts, "2/2"), &|_| {}).unwrap();
    // What is there is whole, and it is told that more will come.
    assert_eq!((first.finished, first.waiting_for.len()), (true, 2));
    is_whole(&parts.store(), 84);
    assert!(pack(&growing(&parts, "1/2"), &|_| {}).unwrap().finished);
    assert_same(&whole.store(), &parts.store());
}

#[test]
fn its_statistics_are_those_of_then() {
    let output = tool("stats").arg("--shards").arg(store()).arg("--csv").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), fs::read_to_string(fixture("store-0.1.0.stats.csv")).unwrap());
}

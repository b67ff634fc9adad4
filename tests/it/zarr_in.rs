//! Zarr that others wrote: what is absent, cut short, damaged or a lie is a fault with its file, and never black. The
//! arrays are written by hand, so that each lie is one; `tests/python/test_zarr_in.py` has those of other libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cellshard::fault::FaultKind;
use cellshard::pack::{OnError, PackConfig, pack, plan};
use cellshard::site::{SiteId, WellId};
use cellshard::store::Store;
use cellshard::verify::{Depth, StoreConfig, compare_tree, verify_store, verify_tree};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two sites of two channels, 4 x 6 pixels of 16 bits each.
const SHAPE: [u64; 4] = [2, 2, 4, 6];

struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn array(&self) -> PathBuf {
        self.dir.path().join("a.zarr")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.array().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn config(&self) -> PackConfig {
        let mut config = PackConfig::new(&self.array(), &self.dir.path().join("store"));
        config.source.table = Some(self.dir.path().join("sites.csv"));
        config
    }

    /// The faults of packing it: kind, file and detail.
    fn faults(&self) -> Vec<(FaultKind, String, String)> {
        let report = pack(&self.config(), &|_| {}).unwrap();
        assert!(!report.finished || report.faults.is_empty());
        report.faults.into_iter().map(|fault| (fault.kind, fault.file, fault.detail)).collect()
    }

    /// That packing is refused, and why.
    fn refused(&self) -> String {
        pack(&self.config(), &|_| {}).unwrap_err().to_string()
    }

    fn check(&self, kind: FaultKind, file: &str, part: &str) {
        let faults = self.faults();
        let of_file = |(found, path, detail): &(FaultKind, String, String)| {
            (*found, path.as_str()) == (kind, file) && detail.contains(part)
        };
        assert!(faults.iter().any(of_file), "{faults:?}");
    }
}

fn level(at: [u64; 4]) -> u16 {
    at.iter().zip([1000, 100, 10, 1]).map(|(at, of)| (at * of) as u16).sum::<u16>() + 1
}

/// The pixels of a chunk at a corner, of this shape.
fn pixels(corner: [u64; 4], shape: [u64; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..shape.iter().product() {
        let mut rest: u64 = i;
        let mut at = corner;
        for axis in (0..4).rev() {
            at[axis] += rest % shape[axis];
            rest /= shape[axis];
        }
        bytes.extend(level(at).to_le_bytes());
    }
    bytes
}

fn v2(compressor: &Value) -> Value {
    json!({
        "zarr_format": 2, "shape": SHAPE, "chunks": [1, 2, 4, 3], "dtype": "<u2", "compressor": compressor,
        "fill_value": 0, "order": "C", "filters": null, "dimension_separator": "/",
    })
}

/// A chunk is half of a site, `[1, 2, 4, 3]`.
fn chunks() -> Vec<(String, Vec<u8>)> {
    let of = |site: u64, half: u64| (format!("{site}/0/0/{half}"), pixels([site, 0, 0, 3 * half], [1, 2, 4, 3]));
    vec![of(0, 0), of(0, 1), of(1, 0), of(1, 1)]
}

fn with_document(name: &str, document: &Value) -> Fixture {
    let fixture = Fixture { dir: tempfile::tempdir().unwrap() };
    fs::write(fixture.dir.path().join("sites.csv"), "plate,well,site\nP1,A01,1\nP1,A01,2\n").unwrap();
    fixture.write(name, document.to_string().as_bytes());
    fixture
}

/// An array of Zarr v2 whose chunks are packed so.
fn array(compressor: &Value, packed: impl Fn(&[u8]) -> Vec<u8>) -> Fixture {
    let fixture = with_document(".zarray", &v2(compressor));
    for (name, bytes) in chunks() {
        fixture.write(&name, &packed(&bytes));
    }
    fixture
}

/// One of Zarr v3, of one shard a site, each chunk with its crc32c; those that are not `absent`.
fn sharded(absent: Option<usize>) -> Fixture {
    let crc32c = json!({ "name": "crc32c" });
    let little = json!({ "name": "bytes", "configuration": { "endian": "little" } });
    let sharding = json!({
        "chunk_shape": [1, 2, 4, 3], "codecs": [little, crc32c], "index_codecs": [little, crc32c],
        "index_location": "end",
    });
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": SHAPE, "data_type": "uint16", "fill_value": 0,
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": [1, 2, 4, 6] } },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "codecs": [{ "name": "sharding_indexed", "configuration": sharding }], "attributes": {},
    });
    let fixture = with_document("zarr.json", &document);
    let with_crc = |mut bytes: Vec<u8>| {
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    };
    for (site, halves) in chunks().chunks(2).enumerate() {
        let (mut shard, mut index) = (Vec::new(), Vec::new());
        for (half, (_, bytes)) in halves.iter().enumerate() {
            let chunk = with_crc(bytes.clone());
            let is_absent = absent == Some(2 * site + half);
            let entry = if is_absent { [u64::MAX; 2] } else { [shard.len() as u64, chunk.len() as u64] };
            index.extend(entry.iter().flat_map(|number| number.to_le_bytes()));
            shard.extend(if is_absent { Vec::new() } else { chunk });
        }
        shard.extend(with_crc(index));
        fixture.write(&format!("c/{site}/0/0/0"), &shard);
    }
    fixture
}

fn stored(store: &Path) -> Vec<Vec<u8>> {
    let store = Store::open_proven(store).unwrap();
    let ids = store.sites().iter().map(|site| &site.id);
    let site = |id: &SiteId| {
        let WellId { plate, well } = &id.well;
        store.site(plate.experiment.as_str(), &plate.plate, &well.to_string(), id.site).unwrap()
    };
    ids.map(site).collect()
}

#[test]
fn pixels_are_those_of_the_array_and_the_store_is_proven_by_its_files() {
    for fixture in [array(&Value::Null, <[u8]>::to_vec), sharded(None)] {
        let config = fixture.config();
        assert_eq!(fixture.faults(), []);
        let expected: Vec<Vec<u8>> = (0..2).map(|site| pixels([site, 0, 0, 0], [1, 2, 4, 6])).collect();
        assert_eq!(stored(&config.dst), expected);
        assert_eq!(pack(&config, &|_| {}).unwrap().sites_packed, 0, "all is done");
        let nothing: &(dyn Fn(u64) + Sync) = &|_| {};
        assert_eq!(verify_tree(&config.source, None, nothing, nothing).unwrap().faults, []);
        let store = StoreConfig { root: config.dst.clone(), depth: Depth::Deep, manifest: None };
        assert_eq!(verify_store(&store, &|_| {}).unwrap().findings, []);
        assert_eq!(compare_tree(&config.source, &config.dst, &|_| {}).unwrap().findings, []);
        let sources = fs::read_to_string(config.dst.join("plates/experiment/P1/sources.sha256")).unwrap();
        let named: BTreeSet<&str> = sources.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
        let all: BTreeSet<String> = cellshard::files::all_files(&fixture.array()).unwrap().files.into_iter().collect();
        assert_eq!(named, all.iter().map(String::as_str).collect(), "documents and chunks");
    }
}

#[test]
fn a_chunk_that_is_absent_is_a_fault_and_what_others_are_beside_it_is_packed() {
    let fixture = array(&Value::Null, <[u8]>::to_vec);
    fs::remove_file(fixture.array().join("1/0/0/0")).unwrap();
    fixture.check(FaultKind::MissingChunk, "1/0/0/0", "found none");
    let config = PackConfig { on_error: OnError::Skip, ..fixture.config() };
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!((report.sites_packed, report.finished), (1, true));
    assert_eq!(pack(&config, &|_| {}).unwrap().sites_packed, 0, "it is known to be absent");
    let (name, bytes) = &chunks()[2];
    fixture.write(name, bytes);
    assert_eq!(pack(&config, &|_| {}).unwrap().sites_packed, 2, "it is there now");
    sharded(Some(3)).check(FaultKind::MissingChunk, "c/1/0/0/0", "in the index of its shard");
}

#[test]
fn chunks_and_shards_that_are_cut_short_are_named() {
    for (fixture, name) in [(array(&Value::Null, <[u8]>::to_vec), "0/0/0/1"), (sharded(None), "c/0/0/0/0")] {
        let whole = fs::read(fixture.array().join(name)).unwrap();
        for length in 0..whole.len() {
            fixture.write(name, &whole[..length]);
            let faults = fixture.faults();
            assert_eq!(faults.len(), 1, "{length}: {faults:?}");
            assert_eq!((faults[0].1.as_str(), faults[0].0 == FaultKind::Empty), (name, length == 0), "{faults:?}");
        }
        fixture.write(name, &whole);
        assert_eq!(fixture.faults(), []);
    }
}

#[test]
fn every_flipped_bit_of_a_shard_is_a_fault() {
    let fixture = sharded(None);
    let whole = fs::read(fixture.array().join("c/0/0/0/0")).unwrap();
    for bit in 0..8 * whole.len() {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fixture.write("c/0/0/0/0", &flipped);
        let faults = fixture.faults();
        assert_eq!(faults.len(), 1, "bit {bit}");
        assert_eq!(faults[0].1, "c/0/0/0/0");
    }
}

#[test]
fn a_chunk_that_would_become_more_than_it_should_is_refused_unread() {
    let large = vec![0; 100 << 20];
    let zeros = zstd::bulk::compress(&large, 3).unwrap();
    array(&json!({ "id": "zstd", "level": 3 }), |_| zeros.clone()).check(FaultKind::Undecodable, "0/0/0/0", "48 bytes");
    // A frame that does not say what it becomes.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    std::io::Write::write_all(&mut encoder, &large).unwrap();
    let zeros = encoder.finish().unwrap();
    array(&json!({ "id": "zstd", "level": 3 }), |_| zeros.clone()).check(FaultKind::Undecodable, "0/0/0/0", "48 bytes");
    let mut deflater = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut zeros = vec![0; 1 << 20];
    let length = deflater.gzip_compress(&large[..10 << 20], &mut zeros).unwrap();
    zeros.truncate(length);
    array(&json!({ "id": "gzip", "level": 1 }), |_| zeros.clone()).check(FaultKind::Undecodable, "0/0/0/0", "48 bytes");
    let blosc = json!({ "id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0 });
    let mut lie = vec![2, 1, 1, 2];
    lie.extend([u32::MAX >> 1, 1 << 20, 20].iter().flat_map(|number: &u32| number.to_le_bytes()));
    lie.extend([0; 4]);
    array(&blosc, |_| lie.clone()).check(FaultKind::Undecodable, "0/0/0/0", "48 bytes");
}

#[test]
fn documents_of_what_is_not_read_are_refused_by_name() {
    let refused = |key: &str, value: Value, part: &str| {
        let mut document = v2(&Value::Null);
        document[key] = value;
        let fixture = with_document(".zarray", &document);
        let error = fixture.refused();
        assert!(error.contains(part) && error.contains(".zarray"), "{error}");
    };
    refused("dtype", json!("<f4"), "uint8 or uint16");
    refused("dtype", json!([["a", "<u2"]]), "uint8 or uint16");
    refused("compressor", json!({ "id": "lzma" }), "lzma");
    refused("filters", json!([{ "id": "delta" }]), "delta");
    refused("chunks", json!([1, 2, 1_000_000, 1_000_000]), "at most 268435456 bytes");
    refused("chunks", json!([4_000_000_000_u64, 4_000_000_000_u64, 4_000_000_000_u64, 4]), "at most 268435456 bytes");
    refused("chunks", json!([1, 2, 0, 3]), "whole numbers from 1");
    refused("shape", json!([2, 2, 4, -6]), "whole numbers from 1");
    refused("shape", json!([2, 2, 4, 1e300]), "whole numbers from 1");
    refused("shape", json!([2, 65, 4, 6]), "1 to 64 channels");
    refused("shape", json!([2, 4, 6]), "as many of chunks");
    refused("shape", json!([2, 2, 4, 20_000]), "sides of 1 to 16384");
    refused("zarr_format", json!(4), "zarr_format 2");
    let fixture = with_document(".zarray", &json!([]));
    assert!(fixture.refused().contains(".zarray"));
}

#[test]
fn tables_that_do_not_fit_their_array_are_refused() {
    let fixture = array(&Value::Null, <[u8]>::to_vec);
    for (table, part) in [
        ("plate,well,site\nP1,A01,1\n", "a row for each of the 2 of the array"),
        ("plate,well,site\nP1,A01,1\nP1,A01,2\nP1,A01,3\n", "sites.csv:4: expected one of the 2 rows"),
        ("plate,well,site\nP1,A01,1\nP1,A01,1\n", "sites.csv:3: expected each site once"),
        ("plate,well,site,row\nP1,A01,1,0\nP1,A01,2,0\n", "sites.csv:3: expected each row of the array once"),
        ("plate,well,site,row\nP1,A01,1,x\n", "sites.csv:2: expected a row of the array"),
        ("well\nA01\n", "a column of the plate"),
    ] {
        fs::write(fixture.dir.path().join("sites.csv"), table).unwrap();
        let error = fixture.refused();
        assert!(error.contains(part), "{error}");
    }
    fs::write(fixture.dir.path().join("sites.csv"), "plate,well,site,row,experiment\nP1,A01,7,1,HUVEC-1\n").unwrap();
    assert_eq!(fixture.faults(), []);
    assert_eq!(stored(&fixture.config().dst), [pixels([1, 0, 0, 0], [1, 2, 4, 6])]);
}

/// A plate of one field, of Zarr v2; `well` and `image` are what its documents say.
fn plate(well: &Value, image: &Value) -> Fixture {
    let fixture = Fixture { dir: tempfile::tempdir().unwrap() };
    let plate = json!({ "plate": { "name": "P 1", "wells": [{ "path": "A/1", "rowIndex": 0, "columnIndex": 0 }] } });
    fixture.write(".zattrs", plate.to_string().as_bytes());
    fixture.write("A/1/.zattrs", well.to_string().as_bytes());
    fixture.write("A/1/0/.zattrs", image.to_string().as_bytes());
    let mut document = v2(&Value::Null);
    document["chunks"] = json!(SHAPE);
    fixture.write("A/1/0/0/.zarray", document.to_string().as_bytes());
    fixture.write("A/1/0/0/0/0/0/0", &pixels([0; 4], SHAPE));
    fixture
}

fn image(axes: &[&str]) -> Value {
    let axes: Vec<Value> = axes.iter().map(|name| json!({ "name": name, "type": "space" })).collect();
    json!({ "multiscales": [{ "axes": axes, "datasets": [{ "path": "0" }] }] })
}

#[test]
fn plates_are_recognised_and_what_their_documents_name_lies_below_them() {
    let well = json!({ "well": { "images": [{ "path": "0" }] } });
    let packed = |fixture: &Fixture| {
        let config = PackConfig::new(&fixture.array(), &fixture.dir.path().join("store"));
        pack(&config, &|_| {}).map(|report| (report, config))
    };
    let fixture = plate(&well, &image(&["z", "c", "y", "x"]));
    let error = packed(&fixture).unwrap_err().to_string();
    assert!(error.contains("--plane z=N") && error.contains("A/1/0/0"), "{error}");
    let mut config = PackConfig::new(&fixture.array(), &fixture.dir.path().join("store"));
    config.source.plane = "z=1".parse().unwrap();
    let (found, faults) = plan(&config).unwrap();
    assert_eq!((found.layout, faults.len()), ("ome-zarr", 0));
    assert!(pack(&config, &|_| {}).unwrap().finished);
    assert_eq!(stored(&config.dst), [pixels([1, 0, 0, 0], [1, 2, 4, 6])]);
    assert_eq!(Store::open(&config.dst).unwrap().sites()[0].id.to_string(), "experiment/a/A01_1", "by its folder");
    for (well, image, part) in [
        (json!({ "well": { "images": [{ "path": "../../../x" }] } }), image(&["c", "y", "x"]), "below its well"),
        (json!({ "well": { "images": [{ "path": "/etc" }] } }), image(&["c", "y", "x"]), "below its well"),
        (json!({ "well": 3 }), image(&["c", "y", "x"]), "the document of a well"),
        (json!({}), image(&["c", "y", "x"]), "a well"),
        (well.clone(), json!({}), "multiscales"),
        (well.clone(), image(&["c", "y", "x"]), "axes y and x"),
        (well.clone(), image(&["c", "c", "y", "x"]), "axes y and x"),
        (well.clone(), image(&["c", "angle", "y", "x"]), "axes y and x"),
        (well.clone(), json!({ "multiscales": [{ "datasets": [{ "path": "../0/0" }] }] }), "below its image"),
    ] {
        let error = packed(&plate(&well, &image)).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_is_zarr_and_no_source_is_told_with_what_would_be_one() {
    let fixture = array(&Value::Null, <[u8]>::to_vec);
    let says = |root: &Path, part: &str| {
        let error = pack(&PackConfig::new(root, &fixture.dir.path().join("other")), &|_| {}).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    says(&fixture.array(), "--table FILE.csv");
    assert_eq!(fixture.faults(), []);
    says(&fixture.config().dst.join("pixels.zarr"), "the folder that holds pixels.zarr");
    let well = json!({ "well": { "images": [{ "path": "0" }] } });
    let of_plate = plate(&well, &image(&["z", "c", "y", "x"]));
    says(&of_plate.array().join("A/1"), "--src is the plate");
    says(&of_plate.array().join("A/1/0"), "--src is the plate");
}

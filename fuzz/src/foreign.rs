//! Zarr that others wrote, changed and then used: plates of OME-Zarr of both versions, and an array with a table.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use cellshard::pack::{OnError, PackConfig, pack};
use cellshard::store::{Codec, Store};
use cellshard::verify::{Depth, StoreConfig, verify_store};

use super::used::{changed_copy, pack_config};

/// Sites of each source.
const N_SITES: u64 = 4;

/// A plate of Zarr v2, one of Zarr v3, and an array beside its table, made once.
fn made() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let root = tempfile::tempdir().expect("a temporary folder");
        write_plate(&root.path().join("v2"), false);
        write_plate(&root.path().join("v3"), true);
        let array = root.path().join("array");
        write(&array.join("sites.csv"), "plate,well,site\nP,A01,1\nP,A01,2\nP,A02,1\nP,A02,2\n");
        write_array(&array.join("a.zarr"), "4,2,3,5", false, &["0/0/0/0", "1/0/0/0", "2/0/0/0", "3/0/0/0"]);
        root
    })
    .path()
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("below a folder")).expect("a folder of ours");
    fs::write(path, text).expect("a file of ours");
}

/// An array of 8 bits whose chunks are images of a site, each of two channels of 3 x 5 pixels.
fn write_array(dir: &Path, shape: &str, is_v3: bool, chunks: &[&str]) {
    let chunk = shape.replacen("4,", "1,", 1);
    if is_v3 {
        let grid = format!(r#"{{"name": "regular", "configuration": {{"chunk_shape": [{chunk}]}}}}"#);
        let keys = r#"{"name": "default", "configuration": {"separator": "/"}}"#;
        let head = format!(r#""zarr_format": 3, "node_type": "array", "shape": [{shape}], "data_type": "uint8""#);
        let rest = r#""fill_value": 0, "codecs": [{"name": "bytes"}, {"name": "crc32c"}], "attributes": {}"#;
        write(
            &dir.join("zarr.json"),
            format!("{{{head}, \"chunk_grid\": {grid}, \"chunk_key_encoding\": {keys}, {rest}}}"),
        );
    } else {
        let head = format!(r#""zarr_format": 2, "shape": [{shape}], "chunks": [{chunk}], "dtype": "|u1""#);
        let rest = r#""compressor": null, "fill_value": 0, "order": "C", "filters": null, "dimension_separator": "/""#;
        write(&dir.join(".zarray"), format!("{{{head}, {rest}}}"));
    }
    for (n, name) in (0_u8..).zip(chunks) {
        let mut pixels: Vec<u8> = (0..30).map(|pixel| pixel + n).collect();
        if is_v3 {
            pixels.extend(crc32c::crc32c(&pixels).to_le_bytes());
        }
        write(&dir.join(name), pixels);
    }
}

/// A plate `P` of two wells of two fields.
fn write_plate(dir: &Path, is_v3: bool) {
    let group = |path: &str, says: &str| {
        let v3 = format!(
            r#"{{"zarr_format": 3, "node_type": "group", "attributes": {{"ome": {{"version": "0.5", {says}}}}}}}"#
        );
        let (name, text) = if is_v3 { ("zarr.json", v3) } else { (".zattrs", format!("{{{says}}}")) };
        write(&dir.join(path).join(name), text);
    };
    group("", r#""plate": {"name": "P", "wells": [{"path": "A/1"}, {"path": "A/2"}]}"#);
    let axes = r#"[{"name": "c"}, {"name": "y"}, {"name": "x"}]"#;
    let omero = r#""omero": {"channels": [{"label": "DNA"}, {"label": "Actin"}]}"#;
    for well in ["A/1", "A/2"] {
        group(well, r#""well": {"images": [{"path": "0"}, {"path": "1"}]}"#);
        for field in ["0", "1"] {
            let image = format!("{well}/{field}");
            group(&image, &format!(r#""multiscales": [{{"axes": {axes}, "datasets": [{{"path": "0"}}]}}], {omero}"#));
            let chunk = if is_v3 { "c/0/0/0" } else { "0/0/0" };
            write_array(&dir.join(image).join("0"), "2,3,5", is_v3, &[chunk]);
        }
    }
}

/// One of these sources, some of its files changed: packed without what is bad, and what came of it verified. Where
/// nothing is said to be wrong, all of it is packed.
pub fn foreign_zarr(data: &[u8]) {
    let [kind, changes @ ..] = data else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("tree");
    let name = ["v2", "v3", "array"][usize::from(kind % 3)];
    changed_copy(&made().join(name), &root, changes);
    let is_array = name == "array";
    let src = if is_array { root.join("a.zarr") } else { root.clone() };
    let dst = folder.path().join("store");
    let mut config = PackConfig { on_error: OnError::Skip, ..pack_config(&src, &dst, Codec::Raw) };
    config.source.table = is_array.then(|| root.join("sites.csv"));
    let Ok(packed) = pack(&config, &|_| {}) else { return };
    if !packed.finished {
        return;
    }
    let config = StoreConfig { root: dst.clone(), depth: Depth::Deep, manifest: None };
    let found = verify_store(&config, &|_| {}).expect("a store of ours").findings;
    assert!(found.is_empty(), "what was just packed is whole: {found:?}");
    let n_packed = Store::open(&dst).expect("a finished store").sites().len() as u64;
    let is_told = !packed.faults.is_empty();
    assert!(is_told || n_packed == N_SITES, "all of what has no fault is packed: {n_packed} of {name}");
}

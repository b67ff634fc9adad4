//! Reading a store: what is asked for comes back proven, and each lie is an error that names its place.

use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::store::read::decode::Decoder;
use cellshard::store::{Codec, Store};
use cellshard::{Error, Result};

use crate::common::{Fixture, site_pixels, small, write_png};

fn packed(codec: Codec) -> Fixture {
    let fixture = Fixture::kaggle(small());
    pack(&PackConfig { codec: Some(codec), ..fixture.config() }, &|_| {}).unwrap();
    fixture
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} not in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_store_that_is_not_finished_is_not_opened() {
    let fixture = packed(Codec::Raw);
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    let error = Store::open(&fixture.store()).unwrap_err();
    assert!(matches!(error, Error::Unfinished { .. }) && error.is_data_fault());
    let error = Store::open(&fixture.data()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[test]
fn each_lie_in_the_metadata_is_named_with_its_line() {
    let lies = [
        (
            "metadata.csv",
            "HEPG2-01/Plate1,1,",
            "HEPG2-01/Plate1,2,",
            "metadata.csv:3: expected row 1 of its plate, found 2",
        ),
        (
            "metadata.csv",
            "treatment,7,7,",
            "treatment,7,4711,",
            "metadata.csv:4: expected a class of classes.csv, found 4711",
        ),
        ("metadata.csv", "_B02_2,", "_B02_1,", "metadata.csv:3: expected site_id"),
        ("metadata.csv", "crc32c", "crc", "metadata.csv:1: expected site_id,well_id"),
        ("classes.csv", "1109,1109", "1109,7", "expected one class for siRNA"),
        ("pixels.zarr/zarr.json", "\"format\": 2", "\"format\": 9", "expected format 1 or 2"),
    ];
    for (path, from, to, message) in lies {
        let fixture = packed(Codec::Raw);
        edit(&fixture.store().join(path), from, to);
        let error = Store::open(&fixture.store()).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_site_that_is_not_there_is_an_error_not_a_black_image() {
    let fixture = packed(Codec::Zstd(3));
    let store = Store::open(&fixture.store()).unwrap();
    for (experiment, plate, well, site) in
        [("HEPG2-01", 1, "B02", 3), ("HEPG2-01", 9, "B02", 1), ("no-1", 1, "B02", 1), ("HEPG2-01", 1, "b2", 1)]
    {
        let error = store.site(experiment, plate, well, site).unwrap_err();
        assert!(matches!(error, Error::NoSuchSite { .. }), "{error}");
    }
    // An index that says that a chunk is absent, with a checksum that fits.
    let path = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
    let mut bytes = fs::read(&path).unwrap();
    let index = bytes.len() - (5 * 16 + 4);
    bytes[index..index + 16].fill(0xff);
    let crc = crc32c::crc32c(&bytes[index..index + 80]);
    bytes[index + 80..].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, bytes).unwrap();
    let error = store.site("HEPG2-01", 1, "B02", 1).unwrap_err();
    assert!(error.is_data_fault() && error.to_string().contains("expected chunk 0"), "{error}");
}

#[test]
fn a_black_site_is_stored_and_read() {
    let fixture = Fixture::bare(small());
    for channel in [1, 2] {
        write_png(&fixture.image(&format!("RPE-02/Plate1/B03_s1_w{channel}.png")), (12, 10), &[0; 120]);
    }
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let dst = fixture.path().join(codec.to_string());
        pack(&PackConfig { codec: Some(codec), dst: dst.clone(), ..fixture.config() }, &|_| {}).unwrap();
        assert_eq!(Store::open(&dst).unwrap().site("RPE-02", 1, "B03", 1).unwrap(), [0; 240]);
    }
}

#[test]
fn damaged_pixels_are_not_handed_out() {
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = packed(codec);
        let store = Store::open(&fixture.store()).unwrap();
        let path = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
        let mut bytes = fs::read(&path).unwrap();
        bytes[11] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = store.site("HEPG2-01", 1, "B02", 1).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains("crc32c"), "{error}");
        let other = store.site("HEPG2-01", 1, "B02", 2).unwrap();
        assert_eq!(other, site_pixels(&fixture.spec, "HEPG2-01", 1, "B02", 2));
    }
}

#[test]
fn a_shard_that_shrinks_while_it_is_open_ends_in_an_error() {
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = packed(codec);
        let store = Store::open(&fixture.store()).unwrap();
        let plate = "HEPG2-01/Plate1".parse().unwrap();
        let shard = store.shard(&plate, 0).unwrap();
        let path = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
        fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let mut pixels = vec![0; store.spec().site_bytes()];
        let result: Result<()> = shard.read(4, &mut Decoder::default(), &mut Vec::new(), &mut pixels);
        assert!(result.unwrap_err().to_string().contains("Plate1/c/0/0/0/0"));
        let error = store.shard(&plate, 0).unwrap_err();
        assert!(error.to_string().contains("index"), "{error}");
    }
}

#[test]
fn metadata_of_zeros_without_end_is_refused_before_it_fills_the_memory() {
    let fixture = packed(Codec::Raw);
    let path = fixture.store().join("metadata.csv");
    let header = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned() + "\n";
    for start in [String::new(), header.clone(), header + "\""] {
        fs::write(&path, &start).unwrap();
        // More than any machine has.
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let error = Store::open(&fixture.store()).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains("a row of more than 1 MiB"), "{error}");
    }
}

#[test]
fn sites_are_found_whatever_their_order_and_one_that_is_there_twice_is_named() {
    let fixture = packed(Codec::Zstd(3));
    let path = fixture.store().join("metadata.csv");
    let text = fs::read_to_string(&path).unwrap();
    // The plates the other way round.
    let (header, rows) = text.split_once('\n').unwrap();
    let of_plate = |plate: &str| -> String {
        rows.lines().filter(|row| row.contains(&format!(",{plate},"))).map(|row| format!("{row}\n")).collect()
    };
    let plates = ["RPE-02/Plate2", "HEPG2-01/Plate2", "RPE-02/Plate1", "HEPG2-01/Plate1"];
    let turned = plates.map(of_plate).concat();
    fs::write(&path, format!("{header}\n{turned}")).unwrap();
    let store = Store::open(&fixture.store()).unwrap();
    assert_eq!(store.site("HEPG2-01", 1, "B03", 2).unwrap(), site_pixels(&fixture.spec, "HEPG2-01", 1, "B03", 2));
    assert_eq!(store.site("RPE-02", 2, "AA02", 1).unwrap(), site_pixels(&fixture.spec, "RPE-02", 2, "AA02", 1));
    // Row 12 of its plate, which has 12, is its first site once more.
    let again = rows.lines().next().unwrap().replace("Plate1,0,", "Plate1,12,");
    fs::write(&path, format!("{header}\n{turned}{again}\n")).unwrap();
    let error = Store::open(&fixture.store()).unwrap_err().to_string();
    assert!(error.ends_with("metadata.csv:50: expected each site once, found HEPG2-01/1/B02/1 again"), "{error}");
}

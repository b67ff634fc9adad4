//! The Zarr documents of a store, byte by byte. zarrs-check runs these tests once more, where another crate has had
//! `serde_json` keep maps in the order in which they were filled: the bytes follow from our types alone.

use cellshard::site::ImageSize;
use cellshard::store::Codec;
use cellshard::store::format::spec::{StoreSpec, channels, experiment_document};
use cellshard::store::format::statistics::{Chunks, Counts, StatisticsAttributes};

const GOLDEN: &str = include_str!("../../fixtures/zarr-documents.txt");

/// Every kind of document, each under its name.
fn documents() -> String {
    let size = ImageSize { height: 520, width: 512 };
    let raw = StoreSpec { channels: channels(6), size, codec: Codec::Raw, sites_per_shard: 77 };
    let zstd = StoreSpec { channels: channels(2), size, codec: Codec::Zstd(3), sites_per_shard: 5 };
    let plates = ["HEPG2-08/Plate1", "U2OS-03/Plate4"].map(|plate| plate.parse().unwrap());
    let statistics = StatisticsAttributes::new(&plates, &zstd.channels);
    let documents = [
        ("raw: zarr.json", raw.root_document()),
        ("zstd:3: zarr.json", zstd.root_document()),
        ("HEPG2-08/zarr.json", experiment_document()),
        ("raw: HEPG2-08/Plate1/zarr.json", raw.plate_document(616)),
        ("zstd:3: HEPG2-08/Plate1/zarr.json", zstd.plate_document(1)),
        ("statistics/zarr.json", statistics.group_document()),
        ("statistics/histogram/zarr.json", statistics.array_document(Counts::Histogram, Chunks::AllPlates)),
        ("statistics/comoments/zarr.json", statistics.array_document(Counts::Comoments, Chunks::AllPlates)),
    ];
    let shown = |(name, bytes)| format!("== {name}\n{}", String::from_utf8(bytes).unwrap());
    let version = concat!("cellshard ", env!("CARGO_PKG_VERSION"));
    documents.map(shown).concat().replace(version, "cellshard VERSION")
}

#[test]
fn every_document_has_the_bytes_that_format_1_gives_it() {
    let found = documents();
    for (line, (found, expected)) in (1..).zip(found.lines().zip(GOLDEN.lines())) {
        assert_eq!(found, expected, "line {line} of fixtures/zarr-documents.txt");
    }
    assert_eq!(found.len(), GOLDEN.len());
}

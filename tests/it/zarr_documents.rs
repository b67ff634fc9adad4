//! The Zarr documents of a store, byte by byte. zarrs-check runs these tests once more, where another crate has had
//! `serde_json` keep maps in the order in which they were filled: the bytes follow from our types alone.

use cellshard::site::{Dtype, ImageSize};
use cellshard::store::format::spec::{StoreSpec, channels, experiment_document};
use cellshard::store::format::statistics::{Chunks, Counts, StatisticsAttributes};
use cellshard::store::{Codec, Format};

const GOLDEN: &str = include_str!("../../fixtures/zarr-documents.txt");

/// Every kind of document, each under its name.
fn documents() -> String {
    let size = ImageSize { height: 520, width: 512 };
    let spec = |dtype, n: usize, codec, sites_per_shard| {
        let format = Format::LATEST;
        StoreSpec { present_only: false, format, channels: channels(n), size, dtype, codec, sites_per_shard }
    };
    let raw = spec(Dtype::Uint8, 6, Codec::Raw, 77).in_format(Format::V1, "").unwrap();
    let zstd = spec(Dtype::Uint8, 2, Codec::Zstd(3), 5).in_format(Format::V1, "").unwrap();
    let wide = spec(Dtype::Uint16, 2, Codec::Zstd(3), 5);
    let wide_raw = StoreSpec { codec: Codec::Raw, ..wide.clone() };
    let named = ["Week4/Week4_27481".parse().unwrap()];
    let of_wide = StatisticsAttributes::new(&named, &wide);
    let plates = ["HEPG2-08/Plate1", "U2OS-03/Plate4"].map(|plate| plate.parse().unwrap());
    let statistics = StatisticsAttributes::new(&plates, &zstd);
    let documents = [
        ("raw: zarr.json", raw.root_document()),
        ("zstd:3: zarr.json", zstd.root_document()),
        ("HEPG2-08/zarr.json", experiment_document()),
        ("raw: HEPG2-08/Plate1/zarr.json", raw.plate_document(616)),
        ("zstd:3: HEPG2-08/Plate1/zarr.json", zstd.plate_document(1)),
        ("statistics/zarr.json", statistics.group_document()),
        ("statistics/histogram/zarr.json", statistics.array_document(Counts::Histogram, Chunks::AllPlates)),
        ("statistics/comoments/zarr.json", statistics.array_document(Counts::Comoments, Chunks::AllPlates)),
        ("format 2, zstd:3, uint16: zarr.json", wide.root_document()),
        ("format 2, zstd:3, uint16: Week4/Week4_27481/zarr.json", wide.plate_document(3)),
        ("format 2, raw, uint16: Week4/Week4_27481/zarr.json", wide_raw.plate_document(3)),
        (
            "format 2, uint16: statistics/histogram/zarr.json",
            of_wide.array_document(Counts::Histogram, Chunks::OnePlate),
        ),
    ];
    let shown = |(name, bytes)| format!("== {name}\n{}", String::from_utf8(bytes).unwrap());
    let version = concat!("cellshard ", env!("CARGO_PKG_VERSION"));
    documents.map(shown).concat().replace(version, "cellshard VERSION")
}

#[test]
fn every_document_has_the_bytes_that_its_format_gives_it() {
    let found = documents();
    for (line, (found, expected)) in (1..).zip(found.lines().zip(GOLDEN.lines())) {
        assert_eq!(found, expected, "line {line} of fixtures/zarr-documents.txt");
    }
    assert_eq!(found.len(), GOLDEN.len());
}

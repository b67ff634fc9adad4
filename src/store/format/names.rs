//! Every file name and path of the format. A file of a store is named here and nowhere else.

use crate::site::{Plate, PlateId};

/// Folder of the Zarr hierarchy.
pub const PIXELS: &str = "pixels.zarr";
/// Folder of the plates' listings.
pub const PLATES: &str = "plates";
/// Name of every Zarr document.
pub const ZARR_JSON: &str = "zarr.json";
/// The file that finishes a store: every other file of it, with its SHA-256.
pub const SHA256SUMS: &str = "SHA256SUMS";
/// All sites of the store.
pub const METADATA: &str = "metadata.csv";
/// The list of classes.
pub const CLASSES: &str = "classes.csv";
/// All that was left out, of the store and of a plate.
pub const REJECTED: &str = "rejected.csv";
/// The sites of a plate.
pub const SITES: &str = "sites.csv";
/// The statistics of each site and channel of a plate.
pub const PIXEL_STATS: &str = "pixel_stats.csv";
/// The grey levels of a plate, counted by population and channel.
pub const HISTOGRAM: &str = "histogram.csv";
/// The sums of products of a plate by population and pair of channels.
pub const COMOMENTS: &str = "comoments.csv";
/// The CSVs of a plate's listing, in the order of their names.
pub const CSVS: [&str; 5] = [COMOMENTS, HISTOGRAM, PIXEL_STATS, REJECTED, SITES];
/// The list of a plate's own files.
pub const FILES: &str = "files.sha256";
/// The list of a plate's source images.
pub const SOURCES: &str = "sources.sha256";
/// The group of statistics within [`PIXELS`], and its arrays.
pub const STATISTICS: &str = "statistics";
/// The arrays of [`STATISTICS`]: histograms and sums of products.
pub const STATISTICS_ARRAYS: [&str; 2] = ["histogram", "comoments"];
/// Folder of the chunks of an array.
pub const CHUNKS: &str = "c";
/// Whatever is temporary in a store begins like this.
pub const TEMPORARY: &str = ".cellshard-";
/// The lock of a store.
pub const LOCK: &str = ".cellshard-lock";

/// Path of a plate's array within the store: `pixels.zarr/HEPG2-08/Plate1`.
#[must_use]
pub fn array_path(plate: &PlateId) -> String {
    format!("{PIXELS}/{plate}")
}

/// Path of a plate's listing within the store: `plates/HEPG2-08/Plate1`.
#[must_use]
pub fn listing_path(plate: &PlateId) -> String {
    format!("{PLATES}/{plate}")
}

/// Path of a shard within the store: `pixels.zarr/HEPG2-08/Plate1/c/3/0/0/0`.
#[must_use]
pub fn shard_path(plate: &PlateId, shard: usize) -> String {
    format!("{}/c/{shard}/0/0/0", array_path(plate))
}

/// Path of a file of a plate's listing within the store: `plates/HEPG2-08/Plate1/sites.csv`.
#[must_use]
pub fn listing_file(plate: &PlateId, name: &str) -> String {
    format!("{}/{name}", listing_path(plate))
}

/// Path of the document of a plate's array within the store.
#[must_use]
pub fn array_document_path(plate: &PlateId) -> String {
    format!("{}/{ZARR_JSON}", array_path(plate))
}

/// Path of the document of an experiment's group within the store.
#[must_use]
pub fn group_path(plate: &PlateId) -> String {
    format!("{PIXELS}/{}/{ZARR_JSON}", plate.experiment)
}

/// Path of an array of statistics within the store: `pixels.zarr/statistics/histogram`.
#[must_use]
pub fn statistics_path(array: &str) -> String {
    format!("{PIXELS}/{STATISTICS}/{array}")
}

/// Path of a chunk of an array of statistics within the store: `pixels.zarr/statistics/histogram/c/3/0/0/0`.
#[must_use]
pub fn statistics_chunk_path(array: &str, chunk: usize) -> String {
    format!("{}/{CHUNKS}/{chunk}/0/0/0", statistics_path(array))
}
/// Whether the path of an image tells plate and experiment by the folders that it lies in, as those of `RxRx1` do.
#[must_use]
pub fn is_named_by(path: &str, plate: &PlateId) -> bool {
    let mut folders = path.rsplit('/').skip(1);
    let (name, experiment) = (folders.next(), folders.next());
    let is_of_plate = |name| Plate::as_written(name).is_ok_and(|named| named == plate.plate);
    experiment == Some(plate.experiment.as_str()) && name.is_some_and(is_of_plate)
}

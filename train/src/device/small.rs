//! A small store, for this crate's own tests.

use std::path::Path;
use std::sync::Arc;

use cellshard::feed::{Io, Reader, Verify};
use cellshard::pack::{PackConfig, pack};
use cellshard::simulate::{CellType, Config, simulate};
use cellshard::store::{Codec, Store};

use super::loader::Sites;

/// The sites of a store that is made in `dir`: one cell type, two experiments of a plate of 24 wells, four treatments,
/// images of `n_channels` and `size` pixels a side.
pub(crate) fn sites(dir: &Path, n_channels: u8, size: u16) -> Sites {
    let config = Config {
        cell_types: vec![CellType { name: "RPE".to_owned(), n_experiments: 2 }],
        n_test_experiments: 1,
        n_plates: 1,
        n_wells: 24,
        n_sirnas: 4,
        size,
        n_channels,
        ..Config::default()
    };
    simulate(&config, &dir.join("data"), &|_| {}).unwrap();
    let config = PackConfig { codec: Some(Codec::Raw), ..PackConfig::new(&dir.join("data"), &dir.join("store")) };
    pack(&config, &|_| {}).unwrap();
    let reader = Reader::new(Store::open(&dir.join("store")).unwrap(), Io::Mmap, Verify::First);
    Sites::new(Arc::new(reader), |_| None, 1, false)
}

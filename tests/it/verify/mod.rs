//! What `verify` promises: nothing planted goes undetected, and each damage is named, down to the site.

mod damage;
mod forged;
mod lists;
mod statistics;
mod trees;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::store::{Codec, Store};
use cellshard::verify::{Depth, Finding, Report, StoreConfig, verify_store};

use crate::common::{Fixture, small};

fn verify(store: &Path, depth: Depth) -> Report {
    let config = StoreConfig { root: store.to_owned(), depth, manifest: None };
    verify_store(&config, &|_| {}).unwrap()
}

fn packed(codec: Codec) -> Fixture {
    let fixture = Fixture::kaggle(small());
    // One site is left out, so that the store has every kind of file there is.
    fs::write(fixture.image("test/RPE-02/Plate2/C03_s1_w1.png"), b"x").unwrap();
    let on_error = cellshard::pack::OnError::Skip;
    pack(&PackConfig { codec: Some(codec), on_error, ..fixture.config() }, &|_| {}).unwrap();
    fixture
}

fn shard_sites(store: &Path, path: &str) -> BTreeSet<String> {
    let store = Store::open(store).unwrap();
    let rows = store.sites().iter().filter(|row| {
        let shard = row.row / store.spec().sites_per_shard;
        path == format!("pixels.zarr/{}/c/{shard}/0/0/0", row.id.well.plate)
    });
    rows.map(|row| row.id.to_string()).collect()
}

fn sites(finding: &Finding) -> BTreeSet<String> {
    finding.sites.iter().map(ToString::to_string).collect()
}

//! What a run learns from, whatever file it lies in: pixels and labels, known by a SHA-256 of each experiment; and what its sites are
//! known by. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Sink, Write, sink};

use serde::Serialize;

use crate::csv_table::to_lines;
use crate::store::Store;
use crate::store::format::checksum::{HashingWriter, crc32c};
use crate::store::format::rows::SiteRow;

/// SHA-256 of each experiment's rows of `metadata.csv`, of those that a store has: in their order, but for where each
/// site lies in the store. Names, labels, and the crc32c of all pixels; statistics follow from the pixels, so that this
/// is all that is learned from.
#[must_use]
pub fn experiments_sha256(store: &Store, wanted: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let mut hashes: BTreeMap<&str, HashingWriter<Sink>> = BTreeMap::new();
    let is_same = |a: &SiteRow, b: &SiteRow| a.id.well.plate.experiment == b.id.well.plate.experiment;
    for rows in store.sites().chunk_by(is_same) {
        let name = rows[0].id.well.plate.experiment.as_str();
        if wanted.contains(name) {
            let hash = hashes.entry(name).or_insert_with(|| HashingWriter::new(sink()));
            let text = to_lines(&rows.iter().map(Learned::of).collect::<Vec<_>>());
            // Where nothing is written, nothing fails.
            let _ = hash.write_all(text.as_bytes());
        }
    }
    hashes.into_iter().map(|(name, hash)| (name.to_owned(), hash.finish().1.to_string())).collect()
}

/// What is learned from a site.
#[derive(Serialize)]
struct Learned<'a> {
    site: String,
    cell_type: &'a str,
    dataset: &'a str,
    well_type: &'a str,
    sirna: &'a str,
    class: Option<u32>,
    crc32c: u32,
}

impl<'a> Learned<'a> {
    fn of(row: &'a SiteRow) -> Self {
        let SiteRow { id, label, crc32c, row: _ } = row;
        Self {
            site: id.to_string(),
            cell_type: id.well.plate.experiment.cell_type(),
            dataset: &label.dataset,
            well_type: label.population.name(),
            sirna: &label.sirna,
            class: label.class,
            crc32c: *crc32c,
        }
    }
}

/// What each site of a store is known by, for whatever is drawn for a site: a number that follows from its name, so that
/// it is the same in every store that holds it.
#[must_use]
pub fn site_keys(store: &Store) -> Vec<u64> {
    store.sites().iter().map(|row| u64::from(crc32c(row.id.to_string().as_bytes()))).collect()
}

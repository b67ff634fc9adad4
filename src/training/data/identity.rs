//! What a run learns from, whatever file it lies in: pixels and labels, known by one SHA-256; and what its sites are
//! known by. Pure.

use std::collections::BTreeSet;
use std::io::{Write, sink};

use serde::Serialize;

use crate::csv_table::to_lines;
use crate::store::Store;
use crate::store::format::checksum::{HashingWriter, crc32c};
use crate::store::format::rows::SiteRow;

/// SHA-256 of some experiments' rows of `metadata.csv`, in their order, but for where each site lies in the store:
/// names, labels, and the crc32c of all pixels. Statistics follow from the pixels, so that this is all that is learned
/// from. `None` where the store does not have all of them.
#[must_use]
pub fn data_sha256(store: &Store, experiments: &BTreeSet<&str>) -> Option<String> {
    let has = store.plates().keys().map(|plate| plate.experiment.as_str()).collect::<BTreeSet<_>>();
    if !experiments.is_subset(&has) {
        return None;
    }
    let mut hashing = HashingWriter::new(sink());
    let wanted = |row: &&SiteRow| experiments.contains(row.id.well.plate.experiment.as_str());
    let all = store.sites().chunks(1 << 12).try_for_each(|some| {
        let rows: Vec<Learned<'_>> = some.iter().filter(wanted).map(Learned::of).collect();
        hashing.write_all(to_lines(&rows).as_bytes())
    });
    // Where nothing is written, nothing fails.
    all.ok().map(|()| hashing.finish().1.to_string())
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

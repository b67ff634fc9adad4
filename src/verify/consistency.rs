//! Files that are whole one by one but do not belong together.

use std::path::Path;

use rayon::prelude::*;

use crate::store::format::names::{METADATA, PLATES, SHA256SUMS, SITES, array_document_path, group_path, listing_path};
use crate::store::format::spec::experiment_document;
use crate::store::read::listing::listed_plates;
use crate::store::write::merged::Merged;
use crate::store::{Store, StoreSpec};
use crate::{files, plate_statistics};

use super::compared::{Comparison, LISTINGS};
use super::report::{Finding, Kind, describe, first_below};
use super::rows::Rows;
use super::statistics;

/// Files that are whole one by one but do not belong together: the root's files against the listings, the arrays'
/// documents against the rows, the classes of the rows against `classes.csv`.
pub(super) fn contradictions(root: &Path, spec: &StoreSpec, rows: &Rows, findings: &[Finding]) -> Vec<Finding> {
    let bad = findings.iter().map(|finding| (finding.path.clone(), finding.kind)).collect();
    let mut compared = Comparison { root, bad, new: Vec::new() };
    for (plate, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        let document = spec.plate_document(rows.len());
        compared.content(&array_document_path(plate), SITES, |write| write(&document));
        compared.content(&group_path(plate), "the format", |write| write(&experiment_document()));
    }
    let unfinished =
        compared.bad.contains_key(SHA256SUMS) && files::exists(&root.join(METADATA)).is_ok_and(|is_there| !is_there);
    let listings_are_whole = first_below(&compared.bad, &format!("{PLATES}/")).is_none();
    if !unfinished && listings_are_whole {
        let listed = listed_plates(root);
        let merged = listed.as_ref().map_err(describe).and_then(|plates| {
            let merged = Merged::new(root, spec, plates);
            merged.map_err(|e| describe(&e))
        });
        match merged {
            Ok(merged) => {
                for file in merged.tables() {
                    compared.content(&file.path(), LISTINGS, |write| merged.content(file, write));
                }
                statistics::compare(&mut compared, &merged, spec);
            }
            Err(detail) => compared.new.push(Finding::new(Kind::Contradiction, METADATA, detail)),
        }
    }
    let Comparison { bad, mut new, .. } = compared;
    let counts: Vec<Finding> = rows
        .par_iter()
        .filter(|(plate, _)| first_below(&bad, &format!("{}/", listing_path(plate))).is_none())
        .filter_map(|(plate, _)| {
            let counts = plate_statistics::read(root, plate, spec).map(drop);
            let rows = || plate_statistics::read_pixel_stats(root, plate, spec.channels.len()).map(drop);
            let fault = counts.and_then(|()| rows()).err()?;
            Some(Finding::new(Kind::Contradiction, &listing_path(plate), fault.to_string()))
        })
        .collect();
    new.extend(counts);
    if bad.is_empty()
        && new.is_empty()
        && let Err(e) = Store::open(root)
    {
        new.push(Finding::new(Kind::Contradiction, METADATA, describe(&e)));
    }
    new
}

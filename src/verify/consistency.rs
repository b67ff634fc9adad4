//! Files that are whole one by one but do not belong together.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;

use crate::store::format::names::{METADATA, PLATES, SHA256SUMS, SITES, array_document_path, group_path, listing_path};
use crate::store::format::spec::experiment_document;
use crate::store::read::listing::listed_plates;
use crate::store::write::merge::merged_files;
use crate::store::{Store, StoreSpec};
use crate::{files, plate_statistics};

use super::report::{Finding, Kind, describe};
use super::rows::Rows;

/// Files that are whole one by one but do not belong together: the root's files against the listings, the arrays'
/// documents against the rows, the classes of the rows against `classes.csv`.
pub(super) fn contradictions(root: &Path, spec: &StoreSpec, rows: &Rows, findings: &[Finding]) -> Vec<Finding> {
    let bad: BTreeSet<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let mut new = Vec::new();
    let mut compare = |path: &str, expected: &[u8], source: &str| {
        if bad.contains(path) {
            return;
        }
        match files::read_if_there(&root.join(path)) {
            Ok(Some(found)) if found == expected => {}
            Ok(Some(_)) => {
                let detail = format!("expected what follows from {source}, found another content");
                new.push(Finding::new(Kind::Contradiction, path, detail));
            }
            Ok(None) => new.push(Finding::new(Kind::Missing, path, format!("follows from {source}, not found"))),
            Err(e) => new.push(Finding::new(Kind::Unreadable, path, describe(&e))),
        }
    };
    for (plate, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        compare(&array_document_path(plate), &spec.plate_document(rows.len()), SITES);
        compare(&group_path(plate), &experiment_document(), "the format");
    }
    let unfinished = bad.contains(SHA256SUMS) && files::exists(&root.join(METADATA)).is_ok_and(|is_there| !is_there);
    let listings_are_whole = !bad.iter().any(|path| path.starts_with(&format!("{PLATES}/")));
    if !unfinished && listings_are_whole {
        match listed_plates(root).and_then(|plates| merged_files(root, spec, &plates)) {
            Ok(files) => files.iter().for_each(|(path, bytes)| compare(path, bytes, "the listings of the plates")),
            Err(e) => new.push(Finding::new(Kind::Contradiction, METADATA, describe(&e))),
        }
    }
    let counts: Vec<Finding> = rows
        .par_iter()
        .filter(|(plate, _)| !bad.iter().any(|path| path.starts_with(&format!("{}/", listing_path(plate)))))
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

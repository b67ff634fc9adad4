//! Files that are whole one by one but do not belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::files;
use crate::plate_proof::{check_classes, faults_of_listing};
use crate::site::PlateId;
use crate::store::format::manifest::Entry;
use crate::store::format::names::{
    CLASSES, METADATA, PIXELS, PLATES, SHA256SUMS, SITES, ZARR_JSON, array_document_path, group_path, listing_file,
    listing_path,
};
use crate::store::format::spec::experiment_document;
use crate::store::read::listing::listed_plates;
use crate::store::write::merged::Merged;
use crate::store::{Store, StoreSpec};

use super::compared::{Comparison, LISTINGS};
use super::report::{Finding, Kind, first_below};
use super::rows::Rows;
use super::statistics;

/// Files that are whole one by one but do not belong together: the root's files against the listings, the arrays'
/// documents against the rows, the classes of the rows against `classes.csv`.
pub(super) fn contradictions(
    root: &Path,
    spec: &StoreSpec,
    rows: &Rows,
    sums: &BTreeMap<String, Entry>,
    findings: &[Finding],
) -> Vec<Finding> {
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
        match listed.and_then(|plates| compare_merged(&mut compared, spec, &plates)) {
            Ok(()) => {}
            Err(e) => compared.new.push(Finding::of_error(Kind::Contradiction, &named_by(&e, root), &e)),
        }
    }
    let Comparison { bad, mut new, .. } = compared;
    new.extend(own_document(root, spec).filter(|finding| !bad.contains_key(&finding.path)));
    let classes = root.join(CLASSES);
    let classes = files::read_text(&classes).and_then(|text| Classes::parse(&text, CLASSES)).ok();
    // Plates without a site have listings, too.
    let plates: BTreeSet<PlateId> =
        listed_plates(root).unwrap_or_default().into_iter().chain(rows.keys().cloned()).collect();
    let listings: Vec<Finding> = plates
        .par_iter()
        .filter(|plate| first_below(&bad, &format!("{}/", listing_path(plate))).is_none())
        .flat_map_iter(|plate| {
            let faults = faults_of_listing(root, plate, spec, sums);
            let finding = |(path, error): (String, Error)| Finding::of_error(Kind::Contradiction, &path, &error);
            let mut found: Vec<Finding> = faults.into_iter().map(finding).collect();
            if let Some(Err(error)) = classes.as_ref().map(|classes| check_classes(root, plate, classes)) {
                found.push(Finding::of_error(Kind::Contradiction, &listing_file(plate, SITES), &error));
            }
            found
        })
        .collect();
    new.extend(listings);
    if bad.is_empty()
        && new.is_empty()
        && let Err(e) = Store::open(root)
    {
        new.push(Finding::of_error(Kind::Contradiction, &named_by(&e, root), &e));
    }
    new
}

/// Compares what a merge of the listings would write with what is there.
fn compare_merged(compared: &mut Comparison<'_>, spec: &StoreSpec, plates: &[PlateId]) -> Result<()> {
    let merged = Merged::new(compared.root, spec, plates)?;
    for file in merged.tables() {
        compared.content(&file.path(), LISTINGS, |write| merged.content(file, write));
    }
    statistics::compare(compared, &merged, spec);
    Ok(())
}

/// The finding of a store's document that says what it must, and more.
fn own_document(root: &Path, spec: &StoreSpec) -> impl Iterator<Item = Finding> + use<> {
    let document = format!("{PIXELS}/{ZARR_JSON}");
    let is_ours = files::read_document(&root.join(&document)).map_or(true, |bytes| spec.is_document_of(&bytes));
    let detail = "expected what a store of format 1 with these settings has, found another content";
    (!is_ours).then(|| Finding::new(Kind::Contradiction, &document, detail)).into_iter()
}

/// The file that an error of reading a store is about, as its lists name it.
fn named_by(error: &Error, root: &Path) -> String {
    let named = match error {
        Error::Malformed { place, .. } => place.strip_prefix(&format!("{}/", root.display())).unwrap_or(place),
        Error::Io { path, .. } => path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or(METADATA),
        _ => METADATA,
    };
    let path = named.split(':').next().unwrap_or_default();
    // An error that names no file, as one of a plate's counts does, is of what was made of all.
    if files::exists(&root.join(path)).unwrap_or(true) { path.to_owned() } else { METADATA.to_owned() }
}

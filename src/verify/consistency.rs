//! Files that are whole one by one but do not belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use crate::classes::Classes;
use crate::error::Error;
use crate::files;
use crate::plate_proof::{check_classes, faults_of_listing};
use crate::store::format::manifest::Entry;
use crate::store::format::names::{
    CLASSES, METADATA, PIXELS, PLATES, SHA256SUMS, SITES, ZARR_JSON, array_document_path, group_path, listing_file,
    listing_path,
};
use crate::store::format::spec::experiment_document;
use crate::store::read::listing::listed_plates;
use crate::store::write::merge::merged_files;
use crate::store::{Store, StoreSpec};

use super::report::{Finding, Kind};
use super::rows::Rows;

/// Files that are whole one by one but do not belong together: the root's files against the listings, the arrays'
/// documents against the rows, the classes of the rows against `classes.csv`.
pub(super) fn contradictions(
    root: &Path,
    spec: &StoreSpec,
    rows: &Rows,
    sums: &BTreeMap<String, Entry>,
    findings: &[Finding],
) -> Vec<Finding> {
    let bad: BTreeSet<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let mut new = Vec::new();
    let mut compare = |path: &str, expected: &[u8], source: &str| {
        if bad.contains(path) {
            return;
        }
        // A file of another size is not read.
        let read = || match files::look_at(&root.join(path))? {
            Some(found) if found.is_file() && found.len() != expected.len() as u64 => Ok(Some(Vec::new())),
            _ => files::read_if_there(&root.join(path)),
        };
        match read() {
            Ok(Some(found)) if found == expected => {}
            Ok(Some(_)) => {
                let detail = format!("expected what follows from {source}, found another content");
                new.push(Finding::new(Kind::Contradiction, path, detail));
            }
            Ok(None) => new.push(Finding::new(Kind::Missing, path, format!("follows from {source}, not found"))),
            Err(e) => new.push(Finding::of_error(Kind::Unreadable, path, &e)),
        }
    };
    let document = format!("{PIXELS}/{ZARR_JSON}");
    let is_of_format = |bytes: Vec<u8>| spec.is_document_of(&bytes);
    let is_ours = || files::read_document(&root.join(&document)).map_or(true, is_of_format);
    let own = if bad.contains(document.as_str()) || is_ours() { None } else { Some(&document) };
    for (plate, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        compare(&array_document_path(plate), &spec.plate_document(rows.len()), SITES);
        compare(&group_path(plate), &experiment_document(), "the format");
    }
    let unfinished = bad.contains(SHA256SUMS) && files::exists(&root.join(METADATA)).is_ok_and(|is_there| !is_there);
    let listings_are_whole = !has_below(&bad, PLATES);
    if !unfinished && listings_are_whole {
        match listed_plates(root).and_then(|plates| merged_files(root, spec, &plates)) {
            Ok(files) => files.iter().for_each(|(path, bytes)| compare(path, bytes, "the listings of the plates")),
            Err(e) => new.push(Finding::of_error(Kind::Contradiction, &named_by(&e, root), &e)),
        }
    }
    new.extend(own.map(|path| {
        let detail = "expected what a store of format 1 with these settings has, found another content";
        Finding::new(Kind::Contradiction, path, detail)
    }));
    let classes = root.join(CLASSES);
    let classes = files::read_text(&classes).and_then(|text| Classes::parse(&text, CLASSES)).ok();
    let listings: Vec<Finding> = rows
        .par_iter()
        .filter(|(plate, _)| !has_below(&bad, &listing_path(plate)))
        .flat_map_iter(|(plate, rows)| {
            let faults = faults_of_listing(root, plate, spec, sums);
            let finding = |(path, error): (String, Error)| Finding::of_error(Kind::Contradiction, &path, &error);
            let mut found: Vec<Finding> = faults.into_iter().map(finding).collect();
            let sites = listing_file(plate, SITES);
            if let Some(Err(error)) = classes.as_ref().map(|classes| check_classes(classes, rows, &sites)) {
                found.push(Finding::of_error(Kind::Contradiction, &sites, &error));
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

/// Whether any of the paths lies in a folder.
fn has_below(paths: &BTreeSet<&str>, folder: &str) -> bool {
    let prefix = format!("{folder}/");
    paths.range(prefix.as_str()..).next().is_some_and(|path| path.starts_with(&prefix))
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

//! What the plates of a store tell of what holds for all of it: what its root's files are held against where no list
//! proves them, and made of where they are lost.

use std::path::Path;

use crate::classes::{Class, Classes};
use crate::error::{Error, Result, unless_damaged};
use crate::files;
use crate::site::PlateId;
use crate::store::format::names::{FILES, PLATES, SITES, array_document_path, listing_file};
use crate::store::format::rows::SiteRow;
use crate::store::format::spec::StoreSpec;

use super::belongs::told_and_found;
use super::listing::{listed_plates, read_list, read_rows};
use super::proof::Depth;

/// The classes that the sites of a store have; a plate whose list does not prove its sites tells none.
///
/// # Errors
/// If plates tell of two stores, or the system cannot tell.
pub fn told_classes(root: &Path) -> Result<Classes> {
    let mut classes: Vec<Class> = Vec::new();
    for plate in listed_plates(root)? {
        for SiteRow { label, .. } in proven_rows(root, &plate)?.unwrap_or_default() {
            if let Some(class) = label.class {
                let (sirna, population) = (label.sirna.to_string(), label.population);
                classes.push(Class { class, sirna, population });
            }
        }
        // Few differ.
        classes.sort_unstable_by(|a, b| (a.class, &a.sirna).cmp(&(b.class, &b.sirna)));
        classes.dedup();
    }
    Classes::numbered(classes, &root.join(PLATES).display().to_string())
}

/// What is wrong with classes that contradict the sites of a store: a plate is another store's, or they are damaged.
///
/// # Errors
/// If that cannot be told.
pub fn contradiction(root: &Path, classes: &Classes) -> Result<Option<Error>> {
    for plate in listed_plates(root)? {
        let rows = proven_rows(root, &plate)?.unwrap_or_default();
        let Some((line, row)) = (2..).zip(&rows).find(|(_, row)| classes.contradict(&row.label)) else { continue };
        let [expected, found] = told_and_found(&row.label, classes);
        let advice = "if that is damaged, --rehash writes it anew for a tree that is not held to it; if the plate is another store's, remove it";
        let at = format!("{}:{line}", listing_file(&plate, SITES));
        return Ok(Some(Error::malformed(at, format!("{expected} ({advice})"), found)));
    }
    Ok(None)
}

/// Whether the arrays of a store's plates are such as a spec makes: at least one is, and none is another.
///
/// # Errors
/// If the system cannot tell.
pub fn is_told_spec(root: &Path, spec: &StoreSpec) -> Result<bool> {
    let mut is_told = false;
    for plate in listed_plates(root)? {
        let Some(rows) = proven_rows(root, &plate)?.filter(|rows| !rows.is_empty()) else { continue };
        let document = unless_damaged(files::read_document(&root.join(array_document_path(&plate))))?;
        match document {
            Some(document) if document == spec.plate_document(rows.len()) => is_told = true,
            Some(_) => return Ok(false),
            None => {}
        }
    }
    Ok(is_told)
}

/// The sites of a plate, if its list proves them.
///
/// # Errors
/// If the system cannot tell.
pub fn proven_rows(root: &Path, plate: &PlateId) -> Result<Option<Vec<SiteRow>>> {
    let Some(list) = unless_damaged(read_list(root, plate, FILES))? else { return Ok(None) };
    let path = listing_file(plate, SITES);
    match list.iter().find(|entry| entry.path == path) {
        Some(entry) if entry.is_whole(root, Depth::Content)? => unless_damaged(read_rows(root, plate, SITES)),
        _ => Ok(None),
    }
}

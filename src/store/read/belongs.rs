//! Whether a plate is one of this store: what its listing and its array's document say agrees with what holds for the
//! whole store. A folder that was copied in from another store is whole, and is none of this one.

use std::path::Path;

use crate::classes::Classes;
use crate::error::{Error, Result, unless_damaged};
use crate::files;
use crate::site::{Experiment, Label, PlateId};
use crate::store::format::names::{CLASSES, SITES, array_document_path, listing_file};
use crate::store::format::rows::SiteRow;
use crate::store::format::spec::StoreSpec;

use super::listing::read_rows;

/// Proves that a plate is one of this store; its experiment, as its sites have it, if it has any.
///
/// # Errors
/// If its listing or its array's document says otherwise, or cannot be read.
pub fn check_plate(root: &Path, spec: &StoreSpec, classes: &Classes, plate: &PlateId) -> Result<Option<Experiment>> {
    let rows = read_rows::<SiteRow>(root, plate, SITES)?;
    check_rows(plate, &rows, classes)?;
    let Some(first) = rows.first() else { return Ok(None) };
    let path = array_document_path(plate);
    check_document(spec, plate, rows.len(), &files::read(&root.join(path))?)?;
    Ok(Some(first.id.well.plate.experiment.clone()))
}

/// The same as far as it can be told: a plate that is damaged, or that another process is about to replace, is not
/// called another store's.
///
/// # Errors
/// If the plate is another store's, or the system cannot tell.
pub fn refuse_foreign(root: &Path, spec: &StoreSpec, classes: &Classes, plate: &PlateId) -> Result<()> {
    let Some(rows) = unless_damaged(read_rows::<SiteRow>(root, plate, SITES))? else { return Ok(()) };
    check_rows(plate, &rows, classes)?;
    let document = files::read_if_there(&root.join(array_document_path(plate)));
    match unless_damaged(document)?.flatten() {
        Some(document) if !rows.is_empty() => check_document(spec, plate, rows.len(), &document),
        _ => Ok(()),
    }
}

fn check_rows(plate: &PlateId, rows: &[SiteRow], classes: &Classes) -> Result<()> {
    for (i, row) in rows.iter().enumerate() {
        let fail = |expected: String, found: String| {
            Err(Error::malformed(format!("{}:{}", listing_file(plate, SITES), i + 2), expected, found))
        };
        if row.id.well.plate != *plate {
            return fail(format!("a site of {plate}"), row.id.shown());
        }
        if row.row as usize != i {
            return fail(format!("row {i} of its plate"), row.row.to_string());
        }
        if row.label.class != classes.class_of(&row.label.sirna) {
            let [expected, found] = told_and_found(&row.label, classes);
            return fail(expected, found);
        }
    }
    Ok(())
}

/// Which class the store's list gives the siRNA of a label, and which one the label has.
pub(super) fn told_and_found(label: &Label, classes: &Classes) -> [String; 2] {
    let name = |class: Option<u32>| class.map_or("no class".to_owned(), |class| format!("class {class}"));
    let (sirna, known) = (&label.sirna, name(classes.class_of(&label.sirna)));
    [format!("{known} for {sirna:?}, as {CLASSES} has it"), name(label.class)]
}

fn check_document(spec: &StoreSpec, plate: &PlateId, n_sites: usize, document: &[u8]) -> Result<()> {
    if *document == spec.plate_document(n_sites) {
        return Ok(());
    }
    let array = |spec: &StoreSpec, n: usize| {
        let (channels, size, per_shard) = (spec.channels.len(), spec.size, spec.sites_per_shard);
        let shape = format!("{n} x {channels} x {} x {}", size.height, size.width);
        format!("an array of {shape}, {}, {per_shard} sites a shard", spec.codec)
    };
    let found =
        StoreSpec::guess_from_plate(document).map_or("another document".to_owned(), |(spec, n)| array(&spec, n));
    let expected = format!("{}, as this store has them", array(spec, n_sites));
    Err(Error::malformed(array_document_path(plate), expected, found))
}

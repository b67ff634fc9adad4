//! Which sites a store has, as far as it can be told where files of it are missing or damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::csv_table::from_csv;
use crate::files;
use crate::site::PlateId;
use crate::store::format::names::{METADATA, PIXELS, SITES, ZARR_JSON, array_document_path, listing_file};
use crate::store::format::rows::SiteRow;
use crate::store::read::listing::{listed_plates_or, read_rows};
use crate::store::{StoreSpec, read_spec};

use super::report::Finding;

/// The sites of each plate, as far as they are known.
pub(super) type Rows = BTreeMap<PlateId, Vec<SiteRow>>;

/// The sites of each plate: from its own listing where that is whole, else from the root's metadata.
pub(super) fn plate_rows(root: &Path, findings: &[Finding]) -> Rows {
    let bad: BTreeSet<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let mut rows = Rows::new();
    if !bad.contains(METADATA)
        && let Ok(all) = files::read_text(&root.join(METADATA)).and_then(|text| from_csv::<SiteRow>(&text, METADATA))
    {
        for row in all {
            rows.entry(row.id.well.plate.clone()).or_default().push(row);
        }
    }
    for plate in listed_plates_or(root, &mut |_| Ok(())).unwrap_or_default() {
        let name = listing_file(&plate, SITES);
        if !bad.contains(name.as_str())
            && let Ok(sites) = read_rows::<SiteRow>(root, &plate, SITES)
        {
            rows.insert(plate, sites);
        }
    }
    rows
}

/// What holds for the whole store: from its own document if that is whole, else from that of a plate.
pub(super) fn find_spec(root: &Path, rows: &Rows, findings: &[Finding]) -> Option<StoreSpec> {
    let own = format!("{PIXELS}/{ZARR_JSON}");
    let is_bad = findings.iter().any(|finding| finding.path == own);
    let guess = || {
        rows.iter().find_map(|(plate, rows)| {
            let document = files::read_document(&root.join(array_document_path(plate))).ok()?;
            let (spec, n_sites) = StoreSpec::guess_from_plate(&document)?;
            (n_sites == rows.len()).then_some(spec)
        })
    };
    if is_bad { None } else { read_spec(root).ok() }.or_else(guess)
}

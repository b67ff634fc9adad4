//! Which sites a store has, as far as it can be told where files of it are missing or damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::files;
use crate::site::{PlateId, SiteId, Well, WellId};
use crate::store::format::names::{METADATA, PIXELS, SITES, ZARR_JSON, array_document_path, listing_file};
use crate::store::format::rows::SiteRow;
use crate::store::read::listing::{each_site, listed_plates_or, read_rows};
use crate::store::{StoreSpec, read_spec};

use super::report::Finding;

/// A site of a plate: what its row says that verifying needs. Small, as those of all plates are held at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    well: Well,
    number: u16,
    /// Of its raw pixels.
    pub(super) crc32c: u32,
}

impl Site {
    fn of(row: &SiteRow) -> Self {
        Self { well: row.id.well.well, number: row.id.site, crc32c: row.crc32c }
    }

    pub(super) fn id(self, plate: &PlateId) -> SiteId {
        SiteId { well: WellId { plate: plate.clone(), well: self.well }, site: self.number }
    }
}

/// The sites of each plate, as far as they are known.
pub(super) type Rows = BTreeMap<PlateId, Vec<Site>>;

/// The sites of each plate: from its own listing where that is whole, else from the root's metadata.
pub(super) fn plate_rows(root: &Path, findings: &[Finding]) -> Rows {
    let bad: BTreeSet<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let mut rows = Rows::new();
    if !bad.contains(METADATA) {
        let all = each_site(root, &mut |_, row| {
            match rows.get_mut(&row.id.well.plate) {
                Some(sites) => sites.push(Site::of(&row)),
                None => drop(rows.insert(row.id.well.plate.clone(), vec![Site::of(&row)])),
            }
            Ok(())
        });
        if all.is_err() {
            rows.clear();
        }
    }
    for plate in listed_plates_or(root, &mut |_| Ok(())).unwrap_or_default() {
        let name = listing_file(&plate, SITES);
        if !bad.contains(name.as_str())
            && let Ok(sites) = read_rows::<SiteRow>(root, &plate, SITES)
        {
            rows.insert(plate, sites.iter().map(Site::of).collect());
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

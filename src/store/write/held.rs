//! What a store holds of a plate, proven site by site, so that nothing whole is replaced by less.

use std::path::Path;

use crate::error::{Result, unless_damaged};
use crate::site::{Label, PlateId, SiteId};
use crate::store::format::checksum::crc32c;
use crate::store::format::names::SITES;
use crate::store::format::rows::SiteRow;
use crate::store::format::spec::StoreSpec;
use crate::store::read::decode::Decoder;
use crate::store::read::listing::{each_site, read_rows};
use crate::store::read::shard::Shard;

/// Whether a label says as much as another: no label takes the place of one.
#[must_use]
pub fn says_as_much(new: &Label, old: &Label) -> bool {
    (old.sirna.is_empty() || !new.sirna.is_empty()) && (old.class.is_none() || new.class.is_some())
}

/// The sites that the store would lose, or whose label it would, if of a plate only those were left that `stays` says
/// yes to: none, if none of them can be read as it was packed.
///
/// # Errors
/// If the system cannot tell.
pub fn lost_sites(
    root: &Path,
    spec: &StoreSpec,
    plate: &PlateId,
    stays: &dyn Fn(&SiteRow) -> bool,
) -> Result<Vec<SiteId>> {
    let rows = rows(root, plate)?;
    let lost: Vec<&SiteRow> = rows.iter().filter(|row| !stays(row)).collect();
    for row in &lost {
        if is_whole(root, spec, row, rows.len())? {
            return Ok(lost.into_iter().map(|row| row.id.clone()).collect());
        }
    }
    Ok(Vec::new())
}

/// The rows of a plate: those of its listing, or where that is damaged, those of the whole store's.
fn rows(root: &Path, plate: &PlateId) -> Result<Vec<SiteRow>> {
    if let Some(rows) = unless_damaged(read_rows::<SiteRow>(root, plate, SITES))? {
        return Ok(rows);
    }
    let mut rows = Vec::new();
    let all = each_site(root, &mut |_, row| {
        rows.extend(Some(row).filter(|row| row.id.well.plate == *plate));
        Ok(())
    });
    Ok(if unless_damaged(all)?.is_some() { rows } else { Vec::new() })
}

/// Whether a site can be read as it was packed.
fn is_whole(root: &Path, spec: &StoreSpec, row: &SiteRow, n_sites: usize) -> Result<bool> {
    let (n, per_shard) = (row.row as usize, spec.sites_per_shard as usize);
    if n >= n_sites {
        return Ok(false);
    }
    let read = || {
        let shard = Shard::open(root, spec, &row.id.well.plate, n / per_shard, n_sites)?;
        let mut pixels = vec![0; spec.site_bytes()];
        shard.read(n % per_shard, &mut Decoder::default(), &mut Vec::new(), &mut pixels)?;
        Ok(crc32c(&pixels) == row.crc32c)
    };
    Ok(unless_damaged(read())?.unwrap_or(false))
}

//! Whether the images of a plate still mean the pixels that were packed: the same files may be told to be other wells,
//! sites, channels or planes, by a table that was mended or by another description of names, or may have been told so when
//! they were packed.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::error::Result;
use crate::site::Well;
use crate::source::{PlatePlan, SitePlan, Source, sample};
use crate::store::format::checksum::crc32c;
use crate::store::format::rows::SiteRow;

/// Decodes the sites that the store has of a plate whose files are those that it was packed from, and compares each with
/// its row: all where that is asked for, or where images are told; else some, as paths tell what images are, and only
/// what they were told before can differ.
///
/// # Errors
/// If there is no memory for a site.
pub(super) fn is_the_same(source: &Source, plate: &PlatePlan, rows: &[SiteRow], all: bool) -> Result<bool> {
    let rows: Vec<&SiteRow> = if all || plate.is_told() { rows.iter().collect() } else { sample(rows) };
    let planned: HashMap<(Well, u16), &SitePlan> =
        plate.sites.iter().map(|site| ((site.well, site.site), site)).collect();
    let looked_at = rows.into_par_iter().map_init(
        || source.reader(),
        |reader, row| {
            let Some(site) = planned.get(&(row.id.well.well, row.id.site)) else { return Ok(false) };
            let (pixels, faults) = reader.read(plate, site)?;
            Ok(faults.is_empty() && crc32c(pixels) == row.crc32c)
        },
    );
    looked_at.find_any(|same| !matches!(same, Ok(true))).unwrap_or(Ok(true))
}

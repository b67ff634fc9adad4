//! Whether the images of a plate still mean the pixels that were packed: the same files may be told to be other wells,
//! sites, channels or planes, by a table that was mended or by another description of names.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::error::Result;
use crate::site::Well;
use crate::source::{PlatePlan, SitePlan, Source};
use crate::store::format::checksum::crc32c;
use crate::store::format::rows::SiteRow;

/// Decodes every site that the store has of a plate whose files are those that it was packed from, and compares it with
/// its row. Where paths tell what images are, nothing else can have changed it.
///
/// # Errors
/// If there is no memory for a site.
pub(super) fn is_the_same(source: &Source, plate: &PlatePlan, rows: &[SiteRow]) -> Result<bool> {
    if !plate.is_told() {
        return Ok(true);
    }
    let planned: HashMap<(Well, u16), &SitePlan> =
        plate.sites.iter().map(|site| ((site.well, site.site), site)).collect();
    let looked_at = rows.par_iter().map_init(
        || source.reader(),
        |reader, row| {
            let Some(site) = planned.get(&(row.id.well.well, row.id.site)) else { return Ok(false) };
            let (pixels, faults) = reader.read(plate, site)?;
            Ok(faults.is_empty() && crc32c(pixels) == row.crc32c)
        },
    );
    looked_at.find_any(|same| !matches!(same, Ok(true))).unwrap_or(Ok(true))
}

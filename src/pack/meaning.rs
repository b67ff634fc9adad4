//! Whether the files of a plate still mean the pixels that were packed. An image file is one plane; a file of an array may
//! hold many, of which another was asked for, or whose axes another document tells.

use crate::error::Result;
use crate::memory;
use crate::source::{PlatePlan, Source};
use crate::store::format::checksum::crc32c;
use crate::store::format::rows::SiteRow;

/// How many sites are looked at, spread over the plate.
const SAMPLE: usize = 3;

/// Decodes sites of a plate whose files are those that it was packed from, `all` of them or a few, and compares them
/// with the store's rows.
///
/// # Errors
/// If there is no memory for a site.
pub(super) fn is_the_same(source: &Source, plate: &PlatePlan, rows: &[SiteRow], all: bool) -> Result<bool> {
    if !plate.is_of_arrays() {
        return Ok(true);
    }
    let step = if all { 1 } else { rows.len().div_ceil(SAMPLE).max(1) };
    let mut decoder = source.decoder();
    let mut pixels = memory::zeroed(source.site_bytes(), "the pixels of a site")?;
    for row in rows.iter().step_by(step) {
        let site = plate.sites.iter().find(|site| (site.well, site.site) == (row.id.well.well, row.id.site));
        let Some(site) = site else { return Ok(false) };
        let images = source.read_images(plate, site);
        let faults = source.decode_images(plate, site, &images, &mut decoder, &mut pixels);
        if !faults.is_empty() || crc32c(&pixels) != row.crc32c {
            return Ok(false);
        }
    }
    Ok(true)
}

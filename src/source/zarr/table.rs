//! An array `[site, channel, y, x]`, and a table that tells which of its rows is which site.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::csv_table::header;
use crate::error::{Error, Result};
use crate::files;
use crate::site::parse_number;
use crate::source::config::SourceConfig;
use crate::source::labels::Keys;
use crate::source::site_rows::{SiteRow, SiteRows};
use crate::source::tree::Scan;

use super::document::ArrayDocument;
use super::found::ZarrScan;
use super::site::{ArraySite, Axis, Version};

/// The column of a row's place in the array, from 0.
const ROW: &str = "row";

/// Reads the table of the array at the root.
///
/// # Errors
/// If the array is another, or the table cannot be read, names a site or a row of the array twice, or other rows than
/// the array has.
pub(super) fn scan(config: &SourceConfig, table: &Path, version: Version) -> Result<ZarrScan> {
    let axes: Arc<[Axis]> = [Axis::Site, Axis::Channel, Axis::Y, Axis::X].into();
    let of_row = |at| ArraySite { dir: "".into(), image: None, version, axes: Arc::clone(&axes), at };
    let (n_rows, n_channels) = shape(config, &of_row(0))?;
    let place = table.display().to_string();
    let names = header(files::open(table)?, &place)?;
    let on = config.labels.on.as_ref().filter(|_| config.metadata.is_none());
    let keys = Keys::find(&names, on, &place)?;
    let row_column = names.iter().position(|name| name == ROW);
    let mut scan = Scan::default();
    let mut taken: BTreeSet<u64> = BTreeSet::new();
    let mut rows = SiteRows::open(table, &place, keys, config.experiment())?;
    let mut n_lines = 0;
    while let Some(row) = rows.next_site() {
        let SiteRow { at, plate, well, site } = row?;
        let place_in_array = match row_column {
            None => n_lines,
            Some(column) => {
                let text = rows.cell(column);
                let number = parse_number::<u64>(text).filter(|_| !text.is_empty());
                number.ok_or_else(|| at.malformed("a row of the array, from 0", format!("{text:?}")))?
            }
        };
        n_lines += 1;
        if place_in_array >= n_rows {
            return Err(at.malformed(format!("one of the {n_rows} rows of the array"), place_in_array));
        }
        if !taken.insert(place_in_array) {
            return Err(at.malformed("each row of the array once", format!("{place_in_array} again")));
        }
        let of_plate = scan.plates.entry(plate.clone()).or_default();
        if of_plate.arrays.insert((well, site), of_row(place_in_array)).is_some() {
            let again = format!("{} again", plate.site(well, site));
            return Err(at.malformed("each site once", again));
        }
        of_plate.sites.insert((well, site), u64::MAX >> (64 - n_channels));
    }
    let mut unusual: Vec<String> = Vec::new();
    let n_unnamed = n_rows - taken.len() as u64;
    if n_unnamed > 0 && row_column.is_none() {
        let expected = format!("a row for each of the {n_rows} of the array, or a column {ROW:?} that tells which");
        return Err(Error::malformed(&place, expected, n_lines));
    }
    if n_unnamed > 0 {
        unusual.push(format!("{n_unnamed} rows of the array that {place} does not name"));
    }
    unusual.extend(rows.unusual());
    let channels = (0..n_channels).map(|channel| format!("c{channel}")).collect();
    Ok(ZarrScan { scan, channels, unusual })
}

/// Rows and channels of the array.
fn shape(config: &SourceConfig, site: &ArraySite) -> Result<(u64, usize)> {
    let path = config.root.join(site.document());
    let text = files::read_document(&path)?;
    let document = ArrayDocument::parse(&text, site.version);
    let document = document.map_err(|fault| {
        Error::malformed(path.display(), "an array of images", format!("another: {}", fault.detail))
    })?;
    match document.shape[..] {
        [n_rows, n_channels @ 1..=64, _, _] => Ok((n_rows, n_channels as usize)),
        _ => {
            let expected = "an array [site, channel, y, x] of 1 to 64 channels";
            Err(Error::malformed(path.display(), expected, format!("{:?}", document.shape)))
        }
    }
}

//! Proving a plate beyond its lists, as whoever changes a file can make the lists anew: each file of its listing must be
//! the very text that its rows are written as, each list name what the others name, and each site decode to its crc32c.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::classes::Classes;
use crate::csv_table::{from_csv, to_csv};
use crate::error::unless_damaged;
use crate::error::{Error, Result};
use crate::plate_statistics::{check_pixel_stats, comoment_rows, histogram_rows, read};
use crate::site::PlateId;
use crate::store::Shard;
use crate::store::StoreSpec;
use crate::store::format::checksum::crc32c;
use crate::store::format::listing::check_names;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{COMOMENTS, FILES, HISTOGRAM, PIXEL_STATS, REJECTED, SITES, SOURCES, listing_file};
use crate::store::format::rows::{PixelStats, Rejected, SiteRow};
use crate::store::read::decode::Decoder;
use crate::store::read::listing::read_rows;
use crate::{files, memory, store};

/// What of a plate's listing is not what `pack` would have written: files, and what is wrong with them. `sums` is the
/// list of all files; empty where there is none.
#[must_use]
pub fn faults_of_listing(
    root: &Path,
    plate: &PlateId,
    spec: &StoreSpec,
    sums: &BTreeMap<String, Entry>,
) -> Vec<(String, Error)> {
    let path = |name: &str| listing_file(plate, name);
    let text = |name: &str| files::read_text(&root.join(path(name)));
    let counts = |name: &str, rows: &dyn Fn() -> Result<String>| is_written_as(&text(name)?, &path(name), &rows()?);
    let checks: [(&str, Result<()>); 7] = [
        (FILES, text(FILES).and_then(|text| names_what_all_name(root, plate, spec, &text, sums))),
        (SOURCES, text(SOURCES).and_then(|text| manifest::parse(&text, &path(SOURCES)).map(drop))),
        (SITES, text(SITES).and_then(|text| is_own_form::<SiteRow>(&text, &path(SITES)))),
        (REJECTED, text(REJECTED).and_then(|text| is_own_form::<Rejected>(&text, &path(REJECTED)))),
        (HISTOGRAM, counts(HISTOGRAM, &|| Ok(to_csv(&histogram_rows(&read(root, plate, spec)?))))),
        (COMOMENTS, counts(COMOMENTS, &|| Ok(to_csv(&comoment_rows(plate, &read(root, plate, spec)?)?)))),
        (
            PIXEL_STATS,
            text(PIXEL_STATS)
                .and_then(|text| is_own_form::<PixelStats>(&text, &path(PIXEL_STATS)))
                .and_then(|()| check_pixel_stats(root, plate, spec)),
        ),
    ];
    checks.into_iter().filter_map(|(name, checked)| Some((path(name), checked.err()?))).collect()
}

/// Whether a plate is what `pack` wrote, as far as it can tell by itself: its listing, and every site of it.
///
/// # Errors
/// If the system cannot tell.
pub fn is_proven(root: &Path, plate: &PlateId, spec: &StoreSpec, sites: &[SiteRow]) -> Result<bool> {
    if let Some((_, error)) = faults_of_listing(root, plate, spec, &BTreeMap::new()).into_iter().next() {
        return if error.is_of_the_system() { Err(error) } else { Ok(false) };
    }
    Ok(unless_damaged(check_sites(root, plate, spec, sites))?.is_some())
}

/// Decodes every site of a plate and compares it with its crc32c.
fn check_sites(root: &Path, plate: &PlateId, spec: &StoreSpec, sites: &[SiteRow]) -> Result<()> {
    let (mut decoder, mut scratch, mut pixels) = (Decoder::default(), Vec::new(), Vec::new());
    for (i, sites_of_shard) in sites.chunks(spec.sites_per_shard as usize).enumerate() {
        let shard = Shard::open(root, spec, plate, i, sites.len())?;
        memory::resize(&mut pixels, spec.site_bytes(), "the pixels of a site")?;
        for (slot, row) in sites_of_shard.iter().enumerate() {
            shard.read(slot, &mut decoder, &mut scratch, &mut pixels)?;
            let found = crc32c(&pixels);
            if found != row.crc32c {
                let expected = format!("crc32c {:08x}", row.crc32c);
                return Err(Error::malformed(row.id.shown(), expected, format!("{found:08x}")));
            }
        }
    }
    Ok(())
}

/// Whether the classes of a plate's rows are those of `classes.csv`, by number and by name.
///
/// # Errors
/// The first that is not, or if the rows cannot be read.
pub fn check_classes(root: &Path, plate: &PlateId, classes: &Classes) -> Result<()> {
    let place = listing_file(plate, SITES);
    for row in read_rows::<SiteRow>(root, plate, SITES)? {
        if classes.contradict(&row.label) {
            let expected = format!("the class that {} gives siRNA {:?}", store::CLASSES, row.label.sirna);
            let found = row.label.class.map_or_else(String::new, |class| class.to_string());
            return Err(Error::malformed(format!("{place}: {}", row.id), expected, found));
        }
    }
    Ok(())
}

fn is_own_form<R: Serialize + DeserializeOwned>(text: &str, place: &str) -> Result<()> {
    is_written_as(text, place, &to_csv(&from_csv::<R>(text, place)?))
}

fn is_written_as(text: &str, place: &str, expected: &str) -> Result<()> {
    if text == expected {
        return Ok(());
    }
    let differs = text.split('\n').zip(expected.split('\n')).position(|(found, expected)| found != expected);
    let line = differs.unwrap_or_else(|| text.lines().count().min(expected.lines().count()));
    let shown = |text: &str| format!("{:?}", text.split('\n').nth(line).unwrap_or_default());
    Err(Error::malformed(format!("{place}:{}", line + 1), shown(expected), shown(text)))
}

/// Whether a plate's list names its files, and agrees with the list of all on each of them.
fn names_what_all_name(
    root: &Path,
    plate: &PlateId,
    spec: &StoreSpec,
    text: &str,
    sums: &BTreeMap<String, Entry>,
) -> Result<()> {
    let own = listing_file(plate, FILES);
    let files = manifest::parse(text, &own)?;
    // Rows that cannot be read are told by themselves.
    if let Ok(rows) = read_rows::<SiteRow>(root, plate, SITES) {
        check_names(&files, plate, spec, rows.len())?;
    }
    for file in files {
        let known = sums.get(&file.path).map(|known| known.sha);
        if !sums.is_empty() && known != Some(file.sha) {
            let expected = known
                .map_or_else(|| "only files that the list of all names".to_owned(), |sha| format!("SHA-256 {sha}"));
            return Err(Error::malformed(format!("{own}: {}", file.path), expected, file.sha));
        }
    }
    Ok(())
}

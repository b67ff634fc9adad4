//! Listings that agree with their lists and not with the format: whoever changed them made the lists anew. Each file of
//! a plate's listing must be the very text that its rows are written as, and each list must name what the others name.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::classes::Classes;
use crate::csv_table::{from_csv, to_csv};
use crate::error::{Error, Result};
use crate::plate_statistics::{check_pixel_stats, comoment_rows, histogram_rows, read};
use crate::site::PlateId;
use crate::store::StoreSpec;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{COMOMENTS, FILES, HISTOGRAM, PIXEL_STATS, REJECTED, SITES, SOURCES, listing_file};
use crate::store::format::rows::{PixelStats, Rejected, SiteRow};
use crate::store::read::listing::read_rows;
use crate::{files, store};

use super::report::{Finding, Kind};

/// What of a plate's listing is not what `pack` would have written. `sums` is the list of all files, where there is one.
pub(super) fn contradictions_of(
    root: &Path,
    plate: &PlateId,
    spec: &StoreSpec,
    sums: &BTreeMap<String, Entry>,
) -> Vec<Finding> {
    let path = |name: &str| listing_file(plate, name);
    let text = |name: &str| files::read_text(&root.join(path(name)));
    let counts = |name: &str, rows: &dyn Fn() -> Result<String>| is_written_as(&text(name)?, &path(name), &rows()?);
    let checks: [(&str, Result<()>); 7] = [
        (FILES, names_what_all_name(&text(FILES), &path(FILES), sums)),
        (SOURCES, text(SOURCES).and_then(|text| manifest::parse(&text, &path(SOURCES)).map(drop))),
        (SITES, text(SITES).and_then(|text| is_own_form::<SiteRow>(&text, &path(SITES)))),
        (REJECTED, text(REJECTED).and_then(|text| is_own_form::<Rejected>(&text, &path(REJECTED)))),
        (HISTOGRAM, counts(HISTOGRAM, &|| Ok(to_csv(&histogram_rows(&read(root, plate, spec)?))))),
        (COMOMENTS, counts(COMOMENTS, &|| Ok(to_csv(&comoment_rows(&read(root, plate, spec)?))))),
        (
            PIXEL_STATS,
            text(PIXEL_STATS)
                .and_then(|text| is_own_form::<PixelStats>(&text, &path(PIXEL_STATS)))
                .and_then(|()| check_pixel_stats(root, plate, spec)),
        ),
    ];
    let finding = |(name, checked): (&str, Result<()>)| {
        checked.err().map(|error| Finding::of_error(Kind::Contradiction, &path(name), &error))
    };
    checks.into_iter().filter_map(finding).collect()
}

/// Whether the classes of a plate's rows are those of `classes.csv`, by number and by name.
pub(super) fn check_classes(root: &Path, plate: &PlateId, classes: &Classes) -> Result<()> {
    let place = listing_file(plate, SITES);
    for row in read_rows::<SiteRow>(root, plate, SITES)? {
        if row.label.class.is_some_and(|class| classes.class_of(&row.label.sirna) != Some(class)) {
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

/// Whether a plate's list agrees with the list of all on each file, itself aside.
fn names_what_all_name(text: &Result<String>, own: &str, sums: &BTreeMap<String, Entry>) -> Result<()> {
    let Ok(text) = text else { return Ok(()) };
    for file in manifest::parse(text, own)? {
        let known = sums.get(&file.path).map(|known| known.sha);
        if !sums.is_empty() && known != Some(file.sha) {
            let expected = known
                .map_or_else(|| "only files that the list of all names".to_owned(), |sha| format!("SHA-256 {sha}"));
            return Err(Error::malformed(format!("{own}: {}", file.path), expected, file.sha));
        }
    }
    Ok(())
}

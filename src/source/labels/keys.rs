//! By which columns of a table its rows are known: experiment, plate, well and site, whatever a lab calls them.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::csv_table::{cells, is_like, joined, unfit_header};
use crate::error::{Error, Result};
use crate::site::{Experiment, ParseError, Plate, Well, WellId, parse_number};
use crate::source::pattern::well_named;
use crate::suggest;

use super::rows::At;

/// What a row may be known by, and what else of it columns tell that labs call so and mean otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Experiment,
    Plate,
    Well,
    Site,
    CellType,
    WellType,
}

impl Key {
    const ALL: [Self; 6] = [Self::Experiment, Self::Plate, Self::Well, Self::Site, Self::CellType, Self::WellType];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Experiment => "experiment",
            Self::Plate => "plate",
            Self::Well => "well",
            Self::Site => "site",
            Self::CellType => "cell_type",
            Self::WellType => "well_type",
        }
    }

    /// What columns of it are called, in letters and digits alone and without what `CellProfiler` writes before them
    /// (`Metadata_Plate`, `Image_Metadata_Well`), the most telling first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Experiment => &[
                "experiment",
                "experimentname",
                "experimentid",
                "batch",
                "batchname",
                "batchid",
                "screen",
                "screenname",
                "screenid",
            ],
            Self::Plate => &["plate", "platebarcode", "assayplatebarcode"],
            Self::Well => &["well", "wellposition", "address"],
            Self::Site => &["site", "field", "fieldid"],
            Self::CellType => &["celltype"],
            Self::WellType => &["welltype"],
        }
    }
}

/// Which columns rows are known by: `plate,well`, or `plate=Barcode,well=Position`. What is not among them is known by
/// the names of columns as ever, so that none is passed over; `site=` says that no column tells the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct On(Vec<(Key, Named)>);

/// By what the column of a key is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// By the names that such columns have; it must be there.
    AsEver,
    Column(String),
    /// No column tells it.
    None,
}

/// Without these a row is of no well.
const NEEDED: [Key; 2] = [Key::Plate, Key::Well];

/// The way out where a column of the experiment tells something else.
pub(super) const NO_EXPERIMENT: &str = "--on plate,well,experiment=";

impl On {
    fn named(&self, key: Key) -> Option<&Named> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, named)| named)
    }

    /// Whether rows are said to be of every experiment's plate.
    pub(super) fn names_no_experiment(&self) -> bool {
        self.named(Key::Experiment) == Some(&Named::None)
    }
}

impl FromStr for On {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = "some of experiment, plate, well, site, cell_type and well_type, such as plate,well or plate=Barcode,well=Position";
        let fail = || ParseError { expected, found: text.to_owned() };
        let mut keys: Vec<(Key, Named)> = Vec::new();
        for part in cells(text).ok_or_else(fail)? {
            let (name, column) = part.split_once('=').map_or((&*part, None), |(name, column)| (name, Some(column)));
            let key = Key::ALL.into_iter().find(|key| key.name() == name.trim()).ok_or_else(fail)?;
            let named = match column {
                None => Named::AsEver,
                Some(column) if !column.trim().is_empty() => Named::Column(column.to_owned()),
                Some(_) if NEEDED.contains(&key) => return Err(fail()),
                Some(_) => Named::None,
            };
            if keys.iter().any(|(known, _)| *known == key) {
                return Err(fail());
            }
            keys.push((key, named));
        }
        if !NEEDED.iter().all(|key| keys.iter().any(|(known, _)| known == key)) {
            return Err(ParseError { expected: "plate and well among what rows are known by", found: text.to_owned() });
        }
        Ok(Self(keys))
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, named): &(Key, Named)| match named {
            Named::AsEver => key.name().to_owned(),
            Named::Column(column) => format!("{}={column}", key.name()),
            Named::None => format!("{}=", key.name()),
        };
        let parts: Vec<String> = self.0.iter().map(shown).collect();
        f.pad(&joined(&parts))
    }
}

/// The positions of the columns that rows are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys {
    experiment: Option<usize>,
    plate: usize,
    well: usize,
    pub(crate) site: Option<usize>,
}

/// Numbers the rows of each well as its sites, from 1, where no column does.
#[derive(Debug, Default)]
pub(crate) struct SiteCounter(HashMap<WellId, u16>);

impl SiteCounter {
    /// The number of the next row of a well.
    ///
    /// # Errors
    /// If there are more than a site can have numbers.
    pub(crate) fn next(&mut self, well: &WellId, at: &At) -> Result<u16> {
        let n = self.0.get(well).copied().unwrap_or_default();
        let next = n.checked_add(1).ok_or_else(|| at.malformed("at most 65,535 rows of a well", "more"))?;
        self.0.insert(well.clone(), next);
        Ok(next)
    }
}

/// What a row is known by.
pub(crate) struct RowKey {
    /// `None` where the table has no such column.
    pub(crate) experiment: Option<Experiment>,
    pub(crate) plate: Plate,
    pub(crate) well: Well,
    pub(crate) site: Option<u16>,
}

impl Keys {
    /// Finds them in a header. Names may end in that of a channel, as those of BBBC021 do.
    ///
    /// # Errors
    /// If there is none of a plate or of a well, two of one, or `on` names one that the table has not.
    pub(crate) fn find(header: &[String], on: Option<&On>, place: &str) -> Result<Self> {
        let channel = |name: &String| {
            let channel = ["Image_FileName_", "FileName_"].iter().find_map(|prefix| name.strip_prefix(prefix));
            channel.map(str::to_owned)
        };
        let suffixes: Vec<String> = header.iter().filter_map(channel).collect();
        let by_name = |key: Key| {
            let is_it = |column: &String, name: &str| bare(column, &suffixes).any(|bare| bare == name);
            let of = |name: &&str| {
                let mut found = (0..header.len()).filter(|&i| is_it(&header[i], name));
                Some((found.next()?, found.next()))
            };
            match key.names().iter().find_map(of) {
                Some((first, Some(second))) => {
                    let expected = format!("one column of the {}, or --on {}=COLUMN", key.name(), key.name());
                    Err(Error::malformed(format!("{place}:1"), expected, [&*header[first], &header[second]].join(",")))
                }
                found => Ok(found.map(|(first, _)| first)),
            }
        };
        for (key, named) in on.iter().flat_map(|On(on)| on) {
            // Those that no row is known by count where labels are read, and are there in any case.
            match named {
                Named::Column(column) => {
                    position("--on", column, header, place)?;
                }
                Named::AsEver if !matches!(key, Key::CellType | Key::WellType) && by_name(*key)?.is_none() => {
                    return Err(missing(*key, header, place));
                }
                _ => {}
            }
        }
        let find = |key: Key| match on.and_then(|on| on.named(key)) {
            Some(Named::None) => Ok(None),
            Some(Named::Column(column)) => position("--on", column, header, place).map(Some),
            None | Some(Named::AsEver) => by_name(key),
        };
        let needed = |key: Key| find(key)?.ok_or_else(|| missing(key, header, place));
        Ok(Self {
            experiment: find(Key::Experiment)?,
            plate: needed(Key::Plate)?,
            well: needed(Key::Well)?,
            site: find(Key::Site)?,
        })
    }

    /// Whether rows tell their experiment.
    pub(crate) fn tell_experiment(&self) -> bool {
        self.experiment.is_some()
    }

    /// The plate that a row tells.
    ///
    /// # Errors
    /// If its cell is none.
    pub(crate) fn plate<'c>(&self, cell: impl Fn(usize) -> &'c str) -> Result<Plate, ParseError> {
        Plate::as_written(cell(self.plate).trim())
    }

    /// Reads what a row is known by.
    ///
    /// # Errors
    /// If a cell is empty or is none.
    pub(crate) fn read<'c>(&self, cell: impl Fn(usize) -> &'c str, at: &At) -> Result<RowKey> {
        let text = |column: usize, what: &str| match cell(column).trim() {
            "" => Err(at.malformed(what, "an empty cell")),
            text => Ok(text),
        };
        let malformed = |e: ParseError| at.malformed(e.expected, format!("{:?}", e.found));
        let experiment = |column| text(column, "an experiment")?.parse().map_err(malformed);
        let experiment = self.experiment.map(experiment).transpose()?;
        text(self.plate, "a plate")?;
        let plate = self.plate(&cell).map_err(malformed)?;
        let well = text(self.well, "a well")?;
        let well = well_named(well).ok_or_else(|| at.malformed("a well such as B02", format!("{well:?}")))?;
        let site = |column| {
            let text = text(column, "a site")?;
            parse_number(text).ok_or_else(|| at.malformed("a site, 0 to 65535", format!("{text:?}")))
        };
        Ok(RowKey { experiment, plate, well, site: self.site.map(site).transpose()? })
    }
}

/// Where the column stands that tells the cell type or the kind of wells: the one that `on` names, or that is called so.
///
/// # Errors
/// If it is only called nearly so, or is there twice, or `on` names one that the table has not.
pub(super) fn told_by(key: Key, header: &[String], on: Option<&On>, place: &str) -> Result<Option<usize>> {
    match on.and_then(|on| on.named(key)) {
        Some(Named::None) => Ok(None),
        Some(Named::Column(column)) => position("--on", column, header, place).map(Some),
        named => {
            let name = key.name();
            let ways = format!("--on plate,well,{name}=COLUMN names another, --on plate,well,{name}= none");
            match (named_exactly(name, &ways, header, place)?, named) {
                (None, Some(_)) => Err(missing(key, header, place)),
                (found, _) => Ok(found),
            }
        }
    }
}

/// Where the column of this very name stands, if there is one. `ways` are those out of it.
///
/// # Errors
/// If a column is only called nearly so, or it is there twice: who wrote it may have meant it.
pub(super) fn named_exactly(name: &str, ways: &str, header: &[String], place: &str) -> Result<Option<usize>> {
    let mut like_it = header.iter().enumerate().filter(|(_, column)| is_like(column, name));
    let expected = match (like_it.next(), like_it.next()) {
        (None, _) => return Ok(None),
        (Some((position, column)), None) if column == name => return Ok(Some(position)),
        (Some(_), None) => format!("a column named exactly {name:?} ({ways})"),
        (Some(_), Some(_)) => format!("one column {name:?} ({ways})"),
    };
    Err(unfit_header(place, expected, header))
}

/// Where a column stands that a flag names.
///
/// # Errors
/// If there is none, or it is there twice.
pub(super) fn position(flag: &str, column: &str, header: &[String], place: &str) -> Result<usize> {
    let mut found = header.iter().enumerate().filter(|(_, name)| *name == column);
    match (found.next(), found.next()) {
        (Some((position, _)), None) => Ok(position),
        (None, _) => {
            Err(suggest::unknown(flag, &format!("a column of {place}"), column, header.iter().map(String::as_str)))
        }
        (Some(_), Some(_)) => {
            Err(Error::malformed(format!("{place}:1"), format!("one column {column:?}"), header.join(",")))
        }
    }
}

fn missing(key: Key, header: &[String], place: &str) -> Error {
    let names = key.names().join(", ");
    let expected = format!("a column of the {} ({names}, or --on {}=COLUMN)", key.name(), key.name());
    unfit_header(place, expected, header)
}

/// A column's name without what does not tell: letters and digits alone, in lower case, with and without a suffix.
fn bare<'s>(column: &str, suffixes: &'s [String]) -> impl Iterator<Item = String> + 's {
    let plain =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let whole = plain(column);
    let rest = whole.strip_prefix("image").filter(|rest| rest.starts_with("metadata")).unwrap_or(&whole);
    let rest = rest.strip_prefix("metadata").unwrap_or(rest).to_owned();
    let shorter: Vec<String> =
        suffixes.iter().filter_map(|suffix| Some(rest.strip_suffix(&plain(suffix))?.to_owned())).collect();
    std::iter::once(rest).chain(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(header: &str, on: Option<&str>) -> Result<Keys> {
        let header: Vec<String> = header.split(',').map(str::to_owned).collect();
        let on: Option<On> = on.map(|on| on.parse().unwrap());
        Keys::find(&header, on.as_ref(), "x.csv")
    }

    #[test]
    fn columns_are_known_by_what_labs_call_them() {
        let keys = |experiment, plate, well, site| Keys { experiment, plate, well, site };
        for (header, expected) in [
            ("Metadata_Plate,Metadata_Well,Metadata_Site,Metadata_FieldID", keys(None, 0, 1, Some(2))),
            ("Metadata_Source,Metadata_Batch,Metadata_Plate,Metadata_Well", keys(Some(1), 2, 3, None)),
            ("Assay_Plate_Barcode,well_position", keys(None, 0, 1, None)),
            ("experiment_name,plate,address", keys(Some(0), 1, 2, None)),
            ("Image_FileName_DAPI,Image_Metadata_Plate_DAPI,Image_Metadata_Well_DAPI", keys(None, 1, 2, None)),
            ("Plate,Well,Field", keys(None, 0, 1, Some(2))),
        ] {
            assert_eq!(find(header, None).unwrap(), expected, "{header}");
        }
        assert_eq!(find("a,b,c", Some("plate=b,well=a")).unwrap(), keys(None, 1, 0, None));
        assert_eq!(find("a,well", Some("plate=a,well")).unwrap(), keys(None, 0, 1, None));
    }

    #[test]
    fn what_on_does_not_name_is_known_as_ever_or_said_to_be_told_by_no_column() {
        let keys = |experiment, site| Keys { experiment, plate: 1, well: 2, site };
        for (on, expected) in [
            ("plate,well", keys(Some(0), Some(3))),
            ("plate=plate,well=well", keys(Some(0), Some(3))),
            ("plate,well,site=", keys(Some(0), None)),
            ("plate,well,experiment=", keys(None, Some(3))),
            ("experiment=,plate,well,site=", keys(None, None)),
            ("experiment=site,plate,well,site=Batch", keys(Some(3), Some(0))),
        ] {
            assert_eq!(find("Batch,plate,well,site", Some(on)).unwrap(), expected, "{on}");
            assert_eq!(on.parse::<On>().unwrap().to_string(), on);
        }
        let error = find("plate,well,Site,Metadata_Site", Some("plate,well")).unwrap_err().to_string();
        assert!(error.contains("one column of the site, or --on site=COLUMN"), "{error}");
    }

    #[test]
    fn what_a_table_lacks_or_has_twice_is_named() {
        let says = |header, on, part: &str| {
            let error = find(header, on).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        says("plate,x", None, "a column of the well (well, wellposition, address, or --on well=COLUMN)");
        says("Plate,Metadata_Plate,Well", None, "one column of the plate, or --on plate=COLUMN");
        says("plate,well", Some("plate=Barcode,well"), "Barcode");
        says("plate,well", Some("plate,well,site"), "a column of the site");
        for on in ["", "plate", "well,site", "plate,well,plate", "plate=,well", "plate,well,dish"] {
            assert!(on.parse::<On>().is_err(), "{on}");
        }
        assert_eq!("plate=Barcode,well".parse::<On>().unwrap().to_string(), "plate=Barcode,well");
    }
}

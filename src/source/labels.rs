//! The CSVs beside the images: Kaggle's two dialects and rxrx.ai's. Knows nothing of the images themselves.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::classes::{Class, Classes};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Label, PlateId, Population, SiteId, Well, WellId, parse_number};

use super::layout::Layout;

/// What the CSVs say of one well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WellLabel {
    /// The label of every site of the well.
    pub label: Label,
    /// The sites, where the CSVs name them (rxrx.ai); Kaggle's name wells only.
    pub sites: Option<BTreeSet<u16>>,
}

/// What the CSVs say of all wells, and the classes they imply.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// Wells by plate.
    pub plates: BTreeMap<PlateId, BTreeMap<Well, WellLabel>>,
    /// The classes.
    pub classes: Classes,
}

/// A row before classes are known.
struct Row {
    well: WellId,
    site: Option<u16>,
    dataset: String,
    population: Population,
    sirna: String,
    class: Option<u32>,
}

/// The CSVs that Kaggle's layout has: name, dataset, population where the file has no `well_type`.
const KAGGLE: [(&str, &str, Option<Population>); 4] = [
    ("train.csv", "train", Some(Population::Treatment)),
    ("test.csv", "test", Some(Population::Treatment)),
    ("train_controls.csv", "train", None),
    ("test_controls.csv", "test", None),
];

/// Whether `dir` holds a CSV of Kaggle's layout.
pub(super) fn has_kaggle_csv(dir: &Path) -> Result<bool> {
    for (name, ..) in KAGGLE {
        if files::is_file(&dir.join(name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the CSVs of `layout` in `dir`; `fixed` classes replace those that the CSVs imply.
///
/// # Errors
/// If a CSV is missing, is malformed, names a well twice, or a siRNA has no class.
pub fn read(layout: Layout, dir: &Path, fixed: Option<Classes>) -> Result<Labels> {
    let mut rows = Vec::new();
    match layout {
        Layout::Bare => {
            return Ok(Labels { classes: fixed.unwrap_or_default(), ..Labels::default() });
        }
        Layout::Kaggle => {
            if !has_kaggle_csv(dir)? {
                let expected = "train.csv, test.csv, train_controls.csv or test_controls.csv";
                return Err(Error::refused(dir.display(), expected, "none of them"));
            }
            for dataset in ["train", "test"] {
                let pair = [format!("{dataset}.csv"), format!("{dataset}_controls.csv")];
                let is_there = [files::is_file(&dir.join(&pair[0]))?, files::is_file(&dir.join(&pair[1]))?];
                if let [true, false] | [false, true] = is_there {
                    let [there, lost] = if is_there[0] { [0, 1] } else { [1, 0] };
                    let expected = format!("it beside {} (a header alone says that there are none)", pair[there]);
                    return Err(Error::malformed(dir.join(&pair[lost]).display(), expected, "no file"));
                }
            }
            for (name, dataset, population) in KAGGLE {
                let path = dir.join(name);
                if files::is_file(&path)? {
                    read_kaggle(&path, dataset, population, &mut rows)?;
                }
            }
        }
        Layout::RxrxAi => read_rxrx_ai(&dir.join("metadata.csv"), &mut rows)?,
    }
    let place = dir.display().to_string();
    let classes = match fixed {
        Some(classes) => classes,
        None => imply_classes(&rows, &place)?,
    };
    let mut labels = Labels { classes, ..Labels::default() };
    for row in rows {
        add(&mut labels, row, &place)?;
    }
    Ok(labels)
}

fn imply_classes(rows: &[Row], place: &str) -> Result<Classes> {
    let labelled = || rows.iter().filter(|row| !row.sirna.is_empty());
    let number = |row: &Row| row.class.or_else(|| parse_number(&row.sirna));
    if labelled().all(|row| number(row).is_some()) {
        let class = |row: &Row| {
            let class = number(row).expect("checked for all rows");
            Class { class, sirna: row.sirna.clone(), population: row.population }
        };
        Classes::numbered(labelled().map(class), place)
    } else {
        Ok(Classes::in_natural_order(labelled().map(|row| (row.sirna.clone(), row.population))))
    }
}

fn add(labels: &mut Labels, row: Row, place: &str) -> Result<()> {
    let class = labels.classes.class_of(&row.sirna);
    if class.is_none() && !row.sirna.is_empty() {
        let expected = format!("a class for siRNA {:?} of well {}", row.sirna, row.well);
        return Err(Error::malformed(place, expected, "none (see --classes)"));
    }
    let Row { well, site, dataset, population, sirna, .. } = row;
    let label = Label { dataset, population, sirna, class };
    match labels.plates.entry(well.plate.clone()).or_default().entry(well.well) {
        Entry::Vacant(entry) => {
            let sites = site.map(|site| BTreeSet::from([site]));
            entry.insert(WellLabel { label, sites });
        }
        Entry::Occupied(mut entry) => match (&mut entry.get_mut().sites, site) {
            (Some(sites), Some(site)) => {
                sites.insert(site);
                if entry.get().label != label {
                    return Err(Error::malformed(place, format!("one label for well {well}"), "two that differ"));
                }
            }
            _ => {
                return Err(Error::malformed(place, format!("well {well} in one of the CSVs"), "it in two"));
            }
        },
    }
    Ok(())
}

/// One CSV with its columns looked up by name.
struct Csv {
    place: String,
    columns: Vec<usize>,
    records: csv::StringRecordsIntoIter<std::io::Cursor<Vec<u8>>>,
}

impl Csv {
    fn open(path: &Path, columns: &[&str]) -> Result<Self> {
        let text = files::read_text(path)?;
        // Spreadsheets put a byte order mark first.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).as_bytes().to_vec();
        let place = path.display().to_string();
        let mut reader = csv::Reader::from_reader(std::io::Cursor::new(text));
        let header = reader.headers().map_err(|e| Error::malformed(&place, "a CSV", e))?.clone();
        let find = |name: &&str| {
            header.iter().position(|column| column == *name).ok_or_else(|| {
                let found = header.iter().collect::<Vec<_>>().join(",");
                Error::malformed(format!("{place}:1"), format!("a column {name:?}"), format!("{found:?}"))
            })
        };
        let columns = columns.iter().map(find).collect::<Result<_>>()?;
        Ok(Self { place, columns, records: reader.into_records() })
    }

    /// The next row: its place, and the columns asked for.
    fn next_row(&mut self) -> Result<Option<(String, Vec<String>)>> {
        let Some(record) = self.records.next() else {
            return Ok(None);
        };
        let record = record.map_err(|e| Error::malformed(&self.place, "rows like the header", e))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells = self.columns.iter().map(|&column| record[column].to_owned()).collect();
        Ok(Some((format!("{}:{line}", self.place), cells)))
    }
}

fn parse<T: std::str::FromStr<Err = crate::site::ParseError>>(text: &str, at: &str) -> Result<T> {
    text.parse().map_err(|e: crate::site::ParseError| Error::malformed(at, e.expected, format!("{:?}", e.found)))
}

fn number<T: std::str::FromStr>(text: &str, what: &str, at: &str) -> Result<T> {
    parse_number(text).ok_or_else(|| Error::malformed(at, what, format!("{text:?}")))
}

fn read_kaggle(path: &Path, dataset: &str, population: Option<Population>, rows: &mut Vec<Row>) -> Result<()> {
    let is_control = population.is_none();
    let mut columns = vec!["id_code", "experiment", "plate", "well"];
    if is_control || dataset == "train" {
        columns.push("sirna");
    }
    if is_control {
        columns.push("well_type");
    }
    let mut csv = Csv::open(path, &columns)?;
    let mut seen = BTreeSet::new();
    while let Some((at, cells)) = csv.next_row()? {
        let plate = PlateId { experiment: parse(&cells[1], &at)?, plate: number(&cells[2], "a plate number", &at)? };
        let well = WellId { plate, well: parse(&cells[3], &at)? };
        if cells[0] != well.to_string() {
            return Err(Error::malformed(at, format!("id_code {well}"), format!("{:?}", cells[0])));
        }
        if !seen.insert(well.clone()) {
            return Err(Error::malformed(at, "each well once", format!("{well} again")));
        }
        let sirna = cells.get(4).cloned().unwrap_or_default();
        if sirna.is_empty() && columns.len() > 4 {
            return Err(Error::malformed(at, "a siRNA", "an empty cell"));
        }
        let population = match population {
            Some(population) => population,
            None => parse(&cells[5], &at)?,
        };
        rows.push(Row { well, site: None, dataset: dataset.to_owned(), population, sirna, class: None });
    }
    Ok(())
}

fn read_rxrx_ai(path: &Path, rows: &mut Vec<Row>) -> Result<()> {
    let columns = ["site_id", "dataset", "experiment", "plate", "well", "site", "well_type", "sirna", "sirna_id"];
    let mut csv = Csv::open(path, &columns)?;
    let mut seen = BTreeSet::new();
    while let Some((at, cells)) = csv.next_row()? {
        let plate = PlateId { experiment: parse(&cells[2], &at)?, plate: number(&cells[3], "a plate number", &at)? };
        let well = WellId { plate, well: parse(&cells[4], &at)? };
        let site = number(&cells[5], "a site number", &at)?;
        let id = SiteId { well, site };
        if cells[0] != id.to_string() {
            return Err(Error::malformed(at, format!("site_id {id}"), format!("{:?}", cells[0])));
        }
        if !seen.insert(id.clone()) {
            return Err(Error::malformed(at, "each site once", format!("{id} again")));
        }
        let class = match cells[8].as_str() {
            "" => None,
            text => Some(number(text, "a siRNA's number", &at)?),
        };
        let [dataset, sirna] = [1, 7].map(|i| cells[i].clone());
        rows.push(Row { well: id.well, site: Some(site), dataset, population: parse(&cells[6], &at)?, sirna, class });
    }
    Ok(())
}

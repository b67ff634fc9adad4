//! The CSVs beside the images: Kaggle's two dialects and rxrx.ai's. Knows nothing of the images themselves.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::classes::{Class, Classes, well_type};
use crate::csv_table::{Header, Rows};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Label, PlateId, Population, SiteId, Well, WellId, parse_number};

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

/// A row of `test.csv`.
#[derive(Deserialize)]
struct TestRow {
    id_code: String,
    experiment: Experiment,
    plate: u16,
    well: Well,
}

/// A row of `train.csv`.
#[derive(Deserialize)]
struct TrainRow {
    id_code: String,
    experiment: Experiment,
    plate: u16,
    well: Well,
    sirna: String,
}

/// A row of `train_controls.csv` and `test_controls.csv`.
#[derive(Deserialize)]
struct ControlRow {
    id_code: String,
    experiment: Experiment,
    plate: u16,
    well: Well,
    sirna: String,
    #[serde(with = "well_type")]
    well_type: Population,
}

/// What a row of any of them says; `sirna` is `None` where the file does not tell.
struct KaggleRow {
    id_code: String,
    well: WellId,
    sirna: Option<String>,
    population: Population,
}

impl From<TestRow> for KaggleRow {
    fn from(row: TestRow) -> Self {
        let TestRow { id_code, experiment, plate, well } = row;
        let well = WellId { plate: PlateId { experiment, plate }, well };
        Self { id_code, well, sirna: None, population: Population::Treatment }
    }
}

impl From<TrainRow> for KaggleRow {
    fn from(row: TrainRow) -> Self {
        let TrainRow { id_code, experiment, plate, well, sirna } = row;
        Self { sirna: Some(sirna), ..TestRow { id_code, experiment, plate, well }.into() }
    }
}

impl From<ControlRow> for KaggleRow {
    fn from(row: ControlRow) -> Self {
        let ControlRow { id_code, experiment, plate, well, sirna, well_type } = row;
        Self { population: well_type, ..TrainRow { id_code, experiment, plate, well, sirna }.into() }
    }
}

/// A row of rxrx.ai's `metadata.csv`.
#[derive(Deserialize)]
struct SiteRow {
    site_id: String,
    dataset: String,
    experiment: Experiment,
    plate: u16,
    well: Well,
    site: u16,
    #[serde(with = "well_type")]
    well_type: Population,
    sirna: String,
    sirna_id: Option<u32>,
}

/// Reads a CSV of one of Kaggle's kinds: file, dataset, rows before.
type ReadKaggle = fn(&Path, &str, &mut Vec<Row>) -> Result<()>;

/// The CSVs that Kaggle's layout has: name, dataset, how it is read.
const KAGGLE: [(&str, &str, ReadKaggle); 4] = [
    ("train.csv", "train", read_kaggle::<TrainRow>),
    ("test.csv", "test", read_kaggle::<TestRow>),
    ("train_controls.csv", "train", read_kaggle::<ControlRow>),
    ("test_controls.csv", "test", read_kaggle::<ControlRow>),
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
            for (name, dataset, read) in KAGGLE {
                let path = dir.join(name);
                if files::is_file(&path)? {
                    read(&path, dataset, &mut rows)?;
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
    let label = Label { dataset: dataset.into(), population, sirna: sirna.into(), class };
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

fn read_kaggle<R: DeserializeOwned + Into<KaggleRow>>(path: &Path, dataset: &str, rows: &mut Vec<Row>) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let mut seen = BTreeSet::new();
    for row in Rows::<R>::open(&text, &place, Header::AmongOthers)? {
        let (line, row) = row?;
        let malformed = |expected: &str, found: String| Error::malformed(format!("{place}:{line}"), expected, found);
        let KaggleRow { id_code, well, sirna, population } = row.into();
        if id_code != well.to_string() {
            return Err(malformed(&format!("id_code {well}"), format!("{id_code:?}")));
        }
        if !seen.insert(well.clone()) {
            return Err(malformed("each well once", format!("{well} again")));
        }
        if sirna.as_ref().is_some_and(String::is_empty) {
            return Err(malformed("a siRNA", "an empty cell".to_owned()));
        }
        let (dataset, sirna) = (dataset.to_owned(), sirna.unwrap_or_default());
        rows.push(Row { well, site: None, dataset, population, sirna, class: None });
    }
    Ok(())
}

fn read_rxrx_ai(path: &Path, rows: &mut Vec<Row>) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let mut seen = BTreeSet::new();
    for row in Rows::open(&text, &place, Header::AmongOthers)? {
        let (line, row) = row?;
        let malformed = |expected: &str, found: String| Error::malformed(format!("{place}:{line}"), expected, found);
        let SiteRow { site_id, dataset, experiment, plate, well, site, well_type, sirna, sirna_id } = row;
        let well = WellId { plate: PlateId { experiment, plate }, well };
        let id = SiteId { well, site };
        if site_id != id.to_string() {
            return Err(malformed(&format!("site_id {id}"), format!("{site_id:?}")));
        }
        if !seen.insert(id.clone()) {
            return Err(malformed("each site once", format!("{id} again")));
        }
        rows.push(Row { well: id.well, site: Some(site), dataset, population: well_type, sirna, class: sirna_id });
    }
    Ok(())
}

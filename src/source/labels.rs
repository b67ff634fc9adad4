//! The CSVs beside the images: Kaggle's two dialects and rxrx.ai's. Knows nothing of the images themselves.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::classes::{Class, Classes, well_type};
use crate::csv_table::{Header, Rows};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Label, PlateId, Population, SiteId, Well, WellId, parse_number};

use super::layout::{KAGGLE_CSVS, Layout, RXRX_AI_CSV};

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
    dataset: &'static str,
    population: Population,
    /// Empty where the file does not tell, as it does not of a test set.
    sirna: String,
    /// The class, where the file gives its number beside the siRNA (rxrx.ai).
    class: Option<u32>,
    at: At,
}

/// Where a row stands: its file and its line.
#[derive(Clone)]
struct At {
    file: Rc<str>,
    line: u64,
}

impl At {
    fn malformed(&self, expected: impl ToString, found: impl ToString) -> Error {
        Error::malformed(format!("{}:{}", self.file, self.line), expected, found)
    }
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
type ReadKaggle = fn(&Path, &'static str, &mut Vec<Row>) -> Result<()>;

/// The CSVs of Kaggle's layout, each with its dataset and how it is read.
const KAGGLE: [(&str, &str, ReadKaggle); 4] = [
    (KAGGLE_CSVS[0], "train", read_kaggle::<TrainRow>),
    (KAGGLE_CSVS[1], "test", read_kaggle::<TestRow>),
    (KAGGLE_CSVS[2], "train", read_kaggle::<ControlRow>),
    (KAGGLE_CSVS[3], "test", read_kaggle::<ControlRow>),
];

/// Whether `dir` holds a CSV of Kaggle's layout.
fn has_kaggle_csv(dir: &Path) -> Result<bool> {
    for name in KAGGLE_CSVS {
        if files::exists(&dir.join(name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is known of the classes before the CSVs are read.
#[derive(Debug, Clone, Default)]
pub enum Fixed {
    /// Nothing: the CSVs imply them.
    #[default]
    Nothing,
    /// These are all.
    Classes(Classes),
    /// These, and behind them what else the CSVs imply.
    AndMore(Classes),
}

/// Reads the CSVs of `layout` in `dir`; `fixed` classes come before those that the CSVs imply.
///
/// # Errors
/// If a CSV is missing, is malformed, names a well twice, or a siRNA has no class.
pub fn read(layout: Layout, dir: &Path, fixed: Fixed) -> Result<Labels> {
    let mut rows = Vec::new();
    match layout {
        Layout::Bare => {
            let classes = match fixed {
                Fixed::Nothing => Classes::default(),
                Fixed::Classes(classes) | Fixed::AndMore(classes) => classes,
            };
            return Ok(Labels { classes, ..Labels::default() });
        }
        Layout::Kaggle => {
            if !has_kaggle_csv(dir)? {
                let expected = "train.csv, test.csv, train_controls.csv or test_controls.csv";
                return Err(Error::refused(dir.display(), expected, "none of them"));
            }
            for dataset in ["train", "test"] {
                let pair = [format!("{dataset}.csv"), format!("{dataset}_controls.csv")];
                let is_there = [files::exists(&dir.join(&pair[0]))?, files::exists(&dir.join(&pair[1]))?];
                if let [true, false] | [false, true] = is_there {
                    let [there, lost] = if is_there[0] { [0, 1] } else { [1, 0] };
                    let expected = format!("it beside {} (a header alone says that there are none)", pair[there]);
                    return Err(Error::malformed(dir.join(&pair[lost]).display(), expected, "no file"));
                }
            }
            for (name, dataset, read) in KAGGLE {
                let path = dir.join(name);
                if files::exists(&path)? {
                    read(&path, dataset, &mut rows)?;
                }
            }
        }
        Layout::RxrxAi => read_rxrx_ai(&dir.join(RXRX_AI_CSV), &mut rows)?,
    }
    let place = dir.display().to_string();
    let classes = match fixed {
        Fixed::Nothing => implied(&rows)?.into_classes(Classes::default(), &place)?,
        Fixed::Classes(classes) => classes,
        Fixed::AndMore(classes) => implied(&rows)?.into_classes(classes, &place)?,
    };
    let mut labels = Labels { classes, ..Labels::default() };
    for row in rows {
        add(&mut labels, row)?;
    }
    Ok(labels)
}

/// The classes that rows imply.
#[derive(Default)]
struct Implied {
    /// Those whose numbers the files give: they stay as they are, gaps and all.
    numbered: Vec<Class>,
    /// Those that have only names.
    named: Vec<(String, Population)>,
}

impl Implied {
    /// These behind those that are known.
    fn into_classes(self, known: Classes, place: &str) -> Result<Classes> {
        Classes::numbered(known.into_rows().into_iter().chain(self.numbered), place)?.and_named(self.named)
    }
}

fn implied(rows: &[Row]) -> Result<Implied> {
    let labelled = || rows.iter().filter(|row| !row.sirna.is_empty());
    let named = |row: &Row| (row.sirna.clone(), row.population);
    if labelled().any(|row| row.class.is_some()) {
        let number = |row: &Row| row.class.ok_or_else(|| row.at.malformed("a sirna_id, as other rows have", "none"));
        let class = |row: &Row| Ok(Class { class: number(row)?, sirna: row.sirna.clone(), population: row.population });
        return Ok(Implied { numbered: labelled().map(class).collect::<Result<_>>()?, named: Vec::new() });
    }
    // Treatments may be numbered where controls have names; one kind in which most are numbers has numbers only.
    let [treatments, controls] = [false, true]
        .map(|of_controls| labelled().filter(|row| row.population.is_control() == of_controls).collect::<Vec<&Row>>());
    Ok(match (numbers(&treatments)?, numbers(&controls)?) {
        (Some(mut numbered), Some(controls)) => {
            numbered.extend(controls);
            Implied { numbered, named: Vec::new() }
        }
        (Some(numbered), None) if !numbered.is_empty() => {
            Implied { numbered, named: controls.into_iter().map(named).collect() }
        }
        _ => Implied { numbered: Vec::new(), named: labelled().map(named).collect() },
    })
}

/// The classes of labels that are numbers; `None` where they are names.
///
/// # Errors
/// If most are numbers and one is not: it would make names of all, and number every class anew.
fn numbers(rows: &[&Row]) -> Result<Option<Vec<Class>>> {
    let number = |row: &&Row| parse_number::<u32>(&row.sirna);
    let n_numbers = rows.iter().filter(|row| number(row).is_some()).count();
    if let Some(odd) = rows.iter().find(|row| number(row).is_none()) {
        if 2 * n_numbers > rows.len() {
            return Err(odd.at.malformed("a number as siRNA, as most rows have", format!("{:?}", odd.sirna)));
        }
        return Ok(None);
    }
    let class = |row: &&Row| Class {
        class: number(row).expect("checked for all rows"),
        sirna: row.sirna.clone(),
        population: row.population,
    };
    Ok(Some(rows.iter().map(class).collect()))
}

/// Refuses a text that stands where a siRNA should and means that there is none, or that a program has mangled: it would
/// be a class of its own.
fn check_sirna(sirna: &str, at: &At) -> Result<()> {
    const NONE: [&str; 9] = ["nan", "none", "null", "na", "n/a", "<na>", "#n/a", "-nan", "nil"];
    let is_float = || {
        let (whole, rest) = sirna.split_once('.')?;
        (!whole.is_empty() && parse_number::<u64>(whole).is_some() && rest.bytes().all(|b| b == b'0')).then_some(())
    };
    if NONE.contains(&sirna.to_lowercase().as_str()) {
        return Err(at.malformed("a siRNA", format!("{sirna:?}, which says that there is none")));
    }
    if sirna.trim() != sirna {
        return Err(at.malformed("a siRNA without white space around it", format!("{sirna:?}")));
    }
    if is_float().is_some() {
        return Err(at.malformed("a siRNA as a name or a whole number", format!("{sirna:?}")));
    }
    Ok(())
}

/// `train` or `test`.
fn parse_dataset(dataset: &str, at: &At) -> Result<&'static str> {
    let known = ["train", "test"].into_iter().find(|known| *known == dataset);
    known.ok_or_else(|| at.malformed("dataset train or test", format!("{dataset:?}")))
}

fn add(labels: &mut Labels, row: Row) -> Result<()> {
    let class = labels.classes.class_of(&row.sirna);
    if class.is_none() && !row.sirna.is_empty() {
        let expected = format!("a class for siRNA {:?}", row.sirna);
        return Err(row.at.malformed(expected, "none (see --classes, --add-classes)"));
    }
    let Row { well, site, dataset, population, sirna, at, .. } = row;
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
                    return Err(at.malformed(format!("one label for well {well}"), "two that differ"));
                }
            }
            _ => {
                return Err(at.malformed(format!("well {well} in one of the CSVs"), "it in two"));
            }
        },
    }
    Ok(())
}

fn read_kaggle<R: DeserializeOwned + Into<KaggleRow>>(
    path: &Path,
    dataset: &'static str,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let file: Rc<str> = place.as_str().into();
    let mut seen = BTreeSet::new();
    for row in Rows::<R>::open(&text, &place, Header::AmongOthers)? {
        let (line, row) = row?;
        let at = At { file: Rc::clone(&file), line };
        let KaggleRow { id_code, well, sirna, population } = row.into();
        if id_code != well.to_string() {
            return Err(at.malformed(format!("id_code {well}"), format!("{id_code:?}")));
        }
        if !seen.insert(well.clone()) {
            return Err(at.malformed("each well once", format!("{well} again")));
        }
        match &sirna {
            Some(sirna) if sirna.is_empty() => return Err(at.malformed("a siRNA", "an empty cell")),
            Some(sirna) => check_sirna(sirna, &at)?,
            None => {}
        }
        rows.push(Row { well, site: None, dataset, population, sirna: sirna.unwrap_or_default(), class: None, at });
    }
    Ok(())
}

fn read_rxrx_ai(path: &Path, rows: &mut Vec<Row>) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let file: Rc<str> = place.as_str().into();
    let mut seen = BTreeSet::new();
    for row in Rows::open(&text, &place, Header::AmongOthers)? {
        let (line, row) = row?;
        let at = At { file: Rc::clone(&file), line };
        let SiteRow { site_id, dataset, experiment, plate, well, site, well_type, sirna, sirna_id } = row;
        let well = WellId { plate: PlateId { experiment, plate }, well };
        let id = SiteId { well, site };
        if site_id != id.to_string() {
            return Err(at.malformed(format!("site_id {id}"), format!("{site_id:?}")));
        }
        if !seen.insert(id.clone()) {
            return Err(at.malformed("each site once", format!("{id} again")));
        }
        let dataset = parse_dataset(&dataset, &at)?;
        check_sirna(&sirna, &at)?;
        if sirna.is_empty() && (dataset == "train" || sirna_id.is_some()) {
            return Err(at.malformed("a siRNA", "an empty cell"));
        }
        rows.push(Row { well: id.well, site: Some(site), dataset, population: well_type, sirna, class: sirna_id, at });
    }
    Ok(())
}

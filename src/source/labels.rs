//! The CSVs beside the images: Kaggle's two dialects and rxrx.ai's. Knows nothing of the images themselves.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use crate::classes::{Classes, well_type};
use crate::csv_table::{Header, Rows};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Label, PlateId, Population, SiteId, Well, WellId};

use super::cell_types;
use super::label_rows::{At, Row, check_sirna, implied};
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
    /// Whether the CSVs give classes their numbers beside the names (rxrx.ai).
    pub has_numbers: bool,
    /// Experiments with the cell types that the CSVs name.
    pub experiments: BTreeSet<Experiment>,
}

impl Labels {
    /// A plate with the cell type that the CSVs say its experiment has.
    pub(super) fn with_cell_type(&self, PlateId { experiment, plate }: PlateId) -> PlateId {
        let experiment = self.experiments.get(&experiment).cloned().unwrap_or(experiment);
        PlateId { experiment, plate }
    }
}

/// A row of one of Kaggle's CSVs.
#[derive(Deserialize)]
struct KaggleRow {
    id_code: String,
    experiment: Experiment,
    plate: u16,
    well: Well,
    sirna: Option<String>,
    #[serde(with = "well_type")]
    well_type: Population,
    sirna_id: Option<u32>,
    cell_type: Option<String>,
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
    cell_type: Option<String>,
}

/// The CSVs of Kaggle's layout, each with its dataset and the columns that it may lack: those of the labels and of what
/// they say more of, where Kaggle's own have none.
const KAGGLE: [(&str, &str, &[&str]); 4] = [
    (KAGGLE_CSVS[0], "train", &["well_type", "sirna_id", "cell_type"]),
    (KAGGLE_CSVS[1], "test", &["sirna", "well_type", "sirna_id", "cell_type"]),
    (KAGGLE_CSVS[2], "train", &["sirna_id", "cell_type"]),
    (KAGGLE_CSVS[3], "test", &["sirna_id", "cell_type"]),
];

/// Whether `dir` holds a CSV of Kaggle's layout.
pub(super) fn has_kaggle_csv(dir: &Path) -> Result<bool> {
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
/// If a CSV is missing, is malformed, names a well twice, or a siRNA has no class or another one than it is given.
pub fn read(layout: Layout, dir: &Path, fixed: Fixed) -> Result<Labels> {
    let (mut rows, mut experiments) = (Vec::new(), BTreeSet::new());
    match layout {
        Layout::Bare | Layout::Preset(_) | Layout::Pattern => {
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
            for (name, dataset, optional) in KAGGLE {
                let path = dir.join(name);
                if files::exists(&path)? {
                    read_kaggle(&path, dataset, optional, &mut rows, &mut experiments)?;
                }
            }
        }
        Layout::RxrxAi => {
            read_rxrx_ai(&dir.join(RXRX_AI_CSV), &mut rows, &mut experiments)?;
        }
    }
    let place = dir.display().to_string();
    let classes = match fixed {
        Fixed::Nothing => implied(&rows)?.into_classes(Classes::default(), &place)?,
        Fixed::Classes(classes) => classes,
        Fixed::AndMore(classes) => implied(&rows)?.into_classes(classes, &place)?,
    };
    let has_numbers = rows.iter().any(|row| row.class.is_some());
    let mut labels = Labels { classes, has_numbers, experiments, ..Labels::default() };
    for row in rows {
        add(&mut labels, row)?;
    }
    Ok(labels)
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
    if let (Some(number), Some(class)) = (row.class, class)
        && number != class
    {
        let expected = format!("sirna_id {class} for siRNA {:?}, as the given classes have it", row.sirna);
        return Err(row.at.malformed(expected, number));
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

/// Refuses an empty cell where a table has the column: it would say less than others.
fn check_well_type(population: Population, at: &At) -> Result<()> {
    if population == Population::Unknown {
        return Err(at.malformed("a well_type", "an empty cell"));
    }
    Ok(())
}

fn read_kaggle(
    path: &Path,
    dataset: &'static str,
    optional: &'static [&'static str],
    rows: &mut Vec<Row>,
    experiments: &mut BTreeSet<Experiment>,
) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let file: Rc<str> = place.as_str().into();
    let mut seen = BTreeSet::new();
    let table = Rows::open(&text, &place, Header::AmongOthers { optional })?;
    let [tells_type, tells_cell_type] = ["well_type", "cell_type"].map(|column| table.has(column));
    let needs_sirna = !optional.contains(&"sirna");
    for row in table {
        let (line, row) = row?;
        let at = At { file: Rc::clone(&file), line };
        let KaggleRow { id_code, experiment, plate, well, sirna, well_type, sirna_id, cell_type } = row;
        if tells_cell_type {
            cell_types::note(experiments, &experiment, &cell_type.unwrap_or_default(), &at)?;
        }
        let well = WellId { plate: PlateId { experiment, plate: plate.into() }, well };
        if id_code != well.to_string() {
            return Err(at.malformed(format!("id_code {well}"), format!("{id_code:?}")));
        }
        if !seen.insert(well.clone()) {
            return Err(at.malformed("each well once", format!("{well} again")));
        }
        let sirna = sirna.unwrap_or_default();
        if sirna.is_empty() && (needs_sirna || sirna_id.is_some()) {
            return Err(at.malformed("a siRNA", "an empty cell"));
        }
        check_sirna(&sirna, &at)?;
        let population = if tells_type { well_type } else { Population::Treatment };
        check_well_type(population, &at)?;
        rows.push(Row { well, site: None, dataset, population, sirna, class: sirna_id, at });
    }
    Ok(())
}

fn read_rxrx_ai(path: &Path, rows: &mut Vec<Row>, experiments: &mut BTreeSet<Experiment>) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let file: Rc<str> = place.as_str().into();
    let mut seen = BTreeSet::new();
    let table = Rows::open(&text, &place, Header::AmongOthers { optional: &["cell_type"] })?;
    let tells_cell_type = table.has("cell_type");
    for row in table {
        let (line, row) = row?;
        let at = At { file: Rc::clone(&file), line };
        let SiteRow { site_id, dataset, experiment, plate, well, site, well_type, sirna, sirna_id, cell_type } = row;
        if tells_cell_type {
            cell_types::note(experiments, &experiment, &cell_type.unwrap_or_default(), &at)?;
        }
        let well = WellId { plate: PlateId { experiment, plate: plate.into() }, well };
        let id = SiteId { well, site };
        if site_id != id.to_string() {
            return Err(at.malformed(format!("site_id {id}"), format!("{site_id:?}")));
        }
        if !seen.insert(id.clone()) {
            return Err(at.malformed("each site once", format!("{id} again")));
        }
        let dataset = parse_dataset(&dataset, &at)?;
        check_sirna(&sirna, &at)?;
        check_well_type(well_type, &at)?;
        if sirna.is_empty() && (dataset == "train" || sirna_id.is_some()) {
            return Err(at.malformed("a siRNA", "an empty cell"));
        }
        rows.push(Row { well: id.well, site: Some(site), dataset, population: well_type, sirna, class: sirna_id, at });
    }
    Ok(())
}

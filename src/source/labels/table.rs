//! A table of wells or sites by its columns, in any order and among others: of a data set that is known by them, or of
//! whoever names the columns of its labels.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use crate::csv_table::{Header, Rows, header, shortened, unfit_header};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Name, Population, SiteId};
use crate::suggest;

use super::data_set::{CONDITION, Conditions, DataSet};
use super::keys::{Key, Keys, RowKey, SiteCounter, named_exactly, position, told_by};
use super::options::OTHER_SPLIT;
use super::rows::{At, Gathered, Numbers, Row, SEPARATOR, says_none};
use super::rules::Rules;
use super::rxrx1;
use super::summary::LabelsSummary;
use super::tables::Tables;

/// Values of a column that a refusal tells, at most.
const EXAMPLES: usize = 12;
/// The columns of [`TableRow`], all of which a table may lack.
const OPTIONAL: &[&str] = &["site_id", "well_id", "sirna_id"];
/// Those of them whose names may be only like these.
const ALIKE: &[&str] = &["site_id", "well_id"];
/// The columns of RxRx1 and its relatives that `site_id` and `well_id` repeat; of each one is there.
const OF_IDS: [&[&str]; 3] = [&["experiment", "experiment_name"], &["plate"], &["well", "address"]];

/// What a row says beside what it is known by, by columns whose names are known.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "they are columns of numbers, as tables call them")]
struct TableRow {
    site_id: Option<String>,
    well_id: Option<String>,
    sirna_id: Option<u32>,
}

/// A table, opened as often as it is read.
struct TableFile<'p> {
    path: &'p Path,
    place: String,
}

/// What is meant by the columns of a table.
struct Columns {
    /// Those of the label, by position.
    label: Vec<usize>,
    /// What rows are known by.
    keys: Keys,
    /// That of the dataset.
    split: Option<usize>,
    /// That of the kind of a well, where nothing else says what controls are.
    well_type: Option<usize>,
    cell_type: Option<usize>,
    rules: Rules,
    has: Has,
    /// That of rows that tell none.
    experiment: Experiment,
    /// Rows of each well so far, where they are its sites and no column numbers them.
    counted: Option<SiteCounter>,
    /// Of each label that several columns make, their texts.
    joined: HashMap<String, Vec<String>>,
}

/// Which of the columns that it may lack a table has.
struct Has {
    site_id: bool,
    well_id: bool,
    /// Whether it has it, and the label is what it numbers.
    sirna_id: bool,
}

/// Reads a table.
///
/// # Errors
/// If nothing tells which column is the label, `options` name a column or a control that the table has not, or a row is
/// malformed or names what another one names.
pub(super) fn read(path: &Path, tables: &Tables<'_>) -> Result<(Gathered, LabelsSummary, Numbers)> {
    let options = tables.options;
    let file = TableFile { path, place: path.display().to_string() };
    let header = header(files::open(path)?, &file.place)?;
    let mut data_set = file.data_set(&header)?;
    if data_set == Some(DataSet::RxRx1) {
        if options.given().is_none() {
            let (gathered, summary) = rxrx1::read(path)?;
            return Ok((gathered, summary, Numbers::AreClasses));
        }
        // Others use siRNAs, too, and may say how their table is read.
        data_set = data_set.filter(|_| DataSet::has_all_of_rxrx1(&header));
    }
    if data_set.is_none() && options.label_columns.is_empty() {
        return Err(match DataSet::nearly_named(&header) {
            Some(name) => file.malformed(format!("a column named exactly {name:?}"), &header),
            None => file.unknown(&header),
        });
    }
    let (gathered, summary) = file.read(&header, data_set, tables)?;
    Ok((gathered, summary, Numbers::AreNames))
}

impl TableFile<'_> {
    fn rows(&self) -> Result<Rows<'_, TableRow>> {
        Rows::read(files::open(self.path)?, &self.place, Header::AmongOthers { optional: OPTIONAL, alike: ALIKE })
    }

    fn malformed(&self, expected: impl ToString, header: &[String]) -> Error {
        unfit_header(&self.place, expected, header)
    }

    /// The data set that the table is known as.
    fn data_set(&self, header: &[String]) -> Result<Option<DataSet>> {
        let conditions = || {
            let mut conditions = Conditions::default();
            if let Some(column) = header.iter().position(|name| name == CONDITION) {
                self.each_cell(column, |cell| conditions.note(cell))?;
            }
            Ok(conditions)
        };
        DataSet::of(header, conditions)
    }

    fn unknown(&self, header: &[String]) -> Error {
        let known = "the columns of RxRx1, RxRx2, RxRx19a, RxRx19b or RxRx3";
        let conditions = if header.iter().any(|name| name == CONDITION) {
            format!(" (with conditions of RxRx19a or of RxRx19b in {CONDITION})")
        } else {
            String::new()
        };
        self.malformed(format!("--label-column COLUMN, or {known}{conditions}"), header)
    }

    fn each_cell(&self, column: usize, mut each: impl FnMut(&str)) -> Result<()> {
        let mut rows = self.rows()?;
        while let Some(row) = rows.next() {
            row?;
            each(rows.cell(column).trim());
        }
        Ok(())
    }

    fn read(
        &self,
        header: &[String],
        data_set: Option<DataSet>,
        tables: &Tables<'_>,
    ) -> Result<(Gathered, LabelsSummary)> {
        let mut rows = self.rows()?;
        let mut columns = self.columns(&rows, header, data_set, tables)?;
        let file: Rc<str> = self.place.as_str().into();
        let mut gathered = Gathered::new(!columns.keys.tell_experiment());
        while let Some(row) = rows.next() {
            let (line, row) = row?;
            let at = At { file: Rc::clone(&file), line };
            let row = columns.row(row, |column| rows.cell(column).trim(), at, &mut gathered)?;
            gathered.rows.push(row);
        }
        if let Some((flag, value, column)) = columns.rules.unused() {
            let expected = format!("a value of column {} of {}", header[column], self.place);
            let nearest = self.nearest(column, &value.value)?;
            return Err(suggest::unknown(flag, &expected, &value.value, nearest.iter().map(String::as_str)));
        }
        let has_val = data_set == Some(DataSet::RxRx1) && gathered.rows.iter().any(|row| row.dataset == "val");
        let summary = LabelsSummary {
            file: self.place.clone(),
            data_set: if has_val { Some(DataSet::Wilds) } else { data_set },
            label_columns: columns.label.iter().map(|&column| header[column].clone()).collect(),
            controls: columns.rules.into_summaries(),
            split_column: columns.split.map(|column| header[column].clone()),
            wells: [0; Population::ALL.len()],
            without_label: 0,
        };
        Ok((gathered, summary))
    }

    fn columns(
        &self,
        rows: &Rows<'_, TableRow>,
        header: &[String],
        data_set: Option<DataSet>,
        &Tables { options, experiment, counts_sites, .. }: &Tables<'_>,
    ) -> Result<Columns> {
        let keys = Keys::find(header, options.on.as_ref(), &self.place)?;
        let has_one = |names: &&[&str]| header.iter().any(|name| names.contains(&name.as_str()));
        let has_ids = options.on.is_none() && OF_IDS.iter().all(has_one);
        let known = data_set.map(DataSet::label_columns).unwrap_or_default().iter().map(|name| (*name).to_owned());
        let names = if options.label_columns.is_empty() { known.collect() } else { options.label_columns.clone() };
        let at = |flag: &str, name: &String| position(flag, name, header, &self.place);
        let label: Vec<usize> = names.iter().map(|name| at("--label-column", name)).collect::<Result<_>>()?;
        let split = match options.split_column.as_ref() {
            None => named_exactly("dataset", OTHER_SPLIT.trim_matches([' ', '(', ')']), header, &self.place)?,
            Some(none) if none.is_empty() => None,
            Some(name) => Some(at("--split-column", name)?),
        };
        let told = |key: Key| told_by(key, header, options.on.as_ref(), &self.place);
        let well_type = if options.name_controls() { None } else { told(Key::WellType)? };
        let cell_type = told(Key::CellType)?;
        let rules = Rules::new(options, data_set, header, label[0], &self.place)?;
        let counted = (counts_sites && keys.site.is_none()).then(SiteCounter::default);
        let has = Has {
            site_id: rows.has("site_id") && has_ids,
            well_id: rows.has("well_id") && has_ids,
            sirna_id: rows.has("sirna_id")
                && data_set.is_some_and(DataSet::is_rxrx1)
                && options.label_columns.is_empty(),
        };
        let (experiment, joined) = (experiment.clone(), HashMap::new());
        Ok(Columns { label, keys, split, well_type, cell_type, rules, has, experiment, counted, joined })
    }

    /// Values of a column, those that are most like a text first.
    fn nearest(&self, column: usize, text: &str) -> Result<Vec<String>> {
        let mut values = BTreeSet::new();
        self.each_cell(column, |cell| {
            if !values.contains(cell) {
                values.insert(cell.to_owned());
            }
        })?;
        let mut values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        values.sort_by_cached_key(|value| strsim::damerau_levenshtein(value, text));
        values.truncate(EXAMPLES);
        Ok(values)
    }
}

impl Columns {
    fn row<'c>(
        &mut self,
        row: TableRow,
        cell: impl Fn(usize) -> &'c str,
        at: At,
        gathered: &mut Gathered,
    ) -> Result<Row> {
        let RowKey { experiment, plate, well, site } = self.keys.read(&cell, &at)?;
        if let Some(column) = self.cell_type {
            gathered.cell_type((experiment.as_ref(), &plate), cell(column), &at)?;
        }
        let experiment = experiment.unwrap_or_else(|| self.experiment.clone());
        let well = gathered.well(experiment, plate, well);
        let site = match &mut self.counted {
            Some(counted) => Some(counted.next(&well, &at)?),
            None => site,
        };
        let check_id = |what: &str, expected: String, found: Option<String>| {
            let found = found.unwrap_or_default();
            let is_it = expected == found;
            is_it.then_some(()).ok_or_else(|| at.malformed(format!("{what} {expected}"), format!("{found:?}")))
        };
        if self.has.well_id {
            check_id("well_id", well.to_string(), row.well_id)?;
        }
        if let (true, Some(site)) = (self.has.site_id, site) {
            check_id("site_id", SiteId { well: well.clone(), site }.to_string(), row.site_id)?;
        }
        let dataset = self.dataset(&cell, &at)?;
        let rule = self.rules.of(&cell, &at)?;
        let texts: Vec<&str> = self.label.iter().map(|&column| cell(column)).collect();
        let mut label = label(&texts, rule.is_some(), &at)?;
        let mut control = None;
        let population = match (rule, self.well_type) {
            (Some((index, rule)), _) => {
                control = Some(index);
                if label.is_empty() {
                    label.clone_from(&rule.label);
                }
                rule.population
            }
            (None, Some(column)) => well_type(cell(column), &at)?,
            (None, None) if label.is_empty() => Population::Unknown,
            (None, None) => Population::Treatment,
        };
        check_meaning(&mut self.joined, &label, &texts, &at)?;
        let class = row.sirna_id.filter(|_| self.has.sirna_id);
        let (dataset, sirna): (Name, Name) = (gathered.name(dataset), gathered.name(&label));
        Ok(Row { well, site, dataset, population, sirna, class, control, at })
    }

    /// The dataset that a row names; `train` where no column does.
    fn dataset<'c>(&self, cell: &impl Fn(usize) -> &'c str, at: &At) -> Result<&'static str> {
        let Some(named) = self.split.map(cell) else { return Ok("train") };
        match named {
            "train" => Ok("train"),
            "val" | "validation" => Ok("val"),
            "test" => Ok("test"),
            _ => {
                let expected = format!("dataset train, val, validation or test{OTHER_SPLIT}");
                Err(at.malformed(expected, format!("{named:?}")))
            }
        }
    }
}

/// The kind of well that a cell says.
///
/// # Errors
/// If it says none, or is empty where a table has the column: it would say less than others.
fn well_type(cell: &str, at: &At) -> Result<Population> {
    match cell.parse() {
        Ok(Population::Unknown) | Err(_) => {
            let expected = "a well_type: negative_control, positive_control or treatment \
                            (--on plate,well,well_type= says that no column tells it, and so do named controls)";
            let found = if cell.is_empty() { "an empty cell".to_owned() } else { format!("{cell:?}") };
            Err(at.malformed(expected, found))
        }
        Ok(population) => Ok(population),
    }
}

/// The texts of the columns of a label as one; empty where the first is.
///
/// # Errors
/// If one says that there is none, as programs write it: it would be a class. That of a control may be called so. If one
/// is of several lines: the end of a quoted cell is lost.
fn label(texts: &[&str], is_control: bool, at: &At) -> Result<String> {
    if let Some(lines) = texts.iter().find(|text| text.contains(char::is_control)) {
        return Err(at.malformed("a label without control characters", format!("{:?}", shortened(lines))));
    }
    if let Some(none) = texts.iter().find(|text| says_none(text) && !is_control) {
        return Err(at.malformed("a label, or an empty cell", format!("{none:?}, which says that there is none")));
    }
    if texts[0].is_empty() {
        return Ok(String::new());
    }
    Ok(texts.iter().copied().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(SEPARATOR))
}

/// Refuses a label that the texts of several columns make in two ways, as an empty one between others does: two
/// treatments would be one class.
fn check_meaning(known: &mut HashMap<String, Vec<String>>, label: &str, texts: &[&str], at: &At) -> Result<()> {
    if texts.len() < 2 || texts[0].is_empty() {
        return Ok(());
    }
    match known.entry(label.to_owned()) {
        Entry::Occupied(known) if known.get() != texts => {
            let expected = format!("label {label:?} of the cells {:?}, as rows before have it", known.get());
            Err(at.malformed(expected, format!("{texts:?}")))
        }
        Entry::Occupied(_) => Ok(()),
        Entry::Vacant(new) => {
            new.insert(texts.iter().map(|&text| text.to_owned()).collect());
            Ok(())
        }
    }
}

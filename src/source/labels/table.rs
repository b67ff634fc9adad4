//! A table of wells or sites by its columns, in any order and among others: of a data set that is known by them, or of
//! whoever names the columns of its labels.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use crate::csv_table::{Header, Rows, header, unfit_header};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Name, Plate, Population, SiteId, Well};
use crate::suggest;

use super::cell_types;
use super::data_set::{CONDITION, Conditions, DataSet};
use super::keys::{Keys, RowKey, SiteCounter, position};
use super::rows::{At, Gathered, Numbers, Row, check_well_type, says_none};
use super::rules::Rules;
use super::rxrx1;
use super::summary::LabelsSummary;
use super::tables::Tables;

/// Between the texts of a label that is made of several columns.
const SEPARATOR: &str = " | ";
/// Values of a column that a refusal tells, at most.
const EXAMPLES: usize = 12;
/// The columns of [`TableRow`] that a table may lack; of an experiment and of a well it has one of two.
const OPTIONAL: &[&str] = &[
    "experiment",
    "experiment_name",
    "plate",
    "well",
    "address",
    "site",
    "site_id",
    "well_id",
    "dataset",
    "well_type",
    "cell_type",
    "sirna_id",
];
/// Those of them that rows are known by.
const KEYS: &[&str] = &["experiment", "experiment_name", "plate", "well", "address", "site", "site_id", "well_id"];

/// What a row says by columns whose names are known.
#[derive(Deserialize)]
struct TableRow {
    experiment: Option<Experiment>,
    experiment_name: Option<Experiment>,
    plate: Option<Plate>,
    well: Option<Well>,
    address: Option<Well>,
    site: Option<u16>,
    site_id: Option<String>,
    well_id: Option<String>,
    dataset: Option<String>,
    well_type: Option<String>,
    cell_type: Option<String>,
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
    /// What rows are known by, where it is not by the columns of [`TableRow`].
    keys: Option<Keys>,
    /// That of the dataset, if it has another name than `dataset`.
    split: Option<usize>,
    rules: Rules,
    has: Has,
    /// That of rows that tell none.
    experiment: Experiment,
    /// Rows of each well so far, where they are its sites and no column numbers them.
    counted: Option<SiteCounter>,
}

/// Which of the columns that it may lack a table has.
#[expect(clippy::struct_excessive_bools, reason = "one a column, each by itself")]
struct Has {
    site: bool,
    site_id: bool,
    well_id: bool,
    dataset: bool,
    /// Whether it has it, and nothing else says what controls are.
    well_type: bool,
    cell_type: bool,
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
        // A name that is nearly right comes first.
        file.rows(true)?;
        return Err(file.unknown(&header));
    }
    let (gathered, summary) = file.read(&header, data_set, tables)?;
    Ok((gathered, summary, Numbers::AreNames))
}

impl TableFile<'_> {
    /// The rows of a data set that is known, whose columns have these names exactly; those by which rows of others are
    /// known may have any.
    fn rows(&self, is_known: bool) -> Result<Rows<'_, TableRow>> {
        let header = Header::AmongOthers { optional: OPTIONAL, alike: if is_known { &[] } else { KEYS } };
        Rows::read(files::open(self.path)?, &self.place, header)
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
        self.malformed(format!("{known}{conditions}, or --label-column COLUMN"), header)
    }

    fn each_cell(&self, column: usize, mut each: impl FnMut(&str)) -> Result<()> {
        let mut rows = self.rows(false)?;
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
        let mut rows = self.rows(data_set.is_some())?;
        let mut columns = self.columns(&rows, header, data_set, tables)?;
        let file: Rc<str> = self.place.as_str().into();
        let names_no_experiment = columns.keys.is_some_and(|keys| !keys.tell_experiment());
        let mut gathered = Gathered::new(names_no_experiment);
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
        let split = columns.split.map(|column| header[column].clone());
        let summary = LabelsSummary {
            file: self.place.clone(),
            data_set: if has_val { Some(DataSet::Wilds) } else { data_set },
            label_columns: columns.label.iter().map(|&column| header[column].clone()).collect(),
            controls: columns.rules.into_summaries(),
            split_column: split.or_else(|| columns.has.dataset.then(|| "dataset".to_owned())),
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
        let lacks = |[name, other]: [&'static str; 2]| (!rows.has(name) && !rows.has(other)).then_some([name, other]);
        let lacks =
            [["experiment", "experiment_name"], ["plate", "plate"], ["well", "address"]].into_iter().find_map(lacks);
        let keys = match lacks {
            Some([name, other]) if data_set.is_some() => {
                return Err(self.malformed(format!("a column {name:?} or {other:?}"), header));
            }
            None if options.on.is_none() => None,
            _ => Some(Keys::find(header, options.on.as_ref(), &self.place)?),
        };
        let known = data_set.map(DataSet::label_columns).unwrap_or_default().iter().map(|name| (*name).to_owned());
        let names = if options.label_columns.is_empty() { known.collect() } else { options.label_columns.clone() };
        let at = |flag: &str, name: &String| position(flag, name, header, &self.place);
        let label: Vec<usize> = names.iter().map(|name| at("--label-column", name)).collect::<Result<_>>()?;
        let split = options.split_column.as_ref().map(|name| at("--split-column", name)).transpose()?;
        let rules = Rules::new(options, data_set, header, label[0], &self.place)?;
        let has_site = keys.map_or_else(|| rows.has("site"), |keys| keys.site.is_some());
        let counted = (counts_sites && !has_site).then(SiteCounter::default);
        let has = Has {
            site: has_site || counted.is_some(),
            site_id: rows.has("site_id") && keys.is_none(),
            well_id: rows.has("well_id") && keys.is_none(),
            dataset: rows.has("dataset"),
            well_type: rows.has("well_type") && !options.name_controls(),
            cell_type: rows.has("cell_type"),
            sirna_id: rows.has("sirna_id")
                && data_set.is_some_and(DataSet::is_rxrx1)
                && options.label_columns.is_empty(),
        };
        Ok(Columns { label, keys, split, rules, has, experiment: experiment.clone(), counted })
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
        let missing = |what: &str| at.malformed(what, "an empty cell");
        let RowKey { experiment, plate, well, site } = match &self.keys {
            Some(keys) => keys.read(&cell, &at)?,
            None => RowKey {
                experiment: Some(row.experiment.or(row.experiment_name).ok_or_else(|| missing("an experiment"))?),
                plate: row.plate.ok_or_else(|| missing("a plate"))?,
                well: row.well.or(row.address).ok_or_else(|| missing("a well"))?,
                site: row.site,
            },
        };
        let experiment = experiment.unwrap_or_else(|| self.experiment.clone());
        if self.has.cell_type {
            let cell_type = row.cell_type.unwrap_or_default();
            cell_types::note(&mut gathered.experiments, &experiment, &cell_type, &at)?;
        }
        let well = gathered.well(experiment, plate, well);
        let site = match &mut self.counted {
            Some(counted) => Some(counted.next(&well, &at)?),
            None => site,
        };
        let site = if self.has.site { Some(site.ok_or_else(|| missing("a site"))?) } else { None };
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
        let dataset = self.dataset(row.dataset, &cell, &at)?;
        let rule = self.rules.of(&cell, &at)?;
        let mut label = label(&self.label, &cell, rule.is_some(), &at)?;
        let mut control = None;
        let population = match rule {
            Some((index, rule)) => {
                control = Some(index);
                if label.is_empty() {
                    label.clone_from(&rule.label);
                }
                rule.population
            }
            None if self.has.well_type => {
                let population = row.well_type.as_deref().unwrap_or_default().parse();
                let population = population
                    .map_err(|e: crate::site::ParseError| at.malformed(e.expected, format!("{:?}", e.found)))?;
                check_well_type(population, &at)?;
                population
            }
            None if label.is_empty() => Population::Unknown,
            None => Population::Treatment,
        };
        let class = row.sirna_id.filter(|_| self.has.sirna_id);
        let (dataset, sirna): (Name, Name) = (gathered.name(dataset), gathered.name(&label));
        Ok(Row { well, site, dataset, population, sirna, class, control, at })
    }

    /// The dataset that a row names; `train` where no column does.
    fn dataset<'c>(&self, named: Option<String>, cell: &impl Fn(usize) -> &'c str, at: &At) -> Result<&'static str> {
        let named = match self.split {
            Some(column) => cell(column).to_owned(),
            None if self.has.dataset => named.unwrap_or_default(),
            None => return Ok("train"),
        };
        match named.as_str() {
            "train" => Ok("train"),
            "val" | "validation" => Ok("val"),
            "test" => Ok("test"),
            _ => Err(at.malformed("dataset train, val, validation or test", format!("{named:?}"))),
        }
    }
}

/// The texts of the columns of a label as one; empty where the first is.
///
/// # Errors
/// If one says that there is none, as programs write it: it would be a class. That of a control may be called so.
fn label<'c>(columns: &[usize], cell: &impl Fn(usize) -> &'c str, is_control: bool, at: &At) -> Result<String> {
    let texts: Vec<&str> = columns.iter().map(|&column| cell(column)).collect();
    if let Some(none) = texts.iter().find(|text| says_none(text) && !is_control) {
        return Err(at.malformed("a label, or an empty cell", format!("{none:?}, which says that there is none")));
    }
    if texts[0].is_empty() {
        return Ok(String::new());
    }
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(SEPARATOR))
}

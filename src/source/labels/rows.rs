//! Rows of CSVs before classes are known, and the classes that they imply. Pure.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::classes::{Class, Classes};
use crate::error::{Error, Result};
use crate::site::{Experiment, Name, Names, Plate, PlateId, Population, Well, WellId, parse_number};

use super::cell_types::{self, OfPlates};

/// A row before classes are known.
pub(super) struct Row {
    pub(super) well: WellId,
    pub(super) site: Option<u16>,
    pub(super) dataset: Name,
    pub(super) population: Population,
    /// Empty where the file does not tell, as it does not of a test set.
    pub(super) sirna: Name,
    /// The class, where the file gives its number beside the siRNA (RxRx1's own).
    pub(super) class: Option<u32>,
    /// Which of the controls that the summary of a table names.
    pub(super) control: Option<usize>,
    pub(super) at: At,
}

/// What all tables say of wells, gathered; texts that come again are kept once.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) rows: Vec<Row>,
    /// Experiments with the cell types that tables name.
    pub(super) experiments: BTreeSet<Experiment>,
    /// Cell types that a table tells which leaves open of which experiments its plates are.
    pub(super) cell_types: OfPlates,
    /// Whether the table leaves open of which experiment its plates are.
    pub(super) names_no_experiment: bool,
    /// The first row whose cell of the cell type is empty.
    no_cell_type: Option<At>,
    names: Names,
}

/// The way out where a column of cell types tells something else.
const NO_CELL_TYPE: &str = " (--on plate,well,cell_type= says that no column tells it)";

impl Gathered {
    /// Of a table that may leave open of which experiment its plates are.
    pub(super) fn new(names_no_experiment: bool) -> Self {
        Self { names_no_experiment, ..Self::default() }
    }

    /// The one place where a table's cells become a well.
    pub(super) fn well(&mut self, mut experiment: Experiment, mut plate: Plate, well: Well) -> WellId {
        experiment.share(&mut self.names);
        plate.share(&mut self.names);
        WellId { plate: PlateId { experiment, plate }, well }
    }

    /// Notes the cell type that a row tells of its plate, or of its experiment where it tells that.
    ///
    /// # Errors
    /// If rows before say otherwise.
    pub(super) fn cell_type(&mut self, of: (Option<&Experiment>, &Plate), cell_type: &str, at: &At) -> Result<()> {
        let place = || at.place();
        match of {
            _ if cell_type.trim().is_empty() => {
                self.no_cell_type.get_or_insert_with(|| at.clone());
                Ok(())
            }
            (Some(experiment), _) => {
                cell_types::note(&mut self.experiments, experiment, cell_type, place, NO_CELL_TYPE)
            }
            (None, plate) => self.cell_types.note(plate, cell_type, place, NO_CELL_TYPE),
        }
    }

    /// Refuses rows without a cell type where others have one; a column without any tells none.
    ///
    /// # Errors
    /// If there are such.
    pub(super) fn check_cell_types(&self) -> Result<()> {
        match &self.no_cell_type {
            Some(at) if !self.experiments.is_empty() || !self.cell_types.is_empty() => {
                let expected = format!("a cell type, as other rows have one{NO_CELL_TYPE}");
                Err(at.malformed(expected, "an empty cell"))
            }
            _ => Ok(()),
        }
    }

    /// A text as a name, the same one where it comes again.
    pub(super) fn name(&mut self, text: &str) -> Name {
        let mut name = text.into();
        self.names.share(&mut name);
        name
    }
}

/// What labels that are numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// They are classes, as Kaggle's are.
    AreClasses,
    /// They are names, as those of compounds.
    AreNames,
}

/// Where a row stands: its file and its line.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) file: Rc<str>,
    pub(crate) line: u64,
}

impl At {
    /// The file and the line.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    pub(crate) fn malformed(&self, expected: impl ToString, found: impl ToString) -> Error {
        Error::malformed(self.place(), expected, found)
    }
}

/// The classes that rows imply.
#[derive(Default)]
pub(super) struct Implied {
    /// Those whose numbers the files give: they stay as they are, gaps and all.
    numbered: Vec<Class>,
    /// Those that have only names.
    named: Vec<(String, Population)>,
}

impl Implied {
    /// These behind those that are known.
    pub(super) fn into_classes(mut self, known: Classes, place: &str) -> Result<Classes> {
        // A number that a name has taken, as controls do behind the last treatment, is a name to a store that grows.
        let is_taken = |class: &Class| {
            let by_name = known.sirna_of(class.class).is_some_and(|sirna| parse_number::<u32>(sirna).is_none());
            by_name && known.class_of(&class.sirna).is_none() && class.sirna == class.class.to_string()
        };
        let (taken, numbered) = self.numbered.into_iter().partition(is_taken);
        self.numbered = numbered;
        let taken: Vec<Class> = taken;
        self.named.extend(taken.into_iter().map(|class| (class.sirna, class.population)));
        Classes::numbered(known.into_rows().into_iter().chain(self.numbered), place)?.and_named(self.named)
    }
}

/// The classes that rows imply.
pub(super) fn implied(rows: &[Row], numbers_mean: Numbers) -> Result<Implied> {
    let labelled = || rows.iter().filter(|row| !row.sirna.is_empty());
    let named = |row: &Row| (row.sirna.to_string(), row.population);
    if labelled().any(|row| row.class.is_some()) {
        let number = |row: &Row| {
            row.class.ok_or_else(|| {
                row.at.malformed("a sirna_id, as rows of these tables have it (or no such column)", "none")
            })
        };
        let class =
            |row: &Row| Ok(Class { class: number(row)?, sirna: row.sirna.to_string(), population: row.population });
        return Ok(Implied { numbered: labelled().map(class).collect::<Result<_>>()?, named: Vec::new() });
    }
    if numbers_mean == Numbers::AreNames {
        let distinct: BTreeSet<(&str, Population)> = labelled().map(|row| (&*row.sirna, row.population)).collect();
        let named = distinct.into_iter().map(|(sirna, population)| (sirna.to_owned(), population)).collect();
        return Ok(Implied { numbered: Vec::new(), named });
    }
    // Treatments may be numbered where controls have names; those of one kind are all numbers or all names.
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
/// If some are numbers and some are not: one slip would make names of all, and number every class anew.
fn numbers(rows: &[&Row]) -> Result<Option<Vec<Class>>> {
    let number = |row: &&Row| parse_number::<u32>(&row.sirna);
    let (numbers, names): (Vec<&Row>, Vec<&Row>) = rows.iter().copied().partition(|row| number(row).is_some());
    if let (Some(a_number), Some(a_name)) = (numbers.first(), names.first()) {
        let (odd, usual) = if numbers.len() < names.len() { (a_number, a_name) } else { (a_name, a_number) };
        let expected = "siRNAs that are all numbers or all names (or --classes FILE, which numbers them)";
        return Err(odd.at.malformed(expected, format!("{:?} where others are as {:?}", odd.sirna, usual.sirna)));
    }
    if !names.is_empty() {
        return Ok(None);
    }
    let class = |row: &&Row| Class {
        class: number(row).expect("checked for all rows"),
        sirna: row.sirna.to_string(),
        population: row.population,
    };
    Ok(Some(rows.iter().map(class).collect()))
}

/// Between the texts of a label that is made of several columns.
pub(super) const SEPARATOR: &str = " | ";

/// A label without what people write in many ways: in lower case, with one space for many, and numbers by what they are
/// worth. Labels that are the same so are likely the same.
pub(super) fn folded(label: &str) -> String {
    let of_number = |number: f64| number.is_finite().then(|| number.to_string());
    let fold = |text: &str| {
        // The sign of micro is also written as the Greek letter.
        let words =
            || text.to_lowercase().replace('\u{b5}', "\u{3bc}").split_whitespace().collect::<Vec<_>>().join(" ");
        text.trim().parse().ok().and_then(of_number).unwrap_or_else(words)
    };
    label.split(SEPARATOR).map(fold).collect::<Vec<_>>().join(SEPARATOR)
}

/// Whether a text says that there is none.
pub(super) fn says_none(text: &str) -> bool {
    const NONE: [&str; 9] = ["nan", "none", "null", "na", "n/a", "<na>", "#n/a", "-nan", "nil"];
    NONE.contains(&text.to_lowercase().as_str())
}

/// Refuses a text that stands where a siRNA should and means that there is none, or that a program has mangled: it would
/// be a class of its own.
pub(super) fn check_sirna(sirna: &str, at: &At) -> Result<()> {
    let is_float = sirna.split_once('.').is_some_and(|(whole, rest)| {
        !whole.is_empty() && parse_number::<u64>(whole).is_some() && rest.bytes().all(|b| b == b'0')
    });
    if says_none(sirna) {
        return Err(at.malformed("a siRNA", format!("{sirna:?}, which says that there is none")));
    }
    if sirna.trim() != sirna {
        return Err(at.malformed("a siRNA without white space around it", format!("{sirna:?}")));
    }
    if is_float {
        return Err(at.malformed("a siRNA as a name or a whole number", format!("{sirna:?}")));
    }
    Ok(())
}

/// Refuses an empty cell where a table has the column: it would say less than others.
pub(super) fn check_well_type(population: Population, at: &At) -> Result<()> {
    if population == Population::Unknown {
        return Err(at.malformed("a well_type", "an empty cell"));
    }
    Ok(())
}

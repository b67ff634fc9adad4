//! The tables that predictions are compared with and written as: `id_code,sirna`, as Kaggle's files are. Parses and
//! writes text; knows no network.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::classes::Classes;
use crate::csv_table::{self, Header, Rows};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{WellId, parse_number};

/// How a class is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// By its number: `sirna` of 2019.
    Number,
    /// By its siRNA's name: `sirna_250` of 2023.
    Name,
}

impl Dialect {
    /// How the source of a store writes its classes: by number where every siRNA is named by its own.
    #[must_use]
    pub fn of(classes: &Classes) -> Self {
        let own = classes.rows().iter().all(|row| row.sirna == row.class.to_string());
        if own { Self::Number } else { Self::Name }
    }
}

/// What cells mean: names are those of a store's classes; numbers only what somebody has said they are.
#[derive(Debug, Clone, Copy)]
pub struct Spelling<'c> {
    classes: &'c Classes,
    /// What each number stands for; `None` where nobody said.
    numbers: Option<&'c Classes>,
}

impl<'c> Spelling<'c> {
    /// The spelling of a store's classes, with a table of what numbers stand for. Without one, numbers mean something
    /// only where every siRNA is named by its own: other stores may be numbered by us, as nobody outside numbers them.
    #[must_use]
    pub fn new(classes: &'c Classes, given: Option<&'c Classes>) -> Self {
        let own = || (Dialect::of(classes) == Dialect::Number).then_some(classes);
        Self { classes, numbers: given.or_else(own) }
    }

    /// The class of a number, by the siRNA that it stands for.
    fn class_of_number(&self, number: u32) -> Option<u32> {
        self.classes.class_of(self.numbers?.sirna_of(number)?)
    }

    fn write(&self, class: u32, dialect: Dialect) -> Result<String> {
        let unknown = || Error::refused("class", "one of the store's classes.csv", class);
        let name = self.classes.sirna_of(class).ok_or_else(unknown)?;
        match dialect {
            Dialect::Name => Ok(name.to_owned()),
            Dialect::Number => {
                let number = self.numbers.and_then(|numbers| numbers.class_of(name));
                let unknown = || Error::refused("--classes", format!("a number of siRNA {name:?}"), "none");
                number.map(|number| number.to_string()).ok_or_else(unknown)
            }
        }
    }
}

/// A row of such a table.
#[derive(Serialize, Deserialize)]
struct SubmissionRow {
    id_code: WellId,
    sirna: String,
}

/// A table of wells and classes, in the order of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WellTable {
    /// Each well with its class; `None` where the cell is empty or names no class.
    pub rows: Vec<(WellId, Option<u32>)>,
    /// How the file writes classes.
    pub dialect: Dialect,
}

impl WellTable {
    /// Reads a CSV that has the columns `id_code` and `sirna`, among others.
    ///
    /// # Errors
    /// If it has not, or a row names no well, or a well comes twice, or classes are numbers that mean nothing.
    pub fn read(path: &Path, spelling: Spelling<'_>) -> Result<Self> {
        Self::parse(&files::read_text(path)?, &path.display().to_string(), spelling)
    }

    /// Parses such a CSV; `place` names it in errors.
    ///
    /// # Errors
    /// As [`WellTable::read`].
    pub fn parse(text: &str, place: &str, spelling: Spelling<'_>) -> Result<Self> {
        let mut cells = Vec::new();
        let mut first: BTreeMap<WellId, u64> = BTreeMap::new();
        for row in Rows::open(text, place, Header::AmongOthers { optional: &[], alike: &[] })? {
            let (line, SubmissionRow { id_code: well, sirna }) = row?;
            if let Some(before) = first.insert(well.clone(), line) {
                let found = format!("{well} again (line {before} has it)");
                return Err(Error::malformed(format!("{place}:{line}"), "each well once", found));
            }
            cells.push((well, sirna));
        }
        // A siRNA may be named by a number, so what all cells are decides: names only where one is not a number.
        let is_number = |cell: &String| cell.is_empty() || parse_number::<u32>(cell).is_some();
        let dialect = if cells.iter().all(|(_, cell)| is_number(cell)) { Dialect::Number } else { Dialect::Name };
        if dialect == Dialect::Number
            && spelling.numbers.is_none()
            && let Some((well, number)) = cells.iter().find(|(_, cell)| !cell.is_empty())
        {
            let expected = "siRNAs by name (or --classes FILE, a table of what numbers stand for)";
            return Err(Error::refused(place, expected, format!("{number} for {well}")));
        }
        let class = |cell: &str| match dialect {
            Dialect::Number => {
                parse_number(cell).filter(|_| !cell.is_empty()).and_then(|n| spelling.class_of_number(n))
            }
            Dialect::Name => spelling.classes.class_of(cell),
        };
        let rows = cells.into_iter().map(|(well, cell)| (well, class(&cell))).collect();
        Ok(Self { rows, dialect })
    }
}

/// `id_code,sirna` of each well in order.
///
/// # Errors
/// If a class is not one of the store's, or has no number where numbers are to be written.
pub fn to_csv(rows: &[(WellId, u32)], dialect: Dialect, spelling: Spelling<'_>) -> Result<String> {
    let row = |(well, class): &(WellId, u32)| {
        Ok(SubmissionRow { id_code: well.clone(), sirna: spelling.write(*class, dialect)? })
    };
    Ok(csv_table::to_csv(&rows.iter().map(row).collect::<Result<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Classes {
        let text = "class,sirna,well_type\n0,sirna_9,treatment\n1,sirna_10,treatment\n2,UNTREATED,negative_control\n";
        Classes::parse(text, "classes.csv").unwrap()
    }

    /// Other numbers of the same siRNAs.
    fn given() -> Classes {
        let text = "class,sirna,well_type\n70,sirna_9,treatment\n10,sirna_10,treatment\n5,other,treatment\n";
        Classes::parse(text, "given.csv").unwrap()
    }

    fn parse(text: &str, numbers: Option<&Classes>) -> Result<WellTable> {
        WellTable::parse(text, "like.csv", Spelling::new(&classes(), numbers))
    }

    fn found(table: &WellTable) -> Vec<Option<u32>> {
        table.rows.iter().map(|row| row.1).collect()
    }

    #[test]
    fn names_are_those_of_the_classes() {
        let names = parse("well,id_code,sirna\nB02,RPE-01_1_B02,sirna_10\nB03,RPE-01_1_B03,\n", None).unwrap();
        assert_eq!((names.dialect, found(&names)), (Dialect::Name, vec![Some(1), None]));
    }

    #[test]
    fn numbers_that_nobody_explains_are_refused() {
        let text = "id_code,sirna\nRPE-01_1_B02,1\nRPE-01_1_B03,0\n";
        let error = parse(text, None).unwrap_err().to_string();
        assert!(error.contains("--classes FILE") && error.contains("1 for RPE-01_1_B02"), "{error}");
        let table =
            parse("id_code,sirna\nRPE-01_1_B02,10\nRPE-01_1_B03,70\nRPE-01_1_B04,5\nRPE-01_1_B05,1\n", Some(&given()));
        let table = table.unwrap();
        assert_eq!((table.dialect, found(&table)), (Dialect::Number, vec![Some(1), Some(0), None, None]));
    }

    #[test]
    fn numbers_of_a_source_that_gives_them_are_its_classes() {
        let own = Classes::parse("class,sirna,well_type\n4,4,treatment\n7,7,treatment\n", "classes.csv").unwrap();
        let spelling = Spelling::new(&own, None);
        let table = WellTable::parse("id_code,sirna\nRPE-01_1_B02,7\nRPE-01_1_B03,5\n", "like.csv", spelling).unwrap();
        assert_eq!(found(&table), [Some(7), None]);
        let rows = [("RPE-01_1_B02".parse().unwrap(), 4)];
        assert_eq!(to_csv(&rows, Dialect::Number, spelling).unwrap(), "id_code,sirna\nRPE-01_1_B02,4\n");
    }

    #[test]
    fn refuses_tables_without_the_columns_and_wells_that_come_twice() {
        for text in ["", "id,sirna\n", "id_code\nRPE-01_1_B02\n", "id_code,sirna\nB02,1\n"] {
            assert!(parse(text, None).is_err(), "{text:?}");
        }
        let twice = parse("id_code,sirna\nRPE-01_1_B02,1\nRPE-01_1_B02,1\n", None).unwrap_err().to_string();
        assert_eq!(twice, "like.csv:3: expected each well once, found RPE-01_1_B02 again (line 2 has it)");
    }

    #[test]
    fn what_is_written_is_read_back_in_either_dialect() {
        let rows = vec![("RPE-01_1_B02".parse().unwrap(), 1), ("RPE-01_1_AA02".parse().unwrap(), 0)];
        let (classes, given) = (classes(), given());
        let spelling = Spelling::new(&classes, Some(&given));
        for dialect in [Dialect::Number, Dialect::Name] {
            let text = to_csv(&rows, dialect, spelling).unwrap();
            let table = WellTable::parse(&text, "like.csv", spelling).unwrap();
            assert_eq!(table.dialect, dialect);
            assert!(table.rows.iter().map(|(well, class)| (well.clone(), class.unwrap())).eq(rows.clone()));
        }
        let text = to_csv(&rows, Dialect::Number, spelling).unwrap();
        assert_eq!(text, "id_code,sirna\nRPE-01_1_B02,10\nRPE-01_1_AA02,70\n");
        assert!(to_csv(&[(rows[0].0.clone(), 2)], Dialect::Number, spelling).is_err(), "no number of UNTREATED");
        let odd = Classes::parse("class,sirna,well_type\n1,\"a,\"\"b\"\"\",\n", "classes.csv").unwrap();
        let odd = Spelling::new(&odd, None);
        let text = to_csv(&rows[..1], Dialect::Name, odd).unwrap();
        assert_eq!(text, "id_code,sirna\nRPE-01_1_B02,\"a,\"\"b\"\"\"\n");
        assert_eq!(to_csv(&[], Dialect::Name, odd).unwrap(), "id_code,sirna\n");
        assert!(to_csv(&[(rows[0].0.clone(), 5)], Dialect::Name, odd).is_err());
    }
}

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
    /// If it has not, or a row names no well, or a well comes twice.
    pub fn read(path: &Path, classes: &Classes) -> Result<Self> {
        Self::parse(&files::read_text(path)?, &path.display().to_string(), classes)
    }

    /// Parses such a CSV; `place` names it in errors.
    ///
    /// # Errors
    /// If it has not the columns, or a row names no well, or a well comes twice.
    pub fn parse(text: &str, place: &str, classes: &Classes) -> Result<Self> {
        let mut cells = Vec::new();
        let mut first: BTreeMap<WellId, u64> = BTreeMap::new();
        for row in Rows::open(text, place, Header::AmongOthers)? {
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
        let class = |cell: &str| match dialect {
            Dialect::Number => parse_number::<u32>(cell).filter(|&class| !cell.is_empty() && classes.contains(class)),
            Dialect::Name => classes.class_of(cell),
        };
        let rows = cells.into_iter().map(|(well, cell)| (well, class(&cell))).collect();
        Ok(Self { rows, dialect })
    }
}

/// `id_code,sirna` of each well in order.
///
/// # Errors
/// If a class is not one of `classes`.
pub fn to_csv(rows: &[(WellId, u32)], dialect: Dialect, classes: &Classes) -> Result<String> {
    let names: BTreeMap<u32, &str> = classes.rows().iter().map(|row| (row.class, row.sirna.as_str())).collect();
    let row = |(well, class): &(WellId, u32)| {
        let name = names.get(class).ok_or_else(|| Error::refused("class", "one of the store's classes.csv", class))?;
        let sirna = match dialect {
            Dialect::Number => class.to_string(),
            Dialect::Name => (*name).to_owned(),
        };
        Ok(SubmissionRow { id_code: well.clone(), sirna })
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

    fn parse(text: &str) -> Result<WellTable> {
        WellTable::parse(text, "like.csv", &classes())
    }

    #[test]
    fn the_dialect_of_a_file_is_recognised() {
        let numbers = parse("id_code,sirna\nRPE-01_1_B02,1\nRPE-01_1_B03,7\n").unwrap();
        assert_eq!(numbers.dialect, Dialect::Number);
        assert_eq!(numbers.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [Some(1), None]);
        let names = parse("well,id_code,sirna\nB02,RPE-01_1_B02,sirna_10\nB03,RPE-01_1_B03,\n").unwrap();
        assert_eq!(names.dialect, Dialect::Name);
        assert_eq!(names.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [Some(1), None]);
    }

    #[test]
    fn refuses_tables_without_the_columns_and_wells_that_come_twice() {
        for text in ["", "id,sirna\n", "id_code\nRPE-01_1_B02\n", "id_code,sirna\nB02,1\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let twice = parse("id_code,sirna\nRPE-01_1_B02,1\nRPE-01_1_B02,1\n").unwrap_err().to_string();
        assert_eq!(twice, "like.csv:3: expected each well once, found RPE-01_1_B02 again (line 2 has it)");
    }

    #[test]
    fn what_is_written_is_read_back_in_either_dialect() {
        let rows = vec![("RPE-01_1_B02".parse().unwrap(), 1), ("RPE-01_1_AA02".parse().unwrap(), 0)];
        for dialect in [Dialect::Number, Dialect::Name] {
            let table = parse(&to_csv(&rows, dialect, &classes()).unwrap()).unwrap();
            assert_eq!(table.dialect, dialect);
            assert!(table.rows.iter().map(|(well, class)| (well.clone(), class.unwrap())).eq(rows.clone()));
        }
        let text = to_csv(&rows, Dialect::Number, &classes()).unwrap();
        assert_eq!(text, "id_code,sirna\nRPE-01_1_B02,1\nRPE-01_1_AA02,0\n");
        let odd = Classes::parse("class,sirna,well_type\n1,\"a,\"\"b\"\"\",\n", "classes.csv").unwrap();
        let text = to_csv(&rows[..1], Dialect::Name, &odd).unwrap();
        assert_eq!(text, "id_code,sirna\nRPE-01_1_B02,\"a,\"\"b\"\"\"\n");
        assert_eq!(to_csv(&[], Dialect::Name, &odd).unwrap(), "id_code,sirna\n");
        assert!(to_csv(&[(rows[0].0.clone(), 5)], Dialect::Number, &classes()).is_err());
    }
}

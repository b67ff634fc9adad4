//! What a user says of the columns of a table: which tell the label, which values are controls, which column the split.

use std::fmt;
use std::str::FromStr;

use crate::csv_table::cells;
use crate::site::ParseError;

use super::keys::On;

/// How a table of wells or sites is to be read where its data set is not known by its columns, or is to be read
/// otherwise. What is given takes the place of that piece of what is known of the data set; the others stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelOptions {
    /// The columns whose texts are the label, joined by ` | `; a well whose first one is empty has no label.
    pub label_columns: Vec<String>,
    /// What untreated wells are known by.
    pub negative_controls: Vec<ControlValue>,
    /// What wells with a well-known treatment are known by.
    pub positive_controls: Vec<ControlValue>,
    /// The columns that rows are known by, where their names do not tell.
    pub on: Option<On>,
    /// The column with the dataset (`train`, `val` or `validation`, `test`), if that is not `dataset`; empty where none
    /// tells it, so that all is `train`.
    pub split_column: Option<String>,
}

impl LabelOptions {
    /// The flag of the first of them that is given.
    #[must_use]
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            ("--label-column", !self.label_columns.is_empty()),
            (NEGATIVE, !self.negative_controls.is_empty()),
            (POSITIVE, !self.positive_controls.is_empty()),
            ("--split-column", self.split_column.is_some()),
            ("--on", self.on.is_some()),
        ];
        given.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// Whether they say what of a table are labels.
    pub(crate) fn tell_labels(&self) -> bool {
        !self.label_columns.is_empty() || self.name_controls() || self.split_column.is_some()
    }

    /// Whether controls are named, of either kind.
    pub(super) fn name_controls(&self) -> bool {
        !self.negative_controls.is_empty() || !self.positive_controls.is_empty()
    }
}

/// The way out where the column of the dataset tells something else.
pub(super) const OTHER_SPLIT: &str = " (--split-column COLUMN names another, --split-column '' none)";
/// The flag of [`LabelOptions::negative_controls`].
pub(super) const NEGATIVE: &str = "--negative-control";
/// The flag of [`LabelOptions::positive_controls`].
pub(super) const POSITIVE: &str = "--positive-control";

/// What wells of a control have in a column. Written `VALUE`, or `COLUMN=VALUE`, where VALUE may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlValue {
    /// The column; the first of the label's where `None`.
    pub column: Option<String>,
    /// The cell, white space around it left out.
    pub value: String,
}

/// Several of them, as one flag gives them: between commas, as a table has them, so that one with a comma is quoted
/// (`"1,2-x",DMSO`, `"compound=1,2-x"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlValues(pub Vec<ControlValue>);

impl FromStr for ControlValues {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Columns::from_str(text)?.0.iter().map(|value| value.parse()).collect::<Result<_, _>>().map(Self)
    }
}

/// Several columns, as one flag gives them: between commas, as a table has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(pub Vec<String>);

impl FromStr for Columns {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = "texts between commas, one with a comma in quotes";
        cells(text).map(Self).ok_or_else(|| ParseError { expected, found: text.to_owned() })
    }
}

impl FromStr for ControlValue {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (column, value) = match text.split_once('=') {
            Some((column, value)) => (Some(column), value),
            None => (None, text),
        };
        let says_nothing = column.map_or(value.trim().is_empty(), |column| column.trim().is_empty());
        if says_nothing {
            return Err(ParseError { expected: "VALUE or COLUMN=VALUE", found: text.to_owned() });
        }
        Ok(Self { column: column.map(str::to_owned), value: value.trim().to_owned() })
    }
}

impl fmt::Display for ControlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "{column}={}", self.value),
            None => f.write_str(&self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_is_a_value_or_one_of_a_named_column_which_may_be_empty() {
        for (text, column, value) in [
            ("DMSO", None, "DMSO"),
            (" DMSO ", None, "DMSO"),
            ("disease_condition=UV Inactivated", Some("disease_condition"), "UV Inactivated"),
            ("treatment=", Some("treatment"), ""),
            ("SMILES=C=O", Some("SMILES"), "C=O"),
        ] {
            let control: ControlValue = text.parse().unwrap();
            assert_eq!((control.column.as_deref(), control.value.as_str()), (column, value), "{text}");
        }
        for text in ["", " ", "=", "=DMSO"] {
            assert!(text.parse::<ControlValue>().is_err(), "{text:?}");
        }
    }
}

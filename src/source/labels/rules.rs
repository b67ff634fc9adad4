//! By which cells the wells of a table are controls: what the user says, and what is known of the data set. Pure.

use crate::error::Result;
use crate::site::Population;

use super::data_set::{DataSet, UNTREATED};
use super::keys::position;
use super::options::{ControlValue, LabelOptions, NEGATIVE, POSITIVE};
use super::rows::At;
use super::summary::ControlSummary;

/// One kind of control.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) population: Population,
    /// Positions of columns, each with what such wells have in it; all must be so.
    all_of: Vec<(usize, String)>,
    /// The label of those whose label columns are empty.
    pub(super) label: String,
    known_by: String,
    /// Who said it: the flag and the value, if it was the user.
    flag: Option<(&'static str, ControlValue)>,
    /// Rows that it was true of.
    n_rows: u64,
}

/// All kinds of controls of a table: first the user's.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    /// Those of the user, and for each population of which the user names none, those of the data set. `label` is the
    /// position of the first column of the label.
    ///
    /// # Errors
    /// If a column is named that the table has not.
    pub(super) fn new(
        options: &LabelOptions,
        data_set: Option<DataSet>,
        header: &[String],
        label: usize,
        place: &str,
    ) -> Result<Self> {
        let kinds = [
            (Population::NegativeControl, NEGATIVE, &options.negative_controls),
            (Population::PositiveControl, POSITIVE, &options.positive_controls),
        ];
        let mut rules = Vec::new();
        for (population, flag, values) in kinds {
            for value in values {
                let column = match &value.column {
                    Some(column) => position(flag, column, header, place)?,
                    None => label,
                };
                let text = if value.value.is_empty() { UNTREATED } else { &value.value };
                rules.push(Rule {
                    population,
                    all_of: vec![(column, value.value.clone())],
                    label: text.to_owned(),
                    known_by: format!("{}={}", header[column], value.value),
                    flag: Some((flag, value.clone())),
                    n_rows: 0,
                });
            }
        }
        for known in data_set.map(DataSet::controls).unwrap_or_default() {
            let is_the_users =
                kinds.iter().any(|(population, _, of_user)| *population == known.population && !of_user.is_empty());
            if is_the_users {
                continue;
            }
            let at = |column: &str| header.iter().position(|name| name == column).expect("its columns are there");
            let known_by: Vec<String> =
                known.all_of.iter().map(|(column, value)| format!("{column}={value}")).collect();
            rules.push(Rule {
                population: known.population,
                all_of: known.all_of.iter().map(|(column, value)| (at(column), (*value).to_owned())).collect(),
                label: known.label.to_owned(),
                known_by: known_by.join(" and "),
                flag: None,
                n_rows: 0,
            });
        }
        Ok(Self(rules))
    }

    /// The rule that is true of a row, if one is.
    ///
    /// # Errors
    /// If the user's say that it is a control of both kinds.
    pub(super) fn of<'c>(&mut self, cell: impl Fn(usize) -> &'c str, at: &At) -> Result<Option<(usize, &Rule)>> {
        let holds = |rule: &Rule| rule.all_of.iter().all(|(column, value)| cell(*column).trim() == value);
        let mut first: Option<usize> = None;
        for i in 0..self.0.len() {
            if !holds(&self.0[i]) {
                continue;
            }
            self.0[i].n_rows += 1;
            let Some(first) = first else {
                first = Some(i);
                continue;
            };
            let [known, other] = [first, i].map(|i| &self.0[i]);
            if known.population != other.population && other.flag.is_some() {
                let expected = format!("a well of one population, not {} and {}", known.said(), other.said());
                return Err(at.malformed(expected, format!("{} and {}", known.known_by, other.known_by)));
            }
        }
        if first.is_none()
            && let Some((rule, column)) = self.0.iter().find_map(|rule| Some((rule, rule.nearly(&cell)?)))
        {
            let expected = format!("{} exactly, by which wells are controls, or another text", rule.known_by);
            return Err(at.malformed(expected, format!("{:?}", cell(column).trim())));
        }
        Ok(first.map(|i| (i, &self.0[i])))
    }

    /// The first of the user's values that no row has, with the flag and the column.
    pub(super) fn unused(&self) -> Option<(&'static str, &ControlValue, usize)> {
        let mut unused = self.0.iter().filter(|rule| rule.n_rows == 0);
        unused.find_map(|rule| rule.flag.as_ref().map(|(flag, value)| (*flag, value, rule.all_of[0].0)))
    }

    pub(super) fn into_summaries(self) -> Vec<ControlSummary> {
        let summary = |Rule { population, known_by, .. }| ControlSummary { population, known_by, wells: 0 };
        self.0.into_iter().map(summary).collect()
    }
}

impl Rule {
    /// The column of a cell that keeps the rule from being true, and is only written in another way: `dmso`, `0.0`.
    fn nearly<'c>(&self, cell: impl Fn(usize) -> &'c str) -> Option<usize> {
        let mut odd = None;
        for (column, value) in &self.all_of {
            match cell(*column).trim() {
                text if text == value => {}
                text if is_nearly(text, value) => odd = Some(*column),
                _ => return None,
            }
        }
        odd
    }

    fn said(&self) -> String {
        self.flag.as_ref().map_or_else(|| self.known_by.clone(), |(flag, value)| format!("{flag} {value}"))
    }
}

/// Whether a text is another but for capitals, or is the same number.
fn is_nearly(text: &str, value: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    text.eq_ignore_ascii_case(value) || number(value).is_some_and(|value| number(text) == Some(value))
}

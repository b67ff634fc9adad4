//! What was understood of a table of labels.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::error::shown;
use crate::site::Population;
use crate::source::labels::{ControlSummary, DataSet, LabelsSummary};
use crate::words::plural;

/// Prints it: which data set, columns and controls, and how many wells of each kind.
pub(super) fn write_labels(out: &mut impl Write, labels: &LabelsSummary) -> io::Result<()> {
    let LabelsSummary { file, data_set, label_columns, controls, split_column, without_label, .. } = labels;
    let known = data_set.map_or_else(String::new, |known| format!(" as of {}", known.name()));
    let of = |population: Population| match (population, labels.wells_of(population)) {
        (_, 0) => None,
        (Population::Treatment, n) => Some(format!("{} with treatments", plural(n, "well"))),
        (Population::NegativeControl, n) => Some(plural(n, "negative control")),
        (Population::PositiveControl, n) => Some(plural(n, "positive control")),
        (Population::Unknown, n) => Some(format!("{} of no known kind", plural(n, "well"))),
    };
    let kinds = [Population::Treatment, Population::NegativeControl, Population::PositiveControl, Population::Unknown];
    let mut wells: Vec<String> = kinds.into_iter().filter_map(of).collect();
    if *without_label > 0 {
        wells.push(format!("{without_label} without a label"));
    }
    let columns = label_columns.join(", ");
    writeln!(out, "labels     {}{known}: {}; {}", shown(file), shown(&columns), wells.join(", "))?;
    let control = |ControlSummary { known_by, wells, .. }: &ControlSummary| {
        format!("{} ({})", shown(known_by), plural(*wells, "well"))
    };
    let controls: Vec<String> = controls.iter().map(control).collect();
    let controls = if controls.is_empty() { "none".to_owned() } else { controls.join(", ") };
    let split = split_column.as_ref().map_or_else(String::new, |column| format!("; dataset: {}", shown(column)));
    writeln!(out, "           controls: {controls}{split}")
}

pub(super) fn labels_json(labels: &LabelsSummary) -> Value {
    let LabelsSummary { file, data_set, label_columns, controls, split_column, without_label, .. } = labels;
    let wells: Map<String, Value> =
        Population::ALL.into_iter().map(|of| (of.name().to_owned(), labels.wells_of(of).into())).collect();
    json!({
        "file": file,
        "data_set": data_set.map(DataSet::name),
        "label_columns": label_columns,
        "controls": controls.iter().map(control_json).collect::<Vec<_>>(),
        "split_column": split_column,
        "wells": wells,
        "without_label": without_label,
    })
}

fn control_json(control: &ControlSummary) -> Value {
    let ControlSummary { population, known_by, wells } = control;
    json!({ "well_type": population.name(), "known_by": known_by, "wells": wells })
}

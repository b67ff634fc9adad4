//! The cell types of experiments, where a table has a column of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::csv_table::{Header, Rows, has_column};
use crate::error::{Error, Result};
use crate::files;
use crate::site::Experiment;

/// What a row says of its experiment.
#[derive(Deserialize)]
struct CellTypeRow {
    experiment: Experiment,
    cell_type: String,
}

/// Adds the experiments of a table, each with its cell type; none where it has no column of them.
///
/// # Errors
/// If the table is malformed, or one experiment has two.
pub(super) fn read(path: &Path, experiments: &mut BTreeSet<Experiment>) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    if !has_column(&text, "cell_type") {
        return Ok(());
    }
    for row in Rows::open(&text, &place, Header::AmongOthers)? {
        let (line, CellTypeRow { experiment, cell_type }) = row?;
        let malformed =
            |expected: String| Error::malformed(format!("{place}:{line}"), expected, format!("{cell_type:?}"));
        let experiment = experiment.of_cell_type(&cell_type).map_err(|e| malformed(e.expected.to_owned()))?;
        match experiments.get(&experiment) {
            None => drop(experiments.insert(experiment)),
            Some(known) if known.cell_type() == cell_type => {}
            Some(known) => {
                let expected = format!("cell type {:?} of experiment {known}, as rows before say", known.cell_type());
                return Err(malformed(expected));
            }
        }
    }
    Ok(())
}

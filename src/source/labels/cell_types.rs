//! The cell types of experiments, where a table has a column of them.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::site::Experiment;

use super::rows::At;

/// Notes what a row says of the cell type of its experiment.
///
/// # Errors
/// If that is none, or another than that of rows before.
pub(super) fn note(
    experiments: &mut BTreeSet<Experiment>,
    experiment: &Experiment,
    cell_type: &str,
    at: &At,
) -> Result<()> {
    let known = experiments.get(experiment);
    if known.is_some_and(|known| known.cell_type() == cell_type) {
        return Ok(());
    }
    let named = experiment.clone().of_cell_type(cell_type);
    let named = named.map_err(|e| at.malformed(e.expected, format!("{cell_type:?}")))?;
    if let Some(known) = known {
        let expected = format!("cell type {:?} of experiment {known}, as rows before say", known.cell_type());
        return Err(at.malformed(expected, format!("{cell_type:?}")));
    }
    experiments.insert(named);
    Ok(())
}

//! The cell types of experiments, where a table has a column of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::site::{Experiment, Plate};

/// The cell types that rows tell of plates without telling their experiments, each with the place of the first row that
/// does.
#[derive(Debug, Clone, Default)]
pub(super) struct OfPlates(BTreeMap<Plate, (String, String)>);

impl OfPlates {
    /// Notes what a row at a place says of the cell type of its plate.
    ///
    /// # Errors
    /// If that is another than that of rows before.
    pub(super) fn note(&mut self, plate: &Plate, cell_type: &str, place: impl Fn() -> String, way: &str) -> Result<()> {
        match self.0.entry(plate.clone()) {
            Entry::Occupied(known) if known.get().0 != cell_type => {
                let expected = format!("cell type {:?} of plate {plate}, as rows before say{way}", known.get().0);
                Err(Error::malformed(place(), expected, format!("{cell_type:?}")))
            }
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(new) => {
                new.insert((cell_type.to_owned(), place()));
                Ok(())
            }
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives them to the experiments of plates that were found.
    ///
    /// # Errors
    /// If one is none, or two of one experiment differ: a store has one for all plates of an experiment.
    pub(super) fn join<'p>(
        &self,
        experiments: &mut BTreeSet<Experiment>,
        found: impl Iterator<Item = (&'p Experiment, &'p Plate)>,
    ) -> Result<()> {
        for (experiment, plate) in found {
            let Some((cell_type, place)) = self.0.get(plate) else { continue };
            let remedy = " (plates of another one are of another experiment: --experiment, or by their names; \
                          --on plate,well,cell_type= says that no column tells it)";
            note(experiments, experiment, cell_type, || place.clone(), remedy)?;
        }
        Ok(())
    }
}

/// Notes what a row at a place says of the cell type of its experiment.
///
/// # Errors
/// If that is none, or another than that of rows before.
pub(super) fn note(
    experiments: &mut BTreeSet<Experiment>,
    experiment: &Experiment,
    cell_type: &str,
    place: impl Fn() -> String,
    way: &str,
) -> Result<()> {
    let known = experiments.get(experiment);
    if known.is_some_and(|known| known.cell_type() == cell_type) {
        return Ok(());
    }
    let named = experiment.clone().of_cell_type(cell_type);
    let named = named.map_err(|e| Error::malformed(place(), e.expected, format!("{cell_type:?}")))?;
    if let Some(known) = known {
        let expected = format!("cell type {:?} of experiment {known}, as rows before say{way}", known.cell_type());
        return Err(Error::malformed(place(), expected, format!("{cell_type:?}")));
    }
    experiments.insert(named);
    Ok(())
}

//! What was understood of a table, to be told to whoever gave it.

use crate::site::Population;
use crate::words::count;

use super::data_set::DataSet;

/// How the table of a tree was read, and what came of it. A well counts once, however many sites it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelsSummary {
    /// The table.
    pub file: String,
    /// The data set that it is known as; `None` for a table of somebody's own.
    pub data_set: Option<DataSet>,
    /// The columns whose texts are the label.
    pub label_columns: Vec<String>,
    /// What each kind of control is known by.
    pub controls: Vec<ControlSummary>,
    /// The column with the dataset; without one, all wells are of the dataset `train`.
    pub split_column: Option<String>,
    /// Wells of each population, in the order of [`Population::ALL`].
    pub wells: [u64; Population::ALL.len()],
    /// Wells without a label: they are packed, and nothing is trained on them.
    pub without_label: u64,
}

/// Wells of one kind of control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSummary {
    /// Their population.
    pub population: Population,
    /// What they are known by: `treatment=EMPTY_control`, or `disease_condition=Mock and treatment=`.
    pub known_by: String,
    /// How many there are.
    pub wells: u64,
}

impl LabelsSummary {
    /// Wells of a population.
    #[must_use]
    pub fn wells_of(&self, population: Population) -> u64 {
        self.wells[population.index()]
    }

    /// What is no fault but worth a look: wells of which a table without hidden labels tells none.
    #[must_use]
    pub fn unusual(&self) -> Option<String> {
        let hides_labels = self.data_set.is_some_and(DataSet::is_rxrx1);
        let columns = self.label_columns.join(", ");
        let file = &self.file;
        match self.without_label {
            0 => None,
            _ if hides_labels => None,
            1 => Some(format!("1 well of {file} has no label in {columns}: it is not trained on")),
            n => Some(format!("{} wells of {file} have no label in {columns}: none of them is trained on", count(n))),
        }
    }
}

//! What the CSVs of a tree say of its wells, gathered row by row.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::classes::Classes;
use crate::error::Result;
use crate::site::{Experiment, Label, PlateId, Well};

use super::rows::Row;
use super::summary::LabelsSummary;

/// What the CSVs say of one well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WellLabel {
    /// The label of every site of the well.
    pub label: Label,
    /// The sites, where the CSVs name them (RxRx1's own); Kaggle's and RxRx3's name wells only.
    pub sites: Option<BTreeSet<u16>>,
}

/// What the CSVs say of all wells, and the classes they imply.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// Wells by plate.
    pub plates: BTreeMap<PlateId, BTreeMap<Well, WellLabel>>,
    /// The classes.
    pub classes: Classes,
    /// Whether the CSVs give classes their numbers beside the names (RxRx1's own).
    pub has_numbers: bool,
    /// Experiments with the cell types that the CSVs name.
    pub experiments: BTreeSet<Experiment>,
    /// Whether they leave open of which experiment plates are: then they are those of every plate of a name.
    pub names_no_experiment: bool,
    /// What was understood of a table by columns.
    pub summary: Option<LabelsSummary>,
}

impl Labels {
    /// A plate with the cell type that the CSVs say its experiment has.
    pub(crate) fn with_cell_type(&self, PlateId { experiment, plate }: PlateId) -> PlateId {
        let experiment = self.experiments.get(&experiment).cloned().unwrap_or(experiment);
        PlateId { experiment, plate }
    }

    /// Whether there is a table of labels, in which every well should have a row.
    pub(crate) fn is_told(&self) -> bool {
        self.summary.is_some() || !self.plates.is_empty()
    }

    /// Gives the wells of plates of which no experiment is told to the plates of their names that were found.
    pub(crate) fn join<'p>(&mut self, found: impl Iterator<Item = &'p PlateId>) {
        if !self.names_no_experiment {
            return;
        }
        let found: Vec<&PlateId> = found.collect();
        for (id, wells) in std::mem::take(&mut self.plates) {
            let of_its_name: Vec<&PlateId> = found.iter().copied().filter(|found| found.plate == id.plate).collect();
            if of_its_name.is_empty() {
                self.plates.insert(id, wells);
                continue;
            }
            self.plates.extend(of_its_name.into_iter().map(|id| (id.clone(), wells.clone())));
        }
    }

    /// Takes in a row.
    ///
    /// # Errors
    /// If its siRNA has no class or another than the row gives it, or another row of its well says otherwise.
    pub(super) fn add(&mut self, row: Row) -> Result<()> {
        let class = self.classes.class_of(&row.sirna);
        if class.is_none() && !row.sirna.is_empty() {
            let expected = format!("a class for siRNA {:?}", row.sirna);
            return Err(row.at.malformed(expected, "none (see --classes, --add-classes)"));
        }
        if let (Some(number), Some(class)) = (row.class, class)
            && number != class
        {
            let expected = format!("sirna_id {class} for siRNA {:?}, as the given classes have it", row.sirna);
            return Err(row.at.malformed(expected, number));
        }
        let Row { well, site, dataset, population, sirna, control, at, .. } = row;
        let label = Label { dataset, population, sirna, class };
        match self.plates.entry(well.plate.clone()).or_default().entry(well.well) {
            Entry::Vacant(entry) => {
                if let Some(summary) = &mut self.summary {
                    summary.wells[label.population.index()] += 1;
                    summary.without_label += u64::from(label.sirna.is_empty());
                    if let Some(control) = control {
                        summary.controls[control].wells += 1;
                    }
                }
                let sites = site.map(|site| BTreeSet::from([site]));
                entry.insert(WellLabel { label, sites });
            }
            Entry::Occupied(mut entry) => match (&mut entry.get_mut().sites, site) {
                (Some(sites), Some(site)) => {
                    if !sites.insert(site) {
                        return Err(at.malformed("each site once", format!("{well}_{site} again")));
                    }
                    if entry.get().label != label {
                        return Err(at.malformed(format!("one label for well {well}"), "two that differ"));
                    }
                }
                _ if self.summary.is_some() => {
                    return Err(at.malformed("each well once", format!("{well} again")));
                }
                _ => {
                    return Err(at.malformed(format!("well {well} in one of the CSVs"), "it in two"));
                }
            },
        }
        Ok(())
    }
}

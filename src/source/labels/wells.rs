//! What the CSVs of a tree say of its wells, gathered row by row.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::site::{Experiment, Label, PlateId, Population, Well};

use super::cell_types::OfPlates;
use super::keys::NO_EXPERIMENT;
use super::rows::{Row, folded};
use super::summary::LabelsSummary;

/// What is shown of many plates, or of many labels.
const EXAMPLES: usize = 3;

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
    /// Whether somebody says so: without that, a plate whose name several experiments have is an error.
    pub(super) is_of_every_experiment: bool,
    /// What was understood of a table by columns.
    pub summary: Option<LabelsSummary>,
    /// What they say of cell types where they leave that open.
    pub(super) cell_types: OfPlates,
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

    /// Gives the wells of plates of which no experiment is told, and their cell types, to the plates of their names that
    /// were found.
    ///
    /// # Errors
    /// If several experiments have a plate of a name, and nobody says that rows are of all of them; or if plates of one
    /// experiment would have different cell types.
    pub(crate) fn join<'p>(&mut self, found: impl Iterator<Item = &'p PlateId>) -> Result<()> {
        if !self.names_no_experiment {
            return Ok(());
        }
        let found: Vec<&PlateId> = found.collect();
        if !self.is_of_every_experiment {
            self.check_names(&found)?;
        }
        self.cell_types.join(&mut self.experiments, found.iter().map(|id| (&id.experiment, &id.plate)))?;
        for (id, wells) in std::mem::take(&mut self.plates) {
            let of_its_name: Vec<&PlateId> = found.iter().copied().filter(|found| found.plate == id.plate).collect();
            if of_its_name.is_empty() {
                self.plates.insert(id, wells);
                continue;
            }
            self.plates.extend(of_its_name.into_iter().map(|id| (id.clone(), wells.clone())));
        }
        Ok(())
    }

    /// Refuses plates of one name that rows name without their experiment: those of one would be taken for another's.
    fn check_names(&self, found: &[&PlateId]) -> Result<()> {
        for told in self.plates.keys() {
            let of_its_name: Vec<&PlateId> = found.iter().copied().filter(|id| id.plate == told.plate).collect();
            if of_its_name.len() > 1 {
                let expected = format!(
                    "the experiment of rows of plate {}, of which there are {} (--on plate,well,experiment=COLUMN \
                     names its column; {NO_EXPERIMENT} says that rows are of every experiment)",
                    told.plate,
                    some(&of_its_name)
                );
                let file = self.summary.as_ref().map_or("tables", |summary| &summary.file);
                return Err(Error::malformed(file, expected, "no column that is known to tell it"));
            }
        }
        Ok(())
    }

    /// Holds the plates that tables name against those that were found: those that have images and no labels, as a
    /// phrase, if there are any.
    ///
    /// # Errors
    /// If the tables name none of those that were found: they are those of other images. `root` is where these are.
    pub(crate) fn meet(&self, found: &[&PlateId], root: &Path) -> Result<Option<String>> {
        let strangers: Vec<&PlateId> = found.iter().copied().filter(|id| !self.plates.contains_key(id)).collect();
        let place = self.summary.as_ref().map_or_else(|| root.display().to_string(), |summary| summary.file.clone());
        if strangers.is_empty() {
            return Ok(None);
        }
        if strangers.len() < found.len() {
            let n = strangers.len();
            let [plates, have] = if n == 1 { ["plate", "has"] } else { ["plates", "have"] };
            return Ok(Some(format!("{n} {plates} {have} images and no labels in {place}: {}", some(&strangers))));
        }
        let of_its_name = |id: &PlateId| strangers.iter().any(|found| found.plate == id.plate);
        let are_of_others = !self.names_no_experiment && self.plates.keys().any(of_its_name);
        let remedy = if are_of_others {
            let of_rows = "(--experiment NAME says of which experiment images are";
            format!(" {of_rows}, {NO_EXPERIMENT} that rows are of any)")
        } else {
            String::new()
        };
        let told: Vec<&PlateId> = self.plates.keys().collect();
        let told = if told.is_empty() { "no plate".to_owned() } else { format!("plates {}", some(&told)) };
        let expected = format!("labels of plates of the images: {}{remedy}", some(&strangers));
        Err(Error::malformed(place, expected, format!("labels of {told}")))
    }

    /// What is no fault but worth a look, each as a phrase.
    pub(crate) fn unusual(&self) -> Vec<String> {
        let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for class in self.classes.rows() {
            alike.entry(folded(&class.sirna)).or_default().push(&class.sirna);
        }
        let alike: Vec<Vec<&str>> = alike.into_values().filter(|labels| labels.len() > 1).collect();
        let shown =
            |labels: &Vec<&str>| labels.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(" and ");
        let more = if alike.len() > EXAMPLES { ", ..." } else { "" };
        let shown = alike.iter().take(EXAMPLES).map(shown).collect::<Vec<_>>().join(", ");
        let alike = (!alike.is_empty())
            .then(|| format!("labels that are nearly the same are classes of their own: {shown}{more}"));
        let of_table = self.summary.as_ref().and_then(LabelsSummary::unusual);
        let shared = self.summary.as_ref().and_then(|_| self.shared());
        of_table.into_iter().chain(alike).chain(shared).collect()
    }

    /// Labels of controls and of other wells, which are one class: these are told apart by nothing then.
    fn shared(&self) -> Option<String> {
        let mut kinds: BTreeMap<&str, BTreeSet<Population>> = BTreeMap::new();
        let labels = self.plates.values().flat_map(BTreeMap::values).map(|well| &well.label);
        for Label { population, sirna, .. } in labels.filter(|label| !label.sirna.is_empty()) {
            kinds.entry(sirna).or_default().insert(*population);
        }
        let is_shared = |kinds: &BTreeSet<Population>| kinds.len() > 1 && kinds.iter().any(|kind| kind.is_control());
        let shared: Vec<&str> = kinds.iter().filter(|(_, kinds)| is_shared(kinds)).map(|(label, _)| *label).collect();
        let (n, more) = (shared.len(), if shared.len() > EXAMPLES { ", ..." } else { "" });
        let labels = if n == 1 { "label is" } else { "labels are" };
        let shown = shared.iter().take(EXAMPLES).map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ");
        let says = || format!("{n} {labels} of controls and of other wells, which are one class: {shown}{more}");
        (n > 0).then(says)
    }

    /// Takes in a row, of these the one at `i`.
    ///
    /// # Errors
    /// If its siRNA has no class or another than the row gives it, or another row of its well says otherwise.
    pub(super) fn add(&mut self, rows: &[Row], i: usize) -> Result<()> {
        let row = &rows[i];
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
        let label = Label { dataset: dataset.clone(), population: *population, sirna: sirna.clone(), class };
        let contradiction = |known: &Label, way: &str| {
            let first = rows.iter().find(|row| row.well == *well).map_or(0, |row| row.at.line);
            let expected = format!("rows of well {well} that agree: line {first} has {}{way}", said(known));
            at.malformed(expected, said(&label))
        };
        match self.plates.entry(well.plate.clone()).or_default().entry(well.well) {
            Entry::Vacant(entry) => {
                if let Some(summary) = &mut self.summary {
                    summary.wells[label.population.index()] += 1;
                    summary.without_label += u64::from(label.sirna.is_empty());
                    if let Some(control) = control {
                        summary.controls[*control].wells += 1;
                    }
                }
                let sites = site.map(|site| BTreeSet::from([site]));
                entry.insert(WellLabel { label, sites });
            }
            Entry::Occupied(mut entry) => {
                let WellLabel { label: known, sites } = entry.get_mut();
                match (sites, site) {
                    (Some(sites), Some(site)) => {
                        if !sites.insert(*site) {
                            let expected = "each site once (--on plate,well,site= says that no column tells the site)";
                            return Err(at.malformed(expected, format!("{}/{site} again", well.shown())));
                        }
                        if *known != label {
                            return Err(contradiction(known, ""));
                        }
                    }
                    // They may be of its images or cells, and tell one thing.
                    _ if self.summary.is_some() && *known == label => {}
                    _ if self.summary.is_some() => {
                        let way = if self.names_no_experiment {
                            " (--on plate,well,site=COLUMN names the column of the site, experiment=COLUMN likewise)"
                        } else {
                            " (--on plate,well,site=COLUMN names the column of the site)"
                        };
                        return Err(contradiction(known, way));
                    }
                    _ => {
                        return Err(at.malformed(format!("well {well} in one of the CSVs"), "it in two"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a row says, as far as it is used.
fn said(label: &Label) -> String {
    let Label { dataset, population, sirna, .. } = label;
    format!("{sirna:?} ({}, {dataset})", population.name())
}

/// Some of these plates.
fn some(plates: &[&PlateId]) -> String {
    let shown = plates.iter().take(EXAMPLES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if plates.len() > EXAMPLES { format!("{shown} and {} more", plates.len() - EXAMPLES) } else { shown }
}

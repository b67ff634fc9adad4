//! The CSVs of a tree against the labels of a store that was packed from it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Result;
use crate::site::{Label, PlateId, SiteId, WellId};
use crate::source::labels::Labels;
use crate::source::{SourceConfig, read_labels};
use crate::store::format::names::SITES;
use crate::store::format::rows::SiteRow;
use crate::store::read::listing::read_rows;
use crate::words::plural;

use super::report::{Finding, Kind, told_in_full};

/// What the CSVs of a tree say of the sites of a store that it did not say when the store was packed. A store without
/// labels is held only against those that are given.
///
/// # Errors
/// If the store's listings cannot be read.
pub(super) fn changed_labels(source: &SourceConfig, store: &Path, plates: &[PlateId]) -> Result<Vec<Finding>> {
    let rows = |plate: &PlateId| read_rows::<SiteRow>(store, plate, SITES);
    let mut is_labelled = false;
    for plate in plates {
        is_labelled |= rows(plate)?.iter().any(|row| row.label != Label::unknown());
    }
    if !is_labelled && source.metadata.is_none() {
        return Ok(Vec::new());
    }
    // Without its CSVs, or with such as contradict themselves, a tree tells nothing of what the store knows.
    let labels = match read_labels(source) {
        Ok(labels) => labels,
        Err(error) if error.is_of_the_system() => return Err(error),
        Err(error) => return Ok(vec![Finding::new(Kind::Contradiction, "labels", told_in_full(&error))]),
    };
    let mut findings = Vec::new();
    for plate in plates {
        findings.extend(changed(&rows(plate)?, &labels));
    }
    Ok(findings)
}

/// The finding of a plate.
fn changed(rows: &[SiteRow], labels: &Labels) -> Option<Finding> {
    let mut wells: BTreeMap<&WellId, (&Label, Option<&Label>, Vec<SiteId>)> = BTreeMap::new();
    for row in rows {
        let well = &row.id.well;
        let found = labels.plates.get(&well.plate).and_then(|wells| Some(&wells.get(&well.well)?.label));
        let experiment = &well.plate.experiment;
        let same_cell_type = match labels.experiments.get(experiment) {
            Some(told) => told.cell_type() == experiment.cell_type(),
            None => !experiment.has_told_cell_type(),
        };
        let same =
            |found: &Label| told(found) == told(&row.label) && (!labels.has_numbers || found.class == row.label.class);
        if !same_cell_type || !found.is_some_and(same) {
            wells.entry(well).or_insert((&row.label, found, Vec::new())).2.push(row.id.clone());
        }
    }
    let (first, (expected, found, _)) = wells.first_key_value()?;
    let found = found.map_or_else(|| "no row".to_owned(), show);
    let detail =
        format!("labels of {} differ, {}: expected {}, found {found}", count(wells.len()), first.well, show(expected));
    let finding = Finding::new(Kind::Contradiction, &first.plate.to_string(), detail);
    Some(Finding { sites: wells.into_values().flat_map(|(.., sites)| sites).collect(), ..finding })
}

/// What CSVs tell of a well: all but the class, which is ours unless they give it.
fn told(label: &Label) -> (&str, crate::site::Population, &str) {
    (&label.dataset, label.population, &label.sirna)
}

fn show(label: &Label) -> String {
    let class = label.class.map_or_else(String::new, |class| format!(", class {class}"));
    format!("{} {} {:?}{class}", label.dataset, label.population, label.sirna)
}

fn count(n: usize) -> String {
    plural(n as u64, "well")
}

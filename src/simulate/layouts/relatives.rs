//! The tables of RxRx1's relatives, with the columns that they have on rxrx.ai. What stands in them is made up.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::simulate::config::Config;
use crate::simulate::layout::Layout;
use crate::site::{Experiment, Plate, Population, Well, WellId};

use super::well::{LabelledWell, csv};

/// A row of RxRx2's table.
#[derive(Serialize, Deserialize)]
struct RxRx2Row {
    site_id: String,
    well_id: WellId,
    cell_type: String,
    experiment: Experiment,
    plate: Plate,
    well: Well,
    site: u16,
    treatment: String,
    treatment_conc: String,
}

/// A row of the tables of `RxRx19a` and `RxRx19b`.
#[derive(Serialize, Deserialize)]
struct RxRx19Row {
    site_id: String,
    well_id: WellId,
    cell_type: String,
    experiment: Experiment,
    plate: Plate,
    well: Well,
    site: u16,
    disease_condition: String,
    treatment: String,
    treatment_conc: String,
    #[serde(rename = "SMILES")]
    smiles: String,
}

/// A row of RxRx3's table.
#[derive(Serialize, Deserialize)]
struct RxRx3Row {
    well_id: WellId,
    experiment_name: Experiment,
    plate: Plate,
    address: Well,
    gene: String,
    treatment: String,
    #[serde(rename = "SMILES")]
    smiles: String,
    concentration: String,
    perturbation_type: String,
    cell_type: String,
}

/// What wells without a treatment are called.
pub(super) fn untreated(layout: Layout) -> &'static str {
    match layout {
        Layout::RxRx19a => "Mock",
        Layout::RxRx19b => "healthy",
        Layout::RxRx3 => "EMPTY_control",
        _ => "untreated",
    }
}

/// What all positive controls are called, where they are the same.
pub(super) fn positive(layout: Layout) -> Option<&'static str> {
    match layout {
        Layout::RxRx19a => Some("Active SARS-CoV-2"),
        Layout::RxRx19b => Some("storm-severe"),
        Layout::RxRx3 => Some("CRISPR_control"),
        _ => None,
    }
}

/// Writes the table.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(config: &Config, dst: &Path, wells: &[LabelledWell], name: &dyn Fn(u32) -> String) -> Result<()> {
    let sites = || wells.iter().flat_map(|well| (1..=config.n_sites).map(move |site| (well, site)));
    let named = |well: &LabelledWell| name(well.content.class);
    match config.layout {
        Layout::RxRx3 => {
            let rows: Vec<_> = wells.iter().map(|well| rxrx3(well, named(well))).collect();
            csv(dst, "metadata_rxrx3.csv", &rows)
        }
        Layout::RxRx19a | Layout::RxRx19b => {
            let rows = sites().map(|(well, site)| rxrx19(config.layout, well, site, named(well)));
            csv(dst, "metadata.csv", &rows.collect::<Vec<_>>())
        }
        _ => {
            let rows = sites().map(|(well, site)| rxrx2(well, site, named(well)));
            csv(dst, "rxrx2-metadata.csv", &rows.collect::<Vec<_>>())
        }
    }
}

fn rxrx2(labelled: &LabelledWell, site: u16, name: String) -> RxRx2Row {
    let LabelledWell { id, cell_type, .. } = labelled;
    let is_treated = labelled.content.population != Population::NegativeControl;
    RxRx2Row {
        site_id: format!("{id}_{site}"),
        well_id: id.clone(),
        cell_type: cell_type.clone(),
        experiment: id.plate.experiment.clone(),
        plate: id.plate.plate.clone(),
        well: id.well,
        site,
        treatment: if is_treated { name } else { String::new() },
        treatment_conc: if is_treated { concentration(labelled) } else { String::new() },
    }
}

fn rxrx19(layout: Layout, labelled: &LabelledWell, site: u16, name: String) -> RxRx19Row {
    let LabelledWell { id, cell_type, .. } = labelled;
    let is_treated = labelled.content.population == Population::Treatment;
    // Compounds are tested on cells that are ill.
    let ill = positive(layout).unwrap_or_default().to_owned();
    let [condition, treatment] = if is_treated { [ill, name] } else { [name, String::new()] };
    RxRx19Row {
        site_id: format!("{id}_{site}"),
        well_id: id.clone(),
        cell_type: cell_type.clone(),
        experiment: id.plate.experiment.clone(),
        plate: id.plate.plate.clone(),
        well: id.well,
        site,
        disease_condition: condition,
        treatment,
        treatment_conc: if is_treated { concentration(labelled) } else { String::new() },
        smiles: if is_treated { smiles(labelled) } else { String::new() },
    }
}

fn rxrx3(labelled: &LabelledWell, name: String) -> RxRx3Row {
    let LabelledWell { id, cell_type, .. } = labelled;
    let is_treated = labelled.content.population == Population::Treatment;
    RxRx3Row {
        well_id: id.clone(),
        experiment_name: id.plate.experiment.clone(),
        plate: id.plate.plate.clone(),
        address: id.well,
        gene: String::new(),
        treatment: name,
        smiles: if is_treated { smiles(labelled) } else { String::new() },
        concentration: if is_treated { concentration(labelled) } else { String::new() },
        perturbation_type: "COMPOUND".to_owned(),
        cell_type: cell_type.clone(),
    }
}

/// Micromolar, one for each class: effects do not depend on it here.
fn concentration(well: &LabelledWell) -> String {
    ["0.25", "1.0", "2.5"][well.content.class as usize % 3].to_owned()
}

/// An alcohol for each class.
fn smiles(well: &LabelledWell) -> String {
    "C".repeat(1 + well.content.class as usize % 12) + "O"
}

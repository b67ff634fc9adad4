//! RxRx1's own `metadata.csv`, a row a site, and WILDS' of the same columns, which has a third dataset.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use crate::classes::well_type;
use crate::csv_table::{Header, Rows};
use crate::error::Result;
use crate::files;
use crate::site::{Experiment, Population, SiteId, Well};

use super::data_set::DataSet;
use super::options::OTHER_SPLIT;
use super::rows::{At, Gathered, Row, check_sirna, check_well_type};
use super::summary::{ControlSummary, LabelsSummary};

/// A row of RxRx1's `metadata.csv`.
#[derive(Deserialize)]
struct SiteRow {
    site_id: String,
    dataset: String,
    experiment: Experiment,
    plate: u16,
    well: Well,
    site: u16,
    #[serde(with = "well_type")]
    well_type: Population,
    sirna: String,
    sirna_id: Option<u32>,
    cell_type: Option<String>,
}

/// The kinds of control that the column `well_type` names.
const CONTROLS: [Population; 2] = [Population::NegativeControl, Population::PositiveControl];

/// Reads such a table.
///
/// # Errors
/// If it lacks a column, is malformed, or names a site twice.
pub(super) fn read(path: &Path) -> Result<(Gathered, LabelsSummary)> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let file: Rc<str> = place.as_str().into();
    let (mut gathered, mut seen) = (Gathered::default(), BTreeSet::new());
    let mut data_set = DataSet::RxRx1;
    let table = Rows::open(&text, &place, Header::AmongOthers { optional: &["cell_type"], alike: &[] })?;
    let tells_cell_type = table.has("cell_type");
    for row in table {
        let (line, row) = row?;
        let at = At { file: Rc::clone(&file), line };
        let SiteRow { site_id, dataset, experiment, plate, well, site, well_type, sirna, sirna_id, cell_type } = row;
        if tells_cell_type {
            let of = (Some(&experiment), &plate.into());
            gathered.cell_type(of, &cell_type.unwrap_or_default(), &at)?;
        }
        let id = SiteId { well: gathered.well(experiment, plate.into(), well), site };
        if site_id != id.to_string() {
            return Err(at.malformed(format!("site_id {id}"), format!("{site_id:?}")));
        }
        if !seen.insert(id.clone()) {
            return Err(at.malformed("each site once", format!("{id} again")));
        }
        match dataset.as_str() {
            "train" | "test" => {}
            "val" => data_set = DataSet::Wilds,
            _ => {
                let known = if data_set == DataSet::Wilds { "train, val or test" } else { "train or test" };
                return Err(at.malformed(format!("dataset {known}{OTHER_SPLIT}"), format!("{dataset:?}")));
            }
        }
        check_sirna(&sirna, &at)?;
        check_well_type(well_type, &at)?;
        if sirna.is_empty() && (dataset == "train" || sirna_id.is_some()) {
            return Err(at.malformed("a siRNA", "an empty cell"));
        }
        let control = CONTROLS.iter().position(|&population| population == well_type);
        let (dataset, sirna) = (gathered.name(&dataset), gathered.name(&sirna));
        let (population, class) = (well_type, sirna_id);
        gathered.rows.push(Row { well: id.well, site: Some(site), dataset, population, sirna, class, control, at });
    }
    let control = |population: Population| {
        let known_by = format!("well_type={}", population.name());
        ControlSummary { population, known_by, wells: 0 }
    };
    let summary = LabelsSummary {
        file: place,
        data_set: Some(data_set),
        label_columns: vec!["sirna".to_owned()],
        controls: CONTROLS.map(control).into(),
        split_column: Some("dataset".to_owned()),
        wells: [0; Population::ALL.len()],
        without_label: 0,
    };
    Ok((gathered, summary))
}

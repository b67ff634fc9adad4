//! RxRx1's own tables: Kaggle's four and the sample of a submission, rxrx.ai's `metadata.csv`, and `truth.csv`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::simulate::config::Config;
use crate::site::{Experiment, Plate, Population, Well, WellId};

use super::well::{LabelledWell, csv};

/// A row of `test.csv`: of a treated well, all but what it was given.
#[derive(Serialize, Deserialize)]
struct TestRow {
    id_code: WellId,
    experiment: Experiment,
    plate: Plate,
    well: Well,
}

/// A row of `train.csv`.
#[derive(Serialize, Deserialize)]
struct TrainRow {
    id_code: WellId,
    experiment: Experiment,
    plate: Plate,
    well: Well,
    sirna: String,
}

/// A row of `train_controls.csv` and `test_controls.csv`, and of `truth.csv`.
#[derive(Serialize, Deserialize)]
struct ControlRow {
    id_code: WellId,
    experiment: Experiment,
    plate: Plate,
    well: Well,
    sirna: String,
    well_type: Population,
}

/// A row of `sample_submission.csv`.
#[derive(Serialize, Deserialize)]
struct SampleRow {
    id_code: WellId,
    sirna: String,
}

/// A row of rxrx.ai's `metadata.csv`.
#[derive(Serialize, Deserialize)]
struct SiteRow {
    site_id: String,
    well_id: WellId,
    cell_type: String,
    dataset: String,
    experiment: Experiment,
    plate: Plate,
    well: Well,
    site: u16,
    well_type: Population,
    sirna: String,
    sirna_id: u32,
}

impl TestRow {
    fn new(well: &LabelledWell) -> Self {
        let WellId { plate, well: position } = &well.id;
        let experiment = plate.experiment.clone();
        Self { id_code: well.id.clone(), experiment, plate: plate.plate.clone(), well: *position }
    }
}

impl TrainRow {
    fn new(well: &LabelledWell, sirna: String) -> Self {
        let TestRow { id_code, experiment, plate, well } = TestRow::new(well);
        Self { id_code, experiment, plate, well, sirna }
    }
}

impl ControlRow {
    fn new(labelled: &LabelledWell, sirna: String) -> Self {
        let TestRow { id_code, experiment, plate, well } = TestRow::new(labelled);
        Self { id_code, experiment, plate, well, sirna, well_type: labelled.content.population }
    }
}

impl SiteRow {
    fn new(labelled: &LabelledWell, site: u16, sirna: String) -> Self {
        let TestRow { id_code: well_id, experiment, plate, well } = TestRow::new(labelled);
        Self {
            site_id: format!("{well_id}_{site}"),
            well_id,
            cell_type: labelled.cell_type.clone(),
            dataset: labelled.dataset.to_owned(),
            experiment,
            plate,
            well,
            site,
            well_type: labelled.content.population,
            sirna,
            sirna_id: labelled.content.class,
        }
    }
}

/// Writes Kaggle's tables. The rows follow the order of `wells`; `name` is what a class is called.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write(config: &Config, dst: &Path, wells: &[LabelledWell], name: &dyn Fn(u32) -> String) -> Result<()> {
    let named = |well: &LabelledWell| name(well.content.class);
    let of = |dataset: &'static str| wells.iter().filter(move |well| well.dataset == dataset);
    let treated = |dataset| of(dataset).filter(|well| well.content.population == Population::Treatment);
    let controls = |dataset| of(dataset).filter(|well| well.content.population != Population::Treatment);
    let train: Vec<_> = treated("train").map(|well| TrainRow::new(well, named(well))).collect();
    csv(dst, "train.csv", &train)?;
    csv(dst, "test.csv", &treated("test").map(TestRow::new).collect::<Vec<_>>())?;
    for (file, dataset) in [("train_controls.csv", "train"), ("test_controls.csv", "test")] {
        let rows: Vec<_> = controls(dataset).map(|well| ControlRow::new(well, named(well))).collect();
        csv(dst, file, &rows)?;
    }
    // Kaggle's sample gives every well the same class, whatever it is.
    let guess = name(config.n_sirnas / 2);
    let sample = |well: &LabelledWell| SampleRow { id_code: well.id.clone(), sirna: guess.clone() };
    csv(dst, "sample_submission.csv", &treated("test").map(sample).collect::<Vec<_>>())
}

/// Writes `metadata.csv`, a row a site.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write_metadata(
    config: &Config,
    dst: &Path,
    wells: &[LabelledWell],
    name: &dyn Fn(u32) -> String,
) -> Result<()> {
    let sites = wells.iter().flat_map(|well| (1..=config.n_sites).map(move |site| (well, site)));
    let rows = sites.map(|(well, site)| SiteRow::new(well, site, name(well.content.class)));
    csv(dst, "metadata.csv", &rows.collect::<Vec<_>>())
}

/// Writes `truth.csv`, which says of every well what it was given, in the words of the layout.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write_truth(dst: &Path, wells: &[LabelledWell], name: &dyn Fn(u32) -> String) -> Result<()> {
    let truth = wells.iter().map(|well| ControlRow::new(well, name(well.content.class)));
    csv(dst, "truth.csv", &truth.collect::<Vec<_>>())
}

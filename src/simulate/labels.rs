//! The CSVs of each layout, and truth.csv, which tells in its words what every well was given. Owns their columns and the names of siRNAs;
//! knows no pixels.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::csv_table::to_csv;
use crate::error::Result;
use crate::files;
use crate::site::{Experiment, Plate, Population, Well, WellId};

use super::config::{Config, Layout};
use super::dice::Dice;
use super::plates::{Content, POSITIVE_CONTROLS};

/// One well with all that is known of it.
#[derive(Debug, Clone)]
pub(super) struct LabelledWell {
    /// The well.
    pub(super) id: WellId,
    /// What it was given.
    pub(super) content: Content,
    /// `train` or `test`.
    pub(super) dataset: &'static str,
}

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
            cell_type: experiment.cell_type().to_owned(),
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

/// Writes every CSV of the layout into `dst`. The rows follow the order of `wells`.
pub(super) fn write(config: &Config, dst: &Path, wells: &[LabelledWell]) -> Result<()> {
    let names = names(config);
    let name = |well: &LabelledWell| names[well.content.class as usize].clone();
    let of = |dataset: &'static str| wells.iter().filter(move |well| well.dataset == dataset);
    match config.layout {
        Layout::Kaggle2019 | Layout::Kaggle2023 => {
            let treated = |dataset| of(dataset).filter(|well| well.content.population == Population::Treatment);
            let controls = |dataset| of(dataset).filter(|well| well.content.population != Population::Treatment);
            let train: Vec<_> = treated("train").map(|well| TrainRow::new(well, name(well))).collect();
            csv(dst, "train.csv", &train)?;
            csv(dst, "test.csv", &treated("test").map(TestRow::new).collect::<Vec<_>>())?;
            for (file, dataset) in [("train_controls.csv", "train"), ("test_controls.csv", "test")] {
                let rows: Vec<_> = controls(dataset).map(|well| ControlRow::new(well, name(well))).collect();
                csv(dst, file, &rows)?;
            }
            // Kaggle's sample gives every well the same class, whatever it is.
            let guess = &names[config.n_sirnas as usize / 2];
            let sample = |well: &LabelledWell| SampleRow { id_code: well.id.clone(), sirna: guess.clone() };
            csv(dst, "sample_submission.csv", &treated("test").map(sample).collect::<Vec<_>>())?;
        }
        Layout::RxrxAi => {
            let sites = wells.iter().flat_map(|well| (1..=config.n_sites).map(move |site| (well, site)));
            let rows = sites.map(|(well, site)| SiteRow::new(well, site, name(well)));
            csv(dst, "metadata.csv", &rows.collect::<Vec<_>>())?;
        }
        Layout::Bare => {}
    }
    let truth = wells.iter().map(|well| ControlRow::new(well, name(well)));
    csv(dst, "truth.csv", &truth.collect::<Vec<_>>())
}

/// What the layout calls each class. The numbers in names are a permutation, so that whoever takes `sirna_250` for
/// class 250 is found out, as with RxRx1's own.
fn names(config: &Config) -> Vec<String> {
    let n_named = config.n_sirnas as usize + POSITIVE_CONTROLS;
    let mut numbers: Vec<usize> = (1..=n_named).collect();
    Dice::new(config.seed, &[0x9a3e]).shuffle(&mut numbers);
    let named = |name: fn(usize) -> String, untreated: &str| {
        let untreated = std::iter::once(untreated.to_owned());
        numbers.iter().copied().map(name).chain(untreated).collect()
    };
    match config.layout {
        Layout::Kaggle2019 | Layout::Bare => (0..=n_named).map(|class| class.to_string()).collect(),
        Layout::Kaggle2023 => named(|n| format!("sirna_{n}"), "UNTREATED"),
        Layout::RxrxAi => named(|n| format!("s{}", 10_000 + n), "EMPTY"),
    }
}

fn csv<'r, R: Serialize + Deserialize<'r>>(dst: &Path, file: &str, rows: &[R]) -> Result<()> {
    files::write(&dst.join(file), to_csv(rows).as_bytes())
}

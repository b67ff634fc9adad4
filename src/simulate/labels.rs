//! The CSVs of each layout, and truth.csv, which is the same in all. Owns their columns and the names of siRNAs;
//! knows no pixels.

use std::path::Path;

use crate::error::Result;
use crate::files;
use crate::site::{Population, WellId};

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

/// Writes every CSV of the layout into `dst`. The rows follow the order of `wells`.
pub(super) fn write(config: &Config, dst: &Path, wells: &[LabelledWell]) -> Result<()> {
    let names = names(config);
    let name = |well: &LabelledWell| names[well.content.class as usize].clone();
    let of = |dataset: &'static str| wells.iter().filter(move |well| well.dataset == dataset);
    match config.layout {
        Layout::Kaggle2019 | Layout::Kaggle2023 => {
            let treated = |dataset| of(dataset).filter(|well| well.content.population == Population::Treatment);
            let controls = |dataset| of(dataset).filter(|well| well.content.population != Population::Treatment);
            let place = "id_code,experiment,plate,well";
            csv(dst, "train.csv", &format!("{place},sirna"), treated("train").map(|w| row(w, [name(w)])))?;
            csv(dst, "test.csv", place, treated("test").map(|w| row(w, [])))?;
            for (file, dataset) in [("train_controls.csv", "train"), ("test_controls.csv", "test")] {
                let rows = controls(dataset).map(|w| row(w, [name(w), w.content.population.to_string()]));
                csv(dst, file, &format!("{place},sirna,well_type"), rows)?;
            }
            // Kaggle's sample gives every well the same class, whatever it is.
            let guess = &names[config.n_sirnas as usize / 2];
            let rows = treated("test").map(|w| vec![w.id.to_string(), guess.clone()]);
            csv(dst, "sample_submission.csv", "id_code,sirna", rows)?;
        }
        Layout::RxrxAi => {
            let header = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id";
            let sites = wells.iter().flat_map(|well| (1..=config.n_sites).map(move |site| (well, site)));
            csv(dst, "metadata.csv", header, sites.map(|(well, site)| site_row(well, site, name(well))))?;
        }
        Layout::Bare => {}
    }
    let truth = wells.iter().map(|well| {
        let content = well.content;
        row(well, [content.class.to_string(), content.population.to_string()])
    });
    csv(dst, "truth.csv", "id_code,experiment,plate,well,sirna,well_type", truth)
}

fn row<const N: usize>(well: &LabelledWell, rest: [String; N]) -> Vec<String> {
    let plate = &well.id.plate;
    let place = [well.id.to_string(), plate.experiment.to_string(), plate.plate.to_string(), well.id.well.to_string()];
    place.into_iter().chain(rest).collect()
}

fn site_row(well: &LabelledWell, site: u16, name: String) -> Vec<String> {
    let plate = &well.id.plate;
    vec![
        format!("{}_{site}", well.id),
        well.id.to_string(),
        plate.experiment.cell_type().to_owned(),
        well.dataset.to_owned(),
        plate.experiment.to_string(),
        plate.plate.to_string(),
        well.id.well.to_string(),
        site.to_string(),
        well.content.population.to_string(),
        name,
        well.content.class.to_string(),
    ]
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

fn csv(dst: &Path, file: &str, header: &str, rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let mut text = String::from(header);
    text.push('\n');
    for row in rows {
        // No field can hold a comma or a quote: names, numbers and wells are all made here.
        text += &row.join(",");
        text.push('\n');
    }
    let path = dst.join(file);
    files::write(&path, text.as_bytes())
}

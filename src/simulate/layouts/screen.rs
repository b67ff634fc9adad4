//! The tables of screens that have none of RxRx's: `labels.csv`, a row a well, and `load_data.csv`, a row a site.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::csv_table::to_csv;
use crate::error::Result;
use crate::files;
use crate::simulate::config::Config;
use crate::site::{Plate, PlateId, Population, Well};

use super::names::{STAINS, folder, image};
use super::well::LabelledWell;

/// What a well without a treatment was given.
pub(super) const UNTREATED: &str = "DMSO";
/// What the column `control` has of positive controls.
pub(super) const POSITIVE: &str = "positive";
pub(super) const LABELS: &str = "labels.csv";
pub(super) const LOAD_DATA: &str = "load_data.csv";

fn control(well: &LabelledWell) -> &'static str {
    match well.content.population {
        Population::NegativeControl => "negative",
        Population::PositiveControl => POSITIVE,
        Population::Treatment | Population::Unknown => "",
    }
}

/// A row of `labels.csv`.
#[derive(Serialize, Deserialize)]
struct WellRow {
    plate: Plate,
    well: Well,
    treatment: String,
    control: String,
}

/// Writes `labels.csv`.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write_labels(dst: &Path, wells: &[LabelledWell], name: impl Fn(&LabelledWell) -> String) -> Result<()> {
    let row = |well: &LabelledWell| WellRow {
        plate: well.id.plate.plate.clone(),
        well: well.id.well,
        treatment: name(well),
        control: control(well).to_owned(),
    };
    let rows: Vec<WellRow> = wells.iter().map(row).collect();
    files::write_renamed(&dst.join(LABELS), to_csv(&rows).as_bytes())
}

/// Writes `load_data.csv`: a pair of columns a channel, with the path of the machine that is said to have made it.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write_load_data(
    config: &Config,
    dst: &Path,
    wells: &[LabelledWell],
    name: impl Fn(&LabelledWell) -> String,
) -> Result<()> {
    let stains = &STAINS[..config.n_channels.into()];
    let pairs = stains.iter().flat_map(|stain| [format!("FileName_{stain}"), format!("PathName_{stain}")]);
    let known = ["Plate", "Well", "Site", "Treatment", "Control"].map(|column| format!("Metadata_{column}"));
    let header: Vec<String> = pairs.chain(known).collect();
    // How many columns there are is only known now, and no cell has a comma or a quote in it.
    let mut text = header.join(",") + "\n";
    for well in wells {
        let PlateId { plate, .. } = &well.id.plate;
        let dir = format!("/home/ubuntu/bucket/images/{}", folder(config.layout, &well.id.plate, well.dataset));
        for site in 1..=config.n_sites {
            for channel in 1..=config.n_channels {
                let file = image(config.layout, well, (site, config.n_sites), (channel, config.n_channels));
                text += &format!("{file},{dir},");
            }
            text += &format!("{plate},{},{site},{},{}\n", well.id.well, name(well), control(well));
        }
    }
    files::write_renamed(&dst.join(LOAD_DATA), text.as_bytes())
}

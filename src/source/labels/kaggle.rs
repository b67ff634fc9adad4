//! Kaggle's CSVs, of which a name tells the dataset and whether its wells are controls.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use crate::classes::well_type;
use crate::csv_table::{Header, Rows};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Population, Well};
use crate::source::layout::KAGGLE_CSVS;

use super::find::has_kaggle_csv;
use super::rows::{At, Gathered, Row, check_sirna, check_well_type};

/// A row of one of Kaggle's CSVs.
#[derive(Deserialize)]
struct KaggleRow {
    id_code: String,
    experiment: Experiment,
    plate: u16,
    well: Well,
    sirna: Option<String>,
    #[serde(with = "well_type")]
    well_type: Population,
    sirna_id: Option<u32>,
    cell_type: Option<String>,
}

/// The CSVs of Kaggle's layout, each with its dataset and the columns that it may lack: those of the labels and of what
/// they say more of, where Kaggle's own have none.
const KAGGLE: [(&str, &str, &[&str]); 4] = [
    (KAGGLE_CSVS[0], "train", &["well_type", "sirna_id", "cell_type"]),
    (KAGGLE_CSVS[1], "test", &["sirna", "well_type", "sirna_id", "cell_type"]),
    (KAGGLE_CSVS[2], "train", &["sirna_id", "cell_type"]),
    (KAGGLE_CSVS[3], "test", &["sirna_id", "cell_type"]),
];

/// Reads those of the four that there are.
///
/// # Errors
/// If there are none, or one of a pair is missing, or one is malformed or names a well twice.
pub(super) fn read(dir: &Path) -> Result<Gathered> {
    if !has_kaggle_csv(dir)? {
        let expected = "train.csv, test.csv, train_controls.csv or test_controls.csv";
        return Err(Error::refused(dir.display(), expected, "none of them"));
    }
    for dataset in ["train", "test"] {
        let pair = [format!("{dataset}.csv"), format!("{dataset}_controls.csv")];
        let is_there = [files::exists(&dir.join(&pair[0]))?, files::exists(&dir.join(&pair[1]))?];
        if let [true, false] | [false, true] = is_there {
            let [there, lost] = if is_there[0] { [0, 1] } else { [1, 0] };
            let expected = format!("it beside {} (a header alone says that there are none)", pair[there]);
            return Err(Error::malformed(dir.join(&pair[lost]).display(), expected, "no file"));
        }
    }
    let mut gathered = Gathered::default();
    for (name, dataset, optional) in KAGGLE {
        let path = dir.join(name);
        if files::exists(&path)? {
            read_csv(&path, dataset, optional, &mut gathered)?;
        }
    }
    Ok(gathered)
}

fn read_csv(path: &Path, dataset: &str, optional: &'static [&'static str], gathered: &mut Gathered) -> Result<()> {
    let (text, place) = (files::read_text(path)?, path.display().to_string());
    let file: Rc<str> = place.as_str().into();
    let mut seen = BTreeSet::new();
    let table = Rows::open(&text, &place, Header::AmongOthers { optional, alike: &[] })?;
    let [tells_type, tells_cell_type] = ["well_type", "cell_type"].map(|column| table.has(column));
    let needs_sirna = !optional.contains(&"sirna");
    for row in table {
        let (line, row) = row?;
        let at = At { file: Rc::clone(&file), line };
        let KaggleRow { id_code, experiment, plate, well, sirna, well_type, sirna_id, cell_type } = row;
        if tells_cell_type {
            gathered.cell_type((Some(&experiment), &plate.into()), &cell_type.unwrap_or_default(), &at)?;
        }
        let well = gathered.well(experiment, plate.into(), well);
        if id_code != well.to_string() {
            return Err(at.malformed(format!("id_code {well}"), format!("{id_code:?}")));
        }
        if !seen.insert(well.clone()) {
            return Err(at.malformed("each well once", format!("{well} again")));
        }
        let sirna = sirna.unwrap_or_default();
        if sirna.is_empty() && (needs_sirna || sirna_id.is_some()) {
            return Err(at.malformed("a siRNA", "an empty cell"));
        }
        check_sirna(&sirna, &at)?;
        let population = if tells_type { well_type } else { Population::Treatment };
        check_well_type(population, &at)?;
        let (dataset, sirna) = (gathered.name(dataset), gathered.name(&sirna));
        let (site, control, class) = (None, None, sirna_id);
        gathered.rows.push(Row { well, site, dataset, population, sirna, class, control, at });
    }
    Ok(())
}

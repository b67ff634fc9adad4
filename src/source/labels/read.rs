//! Reading the CSVs of a layout. Knows nothing of the images themselves.

use std::path::Path;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::files;
use crate::source::layout::{Layout, RXRX_AI_CSVS};
use crate::source::pattern::PresetTables;

use super::find::{has_kaggle_csv, table_in};
use super::keys::On;
use super::rows::{Gathered, Numbers, implied};
use super::tables::Tables;
use super::wells::Labels;
use super::{kaggle, table};

/// What is known of the classes before the CSVs are read.
#[derive(Debug, Clone, Default)]
pub enum Fixed {
    /// Nothing: the CSVs imply them.
    #[default]
    Nothing,
    /// These are all.
    Classes(Classes),
    /// These, and behind them what else the CSVs imply.
    AndMore(Classes),
}

/// Whether the tables that a layout comes with lie in the root.
fn has_own_tables(layout: Layout, root: &Path) -> Result<bool> {
    Ok(match layout {
        Layout::Kaggle | Layout::RxrxAi => true,
        Layout::Preset(preset) => match preset.tables() {
            PresetTables::None => false,
            PresetTables::Kaggle => has_kaggle_csv(root)?,
            PresetTables::RxrxAi => table_in(root)?.is_some_and(|table| table != root),
        },
        Layout::RxRx1Zarr => has_kaggle_csv(root)? || table_in(root)?.is_some_and(|table| table != root),
        Layout::Bare | Layout::Pattern | Layout::Table | Layout::OmeZarr | Layout::Zarr => false,
    })
}

/// Reads the CSVs of a tree. `fixed` classes come before those that
/// the CSVs imply, and `options` say how the columns of a table are to be read.
///
/// # Errors
/// If a CSV is missing, is malformed, names a well twice, or a siRNA has no class or another one than it is given; if
/// `options` are given where there is no table by columns, or name what a table has not.
pub fn read(tables: &Tables<'_>, fixed: Fixed) -> Result<Labels> {
    let &Tables { layout, root, metadata, options, .. } = tables;
    let metadata = match metadata {
        Some(metadata) => Some(metadata),
        None => has_own_tables(layout, root)?.then_some(root),
    };
    let is_table = layout == Layout::RxrxAi || (layout.is_described() && metadata.is_some());
    // Columns of a table that names images may be named without any of labels.
    let is_of_images = |flag: &str| flag == "--on" && matches!(layout, Layout::Table | Layout::Zarr);
    if let Some(flag) = options.given().filter(|flag| !is_table && !is_of_images(flag)) {
        let expected = "a table by columns (--labels FILE), or the rxrx.ai layout, which has one";
        return Err(Error::refused(flag, expected, format!("the {} layout", layout.name())));
    }
    let place = metadata.unwrap_or(root).display().to_string();
    let (gathered, summary, numbers) = match (layout, metadata) {
        (Layout::Kaggle, metadata) => (kaggle::read(metadata.unwrap_or(root))?, None, Numbers::AreClasses),
        (layout, Some(metadata)) if layout.is_described() && has_kaggle_csv(metadata)? => {
            if let Some(table) = table_in(metadata)? {
                let expected = "Kaggle's four CSVs or another table (--labels FILE says which)";
                return Err(Error::refused(metadata.display(), expected, format!("both, such as {}", table.display())));
            }
            (kaggle::read(metadata)?, None, Numbers::AreClasses)
        }
        (Layout::Bare, _) | (_, None) => (Gathered::default(), None, Numbers::AreClasses),
        (_, Some(metadata)) => {
            let path = match table_in(metadata)? {
                Some(table) => table,
                None if files::exists(metadata)? => metadata.join(RXRX_AI_CSVS[0]),
                None => metadata.to_owned(),
            };
            let (gathered, summary, numbers) = table::read(&path, tables)?;
            (gathered, Some(summary), numbers)
        }
    };
    gathered.check_cell_types()?;
    let Gathered { rows, experiments, names_no_experiment, cell_types, .. } = gathered;
    let classes = match fixed {
        Fixed::Nothing => implied(&rows, numbers)?.into_classes(Classes::default(), &place)?,
        Fixed::Classes(classes) => classes,
        Fixed::AndMore(classes) => implied(&rows, numbers)?.into_classes(classes, &place)?,
    };
    let has_numbers = rows.iter().any(|row| row.class.is_some());
    let mut labels =
        Labels { classes, has_numbers, experiments, names_no_experiment, summary, cell_types, ..Labels::default() };
    labels.is_of_every_experiment = options.on.as_ref().is_some_and(On::names_no_experiment);
    for i in 0..rows.len() {
        labels.add(&rows, i)?;
    }
    Ok(labels)
}

//! Reading the CSVs of a layout. Knows nothing of the images themselves.

use std::path::Path;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::source::layout::{Layout, RXRX_AI_CSVS};

use super::find::table_in;
use super::options::LabelOptions;
use super::rows::{Gathered, Numbers, implied};
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

/// Reads the CSVs of `layout`: `metadata` is their folder, or the table itself. `fixed` classes come before those that
/// the CSVs imply, and `options` say how the columns of a table are to be read.
///
/// # Errors
/// If a CSV is missing, is malformed, names a well twice, or a siRNA has no class or another one than it is given; if
/// `options` are given where there is no table by columns, or name what a table has not.
pub fn read(layout: Layout, metadata: &Path, fixed: Fixed, options: &LabelOptions) -> Result<Labels> {
    if let Some(flag) = options.given().filter(|_| layout != Layout::RxrxAi) {
        let expected = "a table by columns, as the rxrx.ai layout has it";
        return Err(Error::refused(flag, expected, format!("the {} layout", layout.name())));
    }
    let place = metadata.display().to_string();
    let (gathered, summary, numbers) = match layout {
        Layout::Bare | Layout::Preset(_) | Layout::Pattern => (Gathered::default(), None, Numbers::AreClasses),
        Layout::Kaggle => (kaggle::read(metadata)?, None, Numbers::AreClasses),
        Layout::RxrxAi => {
            let path = table_in(metadata)?.unwrap_or_else(|| metadata.join(RXRX_AI_CSVS[0]));
            let (gathered, summary, numbers) = table::read(&path, options)?;
            (gathered, Some(summary), numbers)
        }
    };
    let Gathered { rows, experiments, .. } = gathered;
    let classes = match fixed {
        Fixed::Nothing => implied(&rows, numbers)?.into_classes(Classes::default(), &place)?,
        Fixed::Classes(classes) => classes,
        Fixed::AndMore(classes) => implied(&rows, numbers)?.into_classes(classes, &place)?,
    };
    let has_numbers = rows.iter().any(|row| row.class.is_some());
    let mut labels = Labels { classes, has_numbers, experiments, summary, ..Labels::default() };
    for row in rows {
        labels.add(row)?;
    }
    Ok(labels)
}

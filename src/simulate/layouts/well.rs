//! A well that was made, and rows of such as a CSV.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::csv_table::to_csv;
use crate::error::Result;
use crate::files;
use crate::simulate::plates::Content;
use crate::site::WellId;

/// One well with all that is known of it.
#[derive(Debug, Clone)]
pub(crate) struct LabelledWell {
    /// The well, in the names of the layout.
    pub(crate) id: WellId,
    /// Of the experiment, whose name may tell none.
    pub(crate) cell_type: String,
    /// What it was given.
    pub(crate) content: Content,
    /// `train`, `val` or `test`.
    pub(crate) dataset: &'static str,
}

/// Writes rows as a CSV.
///
/// # Errors
/// If it cannot be written.
pub(super) fn csv<'r, R: Serialize + Deserialize<'r>>(dst: &Path, file: &str, rows: &[R]) -> Result<()> {
    files::write_renamed(&dst.join(file), to_csv(rows).as_bytes())
}

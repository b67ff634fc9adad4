//! Which of the CSVs that data sets come with lie in a folder.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::source::layout::{KAGGLE_CSVS, RXRX_AI_CSVS};

/// Whether `dir` holds a CSV of Kaggle's layout.
pub(crate) fn has_kaggle_csv(dir: &Path) -> Result<bool> {
    for name in KAGGLE_CSVS {
        if files::exists(&dir.join(name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The table by columns that lies in a folder, or that is named itself.
///
/// # Errors
/// If the folder holds two: which of them counts, nobody knows.
pub(crate) fn table_in(metadata: &Path) -> Result<Option<PathBuf>> {
    if files::is_file(metadata)? {
        return Ok(Some(metadata.to_owned()));
    }
    let mut tables = Vec::new();
    for name in RXRX_AI_CSVS {
        let path = metadata.join(name);
        if files::exists(&path)? {
            tables.push(path);
        }
    }
    if tables.len() > 1 {
        let names: Vec<String> = tables.iter().map(|path| path.display().to_string()).collect();
        let expected = "one table of sites or wells (--metadata FILE says which)";
        return Err(Error::refused(metadata.display(), expected, names.join(" and ")));
    }
    Ok(tables.pop())
}

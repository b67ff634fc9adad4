//! Matrices for other programs: `.npy` or `.safetensors`, with a CSV beside them that names the rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::models::weights;
use cellshard::csv_table::to_csv;
use cellshard::error::{Error, Result};
use cellshard::files::WholeFile;
use cellshard::site::WellId;
use cellshard::training::data::Part;

/// How a matrix is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatrixFormat {
    /// `NumPy`'s format, version 1.0.
    Npy,
    /// safetensors, with one tensor.
    Safetensors,
}

impl MatrixFormat {
    /// The format that a file's name asks for.
    ///
    /// # Errors
    /// If it ends neither in `.npy` nor in `.safetensors`.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => Err(Error::refused(path.display(), "a name that ends in .npy or .safetensors", "another")),
        }
    }
}

/// A row of the CSV beside a matrix: a row of the matrix, from 0, its well, and what that is to the network.
#[derive(Serialize, Deserialize)]
struct IndexRow {
    row: u64,
    id_code: WellId,
    part: Part,
}

/// A matrix under way, and the CSV beside it that names its rows. Neither is ever half there.
#[derive(Debug)]
pub struct MatrixFile {
    format: MatrixFormat,
    matrix: WholeFile,
    index: WholeFile,
}

impl MatrixFile {
    /// Starts both files: before long work, this shows whether they can be written.
    ///
    /// # Errors
    /// If one cannot be, or the name asks for no known format.
    pub fn create(path: &Path) -> Result<Self> {
        let format = MatrixFormat::of(path)?;
        Ok(Self { format, matrix: WholeFile::create(path)?, index: WholeFile::create(&index_path(path))? })
    }

    /// Writes `[wells][columns]` f32 as `name`, and `row,id_code,part` beside it.
    ///
    /// # Errors
    /// If the files cannot be written.
    ///
    /// # Panics
    /// If rows differ in length, or there are not as many as wells.
    pub fn finish(self, name: &str, wells: &[WellId], parts: &[Part], rows: &[Vec<f32>]) -> Result<()> {
        let n_columns = rows.first().map_or(0, Vec::len);
        assert!(rows.len() == wells.len() && rows.len() == parts.len(), "a row a well");
        assert!(rows.iter().all(|row| row.len() == n_columns), "[wells][columns]");
        let index: Vec<IndexRow> = (0..)
            .zip(wells.iter().zip(parts))
            .map(|(row, (well, &part))| IndexRow { row, id_code: well.clone(), part })
            .collect();
        self.index.finish_with(to_csv(&index).as_bytes())?;
        let values: Vec<f32> = rows.iter().flatten().copied().collect();
        match self.format {
            MatrixFormat::Npy => {
                let mut bytes = npy_header(rows.len(), n_columns);
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                self.matrix.finish_with(&bytes)
            }
            MatrixFormat::Safetensors => {
                let matrix = Tensor::from_slice(&values).view([rows.len() as i64, n_columns as i64]);
                weights::write(self.matrix, &[(name, &matrix)], &BTreeMap::new())
            }
        }
    }
}

/// The CSV that names a matrix's rows.
#[must_use]
pub fn index_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".csv");
    PathBuf::from(name)
}

/// The header of an `.npy` file (format 1.0): little-endian float32 in C order, padded to a multiple of 64 bytes.
fn npy_header(n_rows: usize, n_columns: usize) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_rows}, {n_columns}), }}");
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header += &" ".repeat(padding);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_read_back_in_either_format_and_its_rows_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let wells = ["RPE-01_1_B02", "RPE-01_1_AA02"].map(|well| well.parse().unwrap());
        let rows = vec![vec![1.0, 2.0, 3.5], vec![-4.0, 0.0, 6.25]];
        for name in ["m.npy", "m.safetensors"] {
            let path = dir.path().join(name);
            MatrixFile::create(&path)
                .unwrap()
                .finish("probabilities", &wells, &[Part::Unseen, Part::Train], &rows)
                .unwrap();
            let read = match MatrixFormat::of(&path).unwrap() {
                MatrixFormat::Npy => Tensor::read_npy(&path).unwrap(),
                MatrixFormat::Safetensors => weights::read(&path).unwrap().tensors["probabilities"].shallow_clone(),
            };
            assert_eq!(Vec::<Vec<f32>>::try_from(read).unwrap(), rows);
            let index = std::fs::read_to_string(index_path(&path)).unwrap();
            assert_eq!(index, "row,id_code,part\n0,RPE-01_1_B02,unseen\n1,RPE-01_1_AA02,train\n");
        }
        assert!(MatrixFile::create(&dir.path().join("m.csv")).is_err());
    }
}

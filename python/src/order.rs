//! The order of a loader's epochs.

use std::sync::Arc;

use cellshard::feed::{EpochOrder, OrderConfig};
use pyo3::prelude::*;

use crate::errors::OrRaise;

/// Batches of site indices, by epoch.
#[pyclass(frozen, module = "cellshard._cellshard")]
pub(crate) struct Order(pub(crate) Arc<EpochOrder>);

#[pymethods]
impl Order {
    #[new]
    #[pyo3(signature = (sites, *, batch_size, seed, groups, rank, world_size, drop_last))]
    fn new(
        sites: Vec<usize>,
        batch_size: usize,
        seed: Option<u64>,
        groups: Option<Vec<usize>>,
        rank: usize,
        world_size: usize,
        drop_last: bool,
    ) -> PyResult<Self> {
        let config = OrderConfig { batch: batch_size, seed, group_of: groups, rank, world_size, drop_last };
        Ok(Self(Arc::new(EpochOrder::new(&sites, config).or_raise()?)))
    }

    /// Batches of an epoch.
    #[getter]
    fn n_batches(&self) -> usize {
        self.0.n_batches()
    }

    /// Sites that never come, as their group is smaller than a batch.
    #[getter]
    fn n_left_out(&self) -> usize {
        self.0.n_left_out()
    }

    /// The sites of a batch of an epoch.
    fn batch(&self, epoch: u64, i: usize) -> PyResult<Vec<usize>> {
        if i >= self.0.n_batches() {
            return Err(pyo3::exceptions::PyIndexError::new_err(format!("batch {i} of {}", self.0.n_batches())));
        }
        Ok(self.0.batch(epoch, i))
    }
}

//! A batch that Python has: its memory is the feed's again when the last array or tensor that looks into it is gone. One
//! of two places with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use cellshard::error::Error;
use cellshard::feed::Batch;
use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::errors::raised;
use crate::memory::Memory;
use crate::pool::Pool;

/// A batch as an object with the buffer protocol: its bytes are `[N, C, H, W]`, N sites.
#[pyclass(frozen, module = "cellshard._cellshard")]
pub(crate) struct Lent {
    pool: Arc<Pool>,
    /// There until it is dropped.
    batch: Option<Batch<Memory>>,
    faults: Mutex<Vec<(usize, Error)>>,
    n_bytes: usize,
}

impl Lent {
    pub(crate) fn new(pool: Arc<Pool>, mut batch: Batch<Memory>, site_bytes: usize) -> Self {
        let n_bytes = batch.sites.len() * site_bytes;
        let faults = Mutex::new(take(&mut batch.faults));
        Self { pool, batch: Some(batch), faults, n_bytes }
    }
}

#[pymethods]
impl Lent {
    /// Indices of its sites.
    #[getter]
    fn sites(&self) -> Vec<usize> {
        self.batch.as_ref().map_or_else(Vec::new, |batch| batch.sites.clone())
    }

    /// Positions that could not be read, told once: each with its exception, and whether that is the fault of the data.
    fn take_faults(&self, py: Python<'_>) -> Vec<(usize, Py<PyBaseException>, bool)> {
        let faults = take(&mut *self.faults.lock().unwrap_or_else(PoisonError::into_inner));
        let told = faults.into_iter().map(|(position, error)| {
            let is_of_data = error.is_data_fault();
            (position, raised(error).into_value(py), is_of_data)
        });
        told.collect()
    }

    /// # Safety
    /// Only Python calls it, with a view that is to be filled.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let lent = slf.get();
        let start = lent.batch.as_ref().map_or(std::ptr::null_mut(), |batch| batch.pixels.place().0);
        // SAFETY: the bytes are there for as long as this object is, of which the view keeps a reference; the feed has no
        // part of them before it is dropped.
        let result = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), lent.n_bytes as ffi::Py_ssize_t, 0, flags)
        };
        if result == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.pool.give_back(batch);
        }
    }
}

//! What Python's package `cellshard` is built on: a store's tables and sites, the feed with memory of Python's, the codec
//! `wave`, and the programs by name. Texts, arrays and everything that a user sees are made in Python.
#![expect(clippy::needless_pass_by_value, reason = "what Python hands over is made for the call")]

mod errors;
mod feed;
mod lent;
mod memory;
mod order;
mod pool;
mod store;
mod wave;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs a program of cellshard's as if it had been called so; its exit code. It may end the process, as when it is
/// interrupted.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| cellshard::cli::programs::run(arguments).0)
}

#[pymodule]
fn _cellshard(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<store::Store>()?;
    module.add_class::<order::Order>()?;
    module.add_class::<feed::Feed>()?;
    module.add_class::<lent::Lent>()?;
    module.add_function(wrap_pyfunction!(wave::wave_encode, module)?)?;
    module.add_function(wrap_pyfunction!(wave::wave_decode, module)?)?;
    module.add_function(wrap_pyfunction!(main, module)?)
}

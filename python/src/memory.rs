//! Memory of Python's that is filled: a NumPy array, or one over a pinned tensor of torch's. One of two places with
//! `unsafe`.
#![allow(unsafe_code)]

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Bytes that are the feed's alone, until they are lent to Python as a batch.
pub(crate) struct Memory(PyBuffer<u8>);

impl Memory {
    /// Takes the bytes of an array, which whoever hands it over must not touch any more.
    pub(crate) fn of(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::get(array)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("memory: expected bytes in a row that can be written, found others"));
        }
        Ok(Self(buffer))
    }

    /// Where its bytes begin, and how many there are.
    pub(crate) fn place(&self) -> (*mut u8, usize) {
        (self.0.buf_ptr().cast(), self.0.len_bytes())
    }
}

impl AsMut<[u8]> for Memory {
    fn as_mut(&mut self) -> &mut [u8] {
        let (start, length) = self.place();
        // SAFETY: the buffer keeps the array alive and where it is. Its bytes lie in C order and without gaps (checked
        // above). `cellshard/_loader.py` and `_store.py` make the array for this, of zeros, and hand it to nobody but here
        // before it is filled; what is lent of it (`lent.rs`) has the `Memory` itself, which is then in no feed. An array
        // that `cellshard/wave.py` was given (`out`) is its caller's, who is told that no other thread may use it until it
        // is filled; every byte of it is a pixel, and nothing else is read from there.
        unsafe { std::slice::from_raw_parts_mut(start, length) }
    }
}

//! The codec `wave` for Python: pixels to a stream and back, with the interpreter's lock let go while it is at work.

use std::cell::Cell;

use cellshard::site::ParseError;
use cellshard::wave::{Decoder, Encoder, Mode, Shape};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{OrRaise, RefusedError};
use crate::memory::Memory;

/// Pixels up to which a thread keeps what it has for the next call.
const KEPT: usize = 64 << 20;

/// What a thread keeps from call to call, so that nothing is asked for in the steady state.
#[derive(Default)]
struct Coder {
    small: Option<Encoder>,
    fast: Option<Encoder>,
    decoder: Decoder,
    /// Copied, as Python may write into its own while the lock is let go.
    input: Vec<u8>,
    stream: Vec<u8>,
}

thread_local! {
    /// Taken by whoever is at work: a call within a call makes another.
    static CODER: Cell<Option<Box<Coder>>> = const { Cell::new(None) };
}

/// Works with what the thread has kept.
fn with_coder<T>(shape: Shape, work: impl FnOnce(&mut Coder) -> T) -> T {
    let mut coder = CODER.take().unwrap_or_default();
    let done = work(&mut coder);
    if shape.pixels() <= KEPT {
        CODER.set(Some(coder));
    }
    done
}

impl Coder {
    /// Copies what an object with the buffer protocol has.
    fn take(&mut self, py: Python<'_>, bytes: &PyBuffer<u8>) -> PyResult<()> {
        if !bytes.is_c_contiguous() {
            return Err(PyBufferError::new_err("expected bytes in a row, found others"));
        }
        cellshard::memory::resize(&mut self.input, bytes.len_bytes(), "a copy").or_raise()?;
        bytes.copy_to_slice(py, &mut self.input)
    }
}

/// A shape that can be: some of each, and as many pixels as can be counted.
fn shape((channels, height, width): (usize, usize, usize), found: usize) -> PyResult<Shape> {
    let pixels = channels.checked_mul(height).and_then(|n| n.checked_mul(width));
    if pixels != Some(found) || found == 0 {
        let message = format!("pixels: expected {channels} x {height} x {width}, one at least, found {found}");
        return Err(RefusedError::new_err(message));
    }
    Ok(Shape { channels, height, width })
}

/// The stream of pixels, `[channel, y, x]`.
#[pyfunction]
pub(crate) fn wave_encode<'py>(
    py: Python<'py>,
    pixels: PyBuffer<u8>,
    channels_height_width: (usize, usize, usize),
    mode: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let mode: Mode = mode.parse().map_err(|error: ParseError| RefusedError::new_err(format!("mode: {error}")))?;
    let shape = shape(channels_height_width, pixels.len_bytes())?;
    with_coder(shape, |coder| {
        coder.take(py, &pixels)?;
        py.detach(|| {
            let Coder { small, fast, input, stream, .. } = coder;
            let encoder = match mode {
                Mode::Small => small,
                Mode::Fast => fast,
            };
            let encoder = match encoder {
                Some(encoder) => encoder,
                None => encoder.insert(Encoder::new(mode)?),
            };
            stream.clear();
            encoder.encode(shape, input, stream)
        })
        .or_raise()?;
        Ok(PyBytes::new(py, &coder.stream))
    })
}

/// Decodes a stream into memory of as many bytes as the shape has pixels, which nobody else may touch meanwhile.
#[pyfunction]
pub(crate) fn wave_decode(
    py: Python<'_>,
    stream: &Bound<'_, PyAny>,
    channels_height_width: (usize, usize, usize),
    memory: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let mut memory = Memory::of(memory)?;
    let shape = shape(channels_height_width, memory.place().1)?;
    let place = || "stream".to_owned();
    with_coder(shape, |coder| {
        // Nobody can write into these: they need no copy.
        if let Ok(bytes) = stream.cast::<PyBytes>() {
            let bytes = bytes.as_bytes();
            return py.detach(|| coder.decoder.decode(shape, bytes, memory.as_mut(), &place)).or_raise();
        }
        coder.take(py, &PyBuffer::get(stream)?)?;
        py.detach(|| coder.decoder.decode(shape, &coder.input, memory.as_mut(), &place)).or_raise()
    })
}

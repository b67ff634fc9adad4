//! Frames of zstd, made and read without a panic where memory is short, as `zstd::bulk` would.

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, compress_bound, find_frame_compressed_size, get_error_name, get_frame_content_size,
};

use crate::error::{Error, Result};
use crate::memory;

/// Makes frames; keeps its state from one to the next.
pub struct Compressor(CCtx<'static>);

impl Compressor {
    /// One of this level.
    ///
    /// # Errors
    /// If zstd cannot set itself up.
    pub fn new(level: i32) -> Result<Self> {
        let mut context = CCtx::try_create().ok_or_else(|| Error::refused("zstd", "memory", "none"))?;
        let set = context.set_parameter(CParameter::CompressionLevel(level));
        set.map_err(|code| Error::refused("--codec", "a zstd level that works", get_error_name(code)))?;
        Ok(Self(context))
    }

    /// Makes a frame of `bytes` in `frame`, which is replaced; `what` names it in errors.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn compress(&mut self, bytes: &[u8], frame: &mut Vec<u8>, what: &str) -> Result<()> {
        frame.clear();
        memory::reserve(frame, compress_bound(bytes.len()), what)?;
        let done = self.0.compress2(frame, bytes);
        done.map_err(|code| Error::refused("zstd", what, get_error_name(code)))?;
        Ok(())
    }
}

/// Reads frames; keeps its state from one to the next.
#[derive(Default)]
pub struct Decompressor(Option<DCtx<'static>>);

impl Decompressor {
    /// Decompresses `frame` into the front of `bytes`, and gives how many there are; `expected` says in errors, at
    /// `place`, what it should be.
    ///
    /// # Errors
    /// If it is no whole frame of at most as many bytes; or if memory runs out.
    pub fn decompress(
        &mut self,
        frame: &[u8],
        bytes: &mut [u8],
        place: &dyn Fn() -> String,
        expected: &dyn Fn() -> String,
    ) -> Result<usize> {
        let context = match &mut self.0 {
            Some(context) => context,
            None => self.0.insert(DCtx::try_create().ok_or_else(|| Error::refused("zstd", "memory", "none"))?),
        };
        context.decompress(bytes, frame).map_err(|code| {
            let name = get_error_name(code);
            if name.contains("not enough memory") {
                return Error::refused("zstd", "memory", name);
            }
            Error::malformed(place(), expected(), name)
        })
    }
}

/// Whether these bytes are one frame that says its size, and nothing behind it.
#[must_use]
pub fn is_one_frame(bytes: &[u8]) -> bool {
    find_frame_compressed_size(bytes) == Ok(bytes.len()) && matches!(get_frame_content_size(bytes), Ok(Some(_)))
}

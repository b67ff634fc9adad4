//! Inflating by libdeflate, which checks the Adler-32, into a buffer that must be filled exactly.

use std::fmt::Display;

use libdeflater::{DecompressionError, Decompressor};

use super::fault::ImageFault;

/// Deflate makes at most so many bytes of one: 258 of two bits.
pub(super) const MOST_INFLATED: u64 = 1032;

/// Inflates a zlib stream, which must be as long as `out` and have the Adler-32 that it names; `what` names in faults
/// what comes of it.
pub(super) fn inflate(
    inflate: &mut Decompressor,
    zlib: &[u8],
    out: &mut [u8],
    what: impl Display,
) -> Result<(), ImageFault> {
    let n_bytes = out.len();
    let undecodable =
        |found: &dyn Display| Err(ImageFault::undecodable(format_args!("{n_bytes} bytes of {what}"), found));
    match inflate.zlib_decompress(zlib, out) {
        Ok(n) if n == n_bytes => Ok(()),
        Ok(n) => undecodable(&n),
        Err(DecompressionError::BadData) => undecodable(&"zlib data that is damaged"),
        Err(DecompressionError::InsufficientSpace) => undecodable(&"more"),
    }
}

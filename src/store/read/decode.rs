//! One site's pixels as a chunk: encoding, and decoding of bytes that may be anything.

use crate::error::{Error, Result};
use crate::store::format::checksum::{CRC_BYTES, crc32c};
use crate::store::format::spec::{Codec, StoreSpec};
use crate::wave;
use crate::zstandard::Decompressor;

use super::copy;

/// Decodes chunks; keeps its state from one to the next.
#[derive(Default)]
pub struct Decoder {
    zstd: Decompressor,
    wave: wave::Decoder,
}

impl Decoder {
    /// Decodes `chunk` into `pixels`, `[C, H, W]`; `place` names the site in errors.
    ///
    /// # Errors
    /// If the chunk is not one of `spec`'s codec that holds exactly one site.
    pub fn decode(
        &mut self,
        spec: &StoreSpec,
        chunk: &[u8],
        pixels: &mut [u8],
        place: &dyn Fn() -> String,
    ) -> Result<()> {
        match spec.codec {
            Codec::Raw => self.decode_unchecked(spec, chunk, pixels, place),
            Codec::Zstd(_) | Codec::Wave(_) => self.decode_unchecked(spec, checked(chunk, place)?, pixels, place),
        }
    }

    /// The same of what stands before a chunk's crc32c, which is not looked at.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_unchecked(
        &mut self,
        spec: &StoreSpec,
        data: &[u8],
        pixels: &mut [u8],
        place: &dyn Fn() -> String,
    ) -> Result<()> {
        let malformed = |expected: &str, found: String| Err(Error::malformed(place(), expected, found));
        match spec.codec {
            Codec::Raw => {
                if data.len() != pixels.len() {
                    return malformed(&format!("{} bytes", pixels.len()), data.len().to_string());
                }
                copy::copy(data, pixels);
            }
            Codec::Zstd(_) => {
                let n_pixels = pixels.len();
                let expected = || format!("{n_pixels} bytes of zstd pixels");
                let n = self.zstd.decompress(data, &mut *pixels, place, &expected)?;
                if n != pixels.len() {
                    return malformed(&format!("{} bytes of pixels", pixels.len()), n.to_string());
                }
            }
            Codec::Wave(_) => self.wave.decode(spec.shape(), data, pixels, place)?,
        }
        Ok(())
    }
}

/// What stands before the crc32c of a compressed chunk, and has it.
fn checked<'a>(chunk: &'a [u8], place: &dyn Fn() -> String) -> Result<&'a [u8]> {
    let Some((data, crc)) = chunk.split_last_chunk::<CRC_BYTES>() else {
        return Err(Error::malformed(place(), "a compressed chunk and its crc32c", format!("{} bytes", chunk.len())));
    };
    let (expected, found) = (u32::from_le_bytes(*crc), crc32c(data));
    if expected != found {
        return Err(Error::malformed(place(), format!("chunk crc32c {expected:08x}"), format!("{found:08x}")));
    }
    Ok(data)
}

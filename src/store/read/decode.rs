//! One site's pixels as a chunk: encoding, and decoding of bytes that may be anything.

use zstd::zstd_safe::{self, DCtx};

use crate::error::{Error, Result};
use crate::store::format::checksum::crc32c;
use crate::store::format::spec::{Codec, StoreSpec};
use crate::wave;

use super::copy;

/// Decodes chunks; keeps its state from one to the next.
#[derive(Default)]
pub struct Decoder {
    zstd: Option<DCtx<'static>>,
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
        let malformed = |expected: &str, found: String| Err(Error::malformed(place(), expected, found));
        match spec.codec {
            Codec::Raw => {
                if chunk.len() != pixels.len() {
                    return malformed(&format!("{} bytes", pixels.len()), chunk.len().to_string());
                }
                copy::copy(chunk, pixels);
            }
            Codec::Zstd(_) => {
                let data = checked(chunk, place)?;
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    // Not by `zstd::bulk`, which panics where there is no memory for it.
                    None => {
                        self.zstd.insert(DCtx::try_create().ok_or_else(|| Error::refused("zstd", "memory", "none"))?)
                    }
                };
                match zstd.decompress(&mut *pixels, data) {
                    Ok(n) if n == pixels.len() => {}
                    Ok(n) => return malformed(&format!("{} bytes of pixels", pixels.len()), n.to_string()),
                    Err(code) => {
                        let name = zstd_safe::get_error_name(code);
                        if name.contains("not enough memory") {
                            return Err(Error::refused("zstd", "memory", name));
                        }
                        return malformed(&format!("{} bytes of zstd pixels", pixels.len()), name.to_owned());
                    }
                }
            }
            Codec::Wave => self.wave.decode(spec.shape(), checked(chunk, place)?, pixels, place)?,
        }
        Ok(())
    }
}

/// What stands before the crc32c of a compressed chunk, and has it.
fn checked<'a>(chunk: &'a [u8], place: &dyn Fn() -> String) -> Result<&'a [u8]> {
    let Some((data, crc)) = chunk.split_last_chunk::<4>() else {
        return Err(Error::malformed(place(), "a compressed chunk and its crc32c", format!("{} bytes", chunk.len())));
    };
    let (expected, found) = (u32::from_le_bytes(*crc), crc32c(data));
    if expected != found {
        return Err(Error::malformed(place(), format!("chunk crc32c {expected:08x}"), format!("{found:08x}")));
    }
    Ok(data)
}

//! One site's pixels as a chunk: encoding, and decoding of bytes that may be anything.

use crate::error::{Error, Result};
use crate::store::format::checksum::crc32c;
use crate::store::format::spec::{Codec, StoreSpec};

use super::copy;

/// Decodes chunks; keeps its state from one to the next.
#[derive(Default)]
pub struct Decoder {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Decoder {
    /// Decodes `chunk` into `pixels`, `[C, H, W] u8`; `place` names the site in errors.
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
                let Some((data, crc)) = chunk.split_last_chunk::<4>() else {
                    return malformed("a chunk of zstd and crc32c", format!("{} bytes", chunk.len()));
                };
                let (expected, found) = (u32::from_le_bytes(*crc), crc32c(data));
                if expected != found {
                    return malformed(&format!("chunk crc32c {expected:08x}"), format!("{found:08x}"));
                }
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    None => {
                        let new = zstd::bulk::Decompressor::new().map_err(|e| Error::refused("zstd", "memory", e))?;
                        self.zstd.insert(new)
                    }
                };
                match zstd.decompress_to_buffer(data, pixels) {
                    Ok(n) if n == pixels.len() => {}
                    Ok(n) => return malformed(&format!("{} bytes of pixels", pixels.len()), n.to_string()),
                    Err(e) => return malformed(&format!("{} bytes of zstd pixels", pixels.len()), e.to_string()),
                }
            }
        }
        Ok(())
    }
}

//! One site's pixels as a chunk.

use zstd::zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

use crate::error::{Error, Result};
use crate::memory;
use crate::store::format::checksum::crc32c;
use crate::store::format::spec::Codec;

/// Encodes sites; keeps its state from one to the next.
pub struct Encoder {
    zstd: Option<CCtx<'static>>,
}

impl Encoder {
    /// An encoder of this codec.
    ///
    /// # Errors
    /// If zstd cannot set itself up.
    pub fn new(codec: Codec) -> Result<Self> {
        let zstd = match codec {
            Codec::Raw => None,
            Codec::Zstd(level) => {
                // Not by `zstd::bulk`, which panics where there is no memory for it.
                let mut context = CCtx::try_create().ok_or_else(|| Error::refused("zstd", "memory", "none"))?;
                let set = context.set_parameter(CParameter::CompressionLevel(level));
                set.map_err(|code| Error::refused("--codec", "a zstd level that works", get_error_name(code)))?;
                Some(context)
            }
        };
        Ok(Self { zstd })
    }

    /// Encodes `pixels` into `chunk`, which is replaced. Where nothing is to be done to them the two change places, so
    /// that nothing is copied: what `pixels` holds afterwards means nothing.
    ///
    /// # Errors
    /// If zstd fails, which it does only when memory runs out.
    pub fn encode(&mut self, pixels: &mut Vec<u8>, chunk: &mut Vec<u8>) -> Result<()> {
        match &mut self.zstd {
            None => std::mem::swap(pixels, chunk),
            Some(zstd) => {
                chunk.clear();
                memory::reserve(chunk, compress_bound(pixels.len()) + 4, "a compressed site")?;
                let done = zstd.compress2(chunk, pixels);
                done.map_err(|code| Error::refused("zstd", "a compressed site", get_error_name(code)))?;
                let crc = crc32c(chunk);
                chunk.extend(crc.to_le_bytes());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::format::spec::tests::spec;
    use crate::store::read::decode::Decoder;
    use proptest::prelude::*;

    fn decode(codec: Codec, chunk: &[u8]) -> Result<Vec<u8>> {
        let mut pixels = vec![0; 30];
        Decoder::default().decode(&spec(codec), chunk, &mut pixels, &|| "x".into()).map(|()| pixels)
    }

    fn encode(codec: Codec, pixels: &[u8]) -> Vec<u8> {
        let mut chunk = vec![1, 2, 3];
        Encoder::new(codec).unwrap().encode(&mut pixels.to_vec(), &mut chunk).unwrap();
        chunk
    }

    #[test]
    fn a_chunk_of_another_size_is_refused() {
        for codec in [Codec::Raw, Codec::Zstd(3)] {
            for n in [0, 29, 31, 3000] {
                assert!(decode(codec, &encode(codec, &vec![7; n])).is_err(), "{codec} {n}");
            }
        }
        assert!(decode(Codec::Zstd(3), b"abc").is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_compressed_chunk_is_seen() {
        let good = encode(Codec::Zstd(3), &(0..30).collect::<Vec<u8>>());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(Codec::Zstd(3), &bad).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn pixels_survive_every_codec(pixels in proptest::collection::vec(any::<u8>(), 30), level in 1i32..=22) {
            for codec in [Codec::Raw, Codec::Zstd(level)] {
                prop_assert_eq!(&decode(codec, &encode(codec, &pixels)).unwrap(), &pixels);
            }
        }

        #[test]
        fn no_chunk_makes_it_panic(mut chunk in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(Codec::Raw, &chunk);
            chunk.splice(0..0, [0x28, 0xb5, 0x2f, 0xfd]);
            chunk.extend(crc32c::crc32c(&chunk).to_le_bytes());
            let _ = decode(Codec::Zstd(3), &chunk);
        }
    }
}

//! One site's pixels as a chunk.

use crate::error::Result;
use crate::memory;
use crate::store::format::checksum::{CRC_BYTES, crc32c};
use crate::store::format::spec::{Codec, StoreSpec};
use crate::wave::{self, Shape};
use crate::zstandard::Compressor;

/// Encodes sites; keeps its state from one to the next.
pub struct Encoder(By);

enum By {
    Nothing,
    Zstd(Compressor),
    Wave(Box<wave::Encoder>, Shape),
}

impl Encoder {
    /// An encoder of a store's sites.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(spec: &StoreSpec) -> Result<Self> {
        match spec.codec {
            Codec::Raw => Ok(Self(By::Nothing)),
            Codec::Zstd(level) => Self::of_zstd(level),
            Codec::Wave(mode) => Ok(Self(By::Wave(Box::new(wave::Encoder::new(mode)?), spec.shape()))),
        }
    }

    /// An encoder of anything by zstd.
    ///
    /// # Errors
    /// If zstd cannot set itself up.
    pub fn of_zstd(level: i32) -> Result<Self> {
        Ok(Self(By::Zstd(Compressor::new(level)?)))
    }

    /// Encodes `pixels` into `chunk`, which is replaced. Where nothing is to be done to them the two change places, so
    /// that nothing is copied: what `pixels` holds afterwards means nothing.
    ///
    /// # Errors
    /// If memory runs out.
    ///
    /// # Panics
    /// If pixels for wave are not those of a site.
    pub fn encode(&mut self, pixels: &mut Vec<u8>, chunk: &mut Vec<u8>) -> Result<()> {
        chunk.clear();
        match &mut self.0 {
            By::Nothing => {
                std::mem::swap(pixels, chunk);
                return Ok(());
            }
            By::Zstd(zstd) => zstd.compress(pixels, chunk, "a compressed site")?,
            By::Wave(wave, shape) => wave.encode(*shape, pixels, chunk)?,
        }
        memory::reserve(chunk, CRC_BYTES, "a compressed site")?;
        let crc = crc32c(chunk);
        chunk.extend(crc.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::format::spec::tests::spec;
    use crate::store::read::decode::Decoder;
    use crate::wave::Mode;
    use proptest::prelude::*;

    fn decode(codec: Codec, chunk: &[u8]) -> Result<Vec<u8>> {
        let mut pixels = vec![0; 30];
        Decoder::default().decode(&spec(codec), chunk, &mut pixels, &|| "x".into()).map(|()| pixels)
    }

    fn encode(codec: Codec, pixels: &[u8]) -> Vec<u8> {
        let mut chunk = vec![1, 2, 3];
        Encoder::new(&spec(codec)).unwrap().encode(&mut pixels.to_vec(), &mut chunk).unwrap();
        chunk
    }

    #[test]
    fn a_chunk_of_another_size_is_refused() {
        for codec in [Codec::Raw, Codec::Zstd(3)] {
            for n in [0, 29, 31, 3000] {
                assert!(decode(codec, &encode(codec, &vec![7; n])).is_err(), "{codec} {n}");
            }
        }
        for codec in [Codec::Zstd(3), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
            assert!(decode(codec, b"abc").is_err());
        }
    }

    #[test]
    fn every_flipped_bit_of_a_compressed_chunk_is_seen() {
        for codec in [Codec::Zstd(3), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
            let good = encode(codec, &(0..30).collect::<Vec<u8>>());
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(codec, &bad).is_err(), "{codec}: bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn pixels_survive_every_codec(pixels in proptest::collection::vec(any::<u8>(), 30), level in 1i32..=22) {
            for codec in [Codec::Raw, Codec::Zstd(level), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
                prop_assert_eq!(&decode(codec, &encode(codec, &pixels)).unwrap(), &pixels);
            }
        }

        #[test]
        fn no_chunk_makes_it_panic(mut chunk in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(Codec::Raw, &chunk);
            chunk.splice(0..0, [0x28, 0xb5, 0x2f, 0xfd]);
            chunk.extend(crc32c::crc32c(&chunk).to_le_bytes());
            let _ = decode(Codec::Zstd(3), &chunk);
            let _ = decode(Codec::Wave(Mode::Small), &chunk);
        }
    }
}

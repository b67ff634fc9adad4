//! A batch as steps take it, and what they take it from. Knows neither stores nor memory.

use tch::{Kind, Tensor};

use cellshard::error::Result;

/// One batch on the device. Its tensors are views of the staging ring's memory: what is to be computed from them must
/// be asked for before the next batch is.
pub struct DeviceBatch {
    /// `[N, C, H, W]`, as they lie in the store: u8, or the bits of uint16 as i16, which [`levels`] reads.
    pub raw: Tensor,
    /// `[N] i64`, positions in [`super::loader::plates`].
    pub plates: Tensor,
    /// `[N] i64`, outputs of the network; -1 where unknown.
    pub labels: Tensor,
    /// The sites' indices in the store, on the host.
    pub sites: Vec<usize>,
}

/// The highest bit of 16 as a signed number.
const HIGHEST: i64 = -0x8000;

/// Grey levels of raw pixels as numbers: u8 as they are; the bits of uint16 (whose kind libtorch computes little with)
/// as float32, which holds each of them exactly. No value has more than 32 bits on the way.
pub fn levels(raw: &Tensor) -> Tensor {
    if raw.kind() != Kind::Int16 {
        return raw.shallow_clone();
    }
    // With the highest bit turned over, the order of signed numbers is that of unsigned ones, from -32768 on.
    raw.bitwise_xor(HIGHEST).to_kind(Kind::Float).g_add_scalar_(-HIGHEST)
}

/// Where the batches of steps come from.
pub trait Source {
    /// The next batch; `None` after the last.
    ///
    /// # Errors
    /// If it cannot be read, or the device fails.
    fn next(&mut self) -> Result<Option<DeviceBatch>>;

    /// Takes the memory of the last batch back: all that is computed from it has been asked for.
    ///
    /// # Errors
    /// If the device fails.
    fn release(&mut self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn every_level_of_16_bits_is_the_number_that_it_stands_for() {
        let bits: Vec<i16> = (0..=u16::MAX).map(u16::cast_signed).collect();
        let found = levels(&Tensor::from_slice(&bits));
        let expected = Tensor::arange(65_536, (Kind::Float, Device::Cpu));
        assert_eq!(found.kind(), Kind::Float);
        assert_eq!((found - expected).abs().max().double_value(&[]), 0.0);
        let bytes = Tensor::from_slice(&[0_u8, 255]);
        assert_eq!(Vec::<u8>::try_from(levels(&bytes)).unwrap(), [0, 255]);
    }
}

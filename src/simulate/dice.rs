//! Random numbers that depend on nothing but a key: the same seed, experiment, plate, well and site give the same
//! pixels whichever thread draws them. Owns the conversion from bits to values, so that an update of a library
//! cannot change a tree; refuses global state.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// A generator for one purpose.
#[derive(Debug, Clone)]
pub(super) struct Dice(Pcg64Mcg);

impl Dice {
    /// The generator that belongs to `seed` and the path of `keys`.
    pub(super) fn new(seed: u64, keys: &[u64]) -> Self {
        let mix = |state, &key: &u64| splitmix(state ^ splitmix(key));
        let state = keys.iter().fold(splitmix(seed), mix);
        let state = u128::from(splitmix(state ^ 1)) << 64 | u128::from(splitmix(state ^ 2));
        Self(Pcg64Mcg::new(state))
    }

    /// Uniform in `0.0..1.0`.
    pub(super) fn unit(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// All bits of a draw.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform between two bounds.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Near enough to a standard normal: the sum of the eight 16-bit parts of two draws. Its tails end at 4.9
    /// sigma, which keeps a made-up cell from growing over the whole site.
    pub(super) fn normal(&mut self) -> f32 {
        let sum = |bits: u64| (0..4).map(|i| (bits >> (16 * i) & 0xffff) as u32).sum::<u32>();
        let total = sum(self.0.next_u64()) + sum(self.0.next_u64());
        (total as f32 / 65535.0 - 4.0) * (12.0f32 / 8.0).sqrt()
    }

    /// `exp` of a normal with this standard deviation: a factor around 1.
    pub(super) fn factor(&mut self, sigma: f32) -> f32 {
        (sigma * self.normal()).exp()
    }

    /// Uniform in `0..n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Puts a slice into random order.
    pub(super) fn shuffle<T>(&mut self, slice: &mut [T]) {
        for i in (1..slice.len()).rev() {
            slice.swap(i, self.below(i + 1));
        }
    }
}

/// A key for a name, FNV-1a.
pub(super) fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014): every bit of the input moves every bit of the output.
fn splitmix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_has_mean_0_and_deviation_1() {
        let mut dice = Dice::new(1, &[2, 3]);
        let draws: Vec<f32> = (0..20_000).map(|_| dice.normal()).collect();
        let mean = draws.iter().sum::<f32>() / 20_000.0;
        let variance = draws.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn another_key_is_another_stream() {
        let first = |keys: &[u64]| Dice::new(0, keys).unit();
        assert!(first(&[1, 2]) != first(&[2, 1]));
        assert!(first(&[1]) != first(&[1, 0]));
    }
}

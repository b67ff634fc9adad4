//! The order of an epoch: a permutation of the sites that is a pure function of seed and epoch. Pure.

/// A permutation of `0..n` that can be asked for any position, so that a run resumes at any step without replaying
/// what came before. A Feistel network over the smallest even number of bits that holds `n`, walked until the result
/// is below `n` (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002): at most four tries on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; Self::ROUNDS],
}

impl Permutation {
    /// Rounds of the network; fewer leave neighbours together.
    const ROUNDS: usize = 6;

    /// The permutation of `0..n` for an epoch of a run.
    #[must_use]
    pub fn new(n: usize, seed: u64, epoch: u64) -> Self {
        let n = n as u64;
        let bits = 64 - n.saturating_sub(1).leading_zeros();
        let key = mix(mix(seed) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let keys = std::array::from_fn(|round| mix(key.wrapping_add(round as u64)));
        Self { n, half_bits: bits.div_ceil(2).max(1), keys }
    }

    /// What stands at position `i`.
    ///
    /// # Panics
    /// If there is no such position.
    #[must_use]
    pub fn at(&self, i: usize) -> usize {
        assert!((i as u64) < self.n, "position {i} of {}", self.n);
        let mut value = i as u64;
        loop {
            value = self.encrypt(value);
            if value < self.n {
                return value as usize;
            }
        }
    }

    fn encrypt(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        (left << self.half_bits) | right
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, 2014).
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
        let permutation = Permutation::new(n, seed, epoch);
        (0..n).map(|i| permutation.at(i)).collect()
    }

    #[test]
    fn epochs_and_seeds_differ() {
        assert_ne!(all(1000, 1, 0), all(1000, 1, 1));
        assert_ne!(all(1000, 1, 0), all(1000, 2, 0));
        assert_ne!(all(1000, 0, 1), all(1000, 1, 0));
    }

    #[test]
    fn neighbours_land_anywhere() {
        // The mean distance of two independent positions of 0..n is n / 3.
        let n = 10_000;
        let order = all(n, 3, 4);
        let distance: usize = order.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
        let mean = distance as f64 / n as f64;
        assert!((mean / (n as f64 / 3.0) - 1.0).abs() < 0.03, "{mean}");
    }

    #[test]
    fn each_position_gets_each_value_equally_often() {
        let (n, epochs) = (6, 6000);
        let mut counts = vec![vec![0_u32; n]; n];
        for epoch in 0..epochs {
            all(n, 9, epoch).into_iter().enumerate().for_each(|(i, value)| counts[i][value] += 1);
        }
        // 1000 expected; five standard deviations are 145.
        assert!(counts.iter().flatten().all(|&count| count.abs_diff(1000) < 145), "{counts:?}");
    }

    proptest! {
        #[test]
        fn every_value_comes_once(n in 0_usize..3000, seed in any::<u64>(), epoch in any::<u64>()) {
            let mut order = all(n, seed, epoch);
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..n));
        }
    }
}

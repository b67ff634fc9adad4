//! Counting one site, and adding sites up by population: histograms a channel and products of channel pairs. All sums
//! are exact integers, so the order of sites and the number of threads cannot show.

use crate::site::{Dtype, Population};

use super::histogram::Histogram;

/// Pixels that are multiplied at a time: those of all channels fit into the nearest cache, and a 32-bit sum of those of 8
/// bits cannot overflow.
const BLOCK: usize = 4096;

/// The pairs of `n` channels (a <= b) in the order in which their products are kept.
pub fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |a| (a..n).map(move |b| (a, b)))
}

/// Position of the pair `(a, b)`, a <= b < n, in [`pairs`].
#[must_use]
pub fn pair_index(a: usize, b: usize, n: usize) -> usize {
    a * (2 * n + 1 - a) / 2 + (b - a)
}

/// The counts of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteStatistics {
    /// A histogram a channel.
    pub histograms: Vec<Histogram>,
    /// For each pair of channels the sum over pixels of the product of the two grey levels, in the order of [`pairs`].
    pub products: Vec<u64>,
}

impl SiteStatistics {
    /// Counts `pixels`, `[C, H, W]` of at most 4 GiB, of `n_channels` channels.
    ///
    /// # Panics
    /// If the pixels do not divide into channels.
    #[must_use]
    pub fn of(pixels: &[u8], n_channels: usize, dtype: Dtype) -> Self {
        let is_whole = n_channels > 0 && pixels.len().is_multiple_of(n_channels * dtype.bytes());
        assert!(is_whole, "[C, H, W] pixels");
        let plane = pixels.len() / n_channels;
        let planes: Vec<&[u8]> = pixels.chunks_exact(plane).collect();
        let histograms: Vec<Histogram> = planes.iter().map(|plane| Histogram::of(plane, dtype)).collect();
        let mut products = vec![0; n_channels * (n_channels + 1) / 2];
        for start in (0..plane).step_by(BLOCK) {
            let block = |c: usize| &planes[c][start..plane.min(start + BLOCK)];
            for (sum, (a, b)) in products.iter_mut().zip(pairs(n_channels)) {
                if a != b {
                    *sum += match dtype {
                        Dtype::Uint8 => u64::from(sum_of_products(block(a), block(b))),
                        Dtype::Uint16 => sum_of_wide_products(block(a), block(b)),
                    };
                }
            }
        }
        for (c, histogram) in histograms.iter().enumerate() {
            let squares = histogram.sum_of_squares();
            products[pair_index(c, c, n_channels)] = squares.try_into().expect("2^31 squares of 32 bits are 63 bits");
        }
        Self { histograms, products }
    }
}

/// The sum of products of at most 4096 pairs of grey levels. By itself, so that it is eight at a time whatever the compiler
/// makes of its callers: inlined, that came and went with code elsewhere, and with it a seventh of what packing takes.
#[inline(never)]
fn sum_of_products(a: &[u8], b: &[u8]) -> u32 {
    let sum: i32 = a.iter().zip(b).map(|(&a, &b)| i32::from(i16::from(a)) * i32::from(i16::from(b))).sum();
    sum.unsigned_abs()
}

/// The sum of products of at most 4096 pairs of grey levels of 16 bits. Their lower and upper halves are added by
/// themselves, so that eight are multiplied at a time and no sum needs more than 32 bits.
#[inline(never)]
fn sum_of_wide_products(a: &[u8], b: &[u8]) -> u64 {
    let (a, b) = (a.as_chunks::<2>().0, b.as_chunks::<2>().0);
    let (mut low, mut high) = (0_u32, 0_u32);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (u16::from_le_bytes(*a), u16::from_le_bytes(*b));
        // 4096 times 16 bits are 28: checks for overflow would only keep these from being added side by side.
        low = low.wrapping_add(u32::from(a.wrapping_mul(b)));
        high = high.wrapping_add((u32::from(a) * u32::from(b)) >> 16);
    }
    u64::from(low) + (u64::from(high) << 16)
}

/// The counts of all sites of one population.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PopulationStatistics {
    /// Sites counted.
    pub n_sites: u64,
    /// A histogram a channel; empty where no site was counted.
    pub histograms: Vec<Histogram>,
    /// Sums of products, in the order of [`pairs`]; empty where no site was counted.
    pub products: Vec<u128>,
}

impl PopulationStatistics {
    /// Adds one site.
    pub fn add(&mut self, site: &SiteStatistics) {
        self.add_counts(1, &site.histograms, site.products.iter().copied().map(u128::from));
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if other.n_sites == 0 {
            return;
        }
        self.add_counts(other.n_sites, &other.histograms, other.products.iter().copied());
    }

    fn add_counts(&mut self, n_sites: u64, histograms: &[Histogram], products: impl ExactSizeIterator<Item = u128>) {
        if self.histograms.is_empty() {
            self.histograms = vec![Histogram::default(); histograms.len()];
            self.products = vec![0; products.len()];
        }
        self.n_sites += n_sites;
        self.histograms.iter_mut().zip(histograms).for_each(|(sum, more)| sum.merge(more));
        self.products.iter_mut().zip(products).for_each(|(sum, more)| *sum += more);
    }
}

/// The counts of one plate, by population.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlateStatistics {
    populations: [PopulationStatistics; Population::ALL.len()],
}

impl PlateStatistics {
    /// The counts of one population.
    #[must_use]
    pub fn population(&self, population: Population) -> &PopulationStatistics {
        &self.populations[population.index()]
    }

    /// The counts of one population, to add to.
    pub fn population_mut(&mut self, population: Population) -> &mut PopulationStatistics {
        &mut self.populations[population.index()]
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.populations.iter_mut().zip(&other.populations).for_each(|(sum, more)| sum.merge(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_where_their_index_says() {
        for n in 1..8 {
            let all: Vec<_> = pairs(n).collect();
            assert!(all.iter().enumerate().all(|(i, &(a, b))| pair_index(a, b, n) == i));
        }
    }

    #[test]
    fn the_brightest_image_does_not_overflow() {
        let bytes = vec![255; 2 * 70_000];
        assert_eq!(SiteStatistics::of(&bytes, 2, Dtype::Uint8).products, [70_000 * 255 * 255; 3]);
        assert_eq!(SiteStatistics::of(&bytes, 2, Dtype::Uint16).products, [35_000 * 65_535 * 65_535; 3]);
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_pixels(plane in 1usize..5000, seed: u32) {
            let words = (0..3 * plane as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as u16);
            let words: Vec<u16> = words.collect();
            let check = |found: &SiteStatistics, pixels: &[u16]| {
                for (found, (a, b)) in found.products.iter().zip(pairs(3)) {
                    let product = |i: usize| u64::from(pixels[a * plane + i]) * u64::from(pixels[b * plane + i]);
                    prop_assert_eq!(*found, (0..plane).map(product).sum::<u64>());
                }
                Ok(())
            };
            let bytes: Vec<u8> = words.iter().map(|word| *word as u8).collect();
            let low: Vec<u16> = bytes.iter().map(|&byte| byte.into()).collect();
            check(&SiteStatistics::of(&bytes, 3, Dtype::Uint8), &low)?;
            let pixels: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            check(&SiteStatistics::of(&pixels, 3, Dtype::Uint16), &words)?;
        }
    }
}

//! Counting one site, and adding sites up by population: histograms a channel and products of channel pairs. All sums
//! are exact integers, so the order of sites and the number of threads cannot show.

use crate::site::Population;

use super::histogram::Histogram;

/// Pixels that are multiplied at a time: those of all channels fit into the nearest cache, and a 32-bit sum cannot
/// overflow.
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
    /// Counts `pixels`, `[C, H, W] u8`, of `n_channels` channels.
    ///
    /// # Panics
    /// If the pixels do not divide into channels.
    #[must_use]
    pub fn of(pixels: &[u8], n_channels: usize) -> Self {
        assert!(n_channels > 0 && pixels.len().is_multiple_of(n_channels), "[C, H, W] pixels");
        let plane = pixels.len() / n_channels;
        let planes: Vec<&[u8]> = pixels.chunks_exact(plane).collect();
        let histograms: Vec<Histogram> = planes.iter().map(|plane| Histogram::of(plane)).collect();
        let mut products = vec![0; n_channels * (n_channels + 1) / 2];
        for start in (0..plane).step_by(BLOCK) {
            let block = |c: usize| &planes[c][start..plane.min(start + BLOCK)];
            for (sum, (a, b)) in products.iter_mut().zip(pairs(n_channels)) {
                if a != b {
                    *sum += u64::from(sum_of_products(block(a), block(b)));
                }
            }
        }
        for (c, histogram) in histograms.iter().enumerate() {
            products[pair_index(c, c, n_channels)] = histogram.sum_of_squares();
        }
        Self { histograms, products }
    }
}

/// The sum of products of at most 4096 pairs of grey levels.
fn sum_of_products(a: &[u8], b: &[u8]) -> u32 {
    let sum: i32 = a.iter().zip(b).map(|(&a, &b)| i32::from(i16::from(a)) * i32::from(i16::from(b))).sum();
    sum.unsigned_abs()
}

/// The counts of all sites of one population.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PopulationStatistics {
    /// Sites counted.
    pub n_sites: u64,
    /// A histogram a channel; empty where no site was counted.
    pub histograms: Vec<Histogram>,
    /// Sums of products, in the order of [`pairs`]; empty where no site was counted.
    pub products: Vec<u64>,
}

impl PopulationStatistics {
    /// Adds one site.
    pub fn add(&mut self, site: &SiteStatistics) {
        self.add_counts(1, &site.histograms, &site.products);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if other.n_sites == 0 {
            return;
        }
        self.add_counts(other.n_sites, &other.histograms, &other.products);
    }

    fn add_counts(&mut self, n_sites: u64, histograms: &[Histogram], products: &[u64]) {
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
        let site = SiteStatistics::of(&vec![255; 2 * 70_000], 2);
        assert_eq!(site.products, [70_000 * 255 * 255; 3]);
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_pixels(plane in 1usize..5000, seed: u32) {
            let pixels: Vec<u8> = (0..3 * plane as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8).collect();
            let site = SiteStatistics::of(&pixels, 3);
            for (found, (a, b)) in site.products.iter().zip(pairs(3)) {
                let product = |i: usize| u64::from(pixels[a * plane + i]) * u64::from(pixels[b * plane + i]);
                prop_assert_eq!(*found, (0..plane).map(product).sum::<u64>());
            }
        }
    }
}

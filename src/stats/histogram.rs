//! An exact histogram of grey levels of 8 or 16 bits, and every figure that follows from it.

use crate::site::Dtype;

/// How many pixels have each grey level, up to the largest that any has. Merging is exact and in any order the same.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Histogram(Vec<u64>);

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.levels()).finish()
    }
}

impl Histogram {
    /// Counts the pixels of one image of fewer than 2^32 pixels; those of 16 bits are two bytes, the lower one first.
    #[must_use]
    pub fn of(pixels: &[u8], dtype: Dtype) -> Self {
        let counts = match dtype {
            Dtype::Uint8 => count_bytes(pixels),
            Dtype::Uint16 => count_words(pixels),
        };
        Self(counts).trimmed()
    }

    /// Without levels above the largest that there is.
    fn trimmed(mut self) -> Self {
        let n = self.0.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        self.0.truncate(n);
        self
    }

    /// Notes that so many pixels have a level; of which none was noted before.
    pub fn set(&mut self, level: u16, count: u64) {
        let level = usize::from(level);
        if self.0.len() <= level {
            self.0.resize(level + 1, 0);
        }
        self.0[level] = count;
    }

    /// The grey levels that there are, and how many pixels have each.
    pub fn levels(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (0..=u16::MAX).zip(self.0.iter().copied()).filter(|&(_, count)| count > 0)
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// Pixels counted.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Pixels counted; `None` where they are more than 64 bits tell.
    #[must_use]
    pub fn checked_n(&self) -> Option<u64> {
        self.0.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count))
    }

    /// Sum of all grey levels.
    #[must_use]
    pub fn sum(&self) -> u128 {
        (0..).zip(&self.0).map(|(level, &count): (u128, _)| level * u128::from(count)).sum()
    }

    /// Sum of the squares of all grey levels.
    #[must_use]
    pub fn sum_of_squares(&self) -> u128 {
        (0..).zip(&self.0).map(|(level, &count): (u128, _)| level * level * u128::from(count)).sum()
    }

    /// The mean, in grey levels; NaN without pixels.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum() as f64 / self.n() as f64
    }

    /// The standard deviation, in grey levels: the root of the summed squares of deviations over `n - ddof`; NaN where
    /// that is not positive. Exact up to the last division and root.
    #[must_use]
    pub fn std(&self, ddof: u64) -> f64 {
        let (n, sum, squares) = (u128::from(self.n()), self.sum(), self.sum_of_squares());
        let divisor = n * n.saturating_sub(u128::from(ddof));
        if divisor == 0 {
            return f64::NAN;
        }
        ((n * squares - sum * sum) as f64 / divisor as f64).sqrt()
    }

    /// The smallest grey level; `None` without pixels.
    #[must_use]
    pub fn min(&self) -> Option<u16> {
        self.0.iter().position(|&count| count > 0).map(|level| level as u16)
    }

    /// The largest grey level; `None` without pixels.
    #[must_use]
    pub fn max(&self) -> Option<u16> {
        self.0.iter().rposition(|&count| count > 0).map(|level| level as u16)
    }

    /// The median, in grey levels: the mean of the two middle pixels where their number is even.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// The percentile `q` (0 to 100), in grey levels, interpolated linearly between the two nearest ranks as NumPy does
    /// by default; NaN without pixels.
    #[must_use]
    pub fn percentile(&self, q: f64) -> f64 {
        interpolate(&doubled(self), self.n(), q) / 2.0
    }

    /// The median absolute deviation from the median, in grey levels, unscaled (times 1.4826 it estimates the standard
    /// deviation of a normal distribution); NaN without pixels.
    #[must_use]
    pub fn mad(&self) -> f64 {
        // The median of grey levels is a multiple of one half, so deviations are counted in halves.
        let median = (2.0 * self.median()) as i64;
        let mut deviations = vec![0; 2 * self.0.len()];
        for (level, count) in (0_i64..).zip(&self.0) {
            deviations[(2 * level - median).unsigned_abs() as usize] += count;
        }
        interpolate(&deviations, self.n(), 50.0) / 2.0
    }

    /// The share of pixels at level 0.
    #[must_use]
    pub fn zero_share(&self) -> f64 {
        self.share(0)
    }

    /// The share of pixels at the largest level of the type.
    #[must_use]
    pub fn saturated_share(&self, dtype: Dtype) -> f64 {
        self.share(dtype.levels() - 1)
    }

    fn share(&self, level: usize) -> f64 {
        self.0.get(level).copied().unwrap_or(0) as f64 / self.n() as f64
    }
}

/// Counts of single bytes. Neighbouring pixels are often equal; four counters in turn spare the processor waiting for
/// its own store.
fn count_bytes(pixels: &[u8]) -> Vec<u64> {
    let mut counts = [[0_u32; 256]; 4];
    let (fours, rest) = pixels.as_chunks::<4>();
    for four in fours {
        for (counts, &level) in counts.iter_mut().zip(four) {
            counts[usize::from(level)] += 1;
        }
    }
    for &level in rest {
        counts[0][usize::from(level)] += 1;
    }
    (0..256).map(|level| counts.iter().map(|counts| u64::from(counts[level])).sum()).collect()
}

/// Counts of words; two counters in turn, as more would not stay in the cache.
fn count_words(pixels: &[u8]) -> Vec<u64> {
    let mut counts = [vec![0_u32; 1 << 16], vec![0_u32; 1 << 16]];
    let (words, _) = pixels.as_chunks::<2>();
    for (i, word) in words.iter().enumerate() {
        counts[i % 2][usize::from(u16::from_le_bytes(*word))] += 1;
    }
    let [even, odd] = counts;
    even.into_iter().zip(odd).map(|(a, b)| u64::from(a) + u64::from(b)).collect()
}

/// The counts at twice their level, as [`interpolate`] and deviations in halves want them.
fn doubled(histogram: &Histogram) -> Vec<u64> {
    histogram.0.iter().flat_map(|&count| [count, 0]).collect()
}

/// The percentile `q` of values counted by `counts`, of which there are `n`.
fn interpolate(counts: &[u64], n: u64, q: f64) -> f64 {
    if n == 0 {
        return f64::NAN;
    }
    let rank = (n - 1) as f64 * q / 100.0;
    let value_at = |rank: u64| {
        let mut seen = 0;
        let value = counts.iter().position(|count| {
            seen += count;
            seen > rank
        });
        value.unwrap_or(counts.len() - 1) as f64
    };
    let low = value_at(rank.floor() as u64);
    let high = value_at((rank.ceil() as u64).min(n - 1));
    low + (high - low) * rank.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pixels: &[u8]) -> Histogram {
        Histogram::of(pixels, Dtype::Uint8)
    }

    fn plain_median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        f64::midpoint(values[(n - 1) / 2], values[n / 2])
    }

    #[test]
    fn without_pixels_nothing_is_known() {
        let empty = Histogram::default();
        for value in [empty.mean(), empty.std(0), empty.median(), empty.mad(), empty.percentile(1.0)] {
            assert!(value.is_nan());
        }
        assert_eq!(empty.min(), None);
        assert!(of(&[3]).std(1).is_nan());
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([1, 2, 4, 8], [0, 10, 50, 99, 100])
        let histogram = of(&[8, 1, 4, 2]);
        let found = [0.0, 10.0, 50.0, 99.0, 100.0].map(|q| histogram.percentile(q));
        for (found, expected) in found.into_iter().zip([1.0, 1.3, 3.0, 7.88, 8.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn the_deviation_of_a_dark_image_can_be_zero() {
        assert_eq!(of(&[1, 1, 1, 1, 9]).mad(), 0.0);
    }

    proptest! {
        #[test]
        fn figures_are_those_of_the_pixels(bits in 1u32..=16, pixels in proptest::collection::vec(any::<u16>(), 2..400)) {
            let pixels: Vec<u16> = pixels.into_iter().map(|pixel| pixel >> (16 - bits)).collect();
            let bytes: Vec<u8> = pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
            let histogram = Histogram::of(&bytes, Dtype::Uint16);
            if bits <= 8 {
                let low: Vec<u8> = pixels.iter().map(|&pixel| pixel as u8).collect();
                prop_assert_eq!(&histogram, &of(&low), "whatever they are counted as");
            }
            let values: Vec<f64> = pixels.iter().map(|&p| p.into()).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
            prop_assert!((histogram.mean() - mean).abs() < 1e-6);
            prop_assert!((histogram.std(0) - (squares / n).sqrt()).abs() < 1e-6);
            prop_assert!((histogram.std(1) - (squares / (n - 1.0)).sqrt()).abs() < 1e-6);
            let median = plain_median(values.clone());
            prop_assert_eq!(histogram.median(), median);
            prop_assert_eq!(histogram.mad(), plain_median(values.iter().map(|v| (v - median).abs()).collect()));
            prop_assert_eq!(histogram.max(), pixels.iter().copied().max());
            prop_assert_eq!(histogram.min(), pixels.iter().copied().min());
        }

        #[test]
        fn merging_is_counting_together(a in proptest::collection::vec(any::<u8>(), 0..99), b in proptest::collection::vec(any::<u8>(), 0..99)) {
            for dtype in [Dtype::Uint8, Dtype::Uint16] {
                let [a, b] = [&a, &b].map(|pixels| &pixels[..pixels.len() / 2 * 2]);
                let mut merged = Histogram::of(a, dtype);
                merged.merge(&Histogram::of(b, dtype));
                prop_assert_eq!(merged, Histogram::of(&[a, b].concat(), dtype));
            }
        }
    }
}

//! An exact histogram of 8-bit grey levels, and every figure that follows from it.

/// Grey levels of an 8-bit image.
pub const LEVELS: usize = 256;

/// How many pixels have each grey level. Merging is exact and in any order the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram(pub [u64; LEVELS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; LEVELS])
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().enumerate().filter(|(_, n)| **n > 0)).finish()
    }
}

impl Histogram {
    /// Counts the pixels of one image of fewer than 2^32 pixels.
    #[must_use]
    pub fn of(pixels: &[u8]) -> Self {
        // Neighbouring pixels are often equal; four counters in turn spare the processor waiting for its own store.
        let mut counts = [[0_u32; LEVELS]; 4];
        let (fours, rest) = pixels.as_chunks::<4>();
        for four in fours {
            for (counts, &level) in counts.iter_mut().zip(four) {
                counts[usize::from(level)] += 1;
            }
        }
        for &level in rest {
            counts[0][usize::from(level)] += 1;
        }
        Self(std::array::from_fn(|level| counts.iter().map(|counts| u64::from(counts[level])).sum()))
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// Pixels counted.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Sum of all grey levels.
    #[must_use]
    pub fn sum(&self) -> u64 {
        (0..).zip(&self.0).map(|(level, count)| level * count).sum()
    }

    /// Sum of the squares of all grey levels.
    #[must_use]
    pub fn sum_of_squares(&self) -> u64 {
        (0..).zip(&self.0).map(|(level, count)| level * level * count).sum()
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
        let (n, sum, squares) = (u128::from(self.n()), u128::from(self.sum()), u128::from(self.sum_of_squares()));
        let divisor = n * n.saturating_sub(u128::from(ddof));
        if divisor == 0 {
            return f64::NAN;
        }
        ((n * squares - sum * sum) as f64 / divisor as f64).sqrt()
    }

    /// The smallest grey level; `None` without pixels.
    #[must_use]
    pub fn min(&self) -> Option<u8> {
        self.0.iter().position(|&count| count > 0).map(|level| level as u8)
    }

    /// The largest grey level; `None` without pixels.
    #[must_use]
    pub fn max(&self) -> Option<u8> {
        self.0.iter().rposition(|&count| count > 0).map(|level| level as u8)
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
        let mut deviations = vec![0; 2 * LEVELS];
        for (level, count) in (0_i64..).zip(&self.0) {
            deviations[(2 * level - median).unsigned_abs() as usize] += count;
        }
        interpolate(&deviations, self.n(), 50.0) / 2.0
    }

    /// The share of pixels at level 0.
    #[must_use]
    pub fn zero_share(&self) -> f64 {
        self.0[0] as f64 / self.n() as f64
    }

    /// The share of pixels at level 255.
    #[must_use]
    pub fn saturated_share(&self) -> f64 {
        self.0[LEVELS - 1] as f64 / self.n() as f64
    }
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
        assert!(Histogram::of(&[3]).std(1).is_nan());
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([1, 2, 4, 8], [0, 10, 50, 99, 100])
        let histogram = Histogram::of(&[8, 1, 4, 2]);
        let found = [0.0, 10.0, 50.0, 99.0, 100.0].map(|q| histogram.percentile(q));
        for (found, expected) in found.into_iter().zip([1.0, 1.3, 3.0, 7.88, 8.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn the_deviation_of_a_dark_image_can_be_zero() {
        assert_eq!(Histogram::of(&[1, 1, 1, 1, 9]).mad(), 0.0);
    }

    proptest! {
        #[test]
        fn figures_are_those_of_the_pixels(pixels in proptest::collection::vec(any::<u8>(), 2..400)) {
            let histogram = Histogram::of(&pixels);
            let values: Vec<f64> = pixels.iter().map(|&p| p.into()).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
            prop_assert!((histogram.mean() - mean).abs() < 1e-9);
            prop_assert!((histogram.std(0) - (squares / n).sqrt()).abs() < 1e-9);
            prop_assert!((histogram.std(1) - (squares / (n - 1.0)).sqrt()).abs() < 1e-9);
            let median = plain_median(values.clone());
            prop_assert_eq!(histogram.median(), median);
            prop_assert_eq!(histogram.mad(), plain_median(values.iter().map(|v| (v - median).abs()).collect()));
            prop_assert_eq!(histogram.max(), pixels.iter().copied().max());
            prop_assert_eq!(histogram.min(), pixels.iter().copied().min());
        }

        #[test]
        fn merging_is_counting_together(a in proptest::collection::vec(any::<u8>(), 0..99), b in proptest::collection::vec(any::<u8>(), 0..99)) {
            let mut merged = Histogram::of(&a);
            merged.merge(&Histogram::of(&b));
            prop_assert_eq!(merged, Histogram::of(&[a, b].concat()));
        }
    }
}

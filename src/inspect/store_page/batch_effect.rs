//! Grey levels of each experiment before and after each normalisation: means, histograms, and how much of what differs
//! between sites differs between experiments. Pure.

use crate::inspect::schemes::SCHEMES;
use crate::stats::Histogram;
use crate::training::data::channel_stats::ChannelStats;
use crate::training::recipe::Normalize;

/// Bins of a histogram.
pub(super) const N_BINS: usize = 64;
/// Powers of ten that a histogram shows.
const DECADES: f64 = 4.0;
/// The percentile of grey levels that a histogram of them ends at: what is brighter is in its last bin.
const LAST_PERCENTILE: f64 = 99.5;

/// What a histogram counts: from here to there. A level is as wide as the way to the next, so that bins that are narrower
/// than that are not empty in turns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// Where the first bin begins.
    pub(super) low: f64,
    /// Where the last bin ends; what is beyond is in it.
    pub(super) high: f64,
}

impl Range {
    /// Of levels that are normalised, in standard deviations.
    pub(super) const NORMALISED: Self = Self { low: -3.0, high: 5.0 };

    /// Of a channel's grey levels as they are.
    #[must_use]
    pub(super) fn of_levels(all: &Histogram) -> Self {
        let last = all.percentile(LAST_PERCENTILE);
        Self { low: -0.5, high: if last.is_nan() { 0.5 } else { last.max(1.0) + 0.5 } }
    }
}

/// How many pixels are in each bin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bins(pub(super) [f64; N_BINS]);

impl Bins {
    /// None.
    const EMPTY: Self = Self([0.0; N_BINS]);

    /// Counts normalised levels.
    #[must_use]
    pub(super) fn of(levels: &Histogram, figures: ChannelStats, range: Range) -> Self {
        let mut bins = Self::EMPTY;
        let scale = N_BINS as f64 / (range.high - range.low);
        for (level, n) in levels.levels() {
            let at = |level: f64| ((level - figures.centre) / figures.spread - range.low) * scale;
            let (from, to) = (at(f64::from(level) - 0.5), at(f64::from(level) + 0.5));
            // Below the first is 0, as a cast has it.
            let [first, last] = [from, to].map(|bin| (bin as usize).min(N_BINS - 1));
            if first == last {
                bins.0[first] += n as f64;
                continue;
            }
            let per_bin = n as f64 / (to - from);
            for bin in first..=last {
                let begin = if bin == first { from } else { bin as f64 };
                let end = if bin == last { to } else { (bin + 1) as f64 };
                bins.0[bin] += (end - begin) * per_bin;
            }
        }
        bins
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, n)| *sum += n);
    }

    /// A byte a bin: how much it has of the fullest, from 255 for all of it to 0 for a ten thousandth, by its logarithm.
    #[must_use]
    pub(super) fn bytes(&self) -> [u8; N_BINS] {
        let most = self.0.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.0.map(|n| (255.0 * (1.0 + (n / most).log10() / DECADES)).round() as u8)
    }
}

/// Sums of the values of sites, for how much of their variance is between experiments.
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    n: f64,
    sum: f64,
    squares: f64,
    between: f64,
    n_experiments: u32,
    n_of_experiment: f64,
    sum_of_experiment: f64,
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        self.sum += value;
        self.squares += value * value;
        self.n_of_experiment += 1.0;
        self.sum_of_experiment += value;
    }

    fn end_experiment(&mut self) {
        if self.n_of_experiment > 0.0 {
            self.between += self.sum_of_experiment * self.sum_of_experiment / self.n_of_experiment;
            self.n_experiments += 1;
        }
        (self.n_of_experiment, self.sum_of_experiment) = (0.0, 0.0);
    }

    /// The share of the variance that lies between experiments (eta squared); NaN where nothing differs, and of one.
    fn share(&self) -> f64 {
        if self.n_experiments < 2 {
            return f64::NAN;
        }
        let middle = self.sum * self.sum / self.n;
        let all = self.squares - middle;
        // Rounding leaves something where all are equal.
        if all > 1e-9 * self.squares.max(1e-9) { ((self.between - middle) / all).clamp(0.0, 1.0) } else { f64::NAN }
    }
}

/// Of one scheme.
#[derive(Debug, Clone)]
pub(super) struct SchemeEffect {
    /// The scheme.
    pub(super) scheme: Normalize,
    /// What its histograms count, of each channel.
    pub(super) ranges: Vec<Range>,
    /// Of each experiment and channel.
    pub(super) bins: Vec<Vec<Bins>>,
    /// The mean of each plate and channel.
    pub(super) plate_means: Vec<Vec<f64>>,
    spreads: Vec<Spread>,
    is_known: bool,
}

impl SchemeEffect {
    /// Of each channel, the share of the variance of the sites' means that lies between experiments.
    #[must_use]
    pub(super) fn between_experiments(&self) -> Vec<f64> {
        self.spreads.iter().map(Spread::share).collect()
    }
}

/// Of all schemes.
#[derive(Debug, Clone)]
pub(super) struct BatchEffect {
    schemes: Vec<SchemeEffect>,
    /// Sites that were counted for [`Normalize::Site`].
    n_sites: u64,
}

impl BatchEffect {
    /// Of nothing yet; `raw` is what histograms of levels count, of each channel.
    #[must_use]
    pub(super) fn new(raw: &[Range], n_channels: usize) -> Self {
        let of = |scheme: Normalize| SchemeEffect {
            scheme,
            ranges: if scheme == Normalize::None { raw.to_vec() } else { vec![Range::NORMALISED; n_channels] },
            bins: Vec::new(),
            plate_means: Vec::new(),
            spreads: vec![Spread::default(); n_channels],
            is_known: true,
        };
        Self { schemes: SCHEMES.map(of).to_vec(), n_sites: 0 }
    }

    /// What follows is of the next experiment.
    pub(super) fn start_experiment(&mut self) {
        for effect in &mut self.schemes {
            effect.spreads.iter_mut().for_each(Spread::end_experiment);
            effect.bins.push(vec![Bins::EMPTY; effect.ranges.len()]);
        }
    }

    /// Adds a plate: what it is normalised by under each scheme, its counts, and the means of its sites, `[site][channel]`.
    pub(super) fn add_plate(&mut self, figures: &[Option<&[ChannelStats]>], counts: &[Histogram], means: &[Vec<f64>]) {
        for (effect, figures) in self.schemes.iter_mut().zip(figures) {
            let Some(figures) = figures else {
                effect.is_known = false;
                continue;
            };
            if effect.scheme == Normalize::Site {
                continue;
            }
            let normalised = |c: usize, mean: f64| (mean - figures[c].centre) / figures[c].spread;
            let bins = effect.bins.last_mut().expect("an experiment was started");
            for (c, histogram) in counts.iter().enumerate() {
                bins[c].add(&Bins::of(histogram, figures[c], effect.ranges[c]));
            }
            for site in means {
                effect.spreads.iter_mut().enumerate().for_each(|(c, spread)| spread.add(normalised(c, site[c])));
            }
            let of_plate = counts.iter().enumerate().map(|(c, histogram)| normalised(c, histogram.mean()));
            effect.plate_means.push(of_plate.collect());
        }
    }

    /// Adds a site of the plate that was added last, each channel counted as [`Normalize::Site`] leaves it.
    pub(super) fn add_site(&mut self, bins: &[Bins]) {
        self.n_sites += 1;
        for effect in self.schemes.iter_mut().filter(|effect| effect.scheme == Normalize::Site) {
            let of_experiment = effect.bins.last_mut().expect("an experiment was started");
            of_experiment.iter_mut().zip(bins).for_each(|(sum, bins)| sum.add(bins));
        }
    }

    /// There is no more; schemes that nothing is known for are left out.
    pub(super) fn finish(&mut self) {
        let has_sites = self.n_sites > 0;
        self.schemes.retain(|effect| effect.is_known && (effect.scheme != Normalize::Site || has_sites));
        for effect in &mut self.schemes {
            effect.spreads.iter_mut().for_each(Spread::end_experiment);
        }
    }

    /// The schemes that are known, from nothing done on.
    #[must_use]
    pub(super) fn schemes(&self) -> &[SchemeEffect] {
        &self.schemes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Dtype;

    fn figures(centre: f64, spread: f64) -> ChannelStats {
        ChannelStats { centre, spread }
    }

    #[test]
    fn what_lies_between_experiments_is_told_and_normalisation_takes_it_away() {
        let mut effect = BatchEffect::new(&[Range { low: 0.0, high: 100.0 }], 1);
        for offset in [0.0, 40.0] {
            effect.start_experiment();
            let means: Vec<Vec<f64>> = [9.0, 10.0, 11.0].iter().map(|mean| vec![mean + offset]).collect();
            let levels: Vec<u8> = means.iter().map(|mean| mean[0] as u8).collect();
            let (raw, own) = ([figures(0.0, 1.0)], [figures(10.0 + offset, 1.0)]);
            let of_schemes = SCHEMES.map(|scheme| match scheme {
                Normalize::None | Normalize::Site => Some(raw.as_slice()),
                Normalize::ExperimentControls => None,
                _ => Some(own.as_slice()),
            });
            effect.add_plate(&of_schemes, &[Histogram::of(&levels, Dtype::Uint8)], &means);
        }
        effect.finish();
        let names: Vec<Normalize> = effect.schemes().iter().map(|effect| effect.scheme).collect();
        assert!(!names.contains(&Normalize::ExperimentControls) && !names.contains(&Normalize::Site), "{names:?}");
        let [none, plate] = [Normalize::None, Normalize::Plate]
            .map(|scheme| effect.schemes().iter().find(|effect| effect.scheme == scheme).unwrap().clone());
        // Between: 2 x 3 x 20 squared = 2400; within: 4.
        assert!((none.between_experiments()[0] - 2400.0 / 2404.0).abs() < 1e-9);
        assert!(plate.between_experiments()[0] < 1e-9);
        assert_eq!(none.plate_means, [[10.0], [50.0]]);
        assert_eq!(plate.plate_means, [[0.0], [0.0]]);
        assert!((none.bins[1][0].0.iter().sum::<f64>() - 3.0).abs() < 1e-9);
        assert_eq!(plate.bins[0], plate.bins[1]);
        assert_ne!(none.bins[0], none.bins[1]);
    }

    #[test]
    fn what_is_beyond_a_range_is_in_its_ends_and_levels_leave_no_gaps() {
        let levels = Histogram::of(&[0, 50, 100, 200, 255], Dtype::Uint8);
        let bins = Bins::of(&levels, figures(100.0, 50.0), Range { low: -1.0, high: 1.0 });
        let found = [bins.0[0], bins.0[31] + bins.0[32], bins.0[63]];
        assert!(found.iter().zip([1.82, 1.0, 2.0]).all(|(a, b)| (a - b).abs() < 0.4), "{found:?}");
        assert!((bins.0.iter().sum::<f64>() - 5.0).abs() < 1e-9);
        let all: Vec<u8> = (0..=30).collect();
        let flat = Bins::of(&Histogram::of(&all, Dtype::Uint8), figures(0.0, 1.0), Range { low: -0.5, high: 30.5 });
        assert!(flat.0.iter().all(|n| (n - 31.0 / 64.0).abs() < 1e-9), "{flat:?}");
        let mut tenth = Bins::EMPTY;
        tenth.0[..3].copy_from_slice(&[1000.0, 100.0, 0.01]);
        assert_eq!(tenth.bytes()[..4], [255, 191, 0, 0]);
    }

    #[test]
    fn where_nothing_differs_no_share_is_told() {
        let mut spread = Spread::default();
        (0..9).for_each(|_| spread.add(0.1));
        spread.end_experiment();
        assert!(spread.share().is_nan());
    }
}

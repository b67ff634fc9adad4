//! What each plate's images are normalised by: centre and spread of every channel, from the exact counts of a store.
//! Pure.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::site::{Dtype, Experiment, PlateId};
use crate::stats::{Histogram, PlateStatistics, PopulationGroup, PopulationStatistics};
use crate::store::StoreSpec;
use crate::training::recipe::Normalize;

/// Grey levels that a spread has at least: where all pixels are equal nothing would be left to divide by, and noise of
/// less than a level would be blown up.
pub const LEAST_SPREAD: f64 = 1.0;
/// Sites' worth of weight that the experiment has beside a plate's own control sites. RxRx1 has about 100 of them on a
/// plate, so there it matters little; a plate of which four arrived leans on its experiment.
pub const SHRINKAGE_SITES: f64 = 8.0;
/// Makes the MAD of a normal distribution its standard deviation: 1 / quantile(3/4).
pub const MAD_TO_STD: f64 = 1.482_602_218_505_602;

/// Centre and spread of one channel, in grey levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelStats {
    /// What is subtracted.
    pub centre: f64,
    /// What is divided by.
    pub spread: f64,
}

impl ChannelStats {
    /// Grey levels as shares of the largest that there is.
    fn plain(dtype: Dtype) -> Self {
        Self { centre: 0.0, spread: (dtype.levels() - 1) as f64 }
    }

    /// Mean and standard deviation of all pixels (ddof 0); or median and scaled MAD, where that is 0 (more than half of
    /// the pixels share a level) the standard deviation after all.
    fn of(histogram: &Histogram, robust: bool) -> Self {
        if !robust {
            return Self { centre: histogram.mean(), spread: histogram.std(0) };
        }
        let mad = histogram.mad() * MAD_TO_STD;
        Self { centre: histogram.median(), spread: if mad > 0.0 { mad } else { histogram.std(0) } }
    }

    /// Mean and standard deviation of one image, as [`Normalize::Site`] takes them; at least a grey level wide.
    #[must_use]
    pub fn of_image(histogram: &Histogram) -> Self {
        Self::of(histogram, false).floored()
    }

    /// The mean of two figures, `n` to `k` by weight; spreads by their squares.
    fn pooled(self, n: f64, other: Self, k: f64) -> Self {
        let mean = |a: f64, b: f64| (n * a + k * b) / (n + k);
        Self { centre: mean(self.centre, other.centre), spread: mean(self.spread.powi(2), other.spread.powi(2)).sqrt() }
    }

    fn floored(self) -> Self {
        Self { spread: self.spread.max(LEAST_SPREAD), ..self }
    }
}

/// The figures of every plate in the order given, `[plate][channel]`. For [`Normalize::Global`] they are `global`; for
/// [`Normalize::Site`], which looks at each image by itself, and [`Normalize::None`] they leave shares of the largest level
/// of the store's type of pixels.
///
/// Under [`Normalize::PlateControls`] a plate's own controls are pooled with those of its experiment, which count as
/// [`SHRINKAGE_SITES`] sites.
///
/// # Errors
/// If controls are asked for and an experiment has none.
pub fn per_plate(
    plates: &[(&PlateId, &PlateStatistics)],
    scheme: Normalize,
    robust: bool,
    global: &[ChannelStats],
    spec: &StoreSpec,
) -> Result<Vec<Vec<ChannelStats>>> {
    let members = match scheme {
        Normalize::PlateControls | Normalize::ExperimentControls => PopulationGroup::Controls,
        _ => PopulationGroup::All,
    };
    let mut experiments: BTreeMap<&Experiment, PopulationStatistics> = BTreeMap::new();
    for (plate, statistics) in plates {
        experiments.entry(&plate.experiment).or_default().merge(&members.of([*statistics]));
    }
    let of = |statistics: &PopulationStatistics| -> Vec<ChannelStats> {
        statistics.histograms.iter().map(|histogram| ChannelStats::of(histogram, robust)).collect()
    };
    let figures = |&(plate, statistics): &(&PlateId, &PlateStatistics)| {
        let experiment = &experiments[&plate.experiment];
        let counted = matches!(
            scheme,
            Normalize::PlateControls | Normalize::ExperimentControls | Normalize::Plate | Normalize::Experiment
        );
        if counted && experiment.n_sites == 0 {
            let expected = format!("sites of {} (or --normalize plate, global, site or none)", members.name());
            return Err(Error::refused(format!("--normalize: {}", plate.experiment), expected, "none"));
        }
        let own = members.of([statistics]);
        let found = match scheme {
            Normalize::Site | Normalize::None => vec![ChannelStats::plain(spec.dtype); spec.channels.len()],
            Normalize::Global => global.to_vec(),
            Normalize::Experiment | Normalize::ExperimentControls => of(experiment),
            Normalize::Plate => of(&own),
            Normalize::PlateControls if own.n_sites == 0 => of(experiment),
            Normalize::PlateControls => {
                let pooled = of(&own).into_iter().zip(of(experiment));
                pooled.map(|(own_figure, all)| own_figure.pooled(own.n_sites as f64, all, SHRINKAGE_SITES)).collect()
            }
        };
        Ok(found.into_iter().map(ChannelStats::floored).collect())
    };
    plates.iter().map(figures).collect()
}

/// The figures of some pixels, `[channel]`.
#[must_use]
pub fn global(all: &PopulationStatistics, robust: bool) -> Vec<ChannelStats> {
    all.histograms.iter().map(|histogram| ChannelStats::of(histogram, robust).floored()).collect()
}

/// The darkest and the brightest level of each channel: of pixels of 8 bits the ends of all, as they use them; of 16 bits
/// those of some plates, as cameras of 12 bits, and dyes, use a part.
#[derive(Debug)]
pub struct Ends {
    dtype: Dtype,
    /// Of each channel, where there are pixels.
    found: Vec<Option<[u16; 2]>>,
}

impl Ends {
    /// Of no plate.
    #[must_use]
    pub fn new(spec: &StoreSpec) -> Self {
        Self { dtype: spec.dtype, found: vec![None; spec.channels.len()] }
    }

    /// Adds a plate.
    pub fn add(&mut self, plate: &PlateStatistics) {
        for population in PopulationGroup::All.members() {
            for (found, histogram) in self.found.iter_mut().zip(&plate.population(*population).histograms) {
                let Some((min, max)) = histogram.min().zip(histogram.max()) else { continue };
                let [dark, bright] = found.unwrap_or([min, max]);
                *found = Some([dark.min(min), bright.max(max)]);
            }
        }
    }

    /// Both, each `[channel]`.
    #[must_use]
    pub fn of_channels(&self) -> [Vec<f32>; 2] {
        let all = [0, (self.dtype.levels() - 1) as u16];
        let ends = |found: &Option<[u16; 2]>| match self.dtype {
            Dtype::Uint8 => all,
            Dtype::Uint16 => found.unwrap_or(all),
        };
        [0, 1].map(|end| self.found.iter().map(|found| f32::from(ends(found)[end])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{ImageSize, Population};
    use crate::stats::SiteStatistics;
    use crate::store::format::spec::{Codec, Format, channels};

    /// A plate of one channel: `(population, the pixels of one site)`.
    fn plate(sites: &[(Population, &[u8])]) -> PlateStatistics {
        let mut plate = PlateStatistics::default();
        for (population, pixels) in sites {
            plate.population_mut(*population).add(&SiteStatistics::of(pixels, 1, Dtype::Uint8));
        }
        plate
    }

    /// Of a store of one channel.
    fn spec(dtype: Dtype) -> StoreSpec {
        let size = ImageSize { height: 1, width: 2 };
        let (format, codec) = (Format::LATEST, Codec::Raw);
        StoreSpec { present_only: false, format, channels: channels(1), size, dtype, codec, sites_per_shard: 1 }
    }

    fn compute(plates: &[(&str, &PlateStatistics)], scheme: Normalize, robust: bool) -> Result<Vec<(f64, f64)>> {
        let ids: Vec<PlateId> = plates.iter().map(|(name, _)| name.parse().unwrap()).collect();
        let pairs: Vec<_> = ids.iter().zip(plates.iter().map(|(_, statistics)| *statistics)).collect();
        let all = PopulationGroup::All.of(plates.iter().map(|(_, statistics)| *statistics));
        let global = global(&all, robust);
        let found = per_plate(&pairs, scheme, robust, &global, &spec(Dtype::Uint8))?;
        Ok(found.into_iter().map(|channels| (channels[0].centre, channels[0].spread)).collect())
    }

    const NEGATIVE: Population = Population::NegativeControl;
    const POSITIVE: Population = Population::PositiveControl;
    const TREATED: Population = Population::Treatment;

    #[test]
    fn each_scheme_takes_the_wells_that_it_names() {
        let a = plate(&[(NEGATIVE, &[10, 30]), (TREATED, &[90, 110])]);
        let b = plate(&[(POSITIVE, &[50, 70]), (TREATED, &[0, 200])]);
        let c = plate(&[(NEGATIVE, &[5, 5]), (TREATED, &[5, 5])]);
        let plates = [("A-1/1", &a), ("A-1/2", &b), ("B-1/1", &c)];
        let check = |scheme, expected: [(f64, f64); 3]| {
            for (found, expected) in compute(&plates, scheme, false).unwrap().into_iter().zip(expected) {
                let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
                assert!(close(found.0, expected.0) && close(found.1, expected.1), "{scheme:?} {found:?} {expected:?}");
            }
        };
        check(Normalize::Plate, [(60.0, 1700_f64.sqrt()), (80.0, 5450_f64.sqrt()), (5.0, 1.0)]);
        check(Normalize::ExperimentControls, [(40.0, 500_f64.sqrt()), (40.0, 500_f64.sqrt()), (5.0, 1.0)]);
        let experiment = (70.0, 3675_f64.sqrt());
        check(Normalize::Experiment, [experiment, experiment, (5.0, 1.0)]);
        check(Normalize::None, [(0.0, 255.0); 3]);
        // One own site, eight of the experiment: (20 + 8 x 40) / 9, and squares (100 + 8 x 500) / 9.
        let spread = (4100_f64 / 9.0).sqrt();
        check(Normalize::PlateControls, [(340.0 / 9.0, spread), (380.0 / 9.0, spread), (5.0, 1.0)]);
        let mean = 580.0 / 12.0;
        let squares =
            [10.0, 30.0, 90.0, 110.0, 50.0, 70.0, 0.0, 200.0, 5.0, 5.0, 5.0, 5.0].map(|x: f64| (x - mean).powi(2));
        check(Normalize::Global, [(mean, (squares.iter().sum::<f64>() / 12.0).sqrt()); 3]);
    }

    #[test]
    fn a_plate_without_controls_takes_its_experiments_and_an_experiment_without_is_refused() {
        let a = plate(&[(NEGATIVE, &[10, 30])]);
        let b = plate(&[(TREATED, &[0, 200])]);
        let found = compute(&[("A-1/1", &a), ("A-1/2", &b)], Normalize::PlateControls, false).unwrap();
        assert_eq!(found[1], (20.0, 10.0));
        let error = compute(&[("A-1/1", &a), ("B-1/1", &b)], Normalize::PlateControls, false).unwrap_err().to_string();
        assert!(error.contains("B-1") && error.contains("--normalize plate"), "{error}");
        assert!(compute(&[("A-1/1", &a), ("B-1/1", &b)], Normalize::Plate, false).is_ok());
    }

    #[test]
    fn noise_and_shares_are_of_the_levels_that_there_are() {
        let [dark, bright] = [[100, 0, 44, 1], [200, 0, 0, 9]].map(|pixels| {
            let mut plate = PlateStatistics::default();
            plate.population_mut(TREATED).add(&SiteStatistics::of(&pixels, 1, Dtype::Uint16));
            plate
        });
        let ends = |plates: &[&PlateStatistics], dtype| {
            let mut ends = Ends::new(&spec(dtype));
            for plate in plates {
                ends.add(plate);
            }
            ends.of_channels().concat()
        };
        assert_eq!(ends(&[&dark, &bright], Dtype::Uint16), [100.0, 2304.0]);
        assert_eq!(ends(&[&dark], Dtype::Uint16), [100.0, 300.0]);
        assert_eq!(ends(&[], Dtype::Uint16), [0.0, 65_535.0]);
        assert_eq!(ends(&[&dark], Dtype::Uint8), [0.0, 255.0], "as they always were");
        let plate: PlateId = "A-1/1".parse().unwrap();
        let none = per_plate(&[(&plate, &dark)], Normalize::None, false, &[], &spec(Dtype::Uint16)).unwrap();
        assert_eq!(none[0][0], ChannelStats { centre: 0.0, spread: 65_535.0 });
    }

    #[test]
    fn robust_figures_fall_back_on_the_deviation_where_the_mad_is_zero() {
        let dark = plate(&[(NEGATIVE, &[2, 2, 2, 2, 2, 2, 2, 10])]);
        let even = plate(&[(NEGATIVE, &[10, 20, 30, 40, 50])]);
        let found = compute(&[("A-1/1", &dark), ("B-1/1", &even)], Normalize::Plate, true).unwrap();
        assert_eq!(found[0], (2.0, 7_f64.sqrt()));
        assert_eq!(found[1], (30.0, 10.0 * MAD_TO_STD));
    }
}

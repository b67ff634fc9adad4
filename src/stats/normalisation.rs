//! The figures that images are normalised by: mean, deviation, median, MAD and percentiles of a plate (or experiment,
//! cell type, store), for each population and channel.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::site::{Dtype, PlateId, Population};

use super::histogram::Histogram;
use super::moments::{PlateStatistics, PopulationStatistics};

/// What is taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Each plate by itself.
    Plate,
    /// The plates of an experiment.
    Experiment,
    /// The experiments of a cell type.
    CellType,
    /// All of the store.
    Store,
}

impl Grouping {
    /// The name of the group that `plate` belongs to.
    #[must_use]
    pub fn group(self, plate: &PlateId) -> String {
        match self {
            Self::Plate => plate.to_string(),
            Self::Experiment => plate.experiment.to_string(),
            Self::CellType => plate.experiment.cell_type().to_owned(),
            Self::Store => "store".to_owned(),
        }
    }
}

/// Populations as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PopulationGroup {
    /// Negative controls.
    Negative,
    /// Positive controls.
    Positive,
    /// Negative and positive controls together.
    Controls,
    /// Treatments.
    Treatment,
    /// Every site.
    All,
}

impl PopulationGroup {
    /// All groups, in order of report.
    pub const ALL: [Self; 5] = [Self::Negative, Self::Positive, Self::Controls, Self::Treatment, Self::All];

    /// The name in reports and as `--population` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Positive => "positive",
            Self::Controls => "controls",
            Self::Treatment => "treatment",
            Self::All => "all",
        }
    }

    /// The counts of its populations on all of these plates together.
    #[must_use]
    pub fn of<'a>(self, plates: impl IntoIterator<Item = &'a PlateStatistics>) -> PopulationStatistics {
        let mut sum = PopulationStatistics::default();
        for plate in plates {
            self.members().iter().for_each(|&population| sum.merge(plate.population(population)));
        }
        sum
    }

    /// The populations that belong to it.
    #[must_use]
    pub fn members(self) -> &'static [Population] {
        use Population::{NegativeControl, PositiveControl, Treatment};
        match self {
            Self::Negative => &[NegativeControl],
            Self::Positive => &[PositiveControl],
            Self::Controls => &[NegativeControl, PositiveControl],
            Self::Treatment => &[Treatment],
            Self::All => &Population::ALL,
        }
    }
}

/// What one site contributes to the mean over images.
#[derive(Debug, Clone, Copy)]
pub struct SiteDeviation {
    /// The population.
    pub population: Population,
    /// The channel, from 0.
    pub channel: usize,
    /// The site's own standard deviation (ddof 0), in grey levels.
    pub std: f64,
}

/// The figures of one channel. All but shares and counts are in grey levels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelSummary {
    /// The channel, from 1.
    pub channel: usize,
    /// Pixels.
    pub n_pixels: u64,
    /// Mean of all pixels (which is also the mean over images of their means, as all have the same size).
    pub mean: f64,
    /// Standard deviation of all pixels, ddof 0: spread within and between images.
    pub std_pixels: f64,
    /// The same with ddof 1.
    pub std_pixels_ddof1: f64,
    /// Mean over images of each image's own standard deviation (ddof 0): spread within images only.
    pub std_mean_over_images: f64,
    /// Median of all pixels.
    pub median: f64,
    /// Median absolute deviation from the median, unscaled. 0 where more than half of the pixels share a level: nothing
    /// may be divided by it then.
    pub mad: f64,
    /// Percentiles 1, 5, 25, 75, 95, 99.
    pub percentiles: [f64; 6],
    /// Smallest level.
    pub min: u16,
    /// Largest level.
    pub max: u16,
    /// Share of pixels at level 0.
    pub zero_share: f64,
    /// Share of pixels at the largest level of their type: 255, 65,535.
    pub saturated_share: f64,
}

/// The percentiles of [`ChannelSummary::percentiles`].
pub const PERCENTILES: [f64; 6] = [1.0, 5.0, 25.0, 75.0, 95.0, 99.0];

/// The figures of one group and population.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The group: a plate, an experiment, a cell type, or `store`.
    pub group: String,
    /// The population.
    pub population: PopulationGroup,
    /// Sites.
    pub n_sites: u64,
    /// The channels in order.
    pub channels: Vec<ChannelSummary>,
}

/// Summarises plates by group and population, in the order of the plates; populations without sites are left out. Of the
/// plates' counts no more is kept than those of the groups that may yet grow.
#[derive(Debug)]
pub struct Summariser {
    grouping: Grouping,
    dtype: Dtype,
    /// Groups that may grow, in the order in which they were met.
    open: Vec<(String, Gathered)>,
    summaries: Vec<Summary>,
}

/// What plates of a group come to.
#[derive(Debug, Default)]
struct Gathered {
    statistics: PlateStatistics,
    /// Sums of the sites' own deviations, by population and channel from 0.
    spreads: BTreeMap<(Population, usize), f64>,
}

impl Summariser {
    /// None so far, of plates with pixels of this type.
    #[must_use]
    pub fn new(grouping: Grouping, dtype: Dtype) -> Self {
        Self { grouping, dtype, open: Vec::new(), summaries: Vec::new() }
    }

    /// Adds the plate that comes next in order: its counts, and what each of its sites contributes to the mean over
    /// images, in the order of the sites, so that the last digit is the same each time.
    pub fn add(
        &mut self,
        plate: &PlateId,
        statistics: &PlateStatistics,
        sites: impl IntoIterator<Item = SiteDeviation>,
    ) {
        let group = self.grouping.group(plate);
        let known = self.open.iter().position(|(name, _)| *name == group);
        let i = known.unwrap_or_else(|| {
            // Cell types come again, as plates are in the order of experiments.
            if self.grouping != Grouping::CellType {
                self.close();
            }
            self.open.push((group, Gathered::default()));
            self.open.len() - 1
        });
        let gathered = &mut self.open[i].1;
        gathered.statistics.merge(statistics);
        for site in sites {
            *gathered.spreads.entry((site.population, site.channel)).or_default() += site.std;
        }
    }

    /// The summaries of all plates.
    #[must_use]
    pub fn finish(mut self) -> Vec<Summary> {
        self.close();
        self.summaries
    }

    fn close(&mut self) {
        for (group, Gathered { statistics, spreads }) in std::mem::take(&mut self.open) {
            for population in PopulationGroup::ALL {
                let together = population.of([&statistics]);
                if together.n_sites == 0 {
                    continue;
                }
                let spread = |channel: usize| {
                    let of = |&p: &Population| spreads.get(&(p, channel)).copied().unwrap_or(0.0);
                    population.members().iter().map(of).sum::<f64>() / together.n_sites as f64
                };
                let channels = together.histograms.iter().enumerate();
                let summarise = |(c, histogram)| summarise_channel(c + 1, histogram, spread(c), self.dtype);
                let channels = channels.map(summarise).collect();
                self.summaries.push(Summary { group: group.clone(), population, n_sites: together.n_sites, channels });
            }
        }
    }
}

fn summarise_channel(channel: usize, histogram: &Histogram, std_mean_over_images: f64, dtype: Dtype) -> ChannelSummary {
    ChannelSummary {
        channel,
        n_pixels: histogram.n(),
        mean: histogram.mean(),
        std_pixels: histogram.std(0),
        std_pixels_ddof1: histogram.std(1),
        std_mean_over_images,
        median: histogram.median(),
        mad: histogram.mad(),
        percentiles: PERCENTILES.map(|q| histogram.percentile(q)),
        min: histogram.min().unwrap_or(0),
        max: histogram.max().unwrap_or(0),
        zero_share: histogram.zero_share(),
        saturated_share: histogram.saturated_share(dtype),
    }
}

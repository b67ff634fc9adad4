//! Statistics of pixels: exact counts that merge, and the figures derived from them. Pure, no I/O.

mod histogram;
mod moments;
mod normalisation;

pub use histogram::Histogram;
pub use moments::{PlateStatistics, PopulationStatistics, SiteStatistics, pair_index, pairs};
pub use normalisation::{ChannelSummary, Grouping, PERCENTILES, PopulationGroup, SiteDeviation, Summariser, Summary};

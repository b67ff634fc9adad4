//! What each plate's images are normalised by under every scheme that training knows, an experiment at a time: at 16 bits
//! the counts of one plate may take 12 MB.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::plate_statistics;
use crate::site::{Experiment, PlateId};
use crate::stats::{Histogram, PlateStatistics, PopulationGroup, PopulationStatistics};
use crate::store::Store;
use crate::training::data::channel_stats::{self, ChannelStats};
use crate::training::recipe::Normalize;

/// Every scheme, from nothing done to each image by itself.
pub const SCHEMES: [Normalize; 7] = [
    Normalize::None,
    Normalize::Global,
    Normalize::ExperimentControls,
    Normalize::Experiment,
    Normalize::PlateControls,
    Normalize::Plate,
    Normalize::Site,
];

/// What a scheme does, in a few words.
#[must_use]
pub fn about(scheme: Normalize) -> &'static str {
    match scheme {
        Normalize::None => "grey levels as they are",
        Normalize::Global => "by all wells of the store",
        Normalize::ExperimentControls => "by the controls of the experiment",
        Normalize::Experiment => "by all wells of the experiment",
        Normalize::PlateControls => "by the controls of the plate",
        Normalize::Plate => "by all wells of the plate",
        Normalize::Site => "each image by itself",
    }
}

/// The counts of the plates of an experiment, in their order.
///
/// # Errors
/// If a listing cannot be read or contradicts itself.
pub fn counts(store: &Store, experiment: &Experiment) -> Result<Vec<(PlateId, PlateStatistics)>> {
    let plates: Vec<&PlateId> = store.plates().keys().filter(|plate| plate.experiment == *experiment).collect();
    let read = |plate: &&PlateId| Ok(((*plate).clone(), plate_statistics::read(store.root(), plate, store.spec())?));
    plates.par_iter().map(read).collect()
}

/// The experiments of a store, in order.
#[must_use]
pub fn experiments(store: &Store) -> Vec<Experiment> {
    let mut all: Vec<Experiment> = store.plates().keys().map(|plate| plate.experiment.clone()).collect();
    all.dedup();
    all
}

/// The counts of all plates of a store together.
///
/// # Errors
/// If a listing cannot be read or contradicts itself.
pub fn all_levels(store: &Store) -> Result<PopulationStatistics> {
    let mut all = PopulationStatistics::default();
    for experiment in experiments(store) {
        all.merge(&PopulationGroup::All.of(counts(store, &experiment)?.iter().map(|(_, plate)| plate)));
    }
    Ok(all)
}

/// Centre and spread of each channel, `[plate][channel]`, of the plates of one experiment in their order, in grey levels;
/// `None` where the scheme asks for controls and the experiment has none. [`Normalize::Site`] is of each site by itself,
/// and [`Normalize::None`] leaves levels as they are.
#[must_use]
pub fn figures(
    plates: &[(PlateId, PlateStatistics)],
    scheme: Normalize,
    global: &[ChannelStats],
    store: &Store,
) -> Option<OfPlates> {
    if matches!(scheme, Normalize::None | Normalize::Site) {
        let as_it_is = ChannelStats { centre: 0.0, spread: 1.0 };
        return Some(vec![vec![as_it_is; store.spec().channels.len()]; plates.len()]);
    }
    let pairs: Vec<(&PlateId, &PlateStatistics)> = plates.iter().map(|(plate, counts)| (plate, counts)).collect();
    channel_stats::per_plate(&pairs, scheme, false, global, store.spec()).ok()
}

/// Of each plate of an experiment, of each channel.
type OfPlates = Vec<Vec<ChannelStats>>;

/// The figures of several schemes for the plates of several experiments.
pub struct SchemeFigures {
    schemes: Vec<Normalize>,
    /// Of each plate, of each scheme, of each channel.
    of_plates: BTreeMap<PlateId, Vec<Vec<ChannelStats>>>,
}

impl SchemeFigures {
    /// Those of the experiments given. Schemes that ask for controls are left out where an experiment of these has none.
    ///
    /// # Errors
    /// If a listing cannot be read or contradicts itself, or no scheme is left.
    pub fn read(store: &Store, experiments: &[Experiment], wanted: &[Normalize]) -> Result<Self> {
        let global = if wanted.contains(&Normalize::Global) {
            channel_stats::global(&all_levels(store)?, false)
        } else {
            Vec::new()
        };
        let mut all: Vec<(Vec<PlateId>, Vec<Option<OfPlates>>)> = Vec::new();
        for experiment in experiments {
            let plates = counts(store, experiment)?;
            let of_schemes = wanted.iter().map(|&scheme| figures(&plates, scheme, &global, store)).collect();
            all.push((plates.into_iter().map(|(plate, _)| plate).collect(), of_schemes));
        }
        let is_known = |i: usize| all.iter().all(|(_, of_schemes)| of_schemes[i].is_some());
        let kept: Vec<usize> = (0..wanted.len()).filter(|&i| is_known(i)).collect();
        if kept.is_empty() {
            return Err(Error::refused("--normalize", "a scheme without controls, as there are none", "controls"));
        }
        let mut of_plates = BTreeMap::new();
        for (plates, of_schemes) in all {
            for (p, plate) in plates.into_iter().enumerate() {
                let known = kept.iter().filter_map(|&i| of_schemes[i].as_ref()).map(|figures| figures[p].clone());
                of_plates.insert(plate, known.collect());
            }
        }
        Ok(Self { schemes: kept.into_iter().map(|i| wanted[i]).collect(), of_plates })
    }

    /// The schemes, as they were asked for, but for those that nothing is known for.
    #[must_use]
    pub fn schemes(&self) -> &[Normalize] {
        &self.schemes
    }

    /// What a site of a plate is normalised by under the scheme at `index` of [`SchemeFigures::schemes`]: its plate's
    /// figures, or under [`Normalize::Site`] its own.
    ///
    /// # Panics
    /// If the plate is none of those asked for.
    #[must_use]
    pub fn of_site(&self, index: usize, plate: &PlateId, site: &[Histogram]) -> Vec<ChannelStats> {
        match self.schemes[index] {
            Normalize::Site => site.iter().map(ChannelStats::of_image).collect(),
            _ => self.of_plates[plate][index].clone(),
        }
    }
}

//! What the plates of a store are normalised by, read from the store: centre and spread of every plate and channel.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::plate_statistics;
use crate::site::PlateId;
use crate::stats::{PlateStatistics, PopulationGroup, PopulationStatistics};
use crate::store::Store;
use crate::training::recipe::Normalize;

use super::channel_stats::{ChannelStats, Ends, global, per_plate};

/// Centre and spread of the plates of a store.
#[derive(Debug)]
pub struct PlateTable {
    /// `[plate][channel]`, in the order of [`Store::plates`]; of a plate that was not asked for 0 and 1, which leave grey
    /// levels as they are.
    pub figures: Vec<Vec<ChannelStats>>,
    /// The darkest and the brightest level of each channel on the plates that were asked for, and on the others of their
    /// experiments.
    pub ends: Ends,
}

impl PlateTable {
    /// The figures of some plates. `trained` are those of what is trained on, for [`Normalize::Global`].
    ///
    /// # Errors
    /// If the statistics cannot be read, or controls that are needed are missing.
    pub fn read(
        store: &Store,
        plates: &BTreeSet<&PlateId>,
        scheme: Normalize,
        robust: bool,
        trained: &[ChannelStats],
    ) -> Result<Self> {
        let spec = store.spec();
        // All plates of an experiment, so that its figures do not depend on which of them are asked for.
        let experiments: BTreeSet<_> = plates.iter().map(|plate| &plate.experiment).collect();
        let untold = ChannelStats { centre: 0.0, spread: 1.0 };
        let mut figures = vec![vec![untold; spec.channels.len()]; store.plates().len()];
        let mut ends = Ends::new(spec);
        let numbered: Vec<(usize, &PlateId)> = store.plates().keys().enumerate().collect();
        // An experiment at a time, as the counts of a plate of 16 bits may take 12 MB.
        for of_experiment in numbered.chunk_by(|a, b| a.1.experiment == b.1.experiment) {
            if !experiments.contains(&of_experiment[0].1.experiment) {
                continue;
            }
            let read = |&(_, plate): &(usize, &PlateId)| plate_statistics::read(store.root(), plate, spec);
            let statistics: Vec<PlateStatistics> = of_experiment.iter().map(read).collect::<Result<_>>()?;
            let pairs: Vec<_> = of_experiment.iter().map(|(_, plate)| *plate).zip(&statistics).collect();
            for ((i, _), found) in of_experiment.iter().zip(per_plate(&pairs, scheme, robust, trained, spec)?) {
                figures[*i] = found;
            }
            for plate in &statistics {
                ends.add(plate);
            }
        }
        Ok(Self { figures, ends })
    }
}

/// Centre and spread of each channel over all wells of the plates that some sites lie on: those that are trained on.
///
/// # Errors
/// If the statistics cannot be read.
pub fn trained(store: &Store, sites: &[usize], robust: bool) -> Result<Vec<ChannelStats>> {
    let plates: BTreeSet<&PlateId> = sites.iter().map(|&i| &store.sites()[i].id.well.plate).collect();
    let mut all = PopulationStatistics::default();
    for plate in plates {
        all.merge(&PopulationGroup::All.of([&plate_statistics::read(store.root(), plate, store.spec())?]));
    }
    Ok(global(&all, robust))
}

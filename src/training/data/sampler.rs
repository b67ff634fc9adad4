//! Which sites an epoch trains on, in which order: whole steps only, a pure function of seed and epoch that can be
//! asked from any step on. Pure.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::feed::{EpochOrder, Groups, OrderConfig};
use crate::store::Store;
use crate::training::recipe::{BatchBy, Recipe};

/// The sites that are trained on, and how they are put into batches.
#[derive(Debug, Clone)]
pub struct EpochSampler {
    order: EpochOrder,
    /// Batches whose gradients make one step.
    accumulate: usize,
}

impl EpochSampler {
    /// The order of a recipe on sites of a store, which are all of one cell type if that is named.
    ///
    /// # Errors
    /// If there are too few sites for a step of the optimiser.
    pub fn new(recipe: &Recipe, store: &Store, sites: &[usize], cell_type: Option<&str>) -> Result<Self> {
        let (batch, accumulate) = (recipe.batch as usize, recipe.accumulate as usize);
        let group_of = groups(store, sites, recipe.batch_by);
        let is_grouped = group_of.is_some();
        let config = OrderConfig { batch, seed: Some(recipe.seed), group_of, rank: 0, world_size: 1, drop_last: true };
        let order = EpochOrder::new(sites, config).ok().filter(|order| order.n_batches() >= accumulate);
        order.map(|order| Self { order, accumulate }).ok_or_else(|| {
            let of = cell_type.map(|name| format!(" of {name}")).unwrap_or_default();
            let whole = if is_grouped { " in batches of one plate or experiment" } else { "" };
            let n = n_in_batches(store, sites, recipe);
            let expected = format!("at most the {n} sites{of}{whole} that are trained on");
            Error::refused("--batch (times --accumulate)", expected, batch * accumulate)
        })
    }

    /// Steps of the optimiser in an epoch: whole ones, all of the same size.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.order.n_batches() / self.accumulate) as u64
    }

    /// Sites that never come, because their plate or experiment has fewer than a batch.
    #[must_use]
    pub fn n_left_out(&self) -> usize {
        self.order.n_left_out()
    }

    /// The sites of an epoch, indices in the store, from a step on.
    pub fn epoch(&self, epoch: u64, from_step: u64) -> impl Iterator<Item = usize> + Send + use<> {
        let n_batches = self.steps_per_epoch() as usize * self.accumulate;
        let order = self.order.clone();
        (from_step as usize * self.accumulate..n_batches).flat_map(move |i| order.batch(epoch, i))
    }
}

/// Of each site the number of its plate or experiment, where batches keep to one.
#[must_use]
pub fn groups(store: &Store, sites: &[usize], by: BatchBy) -> Option<Vec<usize>> {
    let plate = |&site: &usize| &store.sites()[site].id.well.plate;
    match by {
        BatchBy::Any => None,
        BatchBy::Plate => Some(numbered(sites.iter().map(plate))),
        BatchBy::Experiment => Some(numbered(sites.iter().map(|site| &plate(site).experiment))),
    }
}

/// How many sites come in an epoch.
fn n_in_batches(store: &Store, sites: &[usize], recipe: &Recipe) -> usize {
    groups(store, sites, recipe.batch_by).map_or(sites.len(), |of| Groups::new(of, recipe.batch as usize).len())
}

/// Each item's number among those that differ.
fn numbered<T: Ord>(items: impl Iterator<Item = T>) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    items
        .map(|item| {
            let next = numbers.len();
            *numbers.entry(item).or_insert(next)
        })
        .collect()
}

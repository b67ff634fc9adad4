//! Which sites an epoch trains on, in which order: whole steps only, a pure function of seed and epoch that can be
//! asked from any step on. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::feed::{Groups, Permutation};
use crate::store::Store;
use crate::training::recipe::{BatchBy, Recipe};

/// The sites that are trained on, and how they are put into batches.
#[derive(Debug, Clone)]
pub struct EpochSampler {
    /// Indices in the store.
    sites: Arc<[usize]>,
    /// The plates or experiments that batches keep to.
    groups: Option<Arc<Groups>>,
    seed: u64,
    sites_per_step: usize,
}

impl EpochSampler {
    /// The order of a recipe on sites of a store, which are all of one cell type if that is named.
    ///
    /// # Errors
    /// If there are too few sites for a step of the optimiser.
    pub fn new(recipe: &Recipe, store: &Store, sites: &[usize], cell_type: Option<&str>) -> Result<Self> {
        let id = |&site: &usize| &store.sites()[site].id.well.plate;
        let groups = match recipe.batch_by {
            BatchBy::Any => None,
            BatchBy::Plate => Some(numbered(sites.iter().map(id))),
            BatchBy::Experiment => Some(numbered(sites.iter().map(|site| &id(site).experiment))),
        };
        let groups = groups.map(|numbers| Arc::new(Groups::new(numbers, recipe.batch as usize)));
        let sites_per_step = recipe.batch as usize * recipe.accumulate as usize;
        let order = Self { sites: sites.into(), groups, seed: recipe.seed, sites_per_step };
        if order.steps_per_epoch() == 0 {
            let of = cell_type.map(|name| format!(" of {name}")).unwrap_or_default();
            let whole = if order.groups.is_some() { " in batches of one plate or experiment" } else { "" };
            let expected = format!("at most the {} sites{of}{whole} that are trained on", order.n_positions());
            return Err(Error::refused("--batch (times --accumulate)", expected, sites_per_step));
        }
        Ok(order)
    }

    /// Steps of the optimiser in an epoch: whole ones, all of the same size.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.n_positions() / self.sites_per_step) as u64
    }

    /// Sites that never come, because their plate or experiment has fewer than a batch.
    #[must_use]
    pub fn n_left_out(&self) -> usize {
        self.groups.as_ref().map_or(0, |groups| groups.n_left_out())
    }

    /// The sites of an epoch, indices in the store, from a step on.
    pub fn epoch(&self, epoch: u64, from_step: u64) -> impl Iterator<Item = usize> + Send + use<> {
        let Self { sites, groups, seed, sites_per_step } = self.clone();
        let positions = from_step as usize * sites_per_step..self.steps_per_epoch() as usize * sites_per_step;
        let all = Permutation::new(sites.len(), seed, epoch);
        positions.map(move |i| sites[groups.as_ref().map_or_else(|| all.at(i), |groups| groups.at(i, seed, epoch))])
    }

    fn n_positions(&self) -> usize {
        self.groups.as_ref().map_or(self.sites.len(), |groups| groups.len())
    }
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

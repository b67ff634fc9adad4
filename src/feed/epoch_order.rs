//! The batches of an epoch, of one process or of each of several that train together: a pure function of seed, epoch and
//! rank that can be asked for any batch. Pure.

use std::sync::Arc;

use crate::error::{Error, Result};

use super::grouped::Groups;
use super::order::Permutation;

/// How the sites of an epoch are put in order, and divided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderConfig {
    /// Sites in a batch of this process.
    pub batch: usize,
    /// The seed of the order, which is another one in each epoch; `None`: as the sites are given.
    pub seed: Option<u64>,
    /// Of each site the number of its group, where a batch keeps to one: such batches are whole ones, in random order.
    pub group_of: Option<Vec<usize>>,
    /// Which of the processes this is, from 0.
    pub rank: usize,
    /// How many processes train together.
    pub world_size: usize,
    /// Whether sites that make no whole batch of every process are left out; others come in another epoch.
    pub drop_last: bool,
}

/// Batches of sites, in order. With W processes and batches of B, the batches of all of them together are those of one
/// process with batches of W x B; no site comes twice, and every process has as many batches as the others, so that none
/// waits for another at the end.
///
/// ```
/// use cellshard::feed::{EpochOrder, OrderConfig};
///
/// let of = |rank| {
///     let config = OrderConfig { batch: 4, seed: Some(42), rank, world_size: 2, ..OrderConfig::default() };
///     EpochOrder::new(&(0..21).collect::<Vec<_>>(), config).unwrap()
/// };
/// let sizes = |order: &EpochOrder| (0..order.n_batches()).map(|i| order.batch(0, i).len()).collect::<Vec<_>>();
/// assert_eq!((sizes(&of(0)), sizes(&of(1))), (vec![4, 4, 3], vec![4, 4, 2]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochOrder {
    sites: Arc<[usize]>,
    groups: Option<Arc<Groups>>,
    seed: Option<u64>,
    batch: usize,
    rank: usize,
    world_size: usize,
    n_batches: usize,
}

impl EpochOrder {
    /// The order of some sites, whatever numbers they have.
    ///
    /// # Errors
    /// If there is no batch in it, no such rank, or a process would have nothing where others have a last batch.
    pub fn new(sites: &[usize], config: OrderConfig) -> Result<Self> {
        let OrderConfig { batch, seed, group_of, rank, world_size, drop_last } = config;
        if batch == 0 {
            return Err(Error::refused("batch size", "1 or more", 0));
        }
        if rank >= world_size {
            let expected = format!("0 to {}: there are {world_size} processes", world_size.saturating_sub(1));
            return Err(Error::refused("rank", if world_size == 0 { "a process or more" } else { &expected }, rank));
        }
        let n = sites.len();
        let groups = match group_of {
            Some(numbers) if numbers.len() != n => {
                return Err(Error::refused("groups", format!("one for each of {n} sites"), numbers.len()));
            }
            numbers => numbers.map(|numbers| Arc::new(Groups::new(numbers, batch))),
        };
        let all = batch.saturating_mul(world_size);
        let n_batches = match &groups {
            Some(groups) => groups.len() / all,
            None if drop_last => n / all,
            None => {
                let (whole, left) = (n / all, n % all);
                // Whoever has nothing left gives a site of its last whole batch, which may not be its only one.
                if left > 0 && left < world_size && (whole == 0 || batch == 1) {
                    let expected = format!("sites for the last batch of each of {world_size} processes (or drop_last)");
                    return Err(Error::refused("sites", expected, left));
                }
                whole + usize::from(left > 0)
            }
        };
        if n == 0 {
            return Err(Error::refused("sites", "one or more", "none"));
        }
        if n_batches == 0 {
            let of = if groups.is_some() { " of one group" } else { "" };
            let expected = format!("{batch} or more{of} for each of {world_size} processes");
            return Err(Error::refused("sites for a batch", expected, format!("{n} in all")));
        }
        Ok(Self { sites: sites.into(), groups, seed, batch, rank, world_size, n_batches })
    }

    /// Batches of an epoch: of this process, and of each other.
    #[must_use]
    pub fn n_batches(&self) -> usize {
        self.n_batches
    }

    /// Sites that never come, because their group has fewer than a batch.
    #[must_use]
    pub fn n_left_out(&self) -> usize {
        self.groups.as_ref().map_or(0, |groups| groups.n_left_out())
    }

    /// The sites of a batch of an epoch.
    ///
    /// # Panics
    /// If there is no such batch.
    #[must_use]
    pub fn batch(&self, epoch: u64, i: usize) -> Vec<usize> {
        let mut sites = Vec::new();
        self.put_batch(epoch, i, &mut sites);
        sites
    }

    /// The same, behind what is in a list.
    ///
    /// # Panics
    /// If there is no such batch.
    pub fn put_batch(&self, epoch: u64, i: usize, sites: &mut Vec<usize>) {
        assert!(i < self.n_batches, "batch {i} of {}", self.n_batches);
        // A batch beyond all numbers is the only one.
        let all = self.batch.saturating_mul(self.world_size);
        let start = i * all;
        if let Some(groups) = &self.groups {
            let start = start + self.rank * self.batch;
            let seed = self.seed.unwrap_or_default();
            sites.extend((start..start + self.batch).map(|position| self.sites[groups.at(position, seed, epoch)]));
            return;
        }
        let order = self.seed.map(|seed| Permutation::new(self.sites.len(), seed, epoch));
        let site = |position: usize| self.sites[order.map_or(position, |order| order.at(position))];
        let left = self.sites.len().saturating_sub(start).min(all);
        // What comes behind this batch, where that is less than one.
        let behind = self.sites.len().saturating_sub(start.saturating_add(all));
        let (first, mut n) = if left == all {
            (start + self.rank * self.batch, self.batch)
        } else {
            let (share, more) = (left / self.world_size, left % self.world_size);
            (start + self.rank * share + self.rank.min(more), share + usize::from(self.rank < more))
        };
        if left == all && i + 1 < self.n_batches && behind < self.world_size && self.rank >= behind {
            n -= 1;
        }
        if n == 0 {
            // The last of its batch before, which gave it.
            sites.push(site(start - all + (self.rank + 1) * self.batch - 1));
        }
        sites.extend((first..first + n).map(site));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epoch(order: &EpochOrder, epoch: u64) -> Vec<Vec<usize>> {
        (0..order.n_batches()).map(|i| order.batch(epoch, i)).collect()
    }

    proptest! {
        #[test]
        fn processes_are_disjoint_complete_and_of_one_length(
            n in 0_usize..200, batch in 1_usize..9, world_size in 1_usize..6, seed: Option<u64>, number: u64,
            drop_last: bool
        ) {
            let sites: Vec<usize> = (0..n).map(|i| 7 * i + 3).collect();
            let of = |rank| {
                EpochOrder::new(&sites, OrderConfig { batch, seed, group_of: None, rank, world_size, drop_last })
            };
            let Ok(first) = of(0) else {
                let left = n % (batch * world_size);
                prop_assert!(n < batch * world_size || (left > 0 && left < world_size && batch == 1));
                return Ok(());
            };
            let ranks: Vec<_> = (0..world_size).map(|rank| epoch(&of(rank).unwrap(), number)).collect();
            prop_assert!(ranks.iter().all(|batches| batches.len() == first.n_batches()));
            prop_assert!(ranks.iter().flatten().all(|sites| (1..=batch).contains(&sites.len())));
            let mut all: Vec<usize> = ranks.iter().flatten().flatten().copied().collect();
            prop_assert_eq!(all.len(), if drop_last { n / (batch * world_size) * (batch * world_size) } else { n });
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), ranks.iter().flatten().flatten().count());
            prop_assert!(all.iter().all(|site| sites.contains(site)));
            // Together they train on what one process with so large a batch trains on, but for the last two of it.
            let alone = EpochOrder::new(&sites, OrderConfig { batch: batch * world_size, seed, group_of: None, rank: 0, world_size: 1, drop_last });
            let alone = epoch(&alone.unwrap(), number);
            for i in 0..first.n_batches().saturating_sub(2) {
                let together: Vec<usize> = ranks.iter().flat_map(|batches| &batches[i]).copied().collect();
                prop_assert_eq!(&together, &alone[i]);
            }
        }

        #[test]
        fn batches_of_a_group_are_whole_and_divided_among_processes(
            of in proptest::collection::vec(0_usize..4, 0..200), batch in 1_usize..9, world_size in 1_usize..4, number: u64
        ) {
            let sites: Vec<usize> = (0..of.len()).collect();
            let mut met = vec![false; of.len()];
            for rank in 0..world_size {
                let config = OrderConfig {
                    batch, seed: Some(5), group_of: Some(of.clone()), rank, world_size, drop_last: false
                };
                let Ok(order) = EpochOrder::new(&sites, config) else { continue };
                for batch_of in epoch(&order, number) {
                    prop_assert_eq!(batch_of.len(), batch);
                    prop_assert!(batch_of.iter().all(|&site| of[site] == of[batch_of[0]]));
                    prop_assert!(batch_of.iter().all(|&site| !std::mem::replace(&mut met[site], true)));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let refused = |n: usize, config: OrderConfig| {
            EpochOrder::new(&(0..n).collect::<Vec<_>>(), config).unwrap_err().to_string()
        };
        let config = OrderConfig { batch: 4, world_size: 3, ..OrderConfig::default() };
        let error = refused(2, config.clone());
        assert_eq!(error, "sites: expected sites for the last batch of each of 3 processes (or drop_last), found 2");
        let error = refused(11, OrderConfig { drop_last: true, ..config.clone() });
        assert_eq!(error, "sites for a batch: expected 4 or more for each of 3 processes, found 11 in all");
        assert!(refused(9, OrderConfig { rank: 3, ..config.clone() }).contains("rank: expected 0 to 2"));
        assert!(refused(9, OrderConfig { world_size: 0, ..config.clone() }).contains("a process or more"));
        assert!(refused(9, OrderConfig { batch: 0, ..config.clone() }).contains("batch size"));
        assert!(refused(9, OrderConfig { group_of: Some(vec![1; 8]), ..config }).contains("one for each of 9 sites"));
    }

    #[test]
    fn a_batch_may_be_larger_than_any_number_of_sites() {
        for rank in 0..4 {
            let config = OrderConfig { batch: usize::MAX, rank, world_size: 4, ..OrderConfig::default() };
            let order = EpochOrder::new(&(0..13).collect::<Vec<_>>(), config).unwrap();
            assert_eq!(epoch(&order, 0)[0].len(), [4, 3, 3, 3][rank]);
        }
    }

    #[test]
    fn who_has_nothing_left_gives_of_its_last_whole_batch() {
        let of = |rank| {
            let config = OrderConfig { batch: 4, rank, world_size: 3, ..OrderConfig::default() };
            epoch(&EpochOrder::new(&(0..13).collect::<Vec<_>>(), config).unwrap(), 0)
        };
        assert_eq!(of(0), [vec![0, 1, 2, 3], vec![12]]);
        assert_eq!(of(1), [vec![4, 5, 6], vec![7]]);
        assert_eq!(of(2), [vec![8, 9, 10], vec![11]]);
    }
}

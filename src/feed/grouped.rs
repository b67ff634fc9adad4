//! The order of an epoch in which the sites of a batch belong together: all of one plate, or of one experiment, as
//! batch norm by plate needs it. Pure.

use super::order::{Permutation, mix};

/// Items in groups, divided into batches that each hold items of one group.
///
/// ```
/// use cellshard::feed::Groups;
///
/// // Items 0 to 5 lie on plates 7, 7, 9, 9, 7, 9.
/// let groups = Groups::new([7, 7, 9, 9, 7, 9], 2);
/// let epoch: Vec<usize> = (0..groups.len()).map(|position| groups.at(position, 42, 0)).collect();
/// assert_eq!(epoch.len(), 4); // A whole batch of each plate; what is left over comes in another epoch.
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// Items, group by group.
    members: Vec<usize>,
    /// Of each group with a whole batch: where its members start, how many it has, and the number of its first batch.
    whole: Vec<Group>,
    batch: usize,
    n_batches: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    start: usize,
    n: usize,
    first_batch: usize,
}

impl Groups {
    /// Items 0, 1, 2 and so on, each with the number of its group, in batches of `batch` items.
    ///
    /// # Panics
    /// If `batch` is 0.
    #[must_use]
    pub fn new(group_of: impl IntoIterator<Item = usize>, batch: usize) -> Self {
        assert!(batch > 0, "a batch has items");
        let mut items: Vec<(usize, usize)> = group_of.into_iter().zip(0..).collect();
        items.sort_unstable();
        let (mut whole, mut start, mut n_batches) = (Vec::new(), 0, 0);
        for group in items.chunk_by(|(a, _), (b, _)| a == b) {
            if group.len() >= batch {
                whole.push(Group { start, n: group.len(), first_batch: n_batches });
                n_batches += group.len() / batch;
            }
            start += group.len();
        }
        Self { members: items.into_iter().map(|(_, item)| item).collect(), whole, batch, n_batches }
    }

    /// Positions of an epoch: those of whole batches. A group's items that are left over are others in each epoch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n_batches * self.batch
    }

    /// Whether no group has a whole batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_batches == 0
    }

    /// Items of groups that are smaller than a batch: they never come.
    #[must_use]
    pub fn n_left_out(&self) -> usize {
        self.members.len() - self.whole.iter().map(|group| group.n).sum::<usize>()
    }

    /// The item at a position of an epoch: batches come in random order, and each is a random part of its group.
    ///
    /// # Panics
    /// If there is no such position.
    #[must_use]
    pub fn at(&self, position: usize, seed: u64, epoch: u64) -> usize {
        let batch = Permutation::new(self.n_batches, seed, epoch).at(position / self.batch);
        let i = self.whole.partition_point(|group| group.first_batch <= batch) - 1;
        let Group { start, n, first_batch } = self.whole[i];
        let own = Permutation::new(n, mix(seed ^ mix(i as u64 + 1)), epoch);
        self.members[start + own.at((batch - first_batch) * self.batch + position % self.batch)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epoch(groups: &Groups, seed: u64, epoch: u64) -> Vec<usize> {
        (0..groups.len()).map(|position| groups.at(position, seed, epoch)).collect()
    }

    proptest! {
        #[test]
        fn each_batch_is_of_one_group_and_no_item_comes_twice(
            of in proptest::collection::vec(0_usize..5, 0..200), batch in 1_usize..9, seed: u64, number: u64
        ) {
            let groups = Groups::new(of.iter().copied(), batch);
            let mut order = epoch(&groups, seed, number);
            for batch in order.chunks(batch) {
                prop_assert!(batch.iter().all(|&item| of[item] == of[batch[0]]));
            }
            let expected: usize = (0..5).map(|g| of.iter().filter(|&&of| of == g).count() / batch * batch).sum();
            prop_assert_eq!(order.len(), expected);
            order.sort_unstable();
            order.dedup();
            prop_assert_eq!(order.len(), expected);
        }
    }

    #[test]
    fn epochs_differ_in_batches_and_in_what_is_left_over() {
        let groups = Groups::new((0..100).map(|i| i % 3), 8);
        assert_eq!((groups.len(), groups.n_left_out()), (96, 0));
        let mut met = vec![0; 100];
        for number in 0..200 {
            for item in epoch(&groups, 5, number) {
                met[item] += 1;
            }
        }
        // 34, 33 and 33 items, of which 32 come in an epoch: 188 and 194 times of 200 on average.
        assert!(met.iter().all(|&n| (170..200).contains(&n)), "{met:?}");
        let of_batches = |number| epoch(&groups, 5, number).iter().step_by(8).map(|i| i % 3).collect::<Vec<_>>();
        assert_ne!(of_batches(0), of_batches(1));
        assert_ne!(epoch(&groups, 5, 0), epoch(&groups, 6, 0));
    }

    #[test]
    fn groups_smaller_than_a_batch_are_counted() {
        let groups = Groups::new([0, 0, 0, 1, 2, 2], 3);
        assert_eq!((groups.len(), groups.n_left_out(), groups.is_empty()), (3, 3, false));
        assert!(Groups::new([1, 2], 2).is_empty());
    }
}

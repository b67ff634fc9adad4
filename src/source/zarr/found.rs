//! What is found in a source of Zarr.

use std::collections::BTreeMap;

use crate::source::tree::Scan;

/// What is found.
pub(crate) struct ZarrScan {
    pub(crate) scan: Scan,
    /// The channels, in the order of the arrays.
    pub(crate) channels: Vec<String>,
    pub(crate) unusual: Vec<String>,
}

/// How many channels an array has: as many as most have, the larger number of two equals. What has others has a fault.
pub(super) fn usual_channels(of_arrays: impl Iterator<Item = usize>) -> usize {
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for n_channels in of_arrays {
        *votes.entry(n_channels).or_default() += 1;
    }
    votes.into_iter().max_by_key(|&(n_channels, n)| (n, n_channels)).map_or(0, |(n_channels, _)| n_channels)
}

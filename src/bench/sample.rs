//! The store that is measured, and what of it is read again and again.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::feed::{Io, Permutation};
use crate::store::Store;

use super::memory;

/// Buffers of the feeds that are measured: one is filled, one is full, one is the caller's.
pub(super) const N_BUFFERS: usize = 3;
/// The most stored bytes that are read again and again, and the share of free memory that they may take.
const LARGEST_SAMPLE: u64 = 4 << 30;
const SHARE_OF_MEMORY: u64 = 4;

/// What to measure, and for how long.
#[derive(Debug, Clone)]
pub struct BenchConfig {
    /// The store.
    pub shards: PathBuf,
    /// Threads that read.
    pub n_threads: usize,
    /// Sites in a batch.
    pub batch: usize,
    /// How the feed reads shards.
    pub io: Io,
    /// Seconds that each figure is measured in each round.
    pub seconds: f64,
    /// Rounds; a figure is the median of them.
    pub rounds: usize,
}

/// A store and what of it is read again and again.
pub struct Bench {
    pub(super) config: BenchConfig,
    pub(super) store: Store,
    /// Sites whose stored bytes fit well into memory.
    pub(super) sample: Vec<usize>,
}

impl Bench {
    /// Opens the store.
    ///
    /// # Errors
    /// If it is not a finished store, it has no site, or batches do not fit into memory.
    pub fn open(config: BenchConfig) -> Result<Self> {
        let store = Store::open(&config.shards)?;
        let n = store.sites().len();
        if n == 0 {
            return Err(Error::refused(config.shards.display(), "a store with sites", "none"));
        }
        let (free, site_bytes) = (memory::free(), store.spec().site_bytes() as u64);
        let largest = free / site_bytes / N_BUFFERS as u64;
        if config.batch as u64 > largest {
            let expected = format!("at most {largest} sites: {N_BUFFERS} batches have to fit into memory");
            return Err(Error::refused("--batch", expected, config.batch));
        }
        let limit = (free / SHARE_OF_MEMORY).min(LARGEST_SAMPLE);
        let n_sample = (limit / site_bytes).clamp(1, n as u64) as usize;
        let order = Permutation::new(n, 1, 0);
        let sample = (0..n_sample).map(|i| order.at(i)).collect();
        Ok(Self { config, store, sample })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is measured, and for how long.
    #[must_use]
    pub fn config(&self) -> &BenchConfig {
        &self.config
    }

    /// How many sites are read again and again where pixels come from memory: all, or as many as fit into it well.
    #[must_use]
    pub fn n_sample(&self) -> usize {
        self.sample.len()
    }
}

/// Sites that were read, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Sites.
    pub sites: u64,
    /// Seconds.
    pub seconds: f64,
    /// Raw pixels, in 10^6 bytes a second.
    pub mb_per_s: f64,
}

impl Rate {
    pub(super) fn new(sites: u64, site_bytes: usize, seconds: f64) -> Self {
        let seconds = seconds.max(1e-9);
        Self { sites, seconds, mb_per_s: sites as f64 * site_bytes as f64 / seconds / 1e6 }
    }
}

//! Where the time of reading goes: each part of the way from the disk to a batch by itself, and the feed as it runs,
//! measured in turns in one run. Needs no libtorch; what happens on the device is measured in `train/bench.rs`.
//!
//! Rates are in raw pixels a second, whatever the codec: a chunk of zstd counts as the site that it holds. So they can be
//! compared, and the least of them is the most that can come out.

mod limits;
mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::feed::{Feed, Io, Permutation, Reader, Verify, allow_open_files};
use crate::files;
use crate::store::{Codec, Store};

pub use limits::Limit;

/// Buffers of the feeds that are measured: one is filled, one is full, one is the caller's.
const N_BUFFERS: usize = 3;
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

/// One part of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A part by itself: the most that it can give.
    Limit(Limit),
    /// The feed when nothing is in memory.
    ColdFeed,
    /// The feed on sites that are in memory.
    WarmFeed(Checked),
}

/// When the feed checks a site's crc32c.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checked {
    /// Never.
    Never,
    /// When it is first read; measured after that.
    First,
    /// Every time.
    Always,
}

impl Checked {
    fn verify(self) -> Verify {
        match self {
            Self::Never => Verify::Never,
            Self::First => Verify::First,
            Self::Always => Verify::Always,
        }
    }
}

impl Part {
    /// All parts that a codec has, in the order in which pixels pass them.
    #[must_use]
    pub fn of(codec: Codec) -> Vec<Self> {
        let unpack: &[Limit] = if codec == Codec::Raw { &[Limit::Memcpy, Limit::Copy] } else { &[Limit::Decode] };
        let limits = [Limit::Disk, Limit::PageCache, Limit::Checksum].iter().chain(unpack).copied().map(Self::Limit);
        let feeds =
            [Self::ColdFeed].into_iter().chain([Checked::Never, Checked::First, Checked::Always].map(Self::WarmFeed));
        limits.chain(feeds).collect()
    }

    /// The part that it cannot be faster than.
    #[must_use]
    pub fn limit(self, codec: Codec, io: Io) -> Option<Limit> {
        match self {
            Self::Limit(_) => None,
            Self::ColdFeed => Some(Limit::Disk),
            Self::WarmFeed(_) if codec == Codec::Raw && io == Io::Pread => Some(Limit::PageCache),
            Self::WarmFeed(_) if codec == Codec::Raw => Some(Limit::Copy),
            Self::WarmFeed(_) => Some(Limit::Decode),
        }
    }

    /// What it is, for a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit(limit) => limit.name(),
            Self::ColdFeed => "feed, nothing in memory",
            Self::WarmFeed(Checked::Never) => "feed, no checksum verified",
            Self::WarmFeed(Checked::First) => "feed, verified at first read (after it)",
            Self::WarmFeed(Checked::Always) => "feed, verified at every read",
        }
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
    fn new(sites: u64, site_bytes: usize, seconds: f64) -> Self {
        let seconds = seconds.max(1e-9);
        Self { sites, seconds, mb_per_s: sites as f64 * site_bytes as f64 / seconds / 1e6 }
    }
}

/// One figure of a report.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The median of the rounds, raw pixels in 10^6 bytes a second; none where it could not be measured.
    pub mb_per_s: Option<f64>,
    /// Why not.
    pub reason: Option<String>,
    /// Every round.
    pub rounds: Vec<Rate>,
}

/// A store and what of it is read again and again.
pub struct Bench {
    config: BenchConfig,
    store: Store,
    /// Sites whose stored bytes fit well into memory.
    sample: Vec<usize>,
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
        let n_shards = store.plates().values().map(|&n| store.spec().n_shards(n)).sum::<usize>();
        // Those of a limit, and those of the feed that was measured before it.
        allow_open_files(2 * n_shards);
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

    /// Measures every part of the way in turns, as many rounds as are asked for.
    ///
    /// # Errors
    /// If a site cannot be read; the error names it.
    pub fn run(&self, progress: &dyn Fn(Part)) -> Result<Vec<Figure>> {
        let parts = Part::of(self.store.spec().codec);
        let mut found: BTreeMap<Part, (Vec<Rate>, Option<String>)> = BTreeMap::new();
        // Before the warm parts, which keep the sites in memory.
        let (cold, warm): (Vec<Part>, Vec<Part>) =
            parts.iter().partition(|part| matches!(part, Part::ColdFeed | Part::Limit(Limit::Disk)));
        for part in [cold, warm].into_iter().flat_map(|parts| vec![parts; self.config.rounds]).flatten() {
            progress(part);
            let (rates, reason) = found.entry(part).or_default();
            match self.measure(part)? {
                Ok(rate) => rates.push(rate),
                Err(why) => *reason = Some(why),
            }
        }
        Ok(parts
            .into_iter()
            .map(|part| {
                let (rounds, reason) = found.remove(&part).unwrap_or_default();
                let rates = rounds.iter().map(|rate| rate.mb_per_s).collect();
                // A round in which it could not be measured is of no interest beside one in which it could.
                let reason = reason.filter(|_| rounds.is_empty());
                Figure { name: part.name(), mb_per_s: median(rates), reason, rounds }
            })
            .collect())
    }

    /// Measures one part once; says why where it cannot be measured here.
    ///
    /// # Errors
    /// If a site cannot be read; the error names it.
    pub fn measure(&self, part: Part) -> Result<Result<Rate, String>> {
        match part {
            Part::Limit(limit) => limits::measure(self, limit),
            Part::ColdFeed => self.cold_feed(),
            Part::WarmFeed(checked) => self.warm_feed(checked).map(Ok),
        }
    }

    /// Every site of the store once, in random order, after the system was told to forget them.
    fn cold_feed(&self) -> Result<Result<Rate, String>> {
        if let Err(why) = limits::forget(self)? {
            return Ok(Err(why));
        }
        let n = self.store.sites().len();
        let order = Permutation::new(n, 2, 0);
        let buffers = self.buffers();
        let start = Instant::now();
        let mut run = self.feed(Verify::First, buffers, (0..n).map(move |i| order.at(i)))?;
        // Longer than the other parts, as a disk takes a while to show what it can; but not a whole night.
        let sites = run.read_for(Duration::from_secs_f64(20.0 * self.config.seconds))?;
        Ok(Ok(self.rate(sites, start)))
    }

    fn warm_feed(&self, checked: Checked) -> Result<Rate> {
        let (n, sample) = (self.sample.len(), self.sample.clone());
        let endless = (0_usize..).map(move |i| sample[Permutation::new(n, 3, (i / n) as u64).at(i % n)]);
        let mut run = self.feed(checked.verify(), self.buffers(), endless)?;
        // One epoch to have all in memory, and verified.
        run.read_sites(n as u64)?;
        let start = Instant::now();
        let sites = run.read_for(Duration::from_secs_f64(self.config.seconds))?;
        Ok(self.rate(sites, start))
    }

    fn buffers(&self) -> Vec<Vec<u8>> {
        // Not 0, which the system would have no memory for until it is written to.
        vec![vec![1; self.config.batch * self.store.spec().site_bytes()]; N_BUFFERS]
    }

    fn feed(
        &self,
        verify: Verify,
        buffers: Vec<Vec<u8>>,
        mut order: impl Iterator<Item = usize> + Send + 'static,
    ) -> Result<Run> {
        let reader = Arc::new(Reader::new(self.store.clone(), self.config.io, verify));
        let batch = self.config.batch;
        let next = move |sites: &mut Vec<usize>| sites.extend(order.by_ref().take(batch));
        Ok(Run(Feed::start(&reader, buffers, self.config.n_threads, next)?))
    }

    fn rate(&self, sites: u64, start: Instant) -> Rate {
        Rate::new(sites, self.store.spec().site_bytes(), start.elapsed().as_secs_f64())
    }
}

/// A feed under measurement: batches are taken and given back at once.
struct Run(Feed<Vec<u8>>);

impl Run {
    /// Reads a batch; how many sites it has, 0 at the end.
    fn step(&mut self) -> Result<u64> {
        let Some(mut batch) = self.0.next_batch()? else { return Ok(0) };
        if let Some((_, error)) = batch.faults.drain(..).next() {
            return Err(error);
        }
        let n = batch.sites.len() as u64;
        self.0.give_back(batch);
        Ok(n)
    }

    fn read_sites(&mut self, n: u64) -> Result<()> {
        let mut read = 0;
        while read < n {
            match self.step()? {
                0 => return Ok(()),
                more => read += more,
            }
        }
        Ok(())
    }

    /// Reads until the time is up or the sites end; how many it were.
    fn read_for(&mut self, time: Duration) -> Result<u64> {
        let (start, mut read) = (Instant::now(), 0);
        while start.elapsed() < time {
            match self.step()? {
                0 => break,
                more => read += more,
            }
        }
        Ok(read)
    }
}

/// The median, of an even number the mean of the two in the middle; none of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    Some(f64::midpoint(*values.get(n.checked_sub(1)? / 2)?, *values.get(n / 2)?))
}

/// The processor and how many cores of it this process may use, for a report.
#[must_use]
pub fn machine() -> String {
    let text = files::read_text(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}

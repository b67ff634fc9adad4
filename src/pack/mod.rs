//! From a raw tree, or from another store, to a store: joins source, statistics and store. Returns a report and prints
//! nothing.

mod crew;
mod pipeline;
mod plate;
mod resume;
mod transcode;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::site::{ImageSize, ParseError, PlateId, parse_number};
use crate::source::{PlatePlan, Source, SourceConfig};
use crate::store::merge::{Anew, METADATA, Merge};
use crate::store::spec::{ALIGNMENT, DEFAULT_SITES_PER_SHARD, MAX_SITES_PER_SHARD, channels};
use crate::store::{Codec, StoreSpec, StoreWriter, check_destination, is_store};

use pipeline::Packed;

/// Raw pixels that a shard holds at most where `--sites-per-shard` is not given: 77 sites of RxRx1.
const DEFAULT_SHARD_BYTES: usize = DEFAULT_SITES_PER_SHARD as usize * 6 * 512 * 512;

/// What to do about faults of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Examine everything, report every fault, and do not finish the store. Plates without a fault are kept.
    Fail,
    /// Leave the site out and list it in `rejected.csv`.
    Skip,
}

/// Which part of the plates this process packs: `I/N`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// From 0.
    index: usize,
    of: usize,
}

impl Partition {
    /// All plates.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    fn has(self, plate: usize) -> bool {
        plate % self.of == self.index
    }
}

impl FromStr for Partition {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = |(i, n): (&str, &str)| Some((parse_number::<usize>(i)?, parse_number::<usize>(n)?));
        match text.split_once('/').and_then(parse) {
            Some((i, of)) if (1..=of).contains(&i) => Ok(Self { index: i - 1, of }),
            _ => Err(ParseError { expected: "a part such as 1/3", found: text.to_owned() }),
        }
    }
}

/// What to pack, where to, and how.
#[derive(Debug, Clone)]
pub struct PackConfig {
    /// The raw tree, or a store, of which the root and the plates that are wanted are all that may be set.
    pub source: SourceConfig,
    /// The store's folder.
    pub dst: PathBuf,
    /// The codec.
    pub codec: Codec,
    /// Sites a shard; where `None` as in the source store, or 121 MB of raw pixels, but at most 77.
    pub sites_per_shard: Option<u32>,
    /// Threads that decode and encode; as many again read and write.
    pub threads: usize,
    /// What to do about faults.
    pub on_error: OnError,
    /// The part of the plates.
    pub partition: Partition,
    /// Whether to compare the content of all sources, and of the store's own files, not only sizes and times.
    pub rehash: bool,
}

/// What is going on, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many sites are to be packed.
    Planned(u64),
    /// So many more are done.
    Sites(u64),
}

/// What a run is going to do, before it does it.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// `kaggle`, `rxrx.ai` or `bare`; `store` where the source is one.
    pub layout: &'static str,
    /// The codec of the source, where that is a store.
    pub source_codec: Option<String>,
    /// Channels of a site.
    pub channels: usize,
    /// Height and width of an image, in pixels.
    pub size: [u32; 2],
    /// Classes of the data set.
    pub classes: usize,
    /// Plates that were asked for, all partitions together.
    pub plates: usize,
    /// Of this partition's plates those that are in the store already, unchanged.
    pub plates_done: usize,
    /// Of this partition's plates those that are to be packed.
    pub plates_to_pack: usize,
    /// Sites of the latter.
    pub sites_to_pack: u64,
    /// Bytes of their PNGs, or of their shards.
    pub source_bytes: u64,
    /// Bytes that the store will take for them: exact for `raw`, an estimate else.
    pub estimated_bytes: u64,
    /// Files in plate folders that are not images.
    pub strangers: Vec<String>,
    /// What is no fault but worth a look.
    pub unusual: Vec<String>,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct PackReport {
    /// What was planned.
    pub plan: Plan,
    /// Plates that were packed.
    pub plates_packed: usize,
    /// Sites in them.
    pub sites_packed: u64,
    /// Bytes of their shards.
    pub stored_bytes: u64,
    /// Every fault and warning, in the order of the tree.
    pub faults: Vec<Fault>,
    /// Sites and wells that plates packed by earlier runs left out.
    pub rejected_before: u64,
    /// Whether the store is finished.
    pub finished: bool,
    /// Plates that other partitions have yet to pack.
    pub waiting_for: Vec<PlateId>,
    /// Seconds it took.
    pub seconds: f64,
}

impl PackReport {
    /// The report of a run before the store is finished.
    fn of(plan: Plan, packed: Packed, rejected_before: u64) -> Self {
        let mut report = Self {
            plan,
            plates_packed: packed.plates,
            sites_packed: packed.sites,
            stored_bytes: packed.stored_bytes,
            faults: packed.faults,
            rejected_before,
            finished: false,
            waiting_for: Vec::new(),
            seconds: 0.0,
        };
        report.faults.sort();
        report
    }

    /// Finishes the store, if all of `planned` is in it.
    fn finish(
        &mut self,
        config: &PackConfig,
        writer: &StoreWriter,
        planned: &[PlateId],
        was_finished: bool,
    ) -> Result<()> {
        let mut is_complete = self.plates_packed == self.plan.plates_to_pack;
        if is_complete {
            let anew = if config.rehash { Anew::Always } else { Anew::IfNeeded };
            if let Merge::Waiting(plates) = writer.merge(planned, anew)? {
                self.waiting_for = plates;
                is_complete = false;
            }
        }
        // What was whole before is whole now, with the whole plates of this run.
        self.finished = is_complete || (was_finished && writer.merge(&[], Anew::IfNeeded)? == Merge::Finished);
        Ok(())
    }

    /// Whether there are faults other than warnings.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.faults.iter().any(|fault| !fault.kind.is_warning())
    }
}

/// Source, settings and what is left to do.
struct Prepared {
    source: Source,
    spec: StoreSpec,
    plan: Plan,
    /// Indices of the plates to pack.
    to_pack: Vec<usize>,
    rejected_before: u64,
}

/// Looks at source and destination and says what a run would do, with the faults that names (and the listings of a store)
/// alone show.
///
/// # Errors
/// If the source cannot be read, or the destination is of another kind.
pub fn plan(config: &PackConfig) -> Result<(Plan, Vec<Fault>)> {
    if is_store(&config.source.root) {
        return transcode::plan(config);
    }
    let Prepared { source, plan, to_pack, .. } = in_pool(config.threads, || prepare(config))??;
    let mut faults = Vec::new();
    for plate in to_pack.into_iter().map(|i| &source.plates[i]) {
        faults.extend(plate.faults.iter().cloned());
        faults.extend(plate.sites.iter().filter_map(|site| plate.missing_channel(site, source.n_channels)));
    }
    faults.sort();
    Ok((plan, faults))
}

/// Packs; a source that is a store is transcoded. Resumes by itself: plates that are done and unchanged are left alone.
///
/// # Errors
/// If the source or its CSVs cannot be read, the destination is of another kind or full, or a file cannot be written.
/// Faults of images, and of a store's sites, are no error: they are in the report.
pub fn pack(config: &PackConfig, progress: &(dyn Fn(Progress) + Sync)) -> Result<PackReport> {
    if is_store(&config.source.root) {
        return transcode::transcode(config, progress);
    }
    let start = Instant::now();
    let Prepared { source, spec, plan, to_pack, rejected_before } = in_pool(config.threads, || prepare(config))??;
    check_free_space(&config.dst, plan.estimated_bytes)?;
    progress(Progress::Planned(plan.sites_to_pack));
    // Only a store that was finished once has it, and it stays while others change the store.
    let was_finished = config.dst.join(METADATA).exists();
    let writer = StoreWriter::open(&config.dst, spec.clone(), source.classes.clone())?;
    let plates: Vec<&PlatePlan> = to_pack.iter().map(|&i| &source.plates[i]).collect();
    let packed = pipeline::run(config, &source, &spec, &writer, &plates, progress)?;
    let mut report = PackReport::of(plan, packed, rejected_before);
    let planned: Vec<PlateId> = source.plates.iter().map(|plate| plate.id.clone()).collect();
    report.finish(config, &writer, &planned, was_finished)?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::refused("--threads", "a number of threads that can be started", e))?;
    Ok(pool.install(work))
}

fn prepare(config: &PackConfig) -> Result<Prepared> {
    let source = Source::open(&config.source)?;
    let spec = StoreSpec {
        channels: channels(source.n_channels),
        size: source.size,
        codec: config.codec,
        sites_per_shard: sites_per_shard(config, source.n_channels * source.size.pixels())?,
    };
    check_destination(&config.dst, &spec, &source.classes)?;
    check_apart(&config.source.root, &config.dst)?;
    let mine: Vec<usize> = (0..source.plates.len()).filter(|&i| config.partition.has(i)).collect();
    let states: Vec<resume::State> =
        mine.par_iter().map(|&i| resume::look_at(config, &source, &spec, &source.plates[i])).collect::<Result<_>>()?;
    let mut to_pack = Vec::new();
    let (mut plates_done, mut rejected_before, mut source_bytes) = (0, 0, 0);
    for (&i, state) in mine.iter().zip(states) {
        match state {
            resume::State::Done { n_rejected } => {
                plates_done += 1;
                rejected_before += n_rejected;
            }
            resume::State::ToPack { source_bytes: bytes } => {
                to_pack.push(i);
                source_bytes += bytes;
            }
        }
    }
    let sites_to_pack = to_pack.iter().map(|&i| source.plates[i].sites.len() as u64).sum();
    let ImageSize { height, width } = source.size;
    let plan = Plan {
        layout: source.layout.name(),
        source_codec: None,
        channels: source.n_channels,
        size: [height, width],
        classes: source.classes.rows().len(),
        plates: source.plates.len(),
        plates_done,
        plates_to_pack: to_pack.len(),
        sites_to_pack,
        source_bytes,
        estimated_bytes: estimate(&spec, sites_to_pack, source_bytes),
        strangers: source.strangers.clone(),
        unusual: source.unusual.clone(),
    };
    Ok(Prepared { source, spec, plan, to_pack, rejected_before })
}

fn sites_per_shard(config: &PackConfig, site_bytes: usize) -> Result<u32> {
    match config.sites_per_shard {
        None => Ok(((DEFAULT_SHARD_BYTES / site_bytes) as u32).clamp(1, DEFAULT_SITES_PER_SHARD)),
        Some(n) if (1..=MAX_SITES_PER_SHARD).contains(&n) => Ok(n),
        Some(n) => Err(Error::refused("--sites-per-shard", format!("1 to {MAX_SITES_PER_SHARD}"), n)),
    }
}

/// Bytes of the store. PNGs of real plates take 0.28 of raw, zstd 0.36 to 0.43 (level 9 to 1): at most 1.55 times as
/// much, and never more than raw.
fn estimate(spec: &StoreSpec, n_sites: u64, source_bytes: u64) -> u64 {
    let raw = n_sites * (spec.site_bytes() as u64).next_multiple_of(ALIGNMENT);
    match spec.codec {
        Codec::Raw => raw,
        Codec::Zstd(_) => raw.min(source_bytes * 31 / 20),
    }
}

/// Refuses a source that lies in the destination: a store has nothing in it that is not its own.
fn check_apart(src: &Path, dst: &Path) -> Result<()> {
    if resolve(src)?.starts_with(resolve(dst)?) {
        return Err(Error::refused("--dst", "a folder that does not hold the source", dst.display()));
    }
    Ok(())
}

/// Where a path really leads, links followed; what is not there yet will lie in the last folder of it that is.
fn resolve(path: &Path) -> Result<PathBuf> {
    let mut rest = Vec::new();
    for folder in path.ancestors() {
        let folder_or_here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match folder_or_here.canonicalize() {
            Ok(real) => return Ok(rest.iter().rev().fold(real, |path: PathBuf, name| path.join(name))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => rest.extend(folder.components().next_back()),
            Err(e) => return Err(Error::io(folder, "resolve")(e)),
        }
    }
    Ok(path.to_owned())
}

fn check_free_space(dst: &Path, needed: u64) -> Result<()> {
    let existing = dst.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    let path = existing.unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(path).map_err(|e| Error::io(path, "ask for free space of")(e.into()))?;
    let free = stat.f_bavail * stat.f_frsize;
    if free < needed {
        let mega = |bytes: u64| format!("{} MB", bytes.div_ceil(1_000_000));
        return Err(Error::refused(dst.display(), format!("{} of free space", mega(needed)), mega(free)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_disjoint_and_cover_all() {
        let parts: Vec<Partition> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).to_vec();
        assert!((0..100).all(|plate| parts.iter().filter(|part| part.has(plate)).count() == 1));
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", ""] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
    }
}

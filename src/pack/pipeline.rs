//! The threads that pack. Each lane has three: one reads and hashes PNGs, one decodes, counts and encodes, one writes
//! and hashes shards; queues between them are short, so memory is bounded by the number of lanes. A lane works on one
//! shard at a time, so what a shard holds depends on nothing but its sites.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, Scope};

use crate::error::{Error, Result};
use crate::plate_statistics::pixel_stats;
use crate::source::fault::Fault;
use crate::source::png::SiteDecoder;
use crate::source::{Image, PlatePlan, SitePlan, Source};
use crate::stats::SiteStatistics;
use crate::store::chunk::Encoder;
use crate::store::manifest::Entry;
use crate::store::{ShardWriter, StoreSpec, StoreWriter};

use super::plate::{GoodSite, PlateOutcome, PlateWork, ShardYield};
use super::{PackConfig, Progress};

/// Sites that a lane reads ahead, and chunks that it lets wait for the disk.
const QUEUE: usize = 3;

/// What all plates together came to.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) plates: usize,
    pub(super) sites: u64,
    pub(super) stored_bytes: u64,
    pub(super) faults: Vec<Fault>,
}

impl Packed {
    fn add(&mut self, outcome: PlateOutcome) {
        self.faults.extend(outcome.faults);
        if let Some(sites) = outcome.sites_packed {
            self.plates += 1;
            self.sites += sites;
            self.stored_bytes += outcome.stored_bytes;
        }
    }
}

/// One shard to pack: sites `sites` of a plate.
struct Job<'a> {
    plate: &'a PlateWork<'a>,
    shard: usize,
    sites: Range<usize>,
}

/// What all threads share.
struct Shared<'a> {
    source: &'a Source,
    spec: &'a StoreSpec,
    writer: &'a StoreWriter,
    jobs: Vec<Job<'a>>,
    next_job: AtomicUsize,
    progress: &'a (dyn Fn(Progress) + Sync),
    packed: Mutex<Packed>,
    error: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

/// From reader to worker: one site's files.
struct Images {
    job: usize,
    site: usize,
    files: Vec<Image>,
    /// The files that could be read.
    sources: Vec<Entry>,
}

/// From worker to writer.
enum Piece {
    Chunk { job: usize, bytes: Vec<u8> },
    End { job: usize, result: Box<ShardYield> },
}

/// Packs `plates` into the store.
pub(super) fn run(
    config: &PackConfig,
    source: &Source,
    spec: &StoreSpec,
    writer: &StoreWriter,
    plates: &[&PlatePlan],
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Packed> {
    let new = |plate| PlateWork::new(plate, spec, config.on_error);
    let work: Vec<PlateWork> = plates.iter().copied().map(new).collect();
    let mut packed = Packed::default();
    let mut jobs = Vec::new();
    for plate in &work {
        let n_sites = plate.plan.sites.len();
        if n_sites == 0 {
            packed.add(plate.finish(Vec::new(), writer)?);
        }
        let per_shard = spec.sites_per_shard as usize;
        let starts = (0..n_sites).step_by(per_shard).enumerate();
        jobs.extend(starts.map(|(shard, start)| Job { plate, shard, sites: start..n_sites.min(start + per_shard) }));
    }
    let n_lanes = config.threads.min(jobs.len());
    let shared = Shared {
        source,
        spec,
        writer,
        jobs,
        next_job: AtomicUsize::new(0),
        progress,
        packed: Mutex::new(packed),
        error: Mutex::new(None),
        stopped: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for lane in 0..n_lanes {
            let (images, images_in) = sync_channel(QUEUE);
            let (pieces, pieces_in) = sync_channel(QUEUE);
            let (empties, empties_in) = channel();
            let shared = &shared;
            let spawned = shared
                .spawn(scope, format!("read-{lane}"), move || shared.read(&images))
                .and_then(|()| {
                    shared.spawn(scope, format!("pack-{lane}"), move || shared.work(&images_in, &pieces, &empties_in))
                })
                .and_then(|()| {
                    shared.spawn(scope, format!("write-{lane}"), move || shared.write(&pieces_in, &empties))
                });
            shared.note(spawned);
        }
    });
    match shared.error.into_inner().expect("no thread panicked") {
        Some(error) => Err(error),
        None => Ok(shared.packed.into_inner().expect("no thread panicked")),
    }
}

impl Shared<'_> {
    /// Starts a named thread whose error, if any, is kept.
    fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: String,
        body: impl FnOnce() -> Result<()> + Send + 'scope,
    ) -> Result<()> {
        let spawned = thread::Builder::new().name(name).spawn_scoped(scope, move || self.note(body()));
        spawned.map(drop).map_err(|e| Error::refused("--threads", "a number of threads that can be started", e))
    }

    /// Keeps the first error and has everyone stop.
    fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.stopped.store(true, Ordering::Relaxed);
            self.error.lock().expect("no thread panics while it holds the error").get_or_insert(error);
        }
    }

    fn site(&self, job: usize, site: usize) -> (&PlateWork<'_>, &SitePlan) {
        let plate = self.jobs[job].plate;
        (plate, &plate.plan.sites[site])
    }

    /// Takes shards off the list and reads their images, until none is left.
    fn read(&self, images: &SyncSender<Images>) -> Result<()> {
        loop {
            let job = self.next_job.fetch_add(1, Ordering::Relaxed);
            let Some(Job { plate, sites, .. }) = self.jobs.get(job) else {
                return Ok(());
            };
            plate.note_start();
            for site in sites.clone() {
                let (plate, plan) = self.site(job, site);
                let files = self.source.read_images(plate.plan, plan);
                let sources =
                    files.iter().filter_map(|file| Some(Entry::of(&file.path, file.content.as_ref().ok()?))).collect();
                // A send fails only if the worker is gone, and then it has said why.
                if self.stopped.load(Ordering::Relaxed) || images.send(Images { job, site, files, sources }).is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// Decodes, counts and encodes.
    fn work(&self, images: &Receiver<Images>, pieces: &SyncSender<Piece>, empties: &Receiver<Vec<u8>>) -> Result<()> {
        let mut decoder = SiteDecoder::new(self.source.size);
        let mut encoder = Encoder::new(self.spec.codec)?;
        let mut pixels = Vec::new();
        let mut result = ShardYield::default();
        while let Ok(Images { job, site, files, sources }) = images.recv() {
            let (plate, plan) = self.site(job, site);
            pixels.resize(self.spec.site_bytes(), 0);
            result.sources.extend(sources);
            let faults = self.source.decode_images(plate.plan, plan, &files, &mut decoder, &mut pixels);
            let mut good = None;
            if !faults.is_empty() {
                plate.note_fault();
                result.faults.extend(faults);
            } else if plate.is_written() {
                let statistics = SiteStatistics::of(&pixels, self.source.n_channels);
                result.statistics.population_mut(plan.label.population).add(&statistics);
                let pixel_stats = pixel_stats(&plate.site_id(plan), &statistics);
                good = Some(GoodSite { crc32c: crc32c::crc32c(&pixels), pixel_stats });
                let mut bytes = empties.try_recv().unwrap_or_default();
                encoder.encode(&mut pixels, &mut bytes)?;
                if pieces.send(Piece::Chunk { job, bytes }).is_err() {
                    return Ok(());
                }
            }
            result.sites.push(good);
            (self.progress)(Progress::Sites(1));
            if site + 1 == self.jobs[job].sites.end {
                let result = Box::new(std::mem::take(&mut result));
                if pieces.send(Piece::End { job, result }).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes shards, and finishes plates.
    fn write(&self, pieces: &Receiver<Piece>, empties: &Sender<Vec<u8>>) -> Result<()> {
        let mut open: Option<ShardWriter> = None;
        while let Ok(piece) = pieces.recv() {
            match piece {
                Piece::Chunk { job, bytes } => {
                    let Job { plate, shard, .. } = &self.jobs[job];
                    let writer = match &mut open {
                        Some(writer) => writer,
                        None => open.insert(plate.builder(self.writer)?.shard(*shard)?),
                    };
                    writer.append(&bytes)?;
                    // The worker may be done already; then the buffer is dropped.
                    let _ = empties.send(bytes);
                }
                Piece::End { job, mut result } => {
                    let Job { plate, shard, sites } = &self.jobs[job];
                    result.file = open.take().map(|writer| writer.finish(sites.len())).transpose()?;
                    if let Some(outcome) = plate.shard_done(*shard, *result, self.writer)? {
                        self.packed.lock().expect("no thread panics while it holds the sums").add(outcome);
                    }
                }
            }
        }
        Ok(())
    }
}

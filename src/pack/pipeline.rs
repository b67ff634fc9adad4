//! The threads that pack. Workers decode, count and encode sites, whichever comes next. Each lane has a thread that
//! reads and hashes the PNGs of one shard after the other, and one that puts what the workers made of them back in
//! order, and writes and hashes the shards. So what a shard holds depends on nothing but its sites, all workers are
//! busy to the end, and memory is bounded: a lane reads a site only when one of its last few has been written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::error::Result;
use crate::fault::Fault;
use crate::memory;
use crate::plate_statistics::pixel_stats;
use crate::progress::Progress;
use crate::source::{Image, PlatePlan, SitePlan, Source};
use crate::stats::SiteStatistics;
use crate::store::format::checksum::crc32c;
use crate::store::format::manifest::Entry;
use crate::store::write::encode::Encoder;
use crate::store::{ShardWriter, StoreSpec, StoreWriter};

use super::config::PackConfig;
use super::plate::{GoodSite, PlateOutcome, PlateWork, ShardYield};
use super::report::Packed;
use super::resume::Todo;
use super::thread_group::ThreadGroup;

/// Sites of a lane that may be on their way from disk to disk, beside two for each worker that it keeps busy.
const WINDOW: usize = 2;
/// How often a thread that waits for others looks whether one of them failed.
const PATIENCE: Duration = Duration::from_millis(100);

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
    /// Buffers of chunks that are written.
    empties: Mutex<Vec<Vec<u8>>>,
    progress: &'a (dyn Fn(Progress) + Sync),
    packed: Mutex<Packed>,
    threads: ThreadGroup,
}

/// From reader to worker: one site's files.
struct Images {
    lane: usize,
    /// Position among the sites of the lane.
    position: usize,
    job: usize,
    site: usize,
    files: Vec<Image>,
    /// The files that could be read.
    sources: Vec<Entry>,
}

/// From worker to writer: what one site came to.
struct Done {
    position: usize,
    job: usize,
    site: usize,
    sources: Vec<Entry>,
    faults: Vec<Fault>,
    /// `None` where there is a fault, or nothing is to be written.
    good: Option<(GoodSite, SiteStatistics, Vec<u8>)>,
}

/// Adds what one plate came to.
fn add(packed: &mut Packed, outcome: PlateOutcome) {
    packed.faults.extend(outcome.faults);
    match outcome.sites_packed {
        Some(_) => packed.removed.extend(outcome.held),
        None => packed.kept.extend(outcome.held),
    }
    if let Some(sites) = outcome.sites_packed {
        packed.plates += 1;
        packed.sites += sites;
        packed.stored_bytes += outcome.stored_bytes;
    }
}

/// Packs `plates` into the store.
pub(super) fn run(
    config: &PackConfig,
    source: &Source,
    spec: &StoreSpec,
    writer: &StoreWriter,
    plates: &[(&PlatePlan, &Todo)],
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Packed> {
    let new = |&(plan, todo)| PlateWork::new(plan, todo, spec, config);
    let work: Vec<PlateWork> = plates.iter().map(new).collect();
    let mut packed = Packed::default();
    let mut jobs = Vec::new();
    for plate in &work {
        let n_sites = plate.plan.sites.len();
        if n_sites == 0 {
            add(&mut packed, plate.finish(Vec::new(), writer)?);
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
        empties: Mutex::default(),
        progress,
        packed: Mutex::new(packed),
        threads: ThreadGroup::default(),
    };
    if n_lanes > 0 {
        shared.threads.note(shared.run(config.threads, n_lanes));
    }
    shared.threads.into_result()?;
    Ok(shared.packed.into_inner().expect("no thread panicked"))
}

impl Shared<'_> {
    /// Starts all threads and waits for them. Queues are made here, and end when their last sender is gone.
    fn run(&self, n_workers: usize, n_lanes: usize) -> Result<()> {
        let window = WINDOW + 2 * n_workers.div_ceil(n_lanes);
        let (images, images_in) = sync_channel(n_lanes);
        // The workers own it: when the last of them is gone, no reader waits for it any more.
        let images_in = Arc::new(Mutex::new(images_in));
        thread::scope(|scope| {
            let mut dones = Vec::new();
            for lane in 0..n_lanes {
                let (places, places_taken) = sync_channel(window);
                let (done, done_in) = channel();
                dones.push(done);
                let images = images.clone();
                self.threads.spawn(scope, format!("read-{lane}"), move || self.read(lane, &places, &images))?;
                self.threads.spawn(scope, format!("write-{lane}"), move || self.write(&done_in, &places_taken))?;
            }
            for worker in 0..n_workers {
                let (images_in, dones) = (Arc::clone(&images_in), dones.clone());
                self.threads.spawn(scope, format!("pack-{worker}"), move || self.work(&images_in, &dones))?;
            }
            drop((images, images_in, dones));
            Ok(())
        })
    }

    fn site(&self, job: usize, site: usize) -> (&PlateWork<'_>, &SitePlan) {
        let plate = self.jobs[job].plate;
        (plate, &plate.plan.sites[site])
    }

    /// Takes shards off the list and reads their images, until none is left. A place is taken for each site, and given
    /// back when it is written. Sends fail only if the other side is gone, and then it has said why.
    fn read(&self, lane: usize, places: &SyncSender<()>, images: &SyncSender<Images>) -> Result<()> {
        let mut position = 0;
        loop {
            let job = self.next_job.fetch_add(1, Ordering::Relaxed);
            let Some(Job { sites, .. }) = self.jobs.get(job) else {
                return Ok(());
            };
            for site in sites.clone() {
                if self.threads.is_stopped() || places.send(()).is_err() {
                    return Ok(());
                }
                let (plate, plan) = self.site(job, site);
                let files = self.source.read_images(plate.plan, plan);
                let sources =
                    files.iter().filter_map(|file| Some(Entry::of(&file.path, file.content.as_ref().ok()?))).collect();
                if images.send(Images { lane, position, job, site, files, sources }).is_err() {
                    return Ok(());
                }
                position += 1;
            }
        }
    }

    /// Decodes, counts and encodes.
    fn work(&self, images: &Mutex<Receiver<Images>>, dones: &[Sender<Done>]) -> Result<()> {
        let mut decoder = self.source.decoder();
        let mut encoder = Encoder::new(self.spec)?;
        let mut pixels = Vec::new();
        loop {
            let next = images.lock().expect("no thread panics while it waits").recv_timeout(PATIENCE);
            let Images { lane, position, job, site, files, sources } = match next {
                Ok(images) => images,
                Err(RecvTimeoutError::Timeout) if !self.threads.is_stopped() => continue,
                Err(_) => return Ok(()),
            };
            let (plate, plan) = self.site(job, site);
            memory::resize(&mut pixels, self.spec.site_bytes(), "the pixels of a site")?;
            let faults = self.source.decode_images(plate.plan, plan, &files, &mut decoder, &mut pixels);
            let mut good = None;
            if !faults.is_empty() {
                plate.note_fault();
            } else if plate.is_written() {
                let statistics = SiteStatistics::of(&pixels, self.spec.channels.len(), self.spec.dtype);
                let pixel_stats = pixel_stats(&plate.site_id(plan), &statistics);
                let site = GoodSite { crc32c: crc32c(&pixels), pixel_stats };
                let mut chunk = self.empties.lock().expect("no thread panics in between").pop().unwrap_or_default();
                encoder.encode(&mut pixels, &mut chunk)?;
                good = Some((site, statistics, chunk));
            }
            (self.progress)(Progress::Done(1));
            if dones[lane].send(Done { position, job, site, sources, faults, good }).is_err() {
                return Ok(());
            }
        }
    }

    /// Puts sites back in order, writes shards, and finishes plates.
    fn write(&self, done: &Receiver<Done>, places: &Receiver<()>) -> Result<()> {
        let mut early: BTreeMap<usize, Done> = BTreeMap::new();
        let mut next = 0;
        let mut open: Option<ShardWriter> = None;
        let mut result = ShardYield::default();
        loop {
            match done.recv_timeout(PATIENCE) {
                Ok(site) => early.insert(site.position, site),
                Err(RecvTimeoutError::Timeout) if !self.threads.is_stopped() => continue,
                Err(_) => return Ok(()),
            };
            while let Some(Done { job, site, sources, faults, good, .. }) = early.remove(&next) {
                next += 1;
                let Job { plate, shard, sites } = &self.jobs[job];
                result.sources.extend(sources);
                result.faults.extend(faults);
                result.sites.push(match good {
                    None => None,
                    Some((good, statistics, chunk)) => {
                        let population = plate.plan.sites[site].label.population;
                        result.statistics.population_mut(population).add(&statistics);
                        let writer = match &mut open {
                            Some(writer) => writer,
                            None => open.insert(plate.builder(self.writer)?.shard(*shard)?),
                        };
                        writer.append(&chunk)?;
                        self.empties.lock().expect("no thread panics in between").push(chunk);
                        Some(good)
                    }
                });
                // The reader took this place before it sent the site, so it is there.
                let _ = places.try_recv();
                if site + 1 == sites.end {
                    let mut result = std::mem::take(&mut result);
                    result.file = open.take().map(|writer| writer.finish(sites.len())).transpose()?;
                    if let Some(outcome) = plate.shard_done(*shard, result, self.writer)? {
                        add(&mut self.packed.lock().expect("no thread panics while it holds the sums"), outcome);
                    }
                }
            }
        }
    }
}

//! The threads that transcode. Each takes one shard of the new store after the other, reads the sites that belong into
//! it, proves them, encodes them and appends them; whoever is done with the last shard of a plate commits it. So what a
//! shard holds depends on nothing but its sites, and a thread holds no more than one site.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::memory;
use crate::pack::config::PackConfig;
use crate::pack::report::{HeldPlate, Packed};
use crate::pack::thread_group::ThreadGroup;
use crate::plate_statistics;
use crate::progress::Progress;
use crate::store::format::checksum;
use crate::store::format::listing::ListingFiles;
use crate::store::format::manifest::Entry;
use crate::store::format::names::listing_path;
use crate::store::read::decode::Decoder;
use crate::store::write::encode::Encoder;
use crate::store::{Committed, FinishedShard, MayGo, PlateBuilder, Shard, ShardWriter, StoreSpec, StoreWriter};

use super::origin::{Origin, Plate, describe};

/// One shard to write: sites `sites` of a plate.
struct Job<'a> {
    plate: &'a PlateWork<'a>,
    shard: usize,
    sites: Range<usize>,
}

/// A plate on its way into the store.
struct PlateWork<'a> {
    plate: &'a Plate,
    /// Whether sites are only looked at, because one that is damaged keeps the plate out of the store.
    is_damaged: AtomicBool,
    builder: Mutex<Option<Arc<PlateBuilder>>>,
    gathered: Mutex<Gathered>,
}

/// What the shards of a plate came to.
#[derive(Default)]
struct Gathered {
    n_done: usize,
    files: Vec<FinishedShard>,
    faults: Vec<Fault>,
}

/// What all threads share.
struct Shared<'a> {
    config: &'a PackConfig,
    origin: &'a Origin,
    spec: &'a StoreSpec,
    writer: &'a StoreWriter,
    jobs: Vec<Job<'a>>,
    next_job: AtomicUsize,
    progress: &'a (dyn Fn(Progress) + Sync),
    packed: Mutex<Packed>,
    threads: ThreadGroup,
}

/// What a thread keeps from one site to the next, so that nothing is allocated for each.
struct Buffers {
    decoder: Decoder,
    encoder: Encoder,
    /// A chunk as it is stored in the source.
    scratch: Vec<u8>,
    /// `[C, H, W]`.
    pixels: Vec<u8>,
    /// A chunk as it will be stored.
    chunk: Vec<u8>,
}

/// Transcodes `plates` into the store.
pub(super) fn run(
    config: &PackConfig,
    origin: &Origin,
    spec: &StoreSpec,
    writer: &StoreWriter,
    plates: &[Plate],
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Packed> {
    let work: Vec<PlateWork> = plates.iter().map(PlateWork::new).collect();
    let mut jobs = Vec::new();
    for plate in &work {
        let (n_sites, per_shard) = (plate.plate.sites.len(), spec.sites_per_shard as usize);
        let starts = (0..n_sites).step_by(per_shard).enumerate();
        jobs.extend(starts.map(|(shard, start)| Job { plate, shard, sites: start..n_sites.min(start + per_shard) }));
    }
    let n_workers = config.threads.min(jobs.len());
    let shared = Shared {
        config,
        origin,
        spec,
        writer,
        jobs,
        next_job: AtomicUsize::new(0),
        progress,
        packed: Mutex::default(),
        threads: ThreadGroup::default(),
    };
    for plate in work.iter().filter(|plate| plate.plate.sites.is_empty()) {
        shared.finish(plate, Gathered::default())?;
    }
    thread::scope(|scope| {
        for worker in 0..n_workers {
            let started = shared.threads.spawn(scope, format!("transcode-{worker}"), || shared.work());
            if started.is_err() {
                shared.threads.note(started);
                return;
            }
        }
    });
    shared.threads.into_result()?;
    Ok(shared.packed.into_inner().expect("no thread panicked"))
}

impl<'a> PlateWork<'a> {
    fn new(plate: &'a Plate) -> Self {
        Self { plate, is_damaged: AtomicBool::new(false), builder: Mutex::default(), gathered: Mutex::default() }
    }

    fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// The place where the plate is built.
    fn builder(&self, writer: &StoreWriter) -> Result<Arc<PlateBuilder>> {
        let mut builder = self.builder.lock().expect("no thread panics while it holds the builder");
        match &*builder {
            Some(builder) => Ok(Arc::clone(builder)),
            None => Ok(Arc::clone(builder.insert(Arc::new(writer.plate_builder(&self.plate.id)?)))),
        }
    }
}

impl Shared<'_> {
    /// Takes shards off the list until none is left.
    fn work(&self) -> Result<()> {
        let mut buffers = Buffers {
            decoder: Decoder::default(),
            encoder: Encoder::new(self.spec)?,
            scratch: Vec::new(),
            pixels: Vec::new(),
            chunk: Vec::new(),
        };
        while let Some(job) = self.jobs.get(self.next_job.fetch_add(1, Ordering::Relaxed)) {
            let mut faults = Vec::new();
            let file = self.shard(job, &mut buffers, &mut faults)?;
            if self.threads.is_stopped() {
                return Ok(());
            }
            let mut gathered = job.plate.gathered.lock().expect("no thread panics while it gathers");
            gathered.n_done += 1;
            gathered.files.extend(file);
            gathered.faults.extend(faults);
            if gathered.n_done == self.spec.n_shards(job.plate.plate.sites.len()) {
                let gathered = std::mem::take(&mut *gathered);
                self.finish(job.plate, gathered)?;
            }
        }
        Ok(())
    }

    /// Writes one shard, or only examines its sites where one of the plate is damaged.
    fn shard(&self, job: &Job<'_>, buffers: &mut Buffers, faults: &mut Vec<Fault>) -> Result<Option<FinishedShard>> {
        let Job { plate, shard, sites } = job;
        let per_shard = self.origin.spec.sites_per_shard as usize;
        // The shard of the source that is open, or what is wrong with it.
        let mut from: Option<(usize, Result<Shard, String>)> = None;
        let mut to: Option<ShardWriter> = None;
        for row in sites.clone() {
            if self.threads.is_stopped() {
                return Ok(None);
            }
            let wanted = row / per_shard;
            let source = match &mut from {
                Some((open, source)) if *open == wanted => source,
                _ => {
                    let opened = match self.origin.shard(plate.plate, wanted) {
                        Ok(shard) => Ok(shard),
                        Err(error) => Err(damage(error)?),
                    };
                    &mut from.insert((wanted, opened)).1
                }
            };
            let found = match source {
                Ok(source) => self.read(source, row % per_shard, plate.plate.sites[row].crc32c, buffers)?,
                Err(damage) => Err(damage.clone()),
            };
            match found {
                Err(damage) => {
                    plate.is_damaged.store(true, Ordering::Relaxed);
                    faults.push(plate.plate.fault_of_site(row, wanted, &damage));
                }
                Ok(()) if plate.is_damaged() => {}
                Ok(()) => {
                    buffers.encoder.encode(&mut buffers.pixels, &mut buffers.chunk)?;
                    let writer = match &mut to {
                        Some(writer) => writer,
                        None => to.insert(plate.builder(self.writer)?.shard(*shard)?),
                    };
                    writer.append(&buffers.chunk)?;
                }
            }
            (self.progress)(Progress::Done(1));
        }
        // A plate once damaged stays so: a shard that lacks a site is never finished.
        to.filter(|_| !plate.is_damaged()).map(|writer| writer.finish(sites.len())).transpose()
    }

    /// Reads a site into `buffers.pixels` and proves it; what is inside says what is wrong with it.
    fn read(&self, source: &Shard, slot: usize, crc32c: u32, buffers: &mut Buffers) -> Result<Result<(), String>> {
        memory::resize(&mut buffers.pixels, self.spec.site_bytes(), "the pixels of a site")?;
        if let Err(error) = source.read(slot, &mut buffers.decoder, &mut buffers.scratch, &mut buffers.pixels) {
            return Ok(Err(damage(error)?));
        }
        let found = checksum::crc32c(&buffers.pixels);
        Ok(if found == crc32c { Ok(()) } else { Err(format!("expected crc32c {crc32c:08x}, found {found:08x}")) })
    }

    /// Commits a plate, or drops it if it is damaged.
    fn finish(&self, work: &PlateWork<'_>, gathered: Gathered) -> Result<()> {
        let Gathered { files, faults, .. } = gathered;
        let plate = work.plate;
        let builder = work.builder(self.writer)?;
        let listing = if faults.is_empty() { self.listing(plate) } else { Err(faults) };
        let listing = match listing {
            Ok(listing) => listing,
            Err(faults) => {
                builder.discard();
                self.packed.lock().expect("no thread panics while it holds the sums").faults.extend(faults);
                return Ok(());
            }
        };
        let files: Vec<Entry> = files.into_iter().map(|file| file.entry).collect();
        let stored_bytes: u64 = files.iter().filter_map(|file| file.size).sum();
        // A damaged plate does not come this far: what this one lacks, the lists of the source do not name.
        let may_go = if self.config.prune { MayGo::All } else { MayGo::Nothing };
        let committed = self.writer.commit(&builder, &listing, files, plate.stamp, may_go)?;
        let mut packed = self.packed.lock().expect("no thread panics while it holds the sums");
        match committed {
            Committed::Kept(lost) => {
                packed.kept.extend(HeldPlate::of(&plate.id, lost, &[], true));
                return Ok(());
            }
            Committed::Done { removed } => packed.removed.extend(HeldPlate::of(&plate.id, removed, &[], true)),
        }
        packed.plates += 1;
        packed.sites += plate.sites.len() as u64;
        packed.stored_bytes += stored_bytes;
        Ok(())
    }

    /// The listing of a plate, read again, as those of all plates are too much to hold. What it counts has to agree
    /// with itself, or the new store could not be finished.
    fn listing(&self, plate: &Plate) -> Result<ListingFiles, Vec<Fault>> {
        let (_, listing) = self.origin.plate(&plate.id)?;
        let (root, n_channels) = (&self.origin.root, self.origin.spec.channels.len());
        let counts = plate_statistics::read(root, &plate.id, &self.origin.spec).map(drop);
        let rows = || plate_statistics::read_pixel_stats(root, &plate.id, n_channels).map(drop);
        match counts.and_then(|()| rows()) {
            Ok(()) => Ok(listing),
            Err(error) => Err(vec![plate.fault(listing_path(&plate.id), error.to_string())]),
        }
    }
}

/// What is wrong with a file of the source; an error that is not of the source goes on.
fn damage(error: Error) -> Result<String> {
    match error {
        Error::Malformed { .. } => Ok(describe(&error)),
        // A file that is gone, or a disk that gives a part of it back no more; anything else is the machine's.
        Error::Io { ref source, .. } if source.kind() == ErrorKind::NotFound || is_disk_error(source) => {
            Ok(describe(&error))
        }
        other => Err(other),
    }
}

fn is_disk_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

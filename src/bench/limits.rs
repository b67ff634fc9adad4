//! The parts of the way by themselves: what the disk, memory, crc32c, zstd and copying can give at most, on as many
//! threads as the feed has. Nothing here goes through the feed.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, OFlags, fadvise};

use crate::error::{Error, Result};
use crate::feed::{Io, Permutation, Reader, Verify, mix};
use crate::files;
use crate::store::format::checksum::{CRC_BYTES, crc32c};
use crate::store::read::decode::Decoder;
use crate::store::read::shard::open_shard;
use crate::store::{Codec, Shard, Store, shard_path};

use super::sample::{Bench, N_BUFFERS, Rate};

/// A part that has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Shards read from the disk, past the page cache.
    Disk,
    /// Stored chunks copied out of the page cache.
    PageCache,
    /// The crc32c of sites in memory.
    Checksum,
    /// Chunks in memory decoded by zstd.
    Decode,
    /// Raw chunks copied from their maps by the library's memcpy.
    Memcpy,
    /// The same past the caches, as the feed does it.
    Copy,
}

impl Limit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk, direct I/O",
            Self::PageCache => "page cache, pread",
            Self::Checksum => "crc32c alone",
            Self::Decode => "decoding alone",
            Self::Memcpy => "memcpy from the map alone",
            Self::Copy => "copying past the caches alone",
        }
    }
}

/// Bytes of one read past the page cache, and threads that have one under way: what it takes to keep a disk busy.
const BLOCK: usize = 4 << 20;
const DISK_THREADS: usize = 8;
/// Direct reads go to addresses and offsets at multiples of this.
const ALIGNMENT: usize = 4096;
/// Sites whose chunks are kept in memory to be decoded: more than a processor's caches hold.
const KEPT: usize = 128;

/// Measures a limit; says why where that cannot be done here.
pub(super) fn measure(bench: &Bench, limit: Limit) -> Result<Result<Rate, String>> {
    match limit {
        Limit::Disk => disk(bench),
        Limit::PageCache => page_cache(bench).map(Ok),
        Limit::Checksum => checksum(bench).map(Ok),
        Limit::Decode => decode(bench).map(Ok),
        Limit::Memcpy => memcpy(bench).map(Ok),
        Limit::Copy => copy(bench).map(Ok),
    }
}

/// Files and sizes of a store's shards, and how many sites each has.
fn shards(store: &Store) -> Vec<(PathBuf, usize)> {
    let per_shard = store.spec().sites_per_shard as usize;
    let of_plate = |(plate, &n)| {
        let plate: &crate::site::PlateId = plate;
        let path = |shard| store.root().join(shard_path(plate, shard));
        (0..store.spec().n_shards(n)).map(move |i| (path(i), per_shard.min(n - i * per_shard))).collect::<Vec<_>>()
    };
    store.plates().iter().flat_map(of_plate).collect()
}

/// Has the system forget what it keeps of a store's shards in memory; says why where it does not.
pub(super) fn forget(bench: &Bench) -> Result<Result<(), String>> {
    let store = &bench.store;
    if is_memory(store.root()) {
        return Ok(Err(IN_MEMORY.to_owned()));
    }
    for (path, _) in shards(store) {
        let file = open_shard(&path, OFlags::empty())?;
        // What is not written yet cannot be forgotten; a file system that cannot be written to has nothing to write.
        let _ = file.sync_all();
        if let Err(error) = fadvise(&file, 0, None, Advice::DontNeed) {
            return Ok(Err(format!("the system forgets nothing: {error}")));
        }
    }
    let probed: Vec<usize> = bench.sample.iter().copied().take(KEPT).collect();
    let chunks = Chunks::open(store, &probed)?;
    let still_here = chunks.places.iter().filter(|&&(shard, slot)| chunks.shards[shard].is_in_memory(slot)).count();
    // A few chunks may share a page with what was read to open their shards.
    Ok(if still_here * 10 > chunks.places.len() { Err("others keep the files in memory".to_owned()) } else { Ok(()) })
}

const IN_MEMORY: &str = "the files lie in memory";

/// Whether a folder lies in a file system that is nothing but memory.
fn is_memory(folder: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    rustix::fs::statfs(folder).is_ok_and(|found| [TMPFS, RAMFS].contains(&(found.f_type as u64)))
}

/// Opens a shard past the page cache.
fn open_direct(path: &Path) -> Result<File> {
    open_shard(path, OFlags::DIRECT)
}

fn disk(bench: &Bench) -> Result<Result<Rate, String>> {
    let store = &bench.store;
    let shards = shards(store);
    if is_memory(store.root()) {
        return Ok(Err(IN_MEMORY.to_owned()));
    }
    match open_direct(&shards[0].0) {
        Err(Error::Io { source, .. }) if matches!(source.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            return Ok(Err("the file system has no direct I/O".to_owned()));
        }
        opened => opened?,
    };
    // Whole shards in random order, by each thread that is free; a part of one counts as that part of its sites.
    let order = Permutation::new(shards.len(), 4, 0);
    let time = Duration::from_secs_f64(20.0 * bench.config.seconds);
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let work = || -> Result<f64> {
        let mut buffer = vec![0; BLOCK + ALIGNMENT];
        let aligned = buffer.as_ptr().align_offset(ALIGNMENT);
        let mut sites = 0.0;
        while start.elapsed() < time {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= shards.len() {
                break;
            }
            let (path, n_sites) = &shards[order.at(i)];
            let mut file = open_direct(path)?;
            let size = file.metadata().map_err(Error::io(path, "look at"))?.len();
            let mut done = 0;
            while start.elapsed() < time {
                match file.read(&mut buffer[aligned..][..BLOCK]) {
                    Ok(0) => break,
                    Ok(n) => done += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(Error::io(path, "read past the page cache")(e)),
                }
                if done as u64 >= size {
                    break;
                }
            }
            sites += *n_sites as f64 * done as f64 / size as f64;
        }
        Ok(sites)
    };
    let sites: f64 = on_threads(DISK_THREADS, |_| work())?.into_iter().sum();
    Ok(Ok(Rate::new(sites.round() as u64, store.spec().site_bytes(), start.elapsed().as_secs_f64())))
}

fn page_cache(bench: &Bench) -> Result<Rate> {
    let chunks = Chunks::open(&bench.store, &bench.sample)?;
    let mut scratch = Vec::new();
    // Once, so that all is in memory.
    (0..chunks.places.len()).try_for_each(|i| chunks.read(i, &mut scratch))?;
    if bench.store.spec().codec != Codec::Raw {
        return timed(bench, chunks.places.len(), |_, i, buffer| chunks.read(i, buffer));
    }
    // Raw chunks go to where the batch is.
    let places = Places::new(bench);
    timed(bench, chunks.places.len(), |thread, i, _| places.next(thread, |pixels| chunks.read_raw(i, pixels)))
}

fn checksum(bench: &Bench) -> Result<Rate> {
    let sites = read_sites(bench)?;
    timed(bench, sites.len(), |_, i, _| {
        std::hint::black_box(crc32c(&sites[i]));
        Ok(())
    })
}

fn decode(bench: &Bench) -> Result<Rate> {
    let store = &bench.store;
    let chunks = Chunks::open(store, &bench.sample[..bench.sample.len().min(KEPT)])?;
    let mut stored = Vec::new();
    for i in 0..chunks.places.len() {
        let mut chunk = Vec::new();
        chunks.read(i, &mut chunk)?;
        stored.push(chunk);
    }
    // Each thread with its own decoder, as the feed has it; no checksum of ours.
    let decoders: Vec<_> = (0..bench.config.n_threads).map(|_| Mutex::new(Decoder::default())).collect();
    let places = Places::new(bench);
    timed(bench, stored.len(), |thread, i, _| {
        let mut decoder = decoders[thread].lock().unwrap_or_else(PoisonError::into_inner);
        let chunk = &stored[i];
        let data = &chunk[..chunk.len().saturating_sub(CRC_BYTES)];
        places.next(thread, |pixels| decoder.decode_unchecked(store.spec(), data, pixels, &|| "a chunk".to_owned()))
    })
}

fn copy(bench: &Bench) -> Result<Rate> {
    // The reader does it: for raw chunks that is one copy, and a look at the file's length.
    let reader = Reader::new(bench.store.clone(), Io::Mmap, Verify::Never);
    let places = Places::new(bench);
    let body = |thread: usize, i: usize| places.next(thread, |pixels| reader.read(bench.sample[i], pixels));
    // Once, so that all is in memory and mapped.
    (0..bench.sample.len()).try_for_each(|i| body(0, i))?;
    timed(bench, bench.sample.len(), |thread, i, _| body(thread, i))
}

fn memcpy(bench: &Bench) -> Result<Rate> {
    let Chunks { shards, places: chunks } = Chunks::open(&bench.store, &bench.sample)?;
    let maps = shards.into_iter().map(Shard::map).collect::<Result<Vec<_>>>()?;
    let places = Places::new(bench);
    let body = |thread: usize, i: usize| {
        let (shard, slot) = chunks[i];
        places.next(thread, |pixels| {
            pixels.copy_from_slice(maps[shard].chunk(slot));
            Ok(())
        })
    };
    (0..chunks.len()).try_for_each(|i| body(0, i))?;
    timed(bench, chunks.len(), |thread, i, _| body(thread, i))
}

/// Where the threads of a limit put sites, one after the other: together as much memory as the ring of a feed has.
struct Places {
    of_threads: Vec<Mutex<(Vec<u8>, usize)>>,
    site_bytes: usize,
}

impl Places {
    fn new(bench: &Bench) -> Self {
        let (n_threads, site_bytes) = (bench.config.n_threads, bench.store.spec().site_bytes());
        let n = (N_BUFFERS * bench.config.batch).div_ceil(n_threads);
        // Not 0, which the system would have no memory for until it is written to.
        let of_threads = (0..n_threads).map(|_| Mutex::new((vec![1; n * site_bytes], 0))).collect();
        Self { of_threads, site_bytes }
    }

    /// Runs `body` on a thread's next place, `[C, H, W]`.
    fn next(&self, thread: usize, body: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<()> {
        let mut own = self.of_threads[thread].lock().unwrap_or_else(PoisonError::into_inner);
        let (places, k) = &mut *own;
        *k = (*k + 1) % (places.len() / self.site_bytes);
        body(&mut places[*k * self.site_bytes..][..self.site_bytes])
    }
}

/// Some sites' pixels.
fn read_sites(bench: &Bench) -> Result<Vec<Vec<u8>>> {
    let reader = Reader::new(bench.store.clone(), Io::Mmap, Verify::Always);
    let read = |&site: &usize| {
        let mut pixels = vec![0; reader.site_bytes()];
        reader.read(site, &mut pixels).map(|()| pixels)
    };
    bench.sample.iter().take(KEPT).map(read).collect()
}

/// Stored chunks of some sites: those whose shards can be open at the same time.
struct Chunks {
    shards: Vec<Shard>,
    /// Of each site: its shard in `shards`, and its slot.
    places: Vec<(usize, usize)>,
}

impl Chunks {
    fn open(store: &Store, sites: &[usize]) -> Result<Self> {
        let per_shard = store.spec().sites_per_shard as usize;
        files::raise_open_files();
        // As many as those of a feed that was measured before may still be open.
        let most = (files::most_kept_open().min(files::most_kept_mapped()) / 2).max(1);
        let mut shards = Vec::new();
        let mut known = std::collections::BTreeMap::new();
        let mut places = Vec::with_capacity(sites.len());
        for &site in sites {
            let row = &store.sites()[site];
            let (plate, shard) = (&row.id.well.plate, row.row as usize / per_shard);
            let at = match known.get(&(plate, shard)) {
                Some(&at) => at,
                None if shards.len() == most => continue,
                None => {
                    shards.push(store.shard(plate, shard)?);
                    known.insert((plate, shard), shards.len() - 1);
                    shards.len() - 1
                }
            };
            places.push((at, row.row as usize % per_shard));
        }
        Ok(Self { shards, places })
    }

    fn read(&self, i: usize, chunk: &mut Vec<u8>) -> Result<()> {
        let (shard, slot) = self.places[i];
        self.shards[shard].read_stored(slot, chunk)
    }

    /// Reads a raw chunk, for which nothing is decoded.
    fn read_raw(&self, i: usize, pixels: &mut [u8]) -> Result<()> {
        let (shard, slot) = self.places[i];
        self.shards[shard].read(slot, &mut Decoder::default(), &mut Vec::new(), pixels)
    }
}

/// Runs `body(thread, item, buffer)` on random ones of `n` items on all threads until the time is up.
fn timed(bench: &Bench, n: usize, body: impl Fn(usize, usize, &mut Vec<u8>) -> Result<()> + Sync) -> Result<Rate> {
    let time = Duration::from_secs_f64(bench.config.seconds);
    let start = Instant::now();
    let work = |thread: usize| {
        let (mut sites, mut buffer) = (0_u64, Vec::new());
        while start.elapsed() < time {
            body(thread, (mix(sites ^ mix(thread as u64)) % n as u64) as usize, &mut buffer)?;
            sites += 1;
        }
        Ok(sites)
    };
    let sites = on_threads(bench.config.n_threads, work)?.into_iter().sum();
    Ok(Rate::new(sites, bench.store.spec().site_bytes(), start.elapsed().as_secs_f64()))
}

fn on_threads<T: Send>(n: usize, body: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let body = &body;
        let spawn = |i| thread::Builder::new().name(format!("bench-{i}")).spawn_scoped(scope, move || body(i));
        let threads: io::Result<Vec<_>> = (0..n).map(spawn).collect();
        let threads = threads.map_err(|e| Error::refused("bench", "threads", e))?;
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    })
}

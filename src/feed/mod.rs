//! Sites in batches, in an order that is a pure function of seed and epoch, read ahead by named threads into buffers
//! that the caller lends. Decodes no image and knows no libtorch.
//!
//! ```no_run
//! use cellshard::feed::{Feed, Io, Permutation, Reader, Verify};
//! use cellshard::store::Store;
//!
//! let reader = Reader::new(Store::open("shards".as_ref())?, Io::Mmap, Verify::First);
//! let (n, bytes) = (reader.store().sites().len(), reader.site_bytes());
//! let order = Permutation::new(n, 42, 0);
//! let mut positions = 0..n;
//! let next = move |sites: &mut Vec<usize>| sites.extend(positions.by_ref().take(64).map(|i| order.at(i)));
//! let mut feed = Feed::start(&reader.into(), vec![vec![0_u8; 64 * bytes]; 3], 2, next)?;
//! while let Some(batch) = feed.next_batch()? {
//!     // batch.pixels[..batch.sites.len() * bytes] is [N, C, H, W] u8
//!     feed.give_back(batch);
//! }
//! # Ok::<(), cellshard::Error>(())
//! ```

mod order;
mod reader;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rayon::prelude::*;

pub use order::{Permutation, mix};
pub use reader::{Io, Reader, Verify};

use crate::error::{Error, Result};

/// Batches that are filled at the same time, so that no thread waits for the last site of one.
const IN_WORK: usize = 2;

/// One batch.
pub struct Batch<B> {
    /// The sites' indices in [`crate::store::Store::sites`], in order.
    pub sites: Vec<usize>,
    /// `[N, C, H, W] u8`, N sites from the start; what stands behind them is left over from before.
    pub pixels: B,
    /// Positions in the batch that could not be read, each with its reason; their pixels mean nothing.
    pub faults: Vec<(usize, Error)>,
}

/// Batches in order, filled ahead. As many as there are buffers are under way; memory does not grow.
pub struct Feed<B> {
    /// Batches with their number; nothing where a thread panicked over one.
    filled: Receiver<(u64, Option<Batch<B>>)>,
    free: Option<Sender<Batch<B>>>,
    /// Batches that came before their turn.
    early: BTreeMap<u64, Batch<B>>,
    next: u64,
    threads: Vec<JoinHandle<()>>,
}

/// Where the threads take turns: which batch comes next, and into which buffer.
struct Turn<B, F> {
    next_batch: F,
    next: u64,
    ended: bool,
    free: Receiver<Batch<B>>,
}

impl<B: AsMut<[u8]> + Send + 'static> Feed<B> {
    /// Starts reading. `next_batch` is called again and again with an empty list to put the next batch's sites into;
    /// one that it leaves empty is the end. Each buffer takes one batch, the largest there is.
    ///
    /// # Errors
    /// If threads cannot be started, or there is no buffer.
    ///
    /// # Panics
    /// Never: the queue of buffers is open while it is filled.
    pub fn start(
        reader: &Arc<Reader>,
        buffers: Vec<B>,
        n_threads: usize,
        next_batch: impl FnMut(&mut Vec<usize>) + Send + 'static,
    ) -> Result<Self> {
        if buffers.is_empty() {
            return Err(Error::refused("feed", "a buffer or more", 0));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|i| format!("feed-{i}"))
            .build()
            .map_err(|e| Error::refused("feed", format!("{n_threads} threads"), e))?;
        let pool = Arc::new(pool);
        let (free, free_out) = channel();
        for pixels in buffers {
            let batch = Batch { sites: Vec::new(), pixels, faults: Vec::new() };
            free.send(batch).expect("the other end is held below");
        }
        let turn = Arc::new(Mutex::new(Turn { next_batch, next: 0, ended: false, free: free_out }));
        let (filled_in, filled) = channel();
        let mut threads = Vec::new();
        for i in 0..IN_WORK {
            let (reader, pool, turn, filled_in) = (reader.clone(), pool.clone(), turn.clone(), filled_in.clone());
            let work = move || {
                while let Some((number, mut batch)) = take_turn(&turn) {
                    let fill = || pool.install(|| fill(&reader, &mut batch));
                    // Caught, so that the caller hears of it instead of waiting for a batch that never comes.
                    let whole = catch_unwind(AssertUnwindSafe(fill)).is_ok();
                    if filled_in.send((number, whole.then_some(batch))).is_err() || !whole {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name(format!("feed-batch-{i}")).spawn(work);
            threads.push(thread.map_err(|e| Error::refused("feed", "a thread", e))?);
        }
        Ok(Self { filled, free: Some(free), early: BTreeMap::new(), next: 0, threads })
    }

    /// The next batch, as soon as it is whole; `None` after the last. The caller hands it back when its pixels are
    /// used, or the feed runs out of buffers and waits for ever.
    ///
    /// # Errors
    /// If a thread of the feed panicked.
    pub fn next_batch(&mut self) -> Result<Option<Batch<B>>> {
        loop {
            if let Some(batch) = self.early.remove(&self.next) {
                self.next += 1;
                return Ok(Some(batch));
            }
            match self.filled.recv() {
                Ok((number, Some(batch))) => {
                    self.early.insert(number, batch);
                }
                // All threads have ended: at the end of the batches, or because `next_batch` panicked.
                Err(_) if self.threads.drain(..).map(JoinHandle::join).all(|end| end.is_ok()) => return Ok(None),
                Ok((_, None)) | Err(_) => {
                    return Err(Error::refused("feed", "threads that go on", "one that panicked"));
                }
            }
        }
    }

    /// Hands a batch's buffer back, to be filled again.
    pub fn give_back(&self, batch: Batch<B>) {
        if let Some(free) = &self.free {
            // At the end of the batches nobody waits for buffers any more.
            let _ = free.send(batch);
        }
    }
}

impl<B> Drop for Feed<B> {
    /// Ends the threads: they find no more buffers.
    fn drop(&mut self) {
        self.free = None;
        self.early.clear();
        while self.filled.recv().is_ok() {}
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn take_turn<B, F: FnMut(&mut Vec<usize>)>(turn: &Mutex<Turn<B, F>>) -> Option<(u64, Batch<B>)> {
    let mut turn = turn.lock().ok()?;
    if turn.ended {
        return None;
    }
    let mut batch = turn.free.recv().ok()?;
    batch.sites.clear();
    batch.faults.clear();
    (turn.next_batch)(&mut batch.sites);
    if batch.sites.is_empty() {
        turn.ended = true;
        return None;
    }
    turn.next += 1;
    Some((turn.next - 1, batch))
}

fn fill<B: AsMut<[u8]> + Send>(reader: &Reader, batch: &mut Batch<B>) {
    let Batch { sites, pixels, faults } = batch;
    let pixels = pixels.as_mut().par_chunks_exact_mut(reader.site_bytes());
    assert!(pixels.len() >= sites.len(), "a buffer holds the largest batch");
    let failed = Mutex::new(Vec::new());
    pixels.zip(sites.par_iter()).enumerate().for_each(|(position, (pixels, &site))| {
        if let Err(error) = reader.read(site, pixels) {
            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((position, error));
        }
    });
    *faults = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    faults.sort_by_key(|&(position, _)| position);
}

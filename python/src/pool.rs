//! The memory of a loader from epoch to epoch, and the feed that fills it now. What is lent stays lent while one feed ends
//! and the next begins, and goes to whichever is there when it comes back.

use std::mem::{forget, take};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cellshard::feed::{Batch, EpochOrder, Feed, Next, Reader};
use cellshard::{Error, Result};

use crate::memory::Memory;

/// The memory, and the feed.
pub(crate) struct Pool {
    /// The process that the threads are of; they are not there in one that is forked from it.
    process: u32,
    n_buffers: usize,
    n_lent: AtomicUsize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    feed: Option<Feed<Memory>>,
    /// Memory that is with nobody; all of it where there is no feed.
    spare: Vec<Memory>,
}

impl Pool {
    pub(crate) fn new(buffers: Vec<Memory>) -> Self {
        let state = State { feed: None, spare: buffers };
        Self {
            process: process::id(),
            n_buffers: state.spare.len(),
            n_lent: AtomicUsize::new(0),
            state: RwLock::new(state),
        }
    }

    /// Whether this is a process that was forked after the pool was made.
    pub(crate) fn is_forked(&self) -> bool {
        self.process != process::id()
    }

    /// Ends the feed that there is, and begins one of an epoch, from one of its batches on.
    pub(crate) fn start(
        &self,
        reader: &Arc<Reader>,
        n_threads: usize,
        order: Arc<EpochOrder>,
        epoch: u64,
        from: usize,
    ) -> Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let State { feed, spare } = &mut *state;
        spare.extend(feed.take().into_iter().flat_map(Feed::into_buffers));
        let mut batches = from..order.n_batches();
        let next = move |sites: &mut Vec<usize>| {
            if let Some(i) = batches.next() {
                order.put_batch(epoch, i, sites);
            }
        };
        let buffers = take(spare);
        let n_lent = self.n_buffers - buffers.len();
        *feed = Some(Feed::start_with_lent(reader, buffers, n_lent, n_threads, next)?);
        Ok(())
    }

    /// The next batch, if there is one within a moment.
    pub(crate) fn next(&self, patience: Duration) -> Result<Next<Memory>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let feed = state.feed.as_ref().ok_or_else(|| Error::refused("feed", "one that was started", "none"))?;
        let next = feed.next_batch_within(patience)?;
        if matches!(next, Next::Batch(_)) {
            self.n_lent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(next)
    }

    /// Whether Python has all of the memory.
    pub(crate) fn is_all_lent(&self) -> bool {
        self.n_lent.load(Ordering::Relaxed) == self.n_buffers
    }

    /// Takes a batch's memory back.
    pub(crate) fn give_back(&self, batch: Batch<Memory>) {
        if self.is_forked() {
            // Locks may be held here by threads that are not.
            return forget(batch);
        }
        self.n_lent.fetch_sub(1, Ordering::Relaxed);
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(feed) = &state.feed {
                return feed.give_back(batch);
            }
        }
        self.state.write().unwrap_or_else(PoisonError::into_inner).spare.push(batch.pixels);
    }

    /// Ends the feed. The memory stays.
    pub(crate) fn stop(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let State { feed, spare } = &mut *state;
        spare.extend(feed.take().into_iter().flat_map(Feed::into_buffers));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.is_forked() {
            // To end threads that are not here would take for ever.
            forget(take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

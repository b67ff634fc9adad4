//! The memory of a loader from epoch to epoch, and the feed that fills it now. What is lent stays lent while one feed ends
//! and the next begins, and goes to whichever is there when it comes back.
//!
//! Batches come back while Python's lock is held, so that nobody waits for anything while `state` is locked.

use std::mem::{forget, take};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cellshard::feed::{Batch, EpochOrder, Feed, Next, Reader};
use cellshard::{Error, Result};

use crate::memory::Memory;

/// The memory, and the feed.
pub(crate) struct Pool {
    /// The process that the threads are of; they are not there in one that is forked from it.
    process: u32,
    n_buffers: usize,
    state: Mutex<State>,
    /// Whoever begins or ends a feed: one at a time.
    change: Mutex<()>,
}

#[derive(Default)]
struct State {
    feed: Option<Arc<Feed<Memory>>>,
    /// Memory that is with nobody; where there is no feed, all that is not lent.
    spare: Vec<Memory>,
}

impl Pool {
    pub(crate) fn new(buffers: Vec<Memory>) -> Self {
        let (n_buffers, state) = (buffers.len(), State { feed: None, spare: buffers });
        Self { process: process::id(), n_buffers, state: Mutex::new(state), change: Mutex::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a process that was forked after the pool was made.
    pub(crate) fn is_forked(&self) -> bool {
        self.process != process::id()
    }

    /// Ends the feed that there is, and begins one at a batch of an epoch. It goes on with the next epoch, and never ends,
    /// so that one epoch's first batches are read while the last of the one before are used.
    pub(crate) fn start(
        &self,
        reader: &Arc<Reader>,
        n_threads: usize,
        order: Arc<EpochOrder>,
        epoch: u64,
        from: usize,
    ) -> Result<()> {
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.end();
        let (mut epoch, mut i) = (epoch, from);
        let next = move |sites: &mut Vec<usize>| {
            if i == order.n_batches() {
                (epoch, i) = (epoch.wrapping_add(1), 0);
            }
            order.put_batch(epoch, i, sites);
            i += 1;
        };
        let mut buffers = take(&mut self.state().spare);
        let n_lent = self.n_buffers - buffers.len();
        let feed = Feed::start_with_lent(reader, &mut buffers, n_lent, n_threads, next);
        let mut state = self.state();
        state.spare.append(&mut buffers);
        let feed = feed?;
        // What came back meanwhile had no feed to go to.
        for pixels in take(&mut state.spare) {
            feed.give_back(Batch { sites: Vec::new(), pixels, faults: Vec::new() });
        }
        state.feed = Some(Arc::new(feed));
        Ok(())
    }

    /// The next batch, if there is one within a moment.
    pub(crate) fn next(&self, patience: Duration) -> Result<Next<Memory>> {
        let feed = self.state().feed.clone();
        let feed = feed.ok_or_else(|| Error::refused("feed", "one that was started", "none"))?;
        feed.next_batch_within(patience)
    }

    /// Takes a batch's memory back.
    pub(crate) fn give_back(&self, batch: Batch<Memory>) {
        if self.is_forked() {
            // Locks may be held here by threads that are not.
            return forget(batch);
        }
        let mut state = self.state();
        match &state.feed {
            Some(feed) => feed.give_back(batch),
            None => state.spare.push(batch.pixels),
        }
    }

    /// Ends the feed. The memory stays.
    pub(crate) fn stop(&self) {
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.end();
    }

    fn end(&self) {
        let feed = self.state().feed.take();
        if let Some(feed) = feed {
            let buffers = feed.stop();
            self.state().spare.extend(buffers);
        }
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

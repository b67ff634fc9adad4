//! The feed as callers have it: its threads, started and ended.

use std::mem::take;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

use super::batch::{Batch, Next};
use super::reader::Reader;
use super::ring::Ring;

/// Batches in order, filled ahead. As many as there are buffers are under way; memory does not grow.
pub struct Feed<B: AsMut<[u8]>> {
    ring: Arc<Ring<B>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<B: AsMut<[u8]> + Send + 'static> Feed<B> {
    /// Starts reading. `next_batch` is called again and again with an empty list to put the next batch's sites into;
    /// one that it leaves empty is the end, and one that waits for ever keeps the feed from being dropped. It is called
    /// a few batches ahead of those that are filled, so that what is not in memory yet is on its way from the disk.
    /// Each buffer takes one batch, the largest there is.
    ///
    /// # Errors
    /// If threads cannot be started, or there is no buffer.
    pub fn start(
        reader: &Arc<Reader>,
        mut buffers: Vec<B>,
        n_threads: usize,
        next_batch: impl FnMut(&mut Vec<usize>) + Send + 'static,
    ) -> Result<Self> {
        Self::start_with_lent(reader, &mut buffers, 0, n_threads, next_batch)
    }

    /// The same, where the caller has `n_lent` buffers more, such as batches of the feed before this one, which it gives back
    /// to this one. It takes all of `buffers`, and leaves them where it cannot start.
    ///
    /// # Errors
    /// As [`Feed::start`] has them.
    pub fn start_with_lent(
        reader: &Arc<Reader>,
        buffers: &mut Vec<B>,
        n_lent: usize,
        n_threads: usize,
        next_batch: impl FnMut(&mut Vec<usize>) + Send + 'static,
    ) -> Result<Self> {
        if buffers.len() + n_lent == 0 {
            return Err(Error::refused("feed", "a buffer or more", 0));
        }
        if n_threads == 0 {
            return Err(Error::refused("feed", "a thread or more", 0));
        }
        let ring = Arc::new(Ring::new(reader.clone(), take(buffers), n_lent));
        // Made first, so that what was started ends where the next cannot be.
        let feed = Self { ring: ring.clone(), threads: Mutex::new(Vec::with_capacity(n_threads + 1)) };
        let started = feed.spawn("feed-plan".to_owned(), move || ring.plan(next_batch)).and_then(|()| {
            (0..n_threads).try_for_each(|i| {
                let ring = feed.ring.clone();
                feed.spawn(format!("feed-{i}"), move || ring.work())
            })
        });
        match started {
            Ok(()) => Ok(feed),
            Err(error) => {
                buffers.extend(feed.stop());
                Err(error)
            }
        }
    }

    fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new().name(name).spawn(body);
        let thread = thread.map_err(Error::io(Path::new("a thread of the feed"), "start"))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// The next batch, as soon as it is whole; `None` after the last. The caller hands it back when its pixels are
    /// used. Of several threads that ask, each has another batch.
    ///
    /// # Errors
    /// If a thread of the feed panicked, or the caller has all buffers.
    pub fn next_batch(&self) -> Result<Option<Batch<B>>> {
        match self.ring.next_batch(None)? {
            Next::Batch(batch) => Ok(Some(batch)),
            Next::End | Next::NotYet => Ok(None),
            Next::AllLent => Err(Error::refused("feed", "a buffer that was given back", "all of them with the caller")),
        }
    }

    /// The same, waiting no longer than `patience`: for a caller that has to look at something else now and then.
    ///
    /// # Errors
    /// If a thread of the feed panicked.
    pub fn next_batch_within(&self, patience: Duration) -> Result<Next<B>> {
        self.ring.next_batch(Instant::now().checked_add(patience))
    }

    /// Hands a batch's buffer back, to be filled again.
    pub fn give_back(&self, batch: Batch<B>) {
        self.ring.give_back(batch);
    }

    /// Ends the feed, and hands out the buffers that it has, for another one: whoever asks for a batch is told that there
    /// are no more.
    pub fn stop(&self) -> Vec<B> {
        self.end();
        self.ring.take_buffers()
    }
}

impl<B: AsMut<[u8]>> Feed<B> {
    /// Ends the threads, and waits for the sites that they are reading.
    fn end(&self) {
        self.ring.close();
        let threads = take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The caller has heard of a panic.
            let _ = thread.join();
        }
    }
}

impl<B: AsMut<[u8]>> Drop for Feed<B> {
    fn drop(&mut self) {
        self.end();
    }
}

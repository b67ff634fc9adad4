//! The shards that a reader has open: all of them, where the system allows so many files and maps, so that reading takes
//! no lock; else the last ones that were used.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::Result;

/// What is open of each of a number of shards; opened when it is first needed.
pub(super) enum Shards<S> {
    /// Each stays open.
    All(Vec<OnceLock<S>>),
    /// So many of them are.
    Few(Few<S>),
}

/// Never more than `most` are open, those in use and those that are about to be included.
pub(super) struct Few<S> {
    most: usize,
    state: Mutex<State<S>>,
    /// One that was in use is not any more, or one could not be opened.
    released: Condvar,
}

struct State<S> {
    /// Of each shard: its place in `open`.
    places: Vec<Option<u32>>,
    open: Vec<Open<S>>,
    n_opening: usize,
    /// Where to look next for one to close.
    hand: usize,
}

struct Open<S> {
    shard: usize,
    n_users: usize,
    /// Whether it was used since the hand last passed.
    was_used: bool,
    content: Arc<S>,
}

impl<S> Shards<S> {
    /// Of `n` shards at most `most` are open at a time.
    pub(super) fn new(n: usize, most: usize) -> Self {
        if n <= most {
            return Self::All((0..n).map(|_| OnceLock::new()).collect());
        }
        let state = State { places: vec![None; n], open: Vec::with_capacity(most), n_opening: 0, hand: 0 };
        Self::Few(Few { most: most.max(1), state: Mutex::new(state), released: Condvar::new() })
    }

    /// Uses shard `shard`, opened by `open` unless it is.
    pub(super) fn with<T>(
        &self,
        shard: usize,
        open: impl FnOnce() -> Result<S>,
        body: impl FnOnce(&S) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::All(shards) => match shards[shard].get() {
                Some(content) => body(content),
                None => {
                    let content = open()?;
                    body(shards[shard].get_or_init(|| content))
                }
            },
            Self::Few(few) => {
                let in_use = few.take(shard, open)?;
                body(in_use.content.as_ref().expect("there until it is dropped"))
            }
        }
    }
}

impl<S> Few<S> {
    /// The state stays as it should be whatever panics, as no code of others runs while it is locked.
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, shard: usize, open: impl FnOnce() -> Result<S>) -> Result<InUse<'_, S>> {
        let mut state = self.lock();
        // What is closed to make room for this one.
        let closed = loop {
            if let Some(content) = state.begin_use(shard) {
                return Ok(InUse { few: self, shard, content: Some(content) });
            }
            let closed =
                if state.open.len() + state.n_opening < self.most { Some(None) } else { state.close().map(Some) };
            match closed {
                Some(closed) => break closed,
                // All are in use, each by a thread that will be done with it without needing another.
                None => state = self.released.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.n_opening += 1;
        drop(state);
        drop(closed);
        let place = Place(self);
        let content = Arc::new(open()?);
        let mut state = self.lock();
        if let Some(known) = state.begin_use(shard) {
            // Another thread was faster; what this one opened is closed before its place is given back.
            drop(state);
            drop((content, place));
            return Ok(InUse { few: self, shard, content: Some(known) });
        }
        state.n_opening -= 1;
        std::mem::forget(place);
        state.places[shard] = Some(state.open.len() as u32);
        state.open.push(Open { shard, n_users: 1, was_used: true, content: Arc::clone(&content) });
        Ok(InUse { few: self, shard, content: Some(content) })
    }
}

impl<S> State<S> {
    fn begin_use(&mut self, shard: usize) -> Option<Arc<S>> {
        let open = &mut self.open[self.places[shard]? as usize];
        open.n_users += 1;
        open.was_used = true;
        Some(Arc::clone(&open.content))
    }

    /// Takes out one that is not in use, and was not since this last came by; `None` if all are in use.
    fn close(&mut self) -> Option<Arc<S>> {
        for _ in 0..2 * self.open.len() {
            self.hand = (self.hand + 1) % self.open.len();
            let open = &mut self.open[self.hand];
            if open.n_users == 0 && !std::mem::take(&mut open.was_used) {
                let closed = self.open.swap_remove(self.hand);
                self.places[closed.shard] = None;
                if let Some(moved) = self.open.get(self.hand) {
                    self.places[moved.shard] = Some(self.hand as u32);
                }
                return Some(closed.content);
            }
        }
        None
    }
}

/// A shard that stays open as long as this is there.
struct InUse<'a, S> {
    few: &'a Few<S>,
    shard: usize,
    content: Option<Arc<S>>,
}

impl<S> Drop for InUse<'_, S> {
    fn drop(&mut self) {
        // First, so that who closes it does close it.
        self.content = None;
        let mut state = self.few.lock();
        if let Some(place) = state.places[self.shard] {
            state.open[place as usize].n_users -= 1;
        }
        drop(state);
        self.few.released.notify_one();
    }
}

/// The place of a shard that is being opened, given back where that fails.
struct Place<'a, S>(&'a Few<S>);

impl<S> Drop for Place<'_, S> {
    fn drop(&mut self) {
        self.0.lock().n_opening -= 1;
        self.0.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::error::Error;

    /// A shard that counts how many there are of it and its like.
    struct Counted<'a>(usize, &'a AtomicUsize);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn no_more_than_allowed_are_open_whatever_threads_ask_for_and_each_gets_its_own() {
        const N_SHARDS: usize = 13;
        for most in [1, 2, 5, 12, 13, 20] {
            let (now, peak, opened) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            let shards = Shards::new(N_SHARDS, most);
            let read = |thread: usize| {
                for i in 0..2000 {
                    let wanted = (i * 7 + i * i * (thread + 3)) % N_SHARDS;
                    let open = || {
                        if (i + thread).is_multiple_of(17) {
                            return Err(Error::malformed("shard", "one that opens", wanted));
                        }
                        opened.fetch_add(1, Ordering::SeqCst);
                        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        Ok(Counted(wanted, &now))
                    };
                    match shards.with(wanted, open, |shard| Ok(shard.0)) {
                        Ok(found) => assert_eq!(found, wanted),
                        Err(error) => assert!(error.to_string().contains("one that opens"), "{error}"),
                    }
                }
            };
            thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || read(thread)))));
            if most < N_SHARDS {
                assert!(peak.load(Ordering::SeqCst) <= most, "{most}: {peak:?}");
                // With one place too few, it hangs on the threads whether any is missed twice.
                assert!(most == N_SHARDS - 1 || opened.load(Ordering::SeqCst) > N_SHARDS);
            } else {
                assert_eq!(now.load(Ordering::SeqCst), N_SHARDS);
            }
            drop(shards);
            assert_eq!(now.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn one_that_is_used_again_and_again_stays_open() {
        let opened = AtomicUsize::new(0);
        let shards = Shards::new(10, 3);
        let mut of_first = 0;
        for i in 0..1000 {
            for shard in [0, 1 + i % 9] {
                let before = opened.load(Ordering::SeqCst);
                let open = || Ok(opened.fetch_add(1, Ordering::SeqCst));
                shards.with(shard, open, |_| Ok(())).unwrap();
                if shard == 0 {
                    of_first += opened.load(Ordering::SeqCst) - before;
                }
            }
        }
        assert_eq!(of_first, 1);
    }
}

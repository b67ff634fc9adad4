//! The ring: which batch is planned, filled, ready, or with the caller, and the threads that move it along. A thread
//! takes the next site of the earliest batch that has one left, whichever that is, so that none waits for the last site
//! of a batch. Nothing is allocated once every list has had its largest batch.

use std::collections::VecDeque;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::{Error, Result};

use super::batch::{Batch, Next};
use super::reader::Reader;
use super::slots::Slot;

/// Batches that are planned before there is a buffer for them: what they need is read ahead from the disk.
const PLANNED: usize = 2;

/// What the caller and all threads of a feed share.
pub(super) struct Ring<B> {
    reader: Arc<Reader>,
    slots: Vec<Slot<B>>,
    state: Mutex<State>,
    /// A batch is whole, or there will be none.
    ready: Condvar,
    /// There may be a site to fill, or nothing more to do.
    work: Condvar,
    /// There may be room for a plan, or nothing more to do.
    plan: Condvar,
}

#[derive(Default)]
struct State {
    /// Sites of batches that are planned, in order.
    planned: VecDeque<Vec<usize>>,
    /// Lists to be planned into.
    spare: Vec<Vec<usize>>,
    fills: Vec<Fill>,
    /// Slots whose buffer waits for a batch.
    free: Vec<usize>,
    /// Slots of the batches that are begun and not yet handed out, in order.
    begun: VecDeque<usize>,
    /// Slots whose buffer is with the caller.
    lent: Vec<usize>,
    /// No batch will be planned any more.
    ended: bool,
    /// The feed is dropped.
    closed: bool,
    panicked: bool,
}

/// How far the batch in a slot is.
struct Fill {
    sites: Vec<usize>,
    faults: Vec<(usize, Error)>,
    /// Sites that threads have taken.
    n_taken: usize,
    n_done: usize,
}

impl State {
    /// The next site to fill: slot and position in its batch.
    fn take_site(&mut self) -> Option<(usize, usize)> {
        let has_more = |&&slot: &&usize| self.fills[slot].n_taken < self.fills[slot].sites.len();
        let slot = *self.begun.iter().find(has_more)?;
        let fill = &mut self.fills[slot];
        fill.n_taken += 1;
        Some((slot, fill.n_taken - 1))
    }

    fn is_over(&self) -> bool {
        self.closed || self.panicked || (self.ended && self.planned.is_empty())
    }
}

impl<B: AsMut<[u8]>> Ring<B> {
    /// A ring of some buffers, and of more that the caller has from another ring and gives back to this one.
    pub(super) fn new(reader: Arc<Reader>, buffers: Vec<B>, n_lent: usize) -> Self {
        let (n_here, n) = (buffers.len(), buffers.len() + n_lent);
        let fill = || Fill { sites: Vec::new(), faults: Vec::new(), n_taken: 0, n_done: 0 };
        let state = State {
            planned: VecDeque::with_capacity(PLANNED),
            spare: (0..PLANNED).map(|_| Vec::new()).collect(),
            fills: (0..n).map(|_| fill()).collect(),
            free: (0..n_here).rev().collect(),
            begun: VecDeque::with_capacity(n),
            lent: (n_here..n).collect(),
            ..State::default()
        };
        let (ready, work, plan) = Default::default();
        Self {
            reader,
            slots: buffers.into_iter().map(Some).chain((0..n_lent).map(|_| None)).map(Slot::new).collect(),
            state: Mutex::new(state),
            ready,
            work,
            plan,
        }
    }

    /// The state stays as it should be whatever panics, as no code of others runs while it is locked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(on: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        on.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans batches, a few ahead of those that are filled, and has the system read what is not in memory.
    pub(super) fn plan(&self, mut next_batch: impl FnMut(&mut Vec<usize>)) {
        loop {
            let mut state = self.lock();
            while state.spare.is_empty() && !state.is_over() {
                state = Self::wait(&self.plan, state);
            }
            let (false, Some(mut sites)) = (state.is_over(), state.spare.pop()) else { return };
            drop(state);
            sites.clear();
            // Caught, so that the caller hears of it instead of waiting for a batch that never comes.
            let planned = catch_unwind(AssertUnwindSafe(|| {
                next_batch(&mut sites);
                for &site in &sites {
                    self.reader.read_ahead(site);
                }
            }));
            let mut state = self.lock();
            state.panicked |= planned.is_err();
            state.ended |= sites.is_empty();
            if !state.panicked && !state.ended {
                state.planned.push_back(sites);
            }
            drop(state);
            self.notify_all();
        }
    }

    /// Fills batches site by site, until there are no more.
    pub(super) fn work(&self) {
        let mut state = self.lock();
        loop {
            if state.closed || state.panicked {
                return;
            }
            if let Some((slot, position)) = state.take_site() {
                let site = state.fills[slot].sites[position];
                // Taken under the same lock as the position, so that they belong together.
                let mut piece = self.slots[slot].next_piece();
                drop(state);
                let read = catch_unwind(AssertUnwindSafe(|| {
                    self.reader.read(site, piece.as_mut().expect("a buffer holds the largest batch").bytes())
                }));
                state = self.lock();
                let fill = &mut state.fills[slot];
                fill.n_done += 1;
                let is_whole = fill.n_done == fill.sites.len();
                match read {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => fill.faults.push((position, error)),
                    Err(_) => state.panicked = true,
                }
                if state.panicked {
                    self.notify_all();
                } else if is_whole {
                    self.ready.notify_one();
                }
            } else if !state.planned.is_empty() && !state.free.is_empty() {
                self.begin(&mut state);
            } else if state.is_over() {
                return;
            } else {
                state = Self::wait(&self.work, state);
            }
        }
    }

    /// Begins the next batch in a free buffer.
    fn begin(&self, state: &mut State) {
        let (Some(slot), Some(sites)) = (state.free.pop(), state.planned.pop_front()) else { return };
        // The buffer is of the caller's type: what it does when it is asked for its bytes may panic.
        let divide = || self.slots[slot].divide(self.reader.site_bytes());
        if catch_unwind(AssertUnwindSafe(divide)).is_err() {
            state.panicked = true;
            self.notify_all();
            return;
        }
        let fill = &mut state.fills[slot];
        let list = std::mem::replace(&mut fill.sites, sites);
        (fill.n_taken, fill.n_done) = (0, 0);
        state.spare.push(list);
        state.begun.push_back(slot);
        self.plan.notify_one();
        self.work.notify_all();
    }

    /// The next batch in order, as soon as it is whole, if that is before `until`; without that, at once where it cannot
    /// come.
    pub(super) fn next_batch(&self, until: Option<Instant>) -> Result<Next<B>> {
        let mut state = self.lock();
        loop {
            if state.panicked {
                return Err(Error::refused("feed", "threads that go on", "one that panicked"));
            }
            if state.closed {
                return Ok(Next::End);
            }
            match state.begun.front() {
                Some(&slot) if state.fills[slot].n_done == state.fills[slot].sites.len() => {
                    state.begun.pop_front();
                    state.lent.push(slot);
                    let fill = &mut state.fills[slot];
                    fill.faults.sort_unstable_by_key(|&(position, _)| position);
                    let (sites, faults) = (take(&mut fill.sites), take(&mut fill.faults));
                    // Others that wait: the one behind it may be whole already, or there is none.
                    self.ready.notify_all();
                    let batch = self.slots[slot].take().map(|pixels| Batch { sites, pixels, faults });
                    return Ok(batch.map_or(Next::End, Next::Batch));
                }
                None if state.is_over() => return Ok(Next::End),
                Some(_) | None => {}
            }
            // Whether there is another batch is known once it is planned.
            let is_all_lent = state.begun.is_empty() && state.free.is_empty() && !state.planned.is_empty();
            let Some(until) = until else {
                if is_all_lent {
                    return Ok(Next::AllLent);
                }
                state = Self::wait(&self.ready, state);
                continue;
            };
            // Another thread of the caller's may be about to give one back.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(if is_all_lent { Next::AllLent } else { Next::NotYet });
            }
            state = self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes a buffer back.
    pub(super) fn give_back(&self, batch: Batch<B>) {
        let Batch { mut sites, pixels, mut faults } = batch;
        sites.clear();
        faults.clear();
        let mut state = self.lock();
        // Each batch came out of a slot of this feed, or of another one that this feed knows nothing of.
        let Some(slot) = state.lent.pop() else { return };
        self.slots[slot].put(pixels);
        (state.fills[slot].sites, state.fills[slot].faults) = (sites, faults);
        state.free.push(slot);
        drop(state);
        self.work.notify_all();
    }

    /// Has all threads end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.notify_all();
    }

    /// The buffers that are not with the caller, once all threads have ended.
    pub(super) fn take_buffers(&self) -> Vec<B> {
        self.slots.iter().filter_map(Slot::take).collect()
    }

    fn notify_all(&self) {
        self.ready.notify_all();
        self.work.notify_all();
        self.plan.notify_all();
    }
}

//! A GPU of any speed, as far as the order of copies and computations goes: it is told what was asked for, and holds that
//! nothing is used before it is there or overwritten before it was used.

use std::collections::BTreeMap;

use crate::device::ffi::trace::{self, Call};

/// How far the copies and the computations have come, at least, at some point of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Known {
    copies: usize,
    computations: usize,
}

impl Known {
    fn join(&mut self, other: Self) {
        self.copies = self.copies.max(other.copies);
        self.computations = self.computations.max(other.computations);
    }
}

/// Both streams of a GPU and the thread that asks them, which know of each other only what events tell.
#[derive(Default)]
pub(super) struct Model {
    streams: [Known; 2],
    thread: Known,
    events: BTreeMap<usize, Known>,
    /// Of each slot, the last copy into it and the last computation from it.
    slots: BTreeMap<usize, Known>,
    /// Of each buffer, the last copy from it.
    buffers: BTreeMap<usize, usize>,
    n_given_back: usize,
}

impl Model {
    /// Goes through what was asked for since it last did.
    pub(super) fn follow(&mut self) {
        for call in trace::take() {
            self.call(call);
        }
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Copy { to, from, copies } => {
                assert!(copies, "all copies are beside the computations");
                let stream = &mut self.streams[1];
                stream.copies += 1;
                let slot = self.slots.entry(to).or_default();
                assert!(stream.computations >= slot.computations, "overwritten before it was consumed");
                slot.copies = stream.copies;
                self.buffers.insert(from, stream.copies);
            }
            Call::Record { event, copies } => {
                self.events.insert(event, self.streams[usize::from(copies)]);
            }
            Call::HoldBack { event, copies } => {
                let known = self.events.get(&event).copied().unwrap_or_default();
                self.streams[usize::from(copies)].join(known);
            }
            Call::GiveBack { buffer } => {
                self.free(buffer);
                self.n_given_back += 1;
            }
            Call::Wait { event } => self.thread.join(self.events.get(&event).copied().unwrap_or_default()),
        }
    }

    /// Computes from a slot, on the stream that computes.
    pub(super) fn compute(&mut self, slot: usize) {
        let stream = &mut self.streams[0];
        stream.computations += 1;
        let slot = self.slots.get_mut(&slot).expect("copied before");
        assert!(stream.copies >= slot.copies, "computed from before it was copied");
        slot.computations = stream.computations;
    }

    /// Gives a buffer to the feed, which fills it.
    pub(super) fn free(&self, buffer: usize) {
        let copied = self.buffers.get(&buffer).copied().unwrap_or_default();
        assert!(self.thread.copies >= copied, "filled again before it was copied");
    }

    /// Computations that are asked for and not known to be done.
    pub(super) fn n_ahead(&self) -> usize {
        self.streams[0].computations - self.thread.computations
    }

    /// How often a buffer went back to the feed.
    pub(super) fn n_given_back(&self) -> usize {
        self.n_given_back
    }
}

//! What tests see of the hand-overs that a GPU would be asked for: each call in the order in which its thread made it.

use std::cell::RefCell;

/// A call. Streams are told apart by whether they compute or copy, events and memory by their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Copy {
        to: usize,
        from: usize,
        copies: bool,
    },
    Record {
        event: usize,
        copies: bool,
    },
    HoldBack {
        event: usize,
        copies: bool,
    },
    Wait {
        event: usize,
    },
    /// The feed gets a buffer to fill.
    GiveBack {
        buffer: usize,
    },
}

thread_local! {
    static CALLS: RefCell<Option<Vec<Call>>> = const { RefCell::new(None) };
}

/// Calls of this thread are noted for as long as this lives.
pub(crate) struct Trace;

impl Trace {
    pub(crate) fn start() -> Self {
        CALLS.set(Some(Vec::new()));
        Self
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        CALLS.set(None);
    }
}

pub(crate) fn take() -> Vec<Call> {
    CALLS.with_borrow_mut(|calls| calls.as_mut().map(std::mem::take).unwrap_or_default())
}

pub(crate) fn note(call: Call) {
    CALLS.with_borrow_mut(|calls| calls.iter_mut().for_each(|calls| calls.push(call)));
}

/// Whether calls are noted: then nothing comes before it is waited for, as on the slowest of GPUs.
pub(crate) fn is_on() -> bool {
    CALLS.with_borrow(Option::is_some)
}

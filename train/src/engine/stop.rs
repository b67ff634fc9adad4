//! When training has to stop early: at a time limit, or when a signal asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Asked after every step.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Set by whoever wants training to stop, as a signal handler.
    pub asked: Arc<AtomicBool>,
    /// When time is up.
    pub deadline: Option<Instant>,
    /// After so many optimiser steps of this process.
    pub after_steps: Option<u64>,
}

impl Stop {
    /// Whether somebody asked to stop.
    #[must_use]
    pub fn signal(&self) -> Option<&'static str> {
        self.asked.load(Ordering::Relaxed).then_some("a signal asked for it")
    }

    /// Why training has to stop now, if it has to; `n_steps` is how many this process has taken.
    #[must_use]
    pub fn reason(&self, n_steps: u64) -> Option<&'static str> {
        if let Some(asked) = self.signal() {
            Some(asked)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some("the time limit is reached")
        } else if self.after_steps.is_some_and(|limit| n_steps >= limit) {
            Some("the number of steps is reached")
        } else {
            None
        }
    }
}

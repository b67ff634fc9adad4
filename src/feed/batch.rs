//! A batch of sites in a buffer of the caller's.

use crate::error::Error;

/// One batch.
pub struct Batch<B> {
    /// The sites' indices in [`crate::store::Store::sites`], in order.
    pub sites: Vec<usize>,
    /// `[N, C, H, W]`, N sites from the start; what stands behind them is left over from before.
    pub pixels: B,
    /// Positions in the batch that could not be read, each with its reason; their pixels mean nothing.
    pub faults: Vec<(usize, Error)>,
}

/// What a feed has for who waits no longer than a while.
pub enum Next<B> {
    /// The next batch in order.
    Batch(Batch<B>),
    /// None is whole so far.
    NotYet,
    /// None will be before a buffer is given back: the caller has all of them.
    AllLent,
    /// There are no more.
    End,
}

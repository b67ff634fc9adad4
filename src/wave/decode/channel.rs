//! A channel as decoders are given it.

use crate::wave::geometry::{LANES, Shape};
use crate::wave::model::Model;
use crate::wave::tables::{SLOTS, Slot};

/// A channel that is to be decoded; those before it are.
pub(super) struct Channel<'a> {
    pub(super) shape: Shape,
    pub(super) index: usize,
    /// Its references are channels before it.
    pub(super) model: &'a Model,
    pub(super) slots: &'a [Slot; SLOTS],
    pub(super) states: [u32; LANES],
    /// Words of 16 bits, the lower byte first.
    pub(super) words: &'a [u8],
}

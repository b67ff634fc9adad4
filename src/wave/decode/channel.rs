//! A channel as decoders are given it.

use crate::wave::geometry::{LANES, Shape};
use crate::wave::mode::Mode;
use crate::wave::model::Model;
use crate::wave::tables::{SLOTS, Slot};

/// Bytes behind the last word of a channel that may be read.
pub(super) const PADDING: usize = 4 * LANES;

/// A channel that is to be decoded; those before it are.
pub(super) struct Channel<'a> {
    pub(super) shape: Shape,
    pub(super) index: usize,
    /// Its references are channels before it.
    pub(super) model: &'a Model,
    pub(super) mode: Mode,
    pub(super) slots: &'a [Slot; SLOTS],
    pub(super) states: [u32; LANES],
    /// Words of 16 bits, the lower byte first, and [`PADDING`] behind.
    pub(super) words: &'a [u8],
    /// Where the words end.
    pub(super) end: usize,
}

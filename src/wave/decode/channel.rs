//! A channel as decoders are given it.

use crate::error::Result;
use crate::memory;

use crate::wave::geometry::{LANES, Shape};
use crate::wave::mode::Mode;
use crate::wave::model::Model;
use crate::wave::tables::{SLOTS, Slot};

/// Bytes behind the last word of a channel that may be read.
const PADDING: usize = 4 * LANES;

/// A channel that is to be decoded; those before it are.
pub(super) struct Channel<'a> {
    pub(super) shape: Shape,
    pub(super) index: usize,
    /// Its references are channels before it.
    pub(super) model: &'a Model,
    pub(super) mode: Mode,
    pub(super) slots: &'a [Slot; SLOTS],
    pub(super) states: [u32; LANES],
    /// Words of 16 bits, the lower byte first.
    pub(super) words: &'a [u8],
}

impl Channel<'_> {
    /// Copies the words to where some behind them may be read.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn pad_words(&self, words: &mut Vec<u8>) -> Result<()> {
        memory::resize(words, self.words.len() + PADDING, "a channel")?;
        let (own, padding) = words.split_at_mut(self.words.len());
        own.copy_from_slice(self.words);
        padding.fill(0);
        Ok(())
    }
}

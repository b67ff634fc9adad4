//! A stream as bytes: what stands before the residuals.

use std::ops::Range;

use super::geometry::{LANES, Shape};
use super::model::{LEVELS, Model, NEIGHBOURS, NO_REFERENCE, REFERENCES};

/// The first byte: pixels as they are follow.
pub(super) const STORED: u8 = 0;
/// The first byte: models, tables and residuals follow.
pub(super) const SMALL: u8 = 1;
/// The same, with one table a channel.
pub(super) const FAST: u8 = 2;

/// Bytes of a channel's model and of how many words its residuals have.
pub(super) const MODEL_BYTES: usize = NEIGHBOURS + 2 * REFERENCES + 2 + 1 + (LEVELS - 1) + 4;
/// Bytes of a channel's states.
pub(super) const STATE_BYTES: usize = LANES * 4;

/// A channel's model, and how many words its residuals have.
pub(super) struct Head {
    pub(super) model: Model,
    pub(super) words: u32,
}

impl Head {
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let Model { weights, reference_weights, references, bias, above, thresholds } = &self.model;
        bytes.extend(weights.iter().chain(reference_weights).map(|weight| weight.cast_unsigned()));
        bytes.extend(references);
        bytes.extend(bias.to_le_bytes());
        bytes.push(*above);
        bytes.extend(thresholds);
        bytes.extend(self.words.to_le_bytes());
    }

    /// That of the channel `channel`.
    fn read(bytes: &[u8; MODEL_BYTES], channel: usize) -> Result<Self, Malformed> {
        let mut at = 0;
        let mut next = || {
            at += 1;
            bytes[at - 1]
        };
        let weights = std::array::from_fn(|_| next().cast_signed());
        let reference_weights = std::array::from_fn(|_| next().cast_signed());
        let references = std::array::from_fn(|_| next());
        let bias = i16::from_le_bytes([next(), next()]);
        let above = next();
        let thresholds = std::array::from_fn(|_| next());
        let words = u32::from_le_bytes(std::array::from_fn(|_| next()));
        let is_before = |&reference: &u8| reference == NO_REFERENCE || usize::from(reference) < channel;
        let model = Model { weights, reference_weights, references, bias, above, thresholds };
        let fail = |expected| Err(Malformed(expected, format!("others, of channel {channel}")));
        if !model.references.iter().all(is_before) {
            return fail("references to channels before");
        }
        if !model.is_sound() {
            return fail("weights of which two fit into 16 bits");
        }
        Ok(Self { model, words })
    }
}

/// What a coded stream consists of.
pub(super) struct Parts<'a> {
    pub(super) heads: Vec<Head>,
    /// The tables, compressed.
    pub(super) tables: &'a [u8],
    /// Of each channel its states, and where its words are in `bytes`.
    pub(super) residuals: Vec<(&'a [u8; STATE_BYTES], Range<usize>)>,
    pub(super) bytes: &'a [u8],
}

/// A stream that is not one: what was expected, and what is there.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) &'static str, pub(super) String);

impl<'a> Parts<'a> {
    /// The parts of what follows the first byte of a coded stream.
    pub(super) fn read(bytes: &'a [u8], shape: Shape) -> Result<Self, Malformed> {
        let cut = |n: usize| Malformed("a whole stream of the codec wave", format!("one that lacks {n} bytes"));
        let mut at = 0;
        let mut take = |n: usize| {
            let taken = bytes[at..].get(..n).ok_or_else(|| cut(n - (bytes.len() - at)))?;
            at += n;
            Ok((taken, at - n..at))
        };
        let n_tables = u32::from_le_bytes(*take(4)?.0.as_array().expect("as many")) as usize;
        let mut heads = Vec::new();
        for channel in 0..shape.channels {
            let bytes = take(MODEL_BYTES)?.0.as_array().expect("as many");
            heads.push(Head::read(bytes, channel)?);
        }
        let tables = take(n_tables)?.0;
        let mut residuals = Vec::with_capacity(heads.len());
        for head in &heads {
            let states = take(STATE_BYTES)?.0.as_array().expect("as many");
            residuals.push((states, take(head.words as usize * 2)?.1));
        }
        if at < bytes.len() {
            let found = format!("{} bytes more", bytes.len() - at);
            return Err(Malformed("the end of a stream of the codec wave", found));
        }
        Ok(Self { heads, tables, residuals, bytes })
    }
}

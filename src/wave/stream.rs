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

/// What a coded stream consists of, by where it is in what follows the first byte. Is filled anew for each, so that no
/// memory is asked for.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) heads: Vec<Head>,
    /// The tables, compressed.
    pub(super) tables: Range<usize>,
    /// Of each channel its states.
    pub(super) states: Vec<usize>,
    /// Of each channel its words.
    pub(super) words: Vec<Range<usize>>,
}

/// A stream that is not one: what was expected, and what is there.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) &'static str, pub(super) String);

impl Parts {
    /// Finds the parts of what follows the first byte of a coded stream.
    pub(super) fn read(&mut self, bytes: &[u8], shape: Shape) -> Result<(), Malformed> {
        let mut at = 0;
        let mut take = |n: usize| {
            let left = bytes.len() - at;
            let cut = || Malformed("a whole stream of the codec wave", format!("one that lacks {} bytes", n - left));
            at += if n <= left { n } else { return Err(cut()) };
            Ok(at - n..at)
        };
        let length = bytes.get(take(4)?).and_then(|length| length.as_array()).expect("as many");
        let n_tables = u32::from_le_bytes(*length) as usize;
        self.heads.clear();
        for channel in 0..shape.channels {
            let bytes = bytes[take(MODEL_BYTES)?].as_array().expect("as many");
            self.heads.push(Head::read(bytes, channel)?);
        }
        self.tables = take(n_tables)?;
        self.states.clear();
        self.words.clear();
        for head in &self.heads {
            self.states.push(take(STATE_BYTES)?.start);
            self.words.push(take(head.words as usize * 2)?);
        }
        if at < bytes.len() {
            let found = format!("{} bytes more", bytes.len() - at);
            return Err(Malformed("the end of a stream of the codec wave", found));
        }
        Ok(())
    }
}

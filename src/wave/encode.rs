//! From pixels to a stream.

use crate::error::Result;
use crate::memory;
use crate::zstandard::Compressor;

use super::fit::fit;
use super::geometry::{BEHIND, LAG, LANES, Shape};
use super::mode::Mode;
use super::model::{CONTEXTS, NO_REFERENCE};
use super::rows::{contexts, predict, thresholds, vary};
use super::stream::{FAST, Head, SMALL, STORED};
use super::tables::{self, LEAST_STATE, Step};

/// How well tables are compressed: they are a hundredth of a stream.
const TABLES_LEVEL: i32 = 3;
/// Put between rows, so that those of a band do not all fall into the same few lines of a cache.
const APART: usize = 32;

/// Encodes; keeps its memory from one to the next.
pub struct Encoder {
    mode: Mode,
    zstd: Compressor,
    /// Of all channels.
    residuals: Vec<u8>,
    /// Instead of those of a channel that there is not.
    zeros: Vec<u8>,
    activities: Vec<u8>,
    fractions: Vec<u8>,
    /// See [`contexts`].
    coded: Vec<u16>,
    /// Filled from its end.
    words: Vec<u16>,
    /// States and words of all channels.
    streams: Vec<u8>,
}

impl Encoder {
    /// An encoder.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(mode: Mode) -> Result<Self> {
        Ok(Self {
            mode,
            zstd: Compressor::new(TABLES_LEVEL)?,
            residuals: Vec::new(),
            zeros: Vec::new(),
            activities: Vec::new(),
            fractions: Vec::new(),
            coded: Vec::new(),
            words: Vec::new(),
            streams: Vec::new(),
        })
    }

    /// Appends the stream of `pixels`, `[channel, y, x]`, to `stream`.
    ///
    /// # Errors
    /// If memory runs out.
    ///
    /// # Panics
    /// If there are not as many pixels as the shape has, or none.
    pub fn encode(&mut self, shape: Shape, pixels: &[u8], stream: &mut Vec<u8>) -> Result<()> {
        assert!(pixels.len() == shape.pixels() && !pixels.is_empty(), "pixels of the shape");
        let begin = stream.len();
        memory::reserve(stream, pixels.len() + 1, "a compressed site")?;
        self.fill(shape, pixels, stream)?;
        if stream.len() - begin > pixels.len() {
            stream.truncate(begin);
            stream.push(STORED);
            stream.extend(pixels);
        }
        Ok(())
    }

    /// Appends a coded stream, of whatever length.
    fn fill(&mut self, shape: Shape, pixels: &[u8], stream: &mut Vec<u8>) -> Result<()> {
        let plane = shape.plane();
        memory::resize(&mut self.residuals, pixels.len(), "residuals")?;
        for buffer in [&mut self.zeros, &mut self.activities, &mut self.fractions] {
            memory::resize(buffer, plane, "a channel")?;
        }
        memory::resize(&mut self.coded, shape.height * (shape.width + APART), "a channel")?;
        memory::resize(&mut self.words, plane, "a channel")?;
        self.streams.clear();
        memory::reserve(&mut self.streams, pixels.len(), "a compressed site")?;
        let (mut heads, mut written) = (Vec::new(), Vec::new());
        for (channel, pixels) in pixels.chunks_exact(plane).enumerate() {
            heads.push(self.channel(shape, pixels, channel, &mut written)?);
        }
        let mut packed = Vec::new();
        self.zstd.compress(&written, &mut packed, "compressed tables")?;
        stream.push(match self.mode {
            Mode::Small => SMALL,
            Mode::Fast => FAST,
        });
        stream.extend((packed.len() as u32).to_le_bytes());
        for head in &heads {
            head.write(stream);
        }
        memory::reserve(stream, packed.len() + self.streams.len(), "a compressed site")?;
        stream.extend(packed);
        stream.extend(&self.streams);
        Ok(())
    }

    /// Codes a channel: appends its tables to `written`, its states and words to `streams`.
    fn channel(&mut self, shape: Shape, pixels: &[u8], channel: usize, written: &mut Vec<u8>) -> Result<Head> {
        let (plane, width) = (shape.plane(), shape.width);
        let (before, after) = self.residuals.split_at_mut(channel * plane);
        let before: Vec<&[u8]> = before.chunks_exact(plane).collect();
        let mut model = fit(pixels, width, &before);
        let references = model.references.map(|reference| match reference {
            NO_REFERENCE => &self.zeros[..plane],
            channel => before[usize::from(channel)],
        });
        let residuals = &mut after[..plane];
        let (activities, fractions) = (&mut self.activities[..plane], &mut self.fractions[..plane]);
        predict(&model, pixels, width, references, residuals, fractions);
        let stride = width + APART;
        let coded = &mut self.coded[..shape.height * stride];
        match self.mode {
            Mode::Small => {
                vary(residuals, width, references, activities);
                model.thresholds = thresholds(activities, width);
                contexts(&model, width, [residuals, activities, fractions], coded, stride);
            }
            Mode::Fast => {
                for (coded, residuals) in coded.chunks_exact_mut(stride).zip(residuals.chunks_exact(width)) {
                    coded.iter_mut().zip(residuals).for_each(|(coded, &residual)| *coded = residual.into());
                }
            }
        }

        let mut steps = Vec::with_capacity(CODES);
        for counts in &count(coded, width, stride).as_chunks::<256>().0[..self.mode.contexts()] {
            let frequencies = tables::normalised(counts);
            tables::write(&frequencies, written);
            steps.extend(Step::of(&frequencies));
        }
        steps.resize(CODES, Step::default());
        let (states, words) = code(shape, coded, stride, steps.as_array().expect("all contexts"), &mut self.words);
        let n_words = words.len();
        memory::reserve(&mut self.streams, size_of_val(&states) + 2 * n_words, "a compressed site")?;
        self.streams.extend(states.iter().flat_map(|state| state.to_le_bytes()));
        self.streams.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        Ok(Head { model, words: n_words as u32 })
    }
}

/// Contexts and residuals, as one number.
const CODES: usize = CONTEXTS << 8;

/// How often each residual comes in each context.
fn count(coded: &[u16], width: usize, stride: usize) -> Vec<u32> {
    // Two, as adding to the same count twice in a row takes as long as five other steps.
    let mut counts = vec![[0u32; 2]; CODES];
    let counts: &mut [[u32; 2]; CODES] = counts.as_mut_array().expect("as many");
    for row in coded.chunks_exact(stride) {
        let (pairs, last) = row[..width].as_chunks::<2>();
        for pair in pairs {
            for (i, &code) in pair.iter().enumerate() {
                let count = &mut counts[usize::from(code) % CODES][i];
                *count = count.wrapping_add(1);
            }
        }
        for &code in last {
            counts[usize::from(code) % CODES][0] += 1;
        }
    }
    counts.iter().map(|[a, b]| a + b).collect()
}

/// Codes a channel from its last step to its first, as decoders take back what was done last: the states that are left,
/// and the words.
fn code<'a>(
    shape: Shape,
    coded: &[u16],
    stride: usize,
    steps: &[Step; CODES],
    words: &'a mut [u16],
) -> ([u32; LANES], &'a [u16]) {
    let mut states = [LEAST_STATE; LANES];
    let mut free = words.len();
    let mut push = |state: &mut u32, code: u16| {
        let step = steps[usize::from(code) % CODES];
        let is_full = step.is_full(*state);
        words[free.wrapping_sub(1)] = *state as u16;
        free = free.wrapping_sub(usize::from(is_full));
        *state = step.push(if is_full { *state >> 16 } else { *state });
    };
    for (band, phase) in shape.walk().rev() {
        let are_all_here = (LAG..shape.width).contains(&phase) && (band + 1) * LANES <= shape.height;
        if are_all_here {
            let first = band * LANES * stride + phase;
            for (lane, state) in states.iter_mut().enumerate().rev() {
                push(state, coded[first.wrapping_add(lane.wrapping_mul(stride.wrapping_sub(BEHIND)))]);
            }
        } else {
            for (lane, state) in states.iter_mut().enumerate().rev() {
                if let Some((y, x)) = shape.at((band, phase), lane) {
                    push(state, coded[y * stride + x]);
                }
            }
        }
    }
    (states, &words[free..])
}

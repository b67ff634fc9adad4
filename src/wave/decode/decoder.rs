//! From a stream that may be anything to pixels.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::memory;
use crate::zstandard::{Decompressor, is_one_frame};

use super::channel::{Channel, PADDING};
use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, groups, skew};
use crate::wave::geometry::{LANES, Shape};
use crate::wave::mode::Mode;
use crate::wave::stream::{FAST, Malformed, Parts, SMALL, STORED};
use crate::wave::tables::{self, LEAST_STATE, SLOTS, Slot};

/// Decodes; keeps its memory from one to the next.
pub struct Decoder {
    memory: Memory,
    zstd: Decompressor,
    tables: Vec<u8>,
    slots: Vec<Slot>,
    parts: Parts,
    /// The last words, and padding.
    last: Vec<u8>,
    /// None, but memory for some.
    channels: Vec<Channel<'static>>,
}

/// How residuals are decoded: the pixels are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Pixel,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl By {
    /// The ways that this processor has, the fastest last.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Pixel];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(avx2::is_there().then_some(Self::Avx2));
            all.extend(avx512::is_there().then_some(Self::Avx512));
        }
        all
    }
}

/// What a way keeps from channel to channel, and from site to site.
enum Memory {
    Pixel(Vec<u8>),
    #[cfg(target_arch = "x86_64")]
    Avx2(skew::Memory),
    #[cfg(target_arch = "x86_64")]
    Avx512(groups::Memory),
}

impl Memory {
    fn new(by: By) -> Self {
        match by {
            By::Pixel => Self::Pixel(Vec::new()),
            #[cfg(target_arch = "x86_64")]
            By::Avx2 => Self::Avx2(skew::Memory::default()),
            #[cfg(target_arch = "x86_64")]
            By::Avx512 => Self::Avx512(groups::Memory::default()),
        }
    }

    /// Decodes channels into their planes. Gives of which, the first such, residuals do not end as they must.
    fn decode(&mut self, channels: &[Channel], pixels: &mut [u8]) -> Result<Option<usize>> {
        #[cfg(target_arch = "x86_64")]
        if let (Self::Avx512(memory), Some(Channel { mode: Mode::Fast, .. })) = (&mut *self, channels.first()) {
            return avx512::decode_fast(channels, pixels, memory);
        }
        for channel in channels {
            let plane = &mut pixels[channel.index * channel.shape.plane()..][..channel.shape.plane()];
            let is_whole = match self {
                Self::Pixel(residuals) => scalar::decode(channel, plane, residuals)?,
                #[cfg(target_arch = "x86_64")]
                Self::Avx2(memory) => avx2::decode(channel, plane, memory.begin(channel)?),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512(memory) => avx512::decode(channel, plane, memory.channel(channel)?),
            };
            if !is_whole {
                return Ok(Some(channel.index));
            }
        }
        Ok(None)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::by(By::all().pop().expect("one at least"))
    }
}

impl Decoder {
    /// One that goes a pixel at a time on any processor: what the codec is, and what others are held to.
    #[must_use]
    pub fn reference() -> Self {
        Self::by(By::Pixel)
    }

    /// One that goes this way.
    pub(crate) fn by(by: By) -> Self {
        Self {
            memory: Memory::new(by),
            zstd: Decompressor::default(),
            tables: Vec::new(),
            slots: Vec::new(),
            parts: Parts::default(),
            last: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Decodes `stream` into `pixels`, `[channel, y, x]`; `place` names it in errors.
    ///
    /// # Errors
    /// If it is not a stream of exactly these pixels; or if memory runs out.
    ///
    /// # Panics
    /// If there is not as much room as the shape has pixels, or it has none.
    pub fn decode(&mut self, shape: Shape, stream: &[u8], pixels: &mut [u8], place: &dyn Fn() -> String) -> Result<()> {
        assert!(pixels.len() == shape.pixels() && !pixels.is_empty(), "room for the shape's pixels");
        let malformed = |Malformed(expected, found)| Error::malformed(place(), expected, found);
        let (kind, bytes) =
            stream.split_first().ok_or_else(|| malformed(Malformed("a stream of the codec wave", "nothing".into())))?;
        match *kind {
            STORED if bytes.len() == pixels.len() => {
                pixels.copy_from_slice(bytes);
                Ok(())
            }
            STORED => {
                let found = format!("{} pixels", bytes.len());
                Err(Error::malformed(place(), format!("{} stored pixels", pixels.len()), found))
            }
            SMALL => self.coded(shape, Mode::Small, bytes, pixels, place),
            FAST => self.coded(shape, Mode::Fast, bytes, pixels, place),
            other => Err(malformed(Malformed("a stream of the codec wave, version 1", format!("kind {other}")))),
        }
    }

    fn coded(
        &mut self,
        shape: Shape,
        mode: Mode,
        bytes: &[u8],
        pixels: &mut [u8],
        place: &dyn Fn() -> String,
    ) -> Result<()> {
        let malformed = |Malformed(expected, found)| Error::malformed(place(), expected, found);
        let Self { memory, zstd, parts, tables, slots, last, channels } = self;
        parts.read(bytes, shape).map_err(malformed)?;
        memory::resize(tables, shape.channels * tables::MOST_BYTES, "tables")?;
        let packed = &bytes[parts.tables.clone()];
        let expected = || "tables compressed by zstd".to_owned();
        if !is_one_frame(packed) {
            return Err(Error::malformed(place(), expected(), "no frame, or more, or one that does not say its size"));
        }
        let n = zstd.decompress(packed, tables, place, &expected)?;
        memory::resize(slots, SLOTS * shape.channels, "tables")?;
        let begin = copy_last(parts, bytes, last)?;
        let words = |Range { start, end }: Range<usize>| match start.checked_sub(begin) {
            None => &bytes[start..end + PADDING],
            Some(start) => &last[start..][..end - begin - start + PADDING],
        };

        let mut tables = &tables[..n];
        let mut filled = emptied(std::mem::take(channels));
        for (index, slots) in slots.as_chunks_mut::<SLOTS>().0.iter_mut().enumerate() {
            let fail =
                |expected, found: &str| Err(malformed(Malformed(expected, format!("{found} in channel {index}"))));
            if tables::read(&mut tables, slots, mode.contexts()).is_err() {
                return fail("whole tables", "others");
            }
            let Some(states) = states(&bytes[parts.states[index]..]) else {
                return fail("states of 65536 and more", "less");
            };
            let (model, place) = (&parts.heads[index].model, parts.words[index].clone());
            let end = place.len();
            filled.push(Channel { shape, index, model, mode, slots, states, words: words(place), end });
        }
        if !tables.is_empty() {
            return Err(malformed(Malformed("no more tables", format!("{} bytes", tables.len()))));
        }
        let failed = memory.decode(&filled, pixels)?;
        *channels = emptied(filled);
        match failed {
            None => Ok(()),
            Some(index) => {
                let found = format!("others in channel {index}");
                Err(malformed(Malformed("residuals that end where they should", found)))
            }
        }
    }
}

/// A vector's memory for channels of another stream.
fn emptied<'a>(mut channels: Vec<Channel>) -> Vec<Channel<'a>> {
    channels.clear();
    channels.into_iter().map(|_| unreachable!("none is left")).collect()
}

/// Copies the last words, behind which the stream ends too soon, and puts padding behind. Gives where they begin.
fn copy_last(parts: &Parts, bytes: &[u8], last: &mut Vec<u8>) -> Result<usize> {
    let first = parts.words.iter().find(|words| words.end + PADDING > bytes.len());
    let begin = first.map_or(bytes.len(), |words| words.start);
    let n = bytes.len() - begin;
    memory::resize(last, n + PADDING, "a channel")?;
    last[..n].copy_from_slice(&bytes[begin..]);
    last[n..].fill(0);
    Ok(begin)
}

/// The states that a channel begins with.
fn states(bytes: &[u8]) -> Option<[u32; LANES]> {
    let mut states = [0; LANES];
    for (state, bytes) in states.iter_mut().zip(bytes.as_chunks().0) {
        *state = u32::from_le_bytes(*bytes);
    }
    states.iter().all(|&state| state >= LEAST_STATE).then_some(states)
}

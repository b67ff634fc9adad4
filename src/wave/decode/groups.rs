//! Planes as the decoder has them whose lanes keep their last pixels: by groups of as many steps. A lane's pixels of a
//! group stand beside each other, its residuals with those of all lanes at the same step.

use crate::error::Result;
use crate::memory;

use super::channel::Channel;
use crate::wave::geometry::{BEHIND, LANES, Shape};
use crate::wave::model::{NO_REFERENCE, REFERENCES};

/// Lanes of a half, which have a vector.
pub(super) const HALF: usize = LANES / 2;
/// Steps of a group, whose pixels a lane keeps.
pub(super) const KEPT: usize = 4;
/// Where what is above the first lane is: so many steps after the one that is a period before.
const ABOVE: usize = BEHIND * LANES - 1;

/// The pixels of a half in a group, or their residuals.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Half(pub(super) [[u8; HALF]; KEPT]);

pub(super) type Group = [Half; 2];

/// What the last two lanes keep, of pixels and of residuals: what is above the first two in the next band.
pub(super) type Last = [u64; 2];

/// What is kept from site to site.
#[derive(Default)]
pub(super) struct Memory {
    pixels: Vec<Group>,
    /// Of all channels, after zeros for one that there is not.
    residuals: Vec<Group>,
    /// Of each step, after those of a period that stand before the first.
    lasts: Vec<Last>,
    words: Vec<u8>,
}

/// Where a channel is decoded.
pub(super) struct Room<'a> {
    pub(super) pixels: &'a mut [Group],
    pub(super) residuals: &'a mut [Group],
    pub(super) references: [&'a [Group]; REFERENCES],
    lasts: &'a mut [Last],
    period: usize,
    /// The channel's words, padded.
    pub(super) words: &'a [u8],
}

impl Memory {
    /// Makes room for a channel.
    pub(super) fn begin(&mut self, channel: &Channel) -> Result<Room<'_>> {
        let &Channel { shape, index, model, .. } = channel;
        let (period, groups) = (shape.period(), shape.steps().div_ceil(KEPT));
        // An odd number of lines of a cache, so that groups of several channels do not fall into the same ones.
        let plane = groups | 1;
        if index == 0 {
            memory::resize(&mut self.pixels, groups, "a channel")?;
            memory::resize(&mut self.residuals, (1 + shape.channels) * plane, "the channels of a site")?;
            memory::resize(&mut self.lasts, period + groups * KEPT, "a channel")?;
            // What another shape left there.
            self.residuals[..plane].fill(Group::default());
        }
        self.lasts[..period].fill([u64::from_ne_bytes([model.above; 8]), 0]);
        channel.pad_words(&mut self.words)?;
        let (before, residuals) = self.residuals.split_at_mut((1 + index) * plane);
        let references = model.references.map(|reference| match reference {
            NO_REFERENCE => &before[..groups],
            channel => &before[(1 + usize::from(channel)) * plane..][..groups],
        });
        Ok(Room {
            pixels: &mut self.pixels[..groups],
            residuals: &mut residuals[..groups],
            references,
            lasts: &mut self.lasts,
            period,
            words: &self.words,
        })
    }
}

impl Room<'_> {
    /// What is above the first two lanes at a step.
    #[inline]
    pub(super) fn above_first(&self, step: usize) -> Last {
        self.lasts[step.wrapping_add(ABOVE)]
    }

    /// Where what the last two lanes keep after a step is put.
    #[inline]
    pub(super) fn last(&mut self, step: usize) -> &mut Last {
        &mut self.lasts[step.wrapping_add(self.period)]
    }
}

/// Copies the pixels that a lane has from a step on, `(band, phase)` of the first lane, to where they belong in `plane`,
/// `[y, x]`.
#[inline]
pub(super) fn put<const N: usize>(
    shape: Shape,
    (mut band, mut phase): (usize, usize),
    lane: usize,
    pixels: &[u8; N],
    plane: &mut [u8],
) {
    let Shape { width, height, .. } = shape;
    let behind = BEHIND * lane;
    if phase < behind {
        // None before the first: what is idle is below every image.
        (band, phase) = (band.wrapping_sub(1), phase + shape.period());
    }
    let (mut x, mut pixels) = (phase - behind, &pixels[..]);
    while !pixels.is_empty() {
        let y = band.wrapping_mul(LANES).wrapping_add(lane);
        let (here, rest) = pixels.split_at(pixels.len().min(shape.period() - x));
        if y < height && x < width {
            let row = &mut plane[y * width..][..width][x..];
            match (row.first_chunk_mut::<N>(), here.first_chunk()) {
                (Some(row), Some(here)) => *row = *here,
                _ => {
                    let n = row.len().min(here.len());
                    row[..n].copy_from_slice(&here[..n]);
                }
            }
        }
        (band, x, pixels) = (band.wrapping_add(1), 0, rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_put_where_it_belongs_once_and_nothing_else() {
        for (height, width) in [(1, 1), (40, 63), (32, 64), (33, 66), (64, 67), (65, 100), (40, 300), (300, 129)] {
            let shape = Shape { channels: 1, height, width };
            let mut found = vec![0; shape.plane()];
            for first in (0..shape.steps()).step_by(64) {
                for lane in 0..LANES {
                    let value = |y: usize, x: usize| ((y * 7 + x) % 251 + 1) as u8;
                    let pixels: [u8; 64] = std::array::from_fn(|i| {
                        let at = ((first + i) / shape.period(), (first + i) % shape.period());
                        shape.at(at, lane).map_or(0, |(y, x)| value(y, x))
                    });
                    put(shape, (first / shape.period(), first % shape.period()), lane, &pixels, &mut found);
                }
            }
            let expected: Vec<u8> = (0..shape.plane()).map(|i| ((i / width * 7 + i % width) % 251 + 1) as u8).collect();
            assert!(found == expected, "{height} x {width}");
        }
    }
}

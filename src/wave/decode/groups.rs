//! Planes as decoders have them whose lanes keep their last pixels: by groups of as many steps.

use crate::error::Result;
use crate::memory;

use super::channel::Channel;
use crate::wave::geometry::{BEHIND, LAG, LANES, Shape};
use crate::wave::model::{NO_REFERENCE, REFERENCES};

/// Lanes of a half, which have a vector.
pub(super) const HALF: usize = LANES / 2;
/// Steps of a group, whose pixels a lane keeps.
pub(super) const KEPT: usize = 4;
/// Groups whose pixels are put into their rows together.
pub(super) const BLOCK: usize = HALF;
/// Where what is above the first lane is: so many steps after the one that is a period before.
const ABOVE: usize = BEHIND * LANES - 1;

/// Residuals of a group: of each step those of all lanes.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Group(pub(super) [[u8; LANES]; KEPT]);

/// What is kept from site to site.
#[derive(Default)]
pub(super) struct Memory {
    /// Of the last site.
    shape: Option<Shape>,
    /// Of all channels, after zeros for one that there is not.
    residuals: Vec<Group>,
    lasts: Vec<[u64; 2]>,
    narrow_lasts: Vec<[u16; 2]>,
}

/// What the last lanes keep after each step, as the way of decoding needs it: it is above the first ones in the next band.
pub(super) struct Lasts<'a, T> {
    /// After those of a period that stand before the first step.
    lasts: &'a mut [T],
    period: usize,
}

/// Where a channel is decoded.
pub(super) struct Room<'a> {
    pub(super) residuals: &'a mut [Group],
    pub(super) references: [&'a [Group]; REFERENCES],
    pub(super) lasts: Lasts<'a, [u64; 2]>,
}

/// Where all channels of a site are decoded: first their residuals, then their pixels.
pub(super) struct Rooms<'a> {
    residuals: &'a mut [Group],
    lasts: &'a mut Vec<[u16; 2]>,
    shape: Shape,
}

/// Where the first lane stands at the first step of a group, `(band, phase)`.
pub(super) fn at(shape: Shape, group: usize) -> (usize, usize) {
    (group * KEPT / shape.period(), group * KEPT % shape.period())
}

/// Whether all lanes, in all steps of a group, are past the first two pixels of a row of one band, and before its last.
pub(super) fn is_inside(shape: Shape, group: usize) -> bool {
    let (band, phase) = at(shape, group);
    (band + 1) * LANES <= shape.height && phase >= LAG + 2 && phase + KEPT < shape.width
}

/// Groups of a plane of residuals, and how far planes are apart.
fn groups(shape: Shape) -> (usize, usize) {
    let groups = shape.steps().div_ceil(KEPT);
    // An odd number, so that those of several channels do not fall into the same lines of a cache.
    (groups, groups | 1)
}

/// The planes that a channel refers to; `before` are that of zeros and those of the channels before it.
fn references<'a>(channel: &Channel, before: &'a [Group]) -> [&'a [Group]; REFERENCES] {
    let (groups, apart) = groups(channel.shape);
    channel.model.references.map(|reference| match reference {
        NO_REFERENCE => &before[..groups],
        channel => &before[(1 + usize::from(channel)) * apart..][..groups],
    })
}

impl Memory {
    fn begin(&mut self, shape: Shape) -> Result<()> {
        let (_, apart) = groups(shape);
        memory::resize(&mut self.residuals, (1 + shape.channels) * apart, "the channels of a site")?;
        if self.shape.replace(shape) != Some(shape) {
            // What another shape left there.
            self.residuals[..apart].fill(Group::default());
        }
        Ok(())
    }

    /// Makes room for a channel.
    pub(super) fn channel(&mut self, channel: &Channel) -> Result<Room<'_>> {
        let &Channel { shape, index, model, .. } = channel;
        if index == 0 {
            self.begin(shape)?;
        }
        let (groups, apart) = groups(shape);
        let (before, residuals) = self.residuals.split_at_mut((1 + index) * apart);
        Ok(Room {
            residuals: &mut residuals[..groups],
            references: references(channel, before),
            lasts: Lasts::new(&mut self.lasts, shape, [u64::from_ne_bytes([model.above; 8]), 0])?,
        })
    }

    /// Makes room for all channels of a site.
    pub(super) fn channels(&mut self, shape: Shape) -> Result<Rooms<'_>> {
        self.begin(shape)?;
        Ok(Rooms { residuals: &mut self.residuals, lasts: &mut self.narrow_lasts, shape })
    }
}

impl Rooms<'_> {
    /// Of each channel its plane of residuals.
    pub(super) fn residuals(&mut self) -> impl Iterator<Item = &mut [Group]> {
        let (groups, apart) = groups(self.shape);
        self.residuals.chunks_exact_mut(apart).skip(1).map(move |plane| &mut plane[..groups])
    }

    /// A channel's residuals, those that it refers to, and what its last lanes keep.
    #[allow(clippy::type_complexity, reason = "three things, said once")]
    pub(super) fn pixels(
        &mut self,
        channel: &Channel,
    ) -> Result<(&[Group], [&[Group]; REFERENCES], Lasts<'_, [u16; 2]>)> {
        let (groups, apart) = groups(self.shape);
        let (before, residuals) = self.residuals.split_at((1 + channel.index) * apart);
        let lasts = Lasts::new(self.lasts, self.shape, [u16::from_ne_bytes([channel.model.above; 2]); 2])?;
        Ok((&residuals[..groups], references(channel, before), lasts))
    }
}

impl<'a, T: Copy + Default> Lasts<'a, T> {
    fn new(lasts: &'a mut Vec<T>, shape: Shape, above: T) -> Result<Self> {
        let period = shape.period();
        memory::resize(lasts, period + groups(shape).0 * KEPT, "a channel")?;
        lasts[..period].fill(above);
        Ok(Self { lasts, period })
    }

    /// What is above the first lanes at a step.
    #[inline]
    pub(super) fn above_first(&self, step: usize) -> T {
        self.lasts[step.wrapping_add(ABOVE)]
    }

    /// Where that of a step is put.
    #[inline]
    pub(super) fn put(&mut self, step: usize) -> &mut T {
        &mut self.lasts[step.wrapping_add(self.period)]
    }
}

/// Copies the pixels that a lane has from a step on, `(band, phase)` of the first lane, to where they belong in `plane`,
/// `[y, x]`. Gives where the next ones belong, if they are in the same row.
#[inline]
pub(super) fn put<'a, const N: usize>(
    shape: Shape,
    (mut band, mut phase): (usize, usize),
    lane: usize,
    pixels: &[u8; N],
    plane: &'a mut [u8],
) -> Option<&'a [u8; N]> {
    let Shape { width, height, .. } = shape;
    let behind = BEHIND * lane;
    if phase < behind {
        // None before the first: what is idle is below every image.
        (band, phase) = (band.wrapping_sub(1), phase + shape.period());
    }
    let (mut x, mut pixels) = (phase - behind, &pixels[..]);
    let y = band.wrapping_mul(LANES).wrapping_add(lane);
    if y < height && x + 2 * N <= width {
        let (here, next) = plane[y * width + x..].split_first_chunk_mut::<N>().expect("a part of a row");
        *here = *pixels.first_chunk().expect("all");
        return next.first_chunk();
    }
    while !pixels.is_empty() {
        let y = band.wrapping_mul(LANES).wrapping_add(lane);
        let (here, rest) = pixels.split_at(pixels.len().min(shape.period() - x));
        if y < height && x < width {
            let row = &mut plane[y * width..][..width][x..];
            let n = row.len().min(here.len());
            row[..n].copy_from_slice(&here[..n]);
        }
        (band, x, pixels) = (band.wrapping_add(1), 0, rest);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_put_where_it_belongs_once_and_nothing_else() {
        for (height, width) in [(1, 1), (40, 63), (32, 64), (33, 66), (64, 67), (65, 100), (40, 300), (300, 129)] {
            let shape = Shape { channels: 1, height, width };
            let value = |y: usize, x: usize| ((y * 7 + x) % 251 + 1) as u8;
            let mut found = vec![0; shape.plane()];
            for first in (0..shape.steps()).step_by(64) {
                let at = |step: usize| (step / shape.period(), step % shape.period());
                for lane in 0..LANES {
                    let pixels: [u8; 64] =
                        std::array::from_fn(|i| shape.at(at(first + i), lane).map_or(0, |(y, x)| value(y, x)));
                    put(shape, at(first), lane, &pixels, &mut found);
                }
            }
            let expected: Vec<u8> = (0..shape.plane()).map(|i| value(i / width, i % width)).collect();
            assert!(found == expected, "{height} x {width}");
        }
    }
}

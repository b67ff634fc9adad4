//! Planes as decoders that go by lanes have them: all lanes of a step beside each other, for each channel. A period of
//! steps stands before the first, for the rows above the image.

#![allow(clippy::inline_always, reason = "what is done for each step is a few additions, and must be no call")]

use crate::error::Result;
use crate::memory;

use super::channel::Channel;
use crate::wave::geometry::{BEHIND, LAG, LANES, Shape};
use crate::wave::model::{NO_REFERENCE, REFERENCES};

/// Where the row above a band is: so many steps after the one that is a period before.
const ROW_ABOVE: usize = BEHIND * LANES - 1;

/// Planes, one after the other.
#[derive(Default)]
pub(super) struct Planes {
    bytes: Vec<u8>,
}

/// Where a plane begins.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    /// The first lane of the first step that stands before all.
    begin: usize,
    /// The first lane of the first step.
    steps: usize,
}

impl Plane {
    fn new(shape: Shape, index: usize) -> Self {
        let period = shape.period();
        // An odd number of lines of a cache, so that a step's lanes of several channels do not fall into the same ones.
        let length = (period + shape.steps()) * LANES + LANES;
        let begin = index * length;
        Self { begin, steps: begin + period * LANES }
    }

    fn end(self, shape: Shape) -> usize {
        self.steps + shape.steps() * LANES
    }
}

impl Planes {
    /// Room for so many.
    fn begin(&mut self, shape: Shape, n: usize) -> Result<()> {
        memory::resize(&mut self.bytes, Plane::new(shape, n - 1).end(shape), "the channels of a site")
    }

    /// Fills the rows above a plane.
    fn fill_above(&mut self, plane: Plane, above: u8) {
        self.bytes[plane.begin..plane.steps].fill(above);
    }

    /// The lanes of a step.
    #[inline(always)]
    pub(super) fn step(&self, plane: Plane, step: usize) -> &[u8; LANES] {
        self.at(plane.steps.wrapping_add(step.wrapping_mul(LANES)))
    }

    #[inline(always)]
    pub(super) fn step_mut(&mut self, plane: Plane, step: usize) -> &mut [u8; LANES] {
        let at = plane.steps.wrapping_add(step.wrapping_mul(LANES));
        self.bytes[at..].first_chunk_mut().expect("a step of the plane")
    }

    #[inline(always)]
    fn at(&self, at: usize) -> &[u8; LANES] {
        self.bytes[at..].first_chunk().expect("a step of the plane")
    }

    /// Lanes of which the last is what the first lane has as NE, and those of which the last is what it has as NNE.
    #[inline(always)]
    pub(super) fn above_first(&self, plane: Plane, step: usize) -> [&[u8; LANES]; 2] {
        let ne = plane.begin.wrapping_add(step.wrapping_add(ROW_ABOVE).wrapping_mul(LANES));
        [self.at(ne), self.at(ne.wrapping_sub(BEHIND * LANES + 1))]
    }
}

/// What is kept from site to site.
#[derive(Default)]
pub(super) struct Memory {
    /// Of the last site.
    shape: Option<Shape>,
    pixels: Planes,
    /// Of all channels, and zeros for one that there is not.
    residuals: Planes,
}

/// Where a channel is decoded.
pub(super) struct Room<'a> {
    pub(super) pixels: &'a mut Planes,
    pub(super) residuals: &'a mut Planes,
}

/// What is where in the room.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) pixels: Plane,
    pub(super) residuals: Plane,
    pub(super) references: [Plane; REFERENCES],
}

impl Memory {
    /// Makes room for a channel.
    pub(super) fn begin(&mut self, channel: &Channel) -> Result<(Room<'_>, Place)> {
        let &Channel { shape, index, model, .. } = channel;
        let none = Plane::new(shape, shape.channels);
        let (pixels_plane, residuals_plane) = (Plane::new(shape, 0), Plane::new(shape, index));
        if index == 0 {
            self.pixels.begin(shape, 1)?;
            self.residuals.begin(shape, shape.channels + 1)?;
            if self.shape.replace(shape) != Some(shape) {
                // What another shape left there.
                self.residuals.bytes[none.begin..none.end(shape)].fill(0);
            }
        }
        self.pixels.fill_above(pixels_plane, model.above);
        self.residuals.fill_above(residuals_plane, 0);
        let references = model.references.map(|reference| match reference {
            NO_REFERENCE => none,
            channel => Plane::new(shape, channel.into()),
        });
        let place = Place { pixels: pixels_plane, residuals: residuals_plane, references };
        let Self { pixels, residuals, .. } = self;
        Ok((Room { pixels, residuals }, place))
    }
}

/// Steps that are alike.
pub(super) struct Run {
    pub(super) steps: std::ops::Range<usize>,
    /// Whether some lane stands at an edge or nowhere.
    pub(super) is_edge: bool,
}

/// All steps.
pub(super) fn runs(shape: Shape) -> impl Iterator<Item = Run> {
    let (period, end) = (shape.period(), shape.steps());
    // All lanes are past the first pixel of a row of one band, and before its last.
    let inside = LAG + 1..shape.width.saturating_sub(1);
    (0..=shape.bands()).flat_map(move |band| {
        let (begin, next) = (band * period, ((band + 1) * period).min(end));
        let is_full = (band + 1) * LANES <= shape.height && !inside.is_empty();
        let (from, to) = if is_full { (begin + inside.start, begin + inside.end) } else { (next, next) };
        let run = |steps, is_edge| Run { steps, is_edge };
        [run(begin..from, true), run(from..to, false), run(to..next, true)]
    })
}

/// Copies sixteen steps from `step` on, as `lanes` has them lane by lane, to where they belong in `plane`, `[y, x]`.
pub(super) fn put(shape: Shape, step: usize, lanes: &[[u8; 16]; LANES], plane: &mut [u8]) {
    let (width, period) = (shape.width, shape.period());
    let (band, phase) = (step / period, step % period);
    for (lane, bytes) in lanes.iter().enumerate() {
        let y = band * LANES + lane;
        match phase.checked_sub(BEHIND * lane) {
            Some(x) if x + 16 <= width && y < shape.height => {
                plane[y * width + x..][..16].copy_from_slice(bytes);
            }
            _ => {
                for (step, &byte) in (step..).zip(bytes) {
                    if let Some((y, x)) = shape.at((step / period, step % period), lane) {
                        plane[y * width + x] = byte;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_all_steps_once_and_inside_of_them_is_no_edge() {
        for (height, width) in [(1, 1), (40, 63), (32, 64), (33, 66), (64, 67), (65, 100), (512, 512), (300, 129)] {
            let shape = Shape { channels: 1, height, width };
            let mut next = 0;
            for Run { steps, is_edge } in runs(shape) {
                assert_eq!(steps.start, next, "{height} x {width}");
                next = steps.end;
                let is_inside = |step: usize| {
                    let at = (step / shape.period(), step % shape.period());
                    (0..LANES).all(|lane| shape.at(at, lane).is_some_and(|(_, x)| x > 0 && x + 1 < width))
                };
                assert!(is_edge || steps.into_iter().all(is_inside));
            }
            assert_eq!(next, shape.steps());
        }
        let inside = runs(Shape { channels: 1, height: 512, width: 512 }).filter(|run| !run.is_edge);
        assert_eq!(inside.map(|run| run.steps.len()).sum::<usize>(), 16 * (511 - 63), "most steps are inside");
    }
}

//! The pixels of a site from the chunks of an array: which chunks it needs, and where each of their pixels goes. Pure.

use std::ops::Range;

use super::document::ArrayDocument;
use super::site::Axis;

/// The part of an array that a site is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Along each axis of the array.
    ranges: Vec<Range<u64>>,
    /// How far apart two pixels that follow each other along an axis are in `[C, H, W]`.
    strides: Vec<usize>,
}

impl Part {
    /// The part that a site at `at` is, of so many channels; why it is none, where it is not in the array.
    pub(super) fn of(shape: &[u64], axes: &[Axis], at: u64, n_channels: usize) -> Result<Self, String> {
        if axes.len() != shape.len() {
            return Err(format!("{} axes", shape.len()));
        }
        let side = |wanted: Axis| axes.iter().zip(shape).find(|(axis, _)| **axis == wanted).map(|(_, &n)| n as usize);
        let (Some(height), Some(width)) = (side(Axis::Y), side(Axis::X)) else {
            return Err("no y or no x".to_owned());
        };
        if n_channels != 1 && !axes.contains(&Axis::Channel) {
            return Err(format!("no axis of channels, of which {n_channels} are asked for"));
        }
        let mut part = Self { ranges: Vec::new(), strides: Vec::new() };
        for (&axis, &n) in axes.iter().zip(shape) {
            let (range, stride) = match axis {
                Axis::Channel => (0..n_channels as u64, height * width),
                Axis::Y => (0..n, width),
                Axis::X => (0..n, 1),
                Axis::Site => (at..at + 1, 0),
                Axis::At(place) => (place..place + 1, 0),
            };
            if range.end > n {
                return Err(format!("{n} along an axis, of which {} is asked for", range.end));
            }
            part.ranges.push(range);
            part.strides.push(stride);
        }
        Ok(part)
    }

    /// The chunks of this shape that it needs, by their places, in their order.
    pub(super) fn chunks(&self, chunk_shape: &[u64]) -> Vec<Vec<u64>> {
        let along = self.ranges.iter().zip(chunk_shape);
        let places: Vec<Range<u64>> = along.map(|(range, &n)| range.start / n..(range.end - 1) / n + 1).collect();
        let mut chunks = vec![Vec::new()];
        for places in places {
            let longer = |chunk: Vec<u64>| places.clone().map(move |place| [chunk.as_slice(), &[place]].concat());
            chunks = chunks.into_iter().flat_map(longer).collect();
        }
        chunks
    }

    /// How many chunks of this shape it needs.
    pub(super) fn n_chunks(&self, chunk_shape: &[u64]) -> u64 {
        let along = self.ranges.iter().zip(chunk_shape);
        along.map(|(range, &n)| (range.end - 1) / n + 1 - range.start / n).fold(1, u64::saturating_mul)
    }

    /// Puts what a chunk holds of it into `[C, H, W]`, little-endian.
    pub(super) fn put(&self, document: &ArrayDocument, chunk: &[u64], pixels: &[u8], out: &mut [u8]) {
        let bytes = document.dtype.bytes();
        let shape = &document.chunk_shape;
        let n_axes = shape.len();
        // Along each axis: the first pixel of the chunk that is wanted, how many are, and where it goes.
        let (mut from, mut n, mut to) = (vec![0; n_axes], vec![0; n_axes], 0);
        for axis in 0..n_axes {
            let start = chunk[axis] * shape[axis];
            let range = &self.ranges[axis];
            let (first, end) = (range.start.max(start), range.end.min(start + shape[axis]));
            (from[axis], n[axis]) = ((first - start) as usize, end.saturating_sub(first) as usize);
            to += (first - range.start) as usize * self.strides[axis];
        }
        let mut steps = vec![1_usize; n_axes];
        for axis in (1..n_axes).rev() {
            steps[axis - 1] = steps[axis] * shape[axis] as usize;
        }
        let from: usize = from.iter().zip(&steps).map(|(from, step)| from * step).sum();
        self.copy(&n, &steps, (&pixels[from * bytes..], &mut out[to * bytes..]), bytes);
    }

    fn copy(&self, n: &[usize], steps: &[usize], (from, to): (&[u8], &mut [u8]), bytes: usize) {
        let axis = self.strides.len() - n.len();
        let (Some((&first, n)), Some((&step, steps))) = (n.split_first(), steps.split_first()) else { return };
        let stride = self.strides[axis];
        if n.is_empty() {
            match stride {
                1 => to[..first * bytes].copy_from_slice(&from[..first * bytes]),
                _ => (0..first).for_each(|i| {
                    let to = &mut to[i * stride * bytes..][..bytes];
                    to.copy_from_slice(&from[i * bytes..][..bytes]);
                }),
            }
            return;
        }
        for i in 0..first {
            self.copy(n, steps, (&from[i * step * bytes..], &mut to[i * stride * bytes..]), bytes);
        }
    }
}

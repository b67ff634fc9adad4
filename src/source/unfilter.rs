//! Undoing the row filters of PNGs (PNG specification, section 9). Pure.
//!
//! Why not a library: a row filtered with Paeth depends on each pixel before it, so a decoder waits most of its time.
//! The channels of a site do not depend on each other; three rows of three channels undone side by side take less than
//! half the time.

use crate::site::ImageSize;

/// Undoes the filters of `N` channels side by side; returns `N`.
pub(super) fn unfilter<'a, const N: usize>(
    inputs: &mut impl Iterator<Item = &'a [u8]>,
    outputs: &mut impl Iterator<Item = &'a mut [u8]>,
    width: usize,
) -> usize {
    let mut take_input = || inputs.next().expect("the caller counts channels").chunks_exact(1 + width);
    let mut sources: [_; N] = std::array::from_fn(|_| take_input());
    let mut take_output = || outputs.next().expect("the caller counts channels").chunks_exact_mut(width);
    let mut targets: [_; N] = std::array::from_fn(|_| take_output());
    let above_all = vec![0; width];
    let mut above: [&[u8]; N] = [&above_all; N];
    loop {
        let rows = sources.each_mut().map(Iterator::next);
        if rows[0].is_none() {
            return N;
        }
        let rows = rows.map(|row| row.expect("channels have equally many rows").split_at(1));
        let mut out = targets.each_mut().map(|rows| rows.next().expect("one output row an input row"));
        if N > 1 && rows.iter().all(|(filter, _)| filter[0] == 4) {
            unfilter_paeth(rows.map(|(_, row)| row), above, &mut out, width);
        } else {
            for ((&(filter, row), above), out) in rows.iter().zip(above).zip(&mut out) {
                unfilter_row(filter[0], row, above, out);
            }
        }
        above = out.map(|row| &*row);
    }
}

/// Undoes one row of `N` channels that all use Paeth. The chains of the channels are independent, so the processor
/// works on one while it waits for another.
fn unfilter_paeth<const N: usize>(rows: [&[u8]; N], above: [&[u8]; N], out: &mut [&mut [u8]; N], width: usize) {
    let rows = rows.map(|row| &row[..width]);
    let above = above.map(|row| &row[..width]);
    assert!(out.iter().all(|row| row.len() == width), "lengths are checked once, before the loop");
    let (mut left, mut above_left) = ([0_i16; N], [0_i16; N]);
    for x in 0..width {
        for lane in 0..N {
            let up = i16::from(above[lane][x]);
            let value = rows[lane][x].wrapping_add(paeth(left[lane], up, above_left[lane]));
            out[lane][x] = value;
            left[lane] = i16::from(value);
            above_left[lane] = up;
        }
    }
}

/// Undoes one row. Filter types as in the PNG specification, section 9: none, sub, up, average, Paeth.
fn unfilter_row(filter: u8, row: &[u8], above: &[u8], out: &mut [u8]) {
    let pixels = out.iter_mut().zip(row.iter().zip(above));
    match filter {
        0 => out.copy_from_slice(row),
        1 => {
            let mut left = 0_u8;
            for (out, (&value, _)) in pixels {
                left = left.wrapping_add(value);
                *out = left;
            }
        }
        2 => pixels.for_each(|(out, (&value, &up))| *out = value.wrapping_add(up)),
        3 => {
            let mut left = 0_u8;
            for (out, (&value, &up)) in pixels {
                left = value.wrapping_add(u16::midpoint(left.into(), up.into()) as u8);
                *out = left;
            }
        }
        _ => {
            let (mut left, mut above_left) = (0, 0);
            for (out, (&value, &up)) in pixels {
                let up = i16::from(up);
                *out = value.wrapping_add(paeth(left, up, above_left));
                left = i16::from(*out);
                above_left = up;
            }
        }
    }
}

/// The seven passes of Adam7 (PNG specification, section 8.2): first column and row, and the steps to the next.
const ADAM7: [(usize, usize, usize, usize); 7] =
    [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];

/// Width and height of each pass; those without pixels are not in the stream.
fn passes(size: ImageSize) -> impl Iterator<Item = ((usize, usize, usize, usize), usize, usize)> {
    let sides = move |(x, y, dx, dy): (usize, usize, usize, usize)| {
        let width = (size.width as usize).saturating_sub(x).div_ceil(dx);
        let height = (size.height as usize).saturating_sub(y).div_ceil(dy);
        ((x, y, dx, dy), width, height)
    };
    ADAM7.into_iter().map(sides).filter(|&(_, width, height)| width > 0 && height > 0)
}

/// Bytes of the filtered rows of all passes of an interlaced image.
pub(super) fn adam7_bytes(size: ImageSize) -> usize {
    passes(size).map(|(_, width, height)| height * (1 + width)).sum()
}

/// Undoes the filters of all passes and puts their pixels where they belong, in rows of filter type none.
///
/// # Errors
/// The first filter type that there is not.
pub(super) fn undo_adam7(mut from: &[u8], size: ImageSize, rows: &mut [u8]) -> Result<(), u8> {
    let stride = 1 + size.width as usize;
    rows.chunks_exact_mut(stride).for_each(|row| row[0] = 0);
    for ((x, y, dx, dy), width, height) in passes(size) {
        let (pass, rest) = from.split_at(height * (1 + width));
        from = rest;
        if let Some(row) = pass.chunks_exact(1 + width).find(|row| row[0] > 4) {
            return Err(row[0]);
        }
        let mut pixels = vec![0; width * height];
        unfilter::<1>(&mut std::iter::once(pass), &mut std::iter::once(pixels.as_mut_slice()), width);
        for (i, pixel) in pixels.into_iter().enumerate() {
            rows[(y + i / width * dy) * stride + 1 + x + i % width * dx] = pixel;
        }
    }
    Ok(())
}

/// The Paeth predictor without branches: of left, up and up-left the one nearest to left + up - (up-left). With
/// `t = 3c - (a + b)`, t >= max(a, b) picks the smaller neighbour, t <= min(a, b) the larger, and between them up-left.
#[inline(always)]
#[allow(clippy::inline_always)] // It is the inner loop; a call there costs more than the work.
fn paeth(left: i16, up: i16, above_left: i16) -> u8 {
    let threshold = 3 * above_left - (left + up);
    let (low, high) = (left.min(up), left.max(up));
    let picked = if high <= threshold { low } else { above_left };
    let picked = if threshold <= low { high } else { picked };
    picked as u8
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The rows of all passes of an image, without filters.
    pub(in crate::source) fn interlace(pixels: &[u8], size: ImageSize) -> Vec<u8> {
        let mut rows = Vec::new();
        for ((x, y, dx, dy), width, height) in passes(size) {
            for row in 0..height {
                let start = (y + row * dy) * size.width as usize + x;
                rows.push(0);
                rows.extend((0..width).map(|column| pixels[start + column * dx]));
            }
        }
        rows
    }

    #[test]
    fn the_paeth_predictor_is_that_of_the_specification() {
        for (a, b, c) in (0..=255)
            .step_by(5)
            .flat_map(|a| (0..=255).step_by(3).flat_map(move |b| (0..=255).map(move |c: i16| (a, b, c))))
        {
            let p = a + b - c;
            let (pa, pb, pc) = ((p - a).abs(), (p - b).abs(), (p - c).abs());
            let expected = if pa <= pb && pa <= pc {
                a
            } else if pb <= pc {
                b
            } else {
                c
            };
            assert_eq!(i16::from(paeth(a, b, c)), expected, "{a} {b} {c}");
        }
    }
}

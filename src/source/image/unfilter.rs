//! Undoing the row filters of PNGs (PNG specification, section 9). Pure.
//!
//! Why not a library: a row filtered with Paeth depends on each pixel before it, so a decoder waits most of its time.
//! The channels of a site do not depend on each other; three rows of three channels undone side by side take less than
//! half the time. Filters work on bytes: of a pixel of `BPP` bytes, each depends on that of the pixel before it.

/// Undoes the filters of `N` channels side by side; returns `N`. A row has `row_bytes` bytes, led by its filter type.
pub(super) fn unfilter<'a, const N: usize, const BPP: usize>(
    inputs: &mut impl Iterator<Item = &'a [u8]>,
    outputs: &mut impl Iterator<Item = &'a mut [u8]>,
    row_bytes: usize,
) -> usize {
    let mut take_input = || inputs.next().expect("the caller counts channels").chunks_exact(1 + row_bytes);
    let mut sources: [_; N] = std::array::from_fn(|_| take_input());
    let mut take_output = || outputs.next().expect("the caller counts channels").chunks_exact_mut(row_bytes);
    let mut targets: [_; N] = std::array::from_fn(|_| take_output());
    let above_all = vec![0; row_bytes];
    let mut above: [&[u8]; N] = [&above_all; N];
    loop {
        let rows = sources.each_mut().map(Iterator::next);
        if rows[0].is_none() {
            return N;
        }
        let rows = rows.map(|row| row.expect("channels have equally many rows").split_at(1));
        let mut out = targets.each_mut().map(|rows| rows.next().expect("one output row an input row"));
        if N > 1 && rows.iter().all(|(filter, _)| filter[0] == 4) {
            unfilter_paeth::<N, BPP>(rows.map(|(_, row)| row), above, &mut out, row_bytes / BPP);
        } else {
            for ((&(filter, row), above), out) in rows.iter().zip(above).zip(&mut out) {
                unfilter_row::<BPP>(filter[0], row, above, out);
            }
        }
        above = out.map(|row| &*row);
    }
}

/// Undoes one row of `N` channels that all use Paeth. The chains of the channels, and of the bytes of a pixel, are
/// independent, so the processor works on one while it waits for another. Not inlined, so that the loop comes out the same
/// whatever is around the call.
#[inline(never)]
fn unfilter_paeth<const N: usize, const BPP: usize>(
    rows: [&[u8]; N],
    above: [&[u8]; N],
    out: &mut [&mut [u8]; N],
    width: usize,
) {
    let rows = rows.map(|row| &row[..width * BPP]);
    let above = above.map(|row| &row[..width * BPP]);
    assert!(out.iter().all(|row| row.len() == width * BPP), "lengths are checked once, before the loop");
    let (mut left, mut above_left) = ([[0_i16; BPP]; N], [[0_i16; BPP]; N]);
    for x in 0..width {
        for lane in 0..N {
            for byte in 0..BPP {
                let at = x * BPP + byte;
                let up = i16::from(above[lane][at]);
                let value = rows[lane][at].wrapping_add(paeth(left[lane][byte], up, above_left[lane][byte]));
                out[lane][at] = value;
                left[lane][byte] = i16::from(value);
                above_left[lane][byte] = up;
            }
        }
    }
}

/// Undoes one row. Filter types as in the PNG specification, section 9: none, sub, up, average, Paeth.
fn unfilter_row<const BPP: usize>(filter: u8, row: &[u8], above: &[u8], out: &mut [u8]) {
    if filter == 0 {
        out.copy_from_slice(row);
        return;
    }
    let (row, above) = (row.as_chunks::<BPP>().0, above.as_chunks::<BPP>().0);
    let pixels = out.as_chunks_mut::<BPP>().0.iter_mut().zip(row.iter().zip(above));
    match filter {
        1 => {
            let mut left = [0_u8; BPP];
            for (out, (value, _)) in pixels {
                for byte in 0..BPP {
                    left[byte] = left[byte].wrapping_add(value[byte]);
                }
                *out = left;
            }
        }
        2 => pixels.for_each(|(out, (value, up))| *out = std::array::from_fn(|i| value[i].wrapping_add(up[i]))),
        3 => {
            let mut left = [0_u8; BPP];
            for (out, (value, up)) in pixels {
                for byte in 0..BPP {
                    let mean = u16::midpoint(left[byte].into(), up[byte].into()) as u8;
                    left[byte] = value[byte].wrapping_add(mean);
                }
                *out = left;
            }
        }
        _ => {
            let (mut left, mut above_left) = ([0; BPP], [0; BPP]);
            for (out, (value, up)) in pixels {
                for byte in 0..BPP {
                    let up = i16::from(up[byte]);
                    out[byte] = value[byte].wrapping_add(paeth(left[byte], up, above_left[byte]));
                    left[byte] = i16::from(out[byte]);
                    above_left[byte] = up;
                }
            }
        }
    }
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
mod tests {
    use super::*;

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

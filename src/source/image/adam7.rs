//! Undoing Adam7, in which an image is sent as seven smaller ones (PNG specification, section 8.2). Pure.

use crate::site::ImageSize;

use super::unfilter::unfilter;

/// The seven passes: first column and row, and the steps to the next.
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

/// Bytes of the filtered rows of all passes of an interlaced image of pixels of so many bytes.
pub(super) fn adam7_bytes(size: ImageSize, pixel_bytes: usize) -> usize {
    passes(size).map(|(_, width, height)| height * (1 + width * pixel_bytes)).sum()
}

/// Undoes the filters of all passes and puts their pixels where they belong, in rows of filter type none.
///
/// # Errors
/// The first filter type that there is not.
pub(super) fn undo_adam7<const BPP: usize>(mut from: &[u8], size: ImageSize, rows: &mut [u8]) -> Result<(), u8> {
    let stride = 1 + size.width as usize * BPP;
    rows.chunks_exact_mut(stride).for_each(|row| row[0] = 0);
    for ((x, y, dx, dy), width, height) in passes(size) {
        let row_bytes = width * BPP;
        let (pass, rest) = from.split_at(height * (1 + row_bytes));
        from = rest;
        if let Some(row) = pass.chunks_exact(1 + row_bytes).find(|row| row[0] > 4) {
            return Err(row[0]);
        }
        let mut pixels = vec![0; row_bytes * height];
        unfilter::<1, BPP>(&mut std::iter::once(pass), &mut std::iter::once(pixels.as_mut_slice()), row_bytes);
        for (i, pixel) in pixels.as_chunks::<BPP>().0.iter().enumerate() {
            let at = (y + i / width * dy) * stride + 1 + (x + i % width * dx) * BPP;
            rows[at..at + BPP].copy_from_slice(pixel);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The rows of all passes of an image, without filters.
    pub(crate) fn interlace(pixels: &[u8], size: ImageSize, pixel_bytes: usize) -> Vec<u8> {
        let mut rows = Vec::new();
        for ((x, y, dx, dy), width, height) in passes(size) {
            for row in 0..height {
                let start = (y + row * dy) * size.width as usize + x;
                rows.push(0);
                for column in 0..width {
                    let at = (start + column * dx) * pixel_bytes;
                    rows.extend(&pixels[at..at + pixel_bytes]);
                }
            }
        }
        rows
    }
}

//! What is measured of a site's pixels beyond what the store counts: how sharp it is, and how much of it is saturated.
//! Pure.

use crate::site::{Dtype, ImageSize};
use crate::stats::Histogram;

/// What is measured of one channel of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// How sharp it is: the root of the mean squared Laplacian over the standard deviation, both of the image at half its
    /// size (means of 2 x 2 pixels, which leaves less of the camera's noise). Light and contrast do not change it, blur
    /// lowers it. NaN where all pixels are equal, or the image is smaller than 6 x 6.
    pub focus: f64,
    /// Share of pixels at the largest level of their type.
    pub saturated: f64,
}

/// Measures one channel, `[H, W]`, counted by `histogram`.
#[must_use]
pub fn measure(plane: &[u8], size: ImageSize, dtype: Dtype, histogram: &Histogram) -> Measured {
    let focus = match dtype {
        Dtype::Uint8 => focus(size, |i| u32::from(plane[i])),
        Dtype::Uint16 => {
            let words = plane.as_chunks::<2>().0;
            focus(size, |i| u32::from(u16::from_le_bytes(words[i])))
        }
    };
    Measured { focus, saturated: histogram.saturated_share(dtype) }
}

fn focus(size: ImageSize, level: impl Fn(usize) -> u32) -> f64 {
    let (width, height) = (size.width as usize / 2, size.height as usize / 2);
    if width < 3 || height < 3 {
        return f64::NAN;
    }
    let stride = size.width as usize;
    // Sums of 2 x 2 pixels: at most 18 bits.
    let halved = |y: usize| -> Vec<i64> {
        let row = 2 * y * stride;
        let sum = |x: usize| {
            let at = row + 2 * x;
            level(at) + level(at + 1) + level(at + stride) + level(at + stride + 1)
        };
        (0..width).map(|x| i64::from(sum(x))).collect()
    };
    let mut rows = [Vec::new(), halved(0), halved(1)];
    let (mut edges, mut sum, mut squares) = (0_i128, 0_i64, 0_i128);
    for y in 1..height - 1 {
        rows.rotate_left(1);
        rows[2] = halved(y + 1);
        let [above, row, below] = &rows;
        let (mut edges_of_row, mut squares_of_row) = (0_i64, 0_i64);
        for x in 1..width - 1 {
            let laplacian = above[x] + below[x] + row[x - 1] + row[x + 1] - 4 * row[x];
            edges_of_row += laplacian * laplacian;
            sum += row[x];
            squares_of_row += row[x] * row[x];
        }
        edges += i128::from(edges_of_row);
        squares += i128::from(squares_of_row);
    }
    let n = ((width - 2) * (height - 2)) as i128;
    let variance = (n * squares - i128::from(sum) * i128::from(sum)) as f64 / (n * n) as f64;
    if variance > 0.0 { (edges as f64 / n as f64 / variance).sqrt() } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ImageSize = ImageSize { height: 64, width: 48 };

    /// Noise that is blurred `times` by its neighbours, with a gain and an offset.
    fn image(times: usize, gain: f64, offset: f64) -> Vec<u16> {
        let (width, height) = (SIZE.width as usize, SIZE.height as usize);
        let mut state = 7_u32;
        let mut levels: Vec<f64> = (0..width * height)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from(state >> 24)
            })
            .collect();
        for _ in 0..times {
            let at = |x: usize, y: usize| levels[y % height * width + x % width];
            let mean = |i: usize| {
                let (x, y) = (i % width + width, i / width + height);
                (at(x, y) + at(x + 1, y) + at(x - 1, y) + at(x, y + 1) + at(x, y - 1)) / 5.0
            };
            levels = (0..width * height).map(mean).collect();
        }
        levels.into_iter().map(|level| (gain * level + offset).round() as u16).collect()
    }

    fn of(levels: &[u16], dtype: Dtype) -> Measured {
        let plane: Vec<u8> = match dtype {
            Dtype::Uint8 => levels.iter().map(|&level| level as u8).collect(),
            Dtype::Uint16 => levels.iter().flat_map(|level| level.to_le_bytes()).collect(),
        };
        measure(&plane, SIZE, dtype, &Histogram::of(&plane, dtype))
    }

    #[test]
    fn blur_lowers_focus_and_light_does_not() {
        let focus = |times| of(&image(times, 1.0, 0.0), Dtype::Uint8).focus;
        let found = [0, 1, 3, 9].map(focus);
        assert!(found.is_sorted_by(|a, b| a > b) && found[0] > 3.0 * found[3], "{found:?}");
        let brighter = of(&image(3, 100.0, 3000.0), Dtype::Uint16).focus;
        assert!((brighter / found[2] - 1.0).abs() < 0.03, "{brighter} {}", found[2]);
    }

    #[test]
    fn focus_is_that_of_the_formula() {
        // Halved: 3 x 3, with one Laplacian: of one pixel there is no spread.
        let size = ImageSize { height: 6, width: 6 };
        let plane: Vec<u8> = (0..36).collect();
        assert!(measure(&plane, size, Dtype::Uint8, &Histogram::of(&plane, Dtype::Uint8)).focus.is_nan());
        // Halved to 3 x 4, where the inner two are 40 and 0 of 4 x 10 and 0, with 0 around: Laplacians -160 and 40, std 20.
        let size = ImageSize { height: 6, width: 8 };
        let mut plane = vec![0; 48];
        for i in [18, 19, 26, 27] {
            plane[i] = 10;
        }
        let found = measure(&plane, size, Dtype::Uint8, &Histogram::of(&plane, Dtype::Uint8)).focus;
        let expected = (f64::midpoint(160_f64.powi(2), 40_f64.powi(2))).sqrt() / 20.0;
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn what_is_black_has_no_focus_and_what_is_white_is_saturated() {
        let black = of(&[0; 64 * 48], Dtype::Uint8);
        assert!(black.focus.is_nan() && black.saturated == 0.0);
        let mut levels = image(0, 1.0, 0.0);
        levels[..768].fill(255);
        assert!((of(&levels, Dtype::Uint8).saturated - 0.25).abs() < 0.01);
        assert_eq!(of(&levels, Dtype::Uint16).saturated, 0.0);
    }
}

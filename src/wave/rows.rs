//! What the encoder does to a whole row at a time, as it knows all pixels: loops that compilers make vectors of, where sums
//! are such that wrap around. None of them can, or they should.

use super::model::{FRACTIONS, Model, NEIGHBOURS, REFERENCES, predicted};

/// Pixels that a row is given on its left, and on its right.
const LEFT: usize = 2;
const RIGHT: usize = 1;

/// A row and the two above it, each wide enough that what is beyond an edge need not be asked for.
pub(super) struct Window {
    now: Vec<u8>,
    n: Vec<u8>,
    nn: Vec<u8>,
    is_entered: bool,
}

impl Window {
    /// Above the first row, of which the rows above hold `above`.
    pub(super) fn new(width: usize, above: u8) -> Self {
        let row = vec![above; LEFT + width + RIGHT];
        Self { now: row.clone(), n: row.clone(), nn: row, is_entered: false }
    }

    fn width(&self) -> usize {
        self.now.len() - LEFT - RIGHT
    }

    /// Goes one row down, to this one.
    pub(super) fn enter(&mut self, row: &[u8]) {
        let width = self.width();
        if self.is_entered {
            std::mem::swap(&mut self.n, &mut self.nn);
            std::mem::swap(&mut self.now, &mut self.n);
            let (left, right) = (self.n[LEFT], self.n[LEFT + width - 1]);
            self.n[..LEFT].fill(left);
            self.n[LEFT + width] = right;
        }
        self.is_entered = true;
        let n = self.n[LEFT];
        self.now[..LEFT].fill(n);
        self.now[LEFT..][..width].copy_from_slice(row);
    }

    /// The row as each of the neighbours sees it, in the order of [`super::model::around`].
    pub(super) fn neighbours(&self) -> [&[u8]; NEIGHBOURS] {
        let width = self.width();
        let [w, n, nw, ne] = [&self.now[1..], &self.n[2..], &self.n[1..], &self.n[3..]];
        let [nn, ww, nne, nww] = [&self.nn[2..], &self.now[..], &self.nn[3..], &self.n[..]];
        [w, nw, n, nn, ne, ww, nne, nww].map(|row| &row[..width])
    }
}

/// Predicts a plane, `[y, x]`, by a model that is whole but for its thresholds: `residuals` are filled, and of each pixel
/// the part of its prediction's fraction. The planes of the references hold their residuals, or zeros.
pub(super) fn predict(
    model: &Model,
    plane: &[u8],
    width: usize,
    references: [&[u8]; REFERENCES],
    residuals: &mut [u8],
    fractions: &mut [u8],
) {
    let mut pixels = Window::new(width, model.above);
    let mut sums = vec![0; width];
    for (y, row) in plane.chunks_exact(width).enumerate() {
        let here = y * width..(y + 1) * width;
        let references = references.map(|reference| &reference[here.clone()]);
        let residuals = &mut residuals[here.clone()];
        pixels.enter(row);
        row_sums(model, pixels.neighbours(), references, &mut sums);
        let fractions = &mut fractions[here];
        for (((residual, fraction), &pixel), &sum) in residuals.iter_mut().zip(fractions).zip(row).zip(&sums) {
            *residual = pixel.wrapping_sub(predicted(sum));
            *fraction = (sum >> 5 & 3) as u8;
        }
    }
}

/// The activity at each pixel of a plane of residuals.
pub(super) fn vary(residuals: &[u8], width: usize, references: [&[u8]; REFERENCES], activities: &mut [u8]) {
    let mut magnitudes = Window::new(width, 0);
    for (y, row) in residuals.chunks_exact(width).enumerate() {
        let here = y * width..(y + 1) * width;
        magnitudes.enter(row);
        let references = references.map(|reference| &reference[here.clone()]);
        row_activities(magnitudes.neighbours(), references, &mut activities[here]);
    }
}

/// [`Model::sum`] of each pixel of a row.
#[inline]
fn row_sums(model: &Model, around: [&[u8]; NEIGHBOURS], references: [&[u8]; REFERENCES], sums: &mut [i16]) {
    let n = sums.len();
    let [w, nw, n_, nn, ne, ww, nne, nww] = around.map(|row| &row[..n]);
    let [r0, r1, r2, r3] = references.map(|row| &row[..n]);
    let weights = model.weights.map(i16::from);
    let others = model.reference_weights.map(i16::from);
    let start = model.start();
    for x in 0..n {
        let mut sum = start;
        for (pixel, weight) in [w[x], nw[x], n_[x], nn[x], ne[x], ww[x], nne[x], nww[x]].into_iter().zip(weights) {
            sum = sum.wrapping_add(i16::from(pixel).wrapping_mul(weight));
        }
        for (residual, weight) in [r0[x], r1[x], r2[x], r3[x]].into_iter().zip(others) {
            sum = sum.wrapping_add(i16::from(residual.cast_signed()).wrapping_mul(weight));
        }
        sums[x] = sum;
    }
}

/// [`Model::activity`] of each pixel of a row.
#[inline]
fn row_activities(around: [&[u8]; NEIGHBOURS], references: [&[u8]; REFERENCES], activities: &mut [u8]) {
    let n = activities.len();
    let [w, nw, n_, nn, ne, ww, _, nww] = around.map(|row| &row[..n]);
    let [r0, r1, r2, r3] = references.map(|row| &row[..n]);
    let size = |byte: u8| byte.cast_signed().unsigned_abs();
    let twice = |byte: u8| size(byte).saturating_add(size(byte));
    for x in 0..n {
        let mut activity = twice(w[x]).saturating_add(twice(n_[x]));
        for byte in [nw[x], nn[x], ne[x], ww[x], nww[x], r0[x], r1[x], r2[x], r3[x]] {
            activity = activity.saturating_add(size(byte));
        }
        activities[x] = activity;
    }
}

/// The levels of activity begin where these shares of the pixels are below: tried on nine real sites.
const SHARES: [f64; super::model::LEVELS - 1] = [0.35, 0.68, 0.9];

/// The thresholds that put a share of the pixels into each level, by one row in four.
pub(super) fn thresholds(activities: &[u8], width: usize) -> [u8; super::model::LEVELS - 1] {
    let mut counts = [0usize; 256];
    for row in activities.chunks_exact(width).step_by(4) {
        for &activity in row {
            counts[usize::from(activity)] += 1;
        }
    }
    let total: usize = counts.iter().sum();
    SHARES.map(|share| {
        let mut below = 0;
        let is_enough = |&count: &usize| {
            below += count;
            below as f64 >= share * total as f64
        };
        counts.iter().position(is_enough).unwrap_or(255) as u8
    })
}

/// What is coded of each pixel: its residual in the low byte, its context in the high one. Rows are `stride` apart.
pub(super) fn contexts(
    model: &Model,
    width: usize,
    [residuals, activities, fractions]: [&[u8]; 3],
    coded: &mut [u16],
    stride: usize,
) {
    let rows = residuals.chunks_exact(width).zip(activities.chunks_exact(width)).zip(fractions.chunks_exact(width));
    for (((residuals, activities), fractions), coded) in rows.zip(coded.chunks_exact_mut(stride)) {
        for (((coded, &residual), &activity), &fraction) in
            coded.iter_mut().zip(residuals).zip(activities).zip(fractions)
        {
            let level = model.thresholds.iter().fold(0u8, |level, &t| level.wrapping_add(u8::from(activity > t)));
            let context = level.wrapping_mul(FRACTIONS as u8).wrapping_add(fraction);
            *coded = u16::from(context) << 8 | u16::from(residual);
        }
    }
}

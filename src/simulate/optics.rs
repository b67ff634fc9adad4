//! The microscope: haze, focus blur, uneven illumination, gain, offset, shot and read noise, and the camera's levels.
//! Knows nothing of cells.

use super::batch::Batch;
use super::dice::Dice;

/// One channel of one site as one plate's microscope sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// The plate.
    pub(super) batch: &'a Batch,
    /// Which channel.
    pub(super) channel: usize,
    /// Pixels along a side of the rendered plane.
    pub(super) side: usize,
    /// Rendered pixels along a side of an image pixel.
    pub(super) reduce: usize,
}

/// Buffers, and a table of normal draws: noise costs a look-up instead of a draw.
#[derive(Debug)]
pub(super) struct Optics {
    normals: Vec<f32>,
    blurred: Vec<f32>,
    haze: Vec<f32>,
}

/// Draws in the table, many more than an image is wide. Every line of an image starts at another place in it.
const NORMALS: usize = 1 << 15;
/// Pixels of the rendered plane along a side of a haze cell.
const HAZE: usize = 16;
/// Variance of the noise in squared grey levels: of reading, and for each grey level of light where the exposure is 1.
/// Both were fitted to what is left of a real site after a second difference, by local mean.
const READ_NOISE: f32 = 0.03;
const SHOT_NOISE: f32 = 0.0035;

/// The level of a 16-bit camera without any light, and its levels to one of 8 bits.
const CAMERA_OFFSET: f32 = 100.0;
const CAMERA_GAIN: f32 = 64.0;

/// Spread of the logarithm of a channel's brightness from site to site: nothing on a plate is quite reproducible.
const STAINING: f32 = 0.05;

impl Default for Optics {
    fn default() -> Self {
        let mut dice = Dice::new(0x0715, &[]);
        Self { normals: (0..NORMALS).map(|_| dice.normal()).collect(), blurred: Vec::new(), haze: Vec::new() }
    }
}

/// Turns light into levels and appends them to `levels`, not yet whole numbers, in units of 8-bit grey levels; `plane`
/// is used up.
pub(super) fn expose(view: &View<'_>, plane: &mut [f32], dice: &mut Dice, optics: &mut Optics, levels: &mut Vec<f32>) {
    let side = view.side;
    let coarse = haze(plane, side, &mut optics.haze);
    let sigma = view.batch.blur[view.channel] * side as f32 / 512.0;
    blur(plane, side, sigma, &mut optics.blurred);
    let staining = dice.factor(STAINING);
    let size = side / view.reduce;
    let area = 1.0 / (view.reduce * view.reduce) as f32;
    let mut light = vec![0.0f32; size];
    for y in 0..size {
        light.fill(0.0);
        for row in 0..view.reduce {
            let line = &plane[(y * view.reduce + row) * side..][..side];
            for (light, group) in light.iter_mut().zip(line.chunks_exact(view.reduce)) {
                *light += group.iter().sum::<f32>() * area * staining;
            }
        }
        let noise = &optics.normals[dice.below(NORMALS - size)..][..size];
        let row = y as f32 / size as f32;
        camera_line(view, row, &mut light, &optics.haze, coarse);
        let shot = SHOT_NOISE * view.batch.exposure;
        let noisy = |(&level, &noise): (&f32, &f32)| level + (READ_NOISE + shot * level).sqrt() * noise;
        levels.extend(light.iter().zip(noise).map(noisy));
    }
}

/// A level as one of 8 bits. A cast from float to integer saturates: the camera clips.
#[inline]
pub(super) fn level_8(level: f32) -> u8 {
    (level + 0.5) as u8
}

/// A level as a camera of 16 bits gives it, which adds an offset so that noise never clips at black. What fills 8 bits
/// is a quarter of its range, and bright spots go on from there.
#[inline]
pub(super) fn level_16(level: f32) -> u16 {
    (CAMERA_OFFSET + CAMERA_GAIN * level + 0.5) as u16
}

/// Adds haze to one line, lights it unevenly and turns it into grey levels without noise.
fn camera_line(view: &View<'_>, row: f32, light: &mut [f32], haze: &[f32], coarse: usize) {
    let batch = view.batch;
    let (gain, offset) = (batch.gain[view.channel], batch.offset[view.channel]);
    let [slope_x, slope_y, corners] = batch.illumination;
    let step = 1.0 / light.len() as f32;
    let hy = (row * coarse as f32 - 0.5).clamp(0.0, coarse as f32 - 1.0);
    let (hy, fy) = (hy as usize, hy - hy.floor());
    let (above, below) = (&haze[hy * coarse..][..coarse], &haze[(hy + 1).min(coarse - 1) * coarse..][..coarse]);
    for (x, light) in light.iter_mut().enumerate() {
        let x = x as f32 * step;
        let hx = (x * coarse as f32 - 0.5).clamp(0.0, coarse as f32 - 1.0);
        let i = hx as i32;
        let (i, fx) = (i as usize, hx - i as f32);
        let j = (i + 1).min(coarse - 1);
        let top = above[i] + (above[j] - above[i]) * fx;
        let bottom = below[i] + (below[j] - below[i]) * fx;
        let haze = top + (bottom - top) * fy;
        let (cx, cy) = (x - 0.5, row - 0.5);
        let field = 1.0 + slope_x * cx + slope_y * cy - corners.abs() * 2.0 * (cx * cx + cy * cy);
        *light = (*light * (1.0 - batch.haze) + haze * batch.haze) * gain * field + offset;
    }
}

/// A heavily blurred copy of the plane on a coarse grid, whose side it returns.
fn haze(plane: &[f32], side: usize, haze: &mut Vec<f32>) -> usize {
    let coarse = side.div_ceil(HAZE);
    haze.clear();
    haze.resize(coarse * coarse, 0.0);
    for (y, line) in plane.chunks_exact(side).enumerate() {
        let rows = HAZE.min(side - y / HAZE * HAZE);
        let row = &mut haze[y / HAZE * coarse..][..coarse];
        for (cell, group) in row.iter_mut().zip(line.chunks(HAZE)) {
            *cell += group.iter().sum::<f32>() / (group.len() * rows) as f32;
        }
    }
    let mut blurred = vec![0.0; coarse * coarse];
    for (step, next) in [(1, coarse), (coarse, 1)] {
        for start in (0..coarse).map(|i| i * next) {
            let at = |i: usize| haze[start + i.min(coarse - 1) * step];
            for i in 0..coarse {
                blurred[start + i * step] = 0.25 * at(i.saturating_sub(1)) + 0.5 * at(i) + 0.25 * at(i + 1);
            }
        }
        haze.copy_from_slice(&blurred);
    }
    coarse
}

/// A Gaussian of five taps along x, then y; the rim repeats.
fn blur(plane: &mut [f32], side: usize, sigma: f32, buffer: &mut Vec<f32>) {
    let tap = |d: f32| (-d * d / (2.0 * sigma * sigma).max(1e-3)).exp();
    let (one, two) = (tap(1.0), tap(2.0));
    let sum = 1.0 + 2.0 * (one + two);
    let [k0, k1, k2] = [1.0 / sum, one / sum, two / sum];
    buffer.clear();
    buffer.resize(side * side, 0.0);
    let mut padded = vec![0.0; side + 4];
    for (line, out) in plane.chunks_exact(side).zip(buffer.chunks_exact_mut(side)) {
        padded[2..side + 2].copy_from_slice(line);
        padded[..2].fill(line[0]);
        padded[side + 2..].fill(line[side - 1]);
        for (out, w) in out.iter_mut().zip(padded.windows(5)) {
            *out = k0 * w[2] + k1 * (w[1] + w[3]) + k2 * (w[0] + w[4]);
        }
    }
    for (y, out) in plane.chunks_exact_mut(side).enumerate() {
        let line = |d: usize| &buffer[(y + d).saturating_sub(2).min(side - 1) * side..][..side];
        let (a, b, c, d, e) = (line(0), line(1), line(2), line(3), line(4));
        for (x, out) in out.iter_mut().enumerate() {
            *out = k0 * c[x] + k1 * (b[x] + d[x]) + k2 * (a[x] + e[x]);
        }
    }
}

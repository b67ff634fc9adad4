//! Augmentation of a batch on the device: noise on raw values, then, on normalised ones, intensity, geometry and
//! CutMix. All parameters come from outside; nothing is read back from the device.

use tch::{Device, Kind, Tensor};

use crate::device::transfer::upload;
use cellshard::error::{Error, Result};

use super::params::AugmentParams;

/// A CutMix of a batch: whose boxes were put in, and how much of each image is still its own.
pub struct Mixed {
    /// `[N] i64`, positions in the batch.
    pub partner: Tensor,
    /// `[N] f32`, share of pixels.
    pub own: Tensor,
}

impl Mixed {
    /// What is so of each image's own label, `[N]`, and of its partner's, each by its share of the pixels.
    pub fn of_both(&self, of_own: &Tensor, of_partner: &Tensor) -> Tensor {
        of_partner + &self.own * (of_own - of_partner)
    }
}

/// Sets a share of pixels of `[N, C, H, W]` grey levels in float32 to the darkest or the brightest level of their channel,
/// `ends` `[2, C]`, in equal parts. Which ones follows from the site's seed and the pixel's place: a hash of both, computed on the device.
pub fn salt_and_pepper(images: &Tensor, params: &[AugmentParams], share: f64, ends: &Tensor) -> Tensor {
    let device = images.device();
    let shape = images.size();
    let n_values: i64 = shape[1..].iter().product();
    let seeds: Vec<i32> = params.iter().map(|params| params.noise_seed).collect();
    let seeds = upload(&seeds, &[-1, 1], device);
    let mut hash = Tensor::arange(n_values, (Kind::Int, device)).view([1, -1]).bitwise_xor_tensor(&seeds);
    // Rounds of multiplying and folding (the constants are those of MurmurHash3's finaliser and the golden ratio), in
    // 32 bits that wrap; the mask after a shift takes away the copies of the sign.
    for (factor, shift) in [(-1_640_531_527_i64, 15_i64), (-2_048_144_789, 13), (-1_028_477_387, 16)] {
        let _ = hash.g_mul_scalar_(factor);
        let mut folded = hash.bitwise_right_shift_tensor_scalar(shift);
        let _ = folded.bitwise_and_((1_i64 << (32 - shift)) - 1);
        let _ = hash.bitwise_xor_tensor_(&folded);
    }
    let level = hash.bitwise_and_(0x7fff_ffff_i64).view(shape.as_slice());
    let half = (share / 2.0 * f64::from(i32::MAX)) as i64;
    let pepper = level.lt(half);
    let salt = level.ge(i64::from(i32::MAX) - half);
    let [dark, bright] = [0, 1].map(|end| ends.get(end).view([1, -1, 1, 1]));
    bright.where_self(&salt, &dark.where_self(&pepper, images))
}

/// Gain and offset of each channel of each image, by which normalised values are multiplied and shifted, both
/// `[N, C, 1, 1]`.
///
/// # Panics
/// If there are no parameters.
pub fn intensity(params: &[AugmentParams], device: Device) -> (Tensor, Tensor) {
    let n_channels = params[0].gain.len() as i64;
    let flat =
        |of: fn(&AugmentParams) -> &Vec<f32>| params.iter().flat_map(|params| of(params).clone()).collect::<Vec<_>>();
    let both = [flat(|params| &params.gain), flat(|params| &params.offset)].concat();
    let both = upload(&both, &[2, -1, n_channels, 1, 1], device);
    (both.get(0), both.get(1))
}

/// How pixels between pixels come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// From the four around.
    Bilinear,
    /// From the nearest: exact where all steps are flips, quarter turns and crops.
    Nearest,
}

/// Takes `[N, C, H, W]` to `[N, C, h, w]` by each site's homography, in one step. What comes from outside is 0.
pub fn warp(images: &Tensor, params: &[AugmentParams], window: [u32; 2], sampling: Sampling) -> Tensor {
    let device = images.device();
    let [_, _, height, width] = images.size()[..] else { unreachable!("images are [N, C, H, W]") };
    let [h, w] = window.map(i64::from);
    // grid_sampler counts from -1 at the left edge of the first pixel to 1 at the right edge of the last.
    let units = [2.0 / width as f64, 2.0 / height as f64, 1.0];
    let rows = params.iter().flat_map(|params| params.homography.into_iter().zip(units));
    let matrices: Vec<f32> = rows.flat_map(|(row, unit)| row.map(|value| (value * unit) as f32)).collect();
    let matrices = upload(&matrices, &[-1, 1, 1, 3, 3], device);
    let options = (Kind::Float, device);
    // Middles of the result's pixels, from its own middle.
    let x = (Tensor::arange(w, options) - (w - 1) as f64 / 2.0).view([1, 1, w, 1]);
    let y = (Tensor::arange(h, options) - (h - 1) as f64 / 2.0).view([1, h, 1, 1]);
    // Value by value: a matrix product may be rounded to TF32 on CUDA, which is a tenth of a pixel at 512. What hangs
    // on x and what hangs on y are small; only their sum is as large as the result.
    let rows = |first: i64, n: i64| {
        let factor = |k: i64| matrices.narrow(3, first, n).select(4, k);
        factor(0) * &x + (factor(1) * &y + factor(2)) // [N, h, w, n]
    };
    let mut grid = rows(0, 2);
    // Without perspective the depth is exactly 1 everywhere.
    if params.iter().any(|params| params.homography[2] != [0.0, 0.0, 1.0]) {
        grid = grid.g_div_(&rows(2, 1));
    }
    images.grid_sampler(&grid, i64::from(sampling == Sampling::Nearest), 0, false)
}

/// Puts boxes of other images of the batch into those that are to get one; `None` where none is. `[N, C, H, W]`.
#[must_use]
pub fn cutmix(images: &Tensor, params: &[AugmentParams]) -> Option<(Tensor, Mixed)> {
    let n = params.len();
    if n < 2 || params.iter().all(|params| params.cut.is_none()) {
        return None;
    }
    let device = images.device();
    let [.., height, width] = images.size()[..] else { unreachable!("images are [N, C, H, W]") };
    let mut values = Vec::with_capacity(5 * n);
    let mut own = Vec::with_capacity(n);
    for params in params {
        let [x0, y0, x1, y1] = params.cut.unwrap_or_default();
        let x = [x0, x1].map(|x| (x * width as f64).round());
        let y = [y0, y1].map(|y| (y * height as f64).round());
        values.extend([x[0], y[0], x[1], y[1]].map(|value| value as f32));
        own.push((1.0 - (x[1] - x[0]) * (y[1] - y[0]) / (width * height) as f64) as f32);
    }
    values.extend(own);
    let values = upload(&values, &[-1], device);
    let edges = values.narrow(0, 0, 4 * n as i64).view([n as i64, 4, 1, 1, 1]);
    let edge = |i: i64| edges.narrow(1, i, 1).squeeze_dim(1);
    let x = Tensor::arange(width, (Kind::Float, device)).view([1, 1, 1, width]);
    let y = Tensor::arange(height, (Kind::Float, device)).view([1, 1, height, 1]);
    let inside_x = x.ge_tensor(&edge(0)).logical_and(&x.lt_tensor(&edge(2)));
    let inside = inside_x.logical_and(&y.ge_tensor(&edge(1)).logical_and(&y.lt_tensor(&edge(3))));
    // Batches are in random order, so that the next site is a random one.
    let mixed = images.roll([-1_i64], [0_i64]).where_self(&inside, images);
    let partner = (Tensor::arange(n as i64, (Kind::Int64, device)) + 1).remainder(n as i64);
    Some((mixed, Mixed { partner, own: values.narrow(0, 4 * n as i64, n as i64) }))
}

/// One of the eight symmetries of the square, by its number: 0 nothing, 1 left-right, 2 up-down, 3 both, and from 4 on
/// the same after a transposition.
///
/// # Errors
/// If images that are not square are to be transposed.
///
/// # Panics
/// If there is no symmetry `k`.
pub fn dihedral(images: &Tensor, k: usize) -> Result<Tensor> {
    assert!(k < 8, "the square has eight symmetries");
    let [.., height, width] = images.size()[..] else { unreachable!("images are [N, C, H, W]") };
    if k >= 4 && height != width {
        return Err(Error::refused("--tta", "at most 4 for images that are not square", format!("{height} x {width}")));
    }
    let turned = if k >= 4 { images.transpose(2, 3) } else { images.shallow_clone() };
    let sides: Vec<i64> =
        [(k & 1, 3), (k & 2, 2)].into_iter().filter(|(bit, _)| *bit != 0).map(|(_, side)| side).collect();
    Ok(if sides.is_empty() { turned } else { turned.flip(&sides[..]) })
}

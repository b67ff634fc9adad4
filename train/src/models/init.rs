//! What tensors hold before training. Every value follows from a seed, the tensor's name and its place in the tensor:
//! neither the device, nor the number of threads, nor other random numbers have a part in it. Never touches libtorch's
//! generators.

use rand::Rng;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tch::TchError;

use super::spec::Outcome;

/// Values that share a generator, so that threads can draw one large tensor together.
const CHUNK: usize = 1 << 16;

/// The distribution of the values of one tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Init {
    /// One value throughout.
    Constant(f64),
    /// Uniform in `-bound..bound`.
    Uniform(f64),
    /// Normal around 0, with this standard deviation.
    Normal(f64),
}

/// The rules of a family of networks, as torchvision has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// What PyTorch gives a layer that nobody initialises: uniform within `1 / sqrt(fan in)`, biases too.
    Plain,
    /// Convolutions normal by fan out, the rest plain.
    ResNet,
    /// Convolutions normal by fan in, linear layers plain, but their biases 0.
    DenseNet,
    /// Convolutions normal by fan out, linear weights normal with 0.01, biases 0.
    Vgg,
}

impl Scheme {
    /// Of the weight of a convolution. The factor 2 is He's for networks with `ReLU`.
    pub(super) fn conv(self, fan_in: f64, fan_out: f64) -> Init {
        match self {
            Self::Plain => Init::Uniform(1.0 / fan_in.sqrt()),
            Self::ResNet | Self::Vgg => Init::Normal((2.0 / fan_out).sqrt()),
            Self::DenseNet => Init::Normal((2.0 / fan_in).sqrt()),
        }
    }

    /// Of the weight and the bias of a linear layer.
    pub(super) fn linear(self, fan_in: f64) -> (Init, Init) {
        let plain = Init::Uniform(1.0 / fan_in.sqrt());
        match self {
            Self::Plain | Self::ResNet => (plain, plain),
            Self::DenseNet => (plain, Init::Constant(0.0)),
            Self::Vgg => (Init::Normal(0.01), Init::Constant(0.0)),
        }
    }
}

/// `n` values for the tensor `name`, in row-major order. float32, whatever the network computes with, so that a network
/// in float64 starts from the same numbers.
pub(super) fn draw(init: Init, seed: u64, name: &str, n: usize) -> Outcome<Vec<f32>> {
    let mut values = Vec::new();
    let reserved = values.try_reserve_exact(n);
    reserved.map_err(|_| TchError::Torch(format!("not enough memory for {n} values of {name}")))?;
    values.resize(n, 0.0);
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(index, chunk)| {
        let mut dice = generator(seed, name, index as u64);
        match init {
            Init::Constant(value) => chunk.fill(value as f32),
            Init::Uniform(bound) => chunk.fill_with(|| (bound * (2.0 * unit(&mut dice) - 1.0)) as f32),
            // Box and Muller: two uniform numbers give two normal ones.
            Init::Normal(deviation) => chunk.chunks_mut(2).for_each(|pair| {
                let radius = deviation * (-2.0 * unit(&mut dice).ln()).sqrt();
                let (sine, cosine) = (std::f64::consts::TAU * unit(&mut dice)).sin_cos();
                for (value, part) in pair.iter_mut().zip([cosine, sine]) {
                    *value = (radius * part) as f32;
                }
            }),
        }
    });
    Ok(values)
}

fn generator(seed: u64, name: &str, chunk: u64) -> Pcg64Mcg {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(chunk.to_le_bytes()).chain_update(name);
    let state = hash.finalize().iter().take(16).fold(0u128, |state, &byte| state << 8 | u128::from(byte));
    Pcg64Mcg::new(state)
}

/// Uniform above 0, up to 1: its logarithm is finite.
fn unit(dice: &mut Pcg64Mcg) -> f64 {
    ((dice.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (mean, (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    #[test]
    fn distributions_have_their_moments() {
        let n = 200_001;
        for (init, expected) in [(Init::Normal(0.5), 0.5), (Init::Uniform(0.3), 0.3 / 3f64.sqrt())] {
            let (mean, deviation) = moments(&draw(init, 1, "fc.weight", n).unwrap());
            assert!(mean.abs() < 5.0 * expected / (n as f64).sqrt(), "{init:?}: mean {mean}");
            assert!((deviation / expected - 1.0).abs() < 0.01, "{init:?}: deviation {deviation}");
        }
        let uniform = draw(Init::Uniform(0.3), 1, "fc.weight", n).unwrap();
        assert!(uniform.iter().all(|v| v.abs() <= 0.3) && uniform.iter().any(|v| v.abs() > 0.2999));
        assert!(draw(Init::Constant(1.0), 1, "fc.weight", 3).unwrap() == [1.0; 3]);
    }

    #[test]
    fn values_differ_by_seed_name_and_chunk() {
        let of = |seed, name| draw(Init::Normal(1.0), seed, name, 2 * CHUNK).unwrap();
        let one = of(1, "conv1.weight");
        assert!(one == of(1, "conv1.weight"));
        assert!(one != of(2, "conv1.weight") && one != of(1, "conv2.weight"));
        assert!(one[..CHUNK] != one[CHUNK..]);
    }
}

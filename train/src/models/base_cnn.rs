//! The small network of our own, `base-cnn`: two convolutions and two linear layers, no bias anywhere.
//!
//! `conv1` 7 x 7, stride 2, C to 16 channels; `conv2` 7 x 7, stride 2, 16 to 64; each padded by 3, rectified, and
//! pooled to the maximum of 2 x 2. `fc1` to 2216, rectified; `fc2` to the classes. Each of the four halvings rounds as
//! its layer does, so that `fc1` has 64 * 32 * 32 = 65536 inputs at 512 x 512; unlike the other networks, this one can
//! only take images of the size that it was made for.

use tch::Tensor;

use cellshard::site::ImageSize;

use super::layers::{Bias, Builder, Conv, ConvShape, Linear, Parts, max_pool_2};
use super::spec::{Body, NetworkSpec, Outcome, Pass};

const MAPS: i64 = 64;
/// Outputs of `fc1`.
const WIDTH: i64 = 2216;

#[derive(Debug)]
struct BaseCnn {
    convs: [Conv; 2],
    linear: Linear,
}

/// The number of inputs of `fc1`.
pub(super) fn fc1_inputs(size: ImageSize) -> i64 {
    let halve_twice = |side: i64| (side + 1) / 2 / 2;
    let side = |side: u32| halve_twice(halve_twice(i64::from(side)));
    MAPS * side(size.height) * side(size.width)
}

/// The number of weights of `fc1`, by far the largest tensor.
pub(super) fn fc1_weights(size: ImageSize) -> i64 {
    fc1_inputs(size) * WIDTH
}

pub(super) fn build(builder: &mut Builder, spec: &NetworkSpec) -> Outcome<Parts> {
    let convs = [
        builder.conv("conv1", ConvShape::same(spec.channels(), 16, 7).stride(2))?,
        builder.conv("conv2", ConvShape::same(16, MAPS, 7).stride(2))?,
    ];
    let linear = builder.linear("fc1", fc1_inputs(spec.size), WIDTH, Bias::Without)?;
    let classifier = builder.linear("fc2", WIDTH, spec.classes(), Bias::Without)?;
    Ok(Parts { body: Box::new(BaseCnn { convs, linear }), classifier, first_conv: "conv1", classifier_name: "fc2" })
}

impl Body for BaseCnn {
    fn embed(&self, x: &Tensor, _pass: Pass) -> Outcome {
        let mut x = x.shallow_clone();
        for conv in &self.convs {
            x = max_pool_2(&conv.forward(&x)?.f_relu()?)?;
        }
        self.linear.forward(&x.f_flatten(1, -1)?)?.f_relu()
    }
}

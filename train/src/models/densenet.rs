//! `DenseNet` as torchvision builds it, without its dropout, which torchvision leaves at 0.

use tch::Tensor;

use super::layers::{BatchNorm, Bias, Builder, Conv, ConvShape, Parts, global_mean, max_pool_3_stride_2};
use super::spec::{Body, Mode, NetworkSpec, Outcome, Pass};

/// The width of a layer's 1 x 1 convolution, in growth rates.
const BOTTLENECK: i64 = 4;

/// What tells one `DenseNet` from another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Channels that each layer adds.
    pub(super) growth: i64,
    /// Layers of each block.
    pub(super) layers: [usize; 4],
    /// Channels after the first convolution.
    pub(super) stem: i64,
}

#[derive(Debug)]
struct DenseNet {
    stem: (Conv, BatchNorm),
    stages: Vec<Stage>,
    last: BatchNorm,
}

#[derive(Debug)]
struct Stage {
    layers: Vec<[(BatchNorm, Conv); 2]>,
    transition: Option<(BatchNorm, Conv)>,
}

pub(super) fn build(builder: &mut Builder, spec: &NetworkSpec, shape: Shape) -> Outcome<Parts> {
    let first = ConvShape::same(spec.channels(), shape.stem, 7).stride(2);
    let stem = (builder.conv("features.conv0", first)?, builder.batch_norm("features.norm0", shape.stem)?);
    let mut stages = Vec::new();
    let mut channels = shape.stem;
    for (n_layers, number) in shape.layers.into_iter().zip(1..) {
        let mut layers = Vec::new();
        for index in 1..=n_layers {
            let name = format!("features.denseblock{number}.denselayer{index}");
            let width = BOTTLENECK * shape.growth;
            layers.push([
                normed(builder, &name, "1", ConvShape::same(channels, width, 1))?,
                normed(builder, &name, "2", ConvShape::same(width, shape.growth, 3))?,
            ]);
            channels += shape.growth;
        }
        let transition = if number < shape.layers.len() {
            let halved = ConvShape::same(channels, channels / 2, 1);
            channels /= 2;
            Some(normed(builder, &format!("features.transition{number}"), "", halved)?)
        } else {
            None
        };
        stages.push(Stage { layers, transition });
    }
    let last = builder.batch_norm("features.norm5", channels)?;
    let classifier = builder.linear("classifier", channels, spec.classes(), Bias::With)?;
    let body = Box::new(DenseNet { stem, stages, last });
    Ok(Parts { body, classifier, first_conv: "features.conv0", classifier_name: "classifier" })
}

/// A batch norm and the convolution after it.
fn normed(builder: &mut Builder, name: &str, number: &str, shape: ConvShape) -> Outcome<(BatchNorm, Conv)> {
    let norm = builder.batch_norm(&format!("{name}.norm{number}"), shape.inputs)?;
    Ok((norm, builder.conv(&format!("{name}.conv{number}"), shape)?))
}

fn forward_normed((norm, conv): &(BatchNorm, Conv), x: &Tensor, mode: Mode) -> Outcome {
    conv.forward(&norm.forward(x, mode)?.f_relu()?)
}

impl Stage {
    fn forward(&self, x: Tensor, mode: Mode) -> Outcome {
        let mut maps = vec![x];
        for [narrow, wide] in &self.layers {
            let all = Tensor::f_cat(&maps, 1)?;
            maps.push(forward_normed(wide, &forward_normed(narrow, &all, mode)?, mode)?);
        }
        let all = Tensor::f_cat(&maps, 1)?;
        match &self.transition {
            Some(normed) => {
                forward_normed(normed, &all, mode)?.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)
            }
            None => Ok(all),
        }
    }
}

impl Body for DenseNet {
    fn embed(&self, x: &Tensor, pass: Pass) -> Outcome {
        let (conv, norm) = &self.stem;
        let x = norm.forward(&conv.forward(x)?, pass.mode)?.f_relu()?;
        let mut x = max_pool_3_stride_2(&x)?;
        for stage in &self.stages {
            x = stage.forward(x, pass.mode)?;
        }
        global_mean(&self.last.forward(&x, pass.mode)?.f_relu()?)
    }
}

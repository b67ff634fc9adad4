//! VGG with 16 layers as torchvision builds it, with and without batch norm.

use tch::Tensor;

use super::layers::{BatchNorm, Bias, Builder, Conv, ConvShape, Linear, Parts, max_pool_2};
use super::spec::{Body, Mode, NetworkSpec, Outcome, Pass};

/// Channels of the convolutions between two poolings.
const STAGES: [&[i64]; 5] = [&[64, 64], &[128, 128], &[256; 3], &[512; 3], &[512; 3]];
/// Inputs of the first linear layer: 512 channels, pooled to 7 x 7.
const POOLED: i64 = 7;
const WIDTH: i64 = 4096;

/// Whether each convolution is followed by a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Norm {
    With,
    Without,
}

#[derive(Debug)]
struct Vgg {
    stages: Vec<Vec<(Conv, Option<BatchNorm>)>>,
    linears: [Linear; 2],
}

pub(super) fn build(builder: &mut Builder, spec: &NetworkSpec, norm: Norm) -> Outcome<Parts> {
    let mut stages = Vec::new();
    let mut channels = spec.channels();
    // torchvision numbers everything in `features`, the poolings and rectifiers too.
    let mut number = 0;
    for widths in STAGES {
        let mut stage = Vec::new();
        for &width in widths {
            let conv = builder.conv(&format!("features.{number}"), ConvShape::same(channels, width, 3).biased())?;
            let norm = match norm {
                Norm::With => Some(builder.batch_norm(&format!("features.{}", number + 1), width)?),
                Norm::Without => None,
            };
            number += if norm.is_some() { 3 } else { 2 };
            channels = width;
            stage.push((conv, norm));
        }
        number += 1;
        stages.push(stage);
    }
    let linears = [
        builder.linear("classifier.0", channels * POOLED * POOLED, WIDTH, Bias::With)?,
        builder.linear("classifier.3", WIDTH, WIDTH, Bias::With)?,
    ];
    let classifier = builder.linear("classifier.6", WIDTH, spec.classes(), Bias::With)?;
    let body = Box::new(Vgg { stages, linears });
    Ok(Parts { body, classifier, first_conv: "features.0", classifier_name: "classifier.6" })
}

impl Body for Vgg {
    fn embed(&self, x: &Tensor, pass: Pass) -> Outcome {
        let mut x = x.shallow_clone();
        for stage in &self.stages {
            for (conv, norm) in stage {
                x = conv.forward(&x)?;
                if let Some(norm) = norm {
                    x = norm.forward(&x, pass.mode)?;
                }
                x = x.f_relu()?;
            }
            x = max_pool_2(&x)?;
        }
        x = x.f_adaptive_avg_pool2d([POOLED, POOLED])?.f_flatten(1, -1)?;
        for linear in &self.linears {
            x = linear.forward(&x)?.f_relu()?.f_dropout(pass.dropout, pass.mode == Mode::Train)?;
        }
        Ok(x)
    }
}

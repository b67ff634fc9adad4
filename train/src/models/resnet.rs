//! `ResNet` as torchvision builds it: the stride of a bottleneck is in its 3 x 3 convolution ("v1.5").

use tch::Tensor;

use super::layers::{BatchNorm, Bias, Builder, Conv, ConvShape, Parts, global_mean, max_pool_3_stride_2};
use super::spec::{Body, Mode, NetworkSpec, Outcome, Pass};

/// Which kind of block a network repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// Two convolutions of 3 x 3.
    Basic,
    /// 1 x 1, 3 x 3, 1 x 1; the last one widens fourfold.
    Bottleneck,
}

#[derive(Debug)]
struct ResNet {
    stem: (Conv, BatchNorm),
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    path: Vec<(Conv, BatchNorm)>,
    downsample: Option<(Conv, BatchNorm)>,
}

pub(super) fn build(builder: &mut Builder, spec: &NetworkSpec, kind: BlockKind, repeats: [usize; 4]) -> Outcome<Parts> {
    let stem = ConvShape::same(spec.channels(), 64, 7).stride(2);
    let stem = (builder.conv("conv1", stem)?, builder.batch_norm("bn1", 64)?);
    let mut blocks = Vec::new();
    let mut channels = 64;
    for (stage, repeat) in repeats.into_iter().enumerate() {
        let width = 64 << stage;
        for index in 0..repeat {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let (block, outputs) =
                block(builder, &format!("layer{}.{index}", stage + 1), kind, channels, width, stride)?;
            blocks.push(block);
            channels = outputs;
        }
    }
    let classifier = builder.linear("fc", channels, spec.classes(), Bias::With)?;
    Ok(Parts { body: Box::new(ResNet { stem, blocks }), classifier, first_conv: "conv1", classifier_name: "fc" })
}

/// A block and its number of outputs.
fn block(
    builder: &mut Builder,
    name: &str,
    kind: BlockKind,
    inputs: i64,
    width: i64,
    stride: i64,
) -> Outcome<(Block, i64)> {
    let shapes = match kind {
        BlockKind::Basic => vec![ConvShape::same(inputs, width, 3).stride(stride), ConvShape::same(width, width, 3)],
        BlockKind::Bottleneck => vec![
            ConvShape::same(inputs, width, 1),
            ConvShape::same(width, width, 3).stride(stride),
            ConvShape::same(width, 4 * width, 1),
        ],
    };
    let outputs = if kind == BlockKind::Basic { width } else { 4 * width };
    let mut path = Vec::new();
    for (shape, number) in shapes.into_iter().zip(1..) {
        let conv = builder.conv(&format!("{name}.conv{number}"), shape)?;
        path.push((conv, builder.batch_norm(&format!("{name}.bn{number}"), shape.outputs)?));
    }
    let downsample = if stride != 1 || inputs != outputs {
        let shape = ConvShape::same(inputs, outputs, 1).stride(stride);
        let conv = builder.conv(&format!("{name}.downsample.0"), shape)?;
        Some((conv, builder.batch_norm(&format!("{name}.downsample.1"), outputs)?))
    } else {
        None
    };
    Ok((Block { path, downsample }, outputs))
}

impl Block {
    fn forward(&self, x: &Tensor, mode: Mode) -> Outcome {
        let mut out = x.shallow_clone();
        for (index, (conv, norm)) in self.path.iter().enumerate() {
            // The last one is rectified only after the shortcut is added.
            if index > 0 {
                out = out.f_relu()?;
            }
            out = norm.forward(&conv.forward(&out)?, mode)?;
        }
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(&conv.forward(x)?, mode)?,
            None => x.shallow_clone(),
        };
        out.f_add(&shortcut)?.f_relu()
    }
}

impl Body for ResNet {
    fn embed(&self, x: &Tensor, pass: Pass) -> Outcome {
        let (conv, norm) = &self.stem;
        let x = norm.forward(&conv.forward(x)?, pass.mode)?.f_relu()?;
        let mut x = max_pool_3_stride_2(&x)?;
        for block in &self.blocks {
            x = block.forward(&x, pass.mode)?;
        }
        global_mean(&x)
    }
}

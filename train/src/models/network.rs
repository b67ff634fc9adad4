//! A network with its weights: its shapes, its start values and the way through it. Knows neither files nor losses.

use tch::{Device, Kind, TchError, Tensor};

use cellshard::error::{Error, Result};
use cellshard::site::ImageSize;
use cellshard::training::recipe::Architecture;

use super::base_cnn;
use super::densenet::{self, Shape};
use super::format::MemoryFormat;
use super::init::Scheme;
use super::layers::{Builder, Linear, NamedTensor, Parts, Role};
use super::resnet::{self, BlockKind};
use super::spec::{Body, Mode, NetworkSpec, Outcome, Pass};
use super::vgg::{self, Norm};
use crate::libtorch::refused;

/// Weights of the first linear layer of `base-cnn`, which grow with the image: 8 GiB of float32.
const MOST_WEIGHTS: i64 = 1 << 31;

/// A network with its weights, on one device.
#[derive(Debug)]
pub struct Network {
    spec: NetworkSpec,
    kind: Kind,
    format: MemoryFormat,
    tensors: Vec<NamedTensor>,
    body: Box<dyn Body>,
    last: Linear,
    dropout: f64,
    first_conv: &'static str,
    classifier: &'static str,
}

impl Network {
    /// A network with torchvision's initialisation (PyTorch's own for `base-cnn`). The values follow from `seed` and
    /// the names of the tensors alone, so they are the same on every device; they are drawn as float32 and converted to
    /// `kind`, which is that of all tensors but `num_batches_tracked`.
    ///
    /// # Errors
    /// If `spec` asks for no channels, fewer than two classes, or images too small (or, for `base-cnn`, too large); if
    /// `kind` is not a floating-point one; if the device cannot hold it.
    pub fn new(spec: &NetworkSpec, seed: u64, kind: Kind, device: Device) -> Result<Self> {
        Self::in_format(spec, seed, kind, device, MemoryFormat::Contiguous)
    }

    /// The same with the weights of its convolutions in a memory format, which they keep when others are loaded into
    /// them. Names, shapes, values and files do not depend on it.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn in_format(spec: &NetworkSpec, seed: u64, kind: Kind, device: Device, format: MemoryFormat) -> Result<Self> {
        check(spec)?;
        if !matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) {
            let expected = "Float, Double, Half or BFloat16";
            return Err(Error::refused(format!("{}: kind", spec.architecture), expected, format!("{kind:?}")));
        }
        let scheme = scheme(spec.architecture);
        let mut builder = Builder { scheme, seed, kind, device, format, tensors: Vec::new() };
        let parts = build(&mut builder, spec).map_err(|error| libtorch(spec, &error))?;
        Ok(Self {
            spec: *spec,
            kind,
            format,
            tensors: builder.tensors,
            body: parts.body,
            last: parts.classifier,
            dropout: 0.5,
            first_conv: parts.first_conv,
            classifier: parts.classifier_name,
        })
    }

    /// Images `[N, C, H, W]` of any floating-point kind as this network computes with them fastest: in the memory
    /// format of its weights, and of its kind or, under autocast, of the kind that autocast would cast them to; in one
    /// pass.
    ///
    /// # Errors
    /// If they have another number of sides, or memory runs out.
    pub fn prepare(&self, images: &Tensor, autocast: Option<Kind>) -> Result<Tensor> {
        let prepared = self.format.arrange(images, autocast.unwrap_or(self.kind));
        prepared.map_err(|error| libtorch(&self.spec, &error))
    }

    /// Logits `[N, classes]` of images `[N, C, H, W]`, of the network's kind and on its device, in any memory format.
    /// In [`Mode::Train`], batch norm changes the buffers, and VGG's dropout draws from libtorch's generator.
    ///
    /// # Errors
    /// If the images do not fit the network, if memory runs out, or if in training a channel has a single value to
    /// take the variance of (a batch of one image that shrinks to one pixel).
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        self.embed(images, mode).and_then(|x| self.last.forward(&x)).map_err(|error| libtorch(&self.spec, &error))
    }

    /// Embeddings `[N, D]` of images: the input of the last linear layer, in [`Mode::Eval`] and without gradients.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn features(&self, images: &Tensor) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        self.embed(images, Mode::Eval).map_err(|error| libtorch(&self.spec, &error))
    }

    /// Logits `[N, classes]` of embeddings `[N, D]`.
    ///
    /// # Errors
    /// If they are not of this network.
    pub fn classify(&self, features: &Tensor) -> Result<Tensor> {
        self.last.forward(features).map_err(|error| libtorch(&self.spec, &error))
    }

    fn embed(&self, images: &Tensor, mode: Mode) -> Outcome {
        self.body.embed(images, Pass { mode, dropout: self.dropout })
    }

    /// D of [`Network::features`].
    #[must_use]
    pub fn embedding_dim(&self) -> usize {
        self.last.inputs() as usize
    }

    /// What the network was made for.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// What is trained, by name, in torchvision's order. All require gradients until the caller decides otherwise.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&str, &Tensor)> {
        self.named(|role| role == Role::Parameter)
    }

    /// Parameters and buffers by name, in the order of torchvision's `state_dict`.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&str, &Tensor)> {
        self.named(|_| true)
    }

    fn named(&self, wanted: impl Fn(Role) -> bool) -> Vec<(&str, &Tensor)> {
        let wanted = self.tensors.iter().filter(|named| wanted(named.role));
        wanted.map(|named| (named.name.as_str(), &named.tensor)).collect()
    }

    /// The name of the first convolution, whose tensors are this and `.weight` (and `.bias` in VGG).
    #[must_use]
    pub fn first_conv(&self) -> &'static str {
        self.first_conv
    }

    /// The name of the last linear layer, whose tensors are this and `.weight` (and `.bias` but in `base-cnn`).
    #[must_use]
    pub fn classifier(&self) -> &'static str {
        self.classifier
    }

    /// Sets the share of values that VGG's dropout zeroes in training (0.5 at first, as in torchvision); the other
    /// networks have none.
    ///
    /// # Errors
    /// If it is not within 0 to 1.
    pub fn set_dropout(&mut self, share: f64) -> Result<()> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::refused("dropout", "a share of 0 to 1", share));
        }
        self.dropout = share;
        Ok(())
    }
}

/// Refuses what no network can be made for.
fn check(spec: &NetworkSpec) -> Result<()> {
    let NetworkSpec { architecture, n_channels, n_classes, size } = *spec;
    let refuse = |what: &str, expected: String, found: String| {
        Err(Error::refused(format!("{architecture}: {what}"), expected, found))
    };
    if !(1..=NetworkSpec::MOST_CHANNELS).contains(&n_channels) {
        return refuse("channels", format!("1 to {}", NetworkSpec::MOST_CHANNELS), n_channels.to_string());
    }
    if !(2..=NetworkSpec::MOST_CLASSES).contains(&n_classes) {
        return refuse("classes", format!("2 to {}", NetworkSpec::MOST_CLASSES), n_classes.to_string());
    }
    let found = format!("{} x {}", size.height, size.width);
    let (smallest, largest) = (architecture.smallest_side(), ImageSize::MAX_SIDE);
    if [size.height, size.width].iter().any(|side| !(smallest..=largest).contains(side)) {
        return refuse("image size", format!("sides of {smallest} to {largest} pixels"), found);
    }
    if architecture == Architecture::BaseCnn && base_cnn::fc1_weights(size) > MOST_WEIGHTS {
        return refuse("image size", "one that leaves fc1 at most 2^31 weights (1920 x 1920)".into(), found);
    }
    Ok(())
}

fn scheme(architecture: Architecture) -> Scheme {
    use Architecture as A;
    match architecture {
        A::BaseCnn => Scheme::Plain,
        A::ResNet18 | A::ResNet34 | A::ResNet50 | A::ResNet101 | A::ResNet152 => Scheme::ResNet,
        A::DenseNet121 | A::DenseNet161 | A::DenseNet169 | A::DenseNet201 => Scheme::DenseNet,
        A::Vgg16 | A::Vgg16Bn => Scheme::Vgg,
    }
}

fn build(builder: &mut Builder, spec: &NetworkSpec) -> Outcome<Parts> {
    use Architecture as A;
    let mut resnet = |kind, repeats| resnet::build(builder, spec, kind, repeats);
    match spec.architecture {
        A::ResNet18 => resnet(BlockKind::Basic, [2, 2, 2, 2]),
        A::ResNet34 => resnet(BlockKind::Basic, [3, 4, 6, 3]),
        A::ResNet50 => resnet(BlockKind::Bottleneck, [3, 4, 6, 3]),
        A::ResNet101 => resnet(BlockKind::Bottleneck, [3, 4, 23, 3]),
        A::ResNet152 => resnet(BlockKind::Bottleneck, [3, 8, 36, 3]),
        A::DenseNet121 => densenet::build(builder, spec, Shape { growth: 32, layers: [6, 12, 24, 16], stem: 64 }),
        A::DenseNet161 => densenet::build(builder, spec, Shape { growth: 48, layers: [6, 12, 36, 24], stem: 96 }),
        A::DenseNet169 => densenet::build(builder, spec, Shape { growth: 32, layers: [6, 12, 32, 32], stem: 64 }),
        A::DenseNet201 => densenet::build(builder, spec, Shape { growth: 32, layers: [6, 12, 48, 32], stem: 64 }),
        A::Vgg16 => vgg::build(builder, spec, Norm::Without),
        A::Vgg16Bn => vgg::build(builder, spec, Norm::With),
        A::BaseCnn => base_cnn::build(builder, spec),
    }
}

/// Says in one line what libtorch refused.
fn libtorch(spec: &NetworkSpec, error: &TchError) -> Error {
    refused(spec.architecture.name(), "libtorch to compute it", &error.to_string())
}

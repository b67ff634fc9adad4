//! Convolution, batch normalisation and linear layer, and the list of their tensors under torchvision's names. Not
//! `tch::nn`: its store has no order, no `num_batches_tracked`, and starts the weight of a batch norm at random.

use tch::{Device, Kind, TchError, Tensor};

use super::format::MemoryFormat;
use super::init::{Init, Scheme, draw};
use super::spec::{Body, Mode, Outcome};

/// A network but for the list of its tensors.
pub(super) struct Parts {
    pub(super) body: Box<dyn Body>,
    pub(super) classifier: Linear,
    pub(super) first_conv: &'static str,
    pub(super) classifier_name: &'static str,
}

/// A tensor of a network.
#[derive(Debug)]
pub(super) struct NamedTensor {
    pub(super) name: String,
    pub(super) tensor: Tensor,
    pub(super) role: Role,
}

/// What a tensor is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Trained by gradients.
    Parameter,
    /// Kept up by batch norm.
    Buffer,
}

/// Whether a layer adds a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bias {
    With,
    Without,
}

/// The shape of a convolution; all are square.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvShape {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) kernel: i64,
    pub(super) stride: i64,
    pub(super) padding: i64,
    pub(super) bias: Bias,
}

impl ConvShape {
    /// Without bias, with stride 1, and padded such that the size stays.
    pub(super) fn same(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { inputs, outputs, kernel, stride: 1, padding: kernel / 2, bias: Bias::Without }
    }

    pub(super) fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    pub(super) fn biased(self) -> Self {
        Self { bias: Bias::With, ..self }
    }
}

/// Makes layers, and keeps their tensors in the order of torchvision's `state_dict`: that in which they are made.
pub(super) struct Builder {
    pub(super) scheme: Scheme,
    pub(super) seed: u64,
    pub(super) kind: Kind,
    pub(super) device: Device,
    /// Of the weights of convolutions.
    pub(super) format: MemoryFormat,
    pub(super) tensors: Vec<NamedTensor>,
}

impl Builder {
    pub(super) fn conv(&mut self, name: &str, shape: ConvShape) -> Outcome<Conv> {
        let area = (shape.kernel * shape.kernel) as f64;
        let init = self.scheme.conv(shape.inputs as f64 * area, shape.outputs as f64 * area);
        let size = [shape.outputs, shape.inputs, shape.kernel, shape.kernel];
        let weight = self.parameter(format!("{name}.weight"), &size, init)?;
        // Only VGG has biases here, and it starts them at 0.
        let bias = match shape.bias {
            Bias::With => Some(self.parameter(format!("{name}.bias"), &[shape.outputs], Init::Constant(0.0))?),
            Bias::Without => None,
        };
        Ok(Conv { weight, bias, stride: shape.stride, padding: shape.padding })
    }

    pub(super) fn batch_norm(&mut self, name: &str, channels: i64) -> Outcome<BatchNorm> {
        let (one, zero) = (Init::Constant(1.0), Init::Constant(0.0));
        Ok(BatchNorm {
            weight: self.parameter(format!("{name}.weight"), &[channels], one)?,
            bias: self.parameter(format!("{name}.bias"), &[channels], zero)?,
            running_mean: self.buffer(format!("{name}.running_mean"), &[channels], self.kind, zero)?,
            running_var: self.buffer(format!("{name}.running_var"), &[channels], self.kind, one)?,
            batches: self.buffer(format!("{name}.num_batches_tracked"), &[], Kind::Int64, zero)?,
        })
    }

    pub(super) fn linear(&mut self, name: &str, inputs: i64, outputs: i64, bias: Bias) -> Outcome<Linear> {
        let (init, bias_init) = self.scheme.linear(inputs as f64);
        let weight = self.parameter(format!("{name}.weight"), &[outputs, inputs], init)?;
        let bias = match bias {
            Bias::With => Some(self.parameter(format!("{name}.bias"), &[outputs], bias_init)?),
            Bias::Without => None,
        };
        Ok(Linear { weight, bias })
    }

    fn parameter(&mut self, name: String, size: &[i64], init: Init) -> Outcome {
        let tensor = self.drawn(&name, size, self.kind, init)?.f_set_requires_grad(true)?;
        Ok(self.keep(name, tensor, Role::Parameter))
    }

    fn buffer(&mut self, name: String, size: &[i64], kind: Kind, init: Init) -> Outcome {
        let tensor = self.drawn(&name, size, kind, init)?;
        Ok(self.keep(name, tensor, Role::Buffer))
    }

    fn drawn(&self, name: &str, size: &[i64], kind: Kind, init: Init) -> Outcome {
        let n: i64 = size.iter().product();
        let values = draw(init, self.seed, name, n as usize)?;
        let tensor = Tensor::f_from_slice(&values)?.f_reshape(size)?.f_to_kind(kind)?.f_to_device(self.device)?;
        if size.len() == 4 { self.format.arrange(&tensor, kind) } else { Ok(tensor) }
    }

    /// Lists a tensor; layer and list share it.
    fn keep(&mut self, name: String, tensor: Tensor, role: Role) -> Tensor {
        let shared = tensor.shallow_clone();
        self.tensors.push(NamedTensor { name, tensor, role });
        shared
    }
}

/// A convolution in two dimensions.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
}

impl Conv {
    pub(super) fn forward(&self, x: &Tensor) -> Outcome {
        x.f_conv2d(&self.weight, self.bias.as_ref(), [self.stride; 2], [self.padding; 2], [1, 1], 1)
    }
}

/// Batch normalisation over `[N, C, H, W]`.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
}

impl BatchNorm {
    /// PyTorch's defaults, which torchvision leaves as they are.
    const MOMENTUM: f64 = 0.1;
    const EPSILON: f64 = 1e-5;

    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Outcome {
        if mode == Mode::Train {
            let [n, _, height, width] = x.size4().map(|(n, c, h, w)| [n, c, h, w])?;
            // libtorch would divide by 0 for the variance, and leave NaN in the running one for good.
            if n * height * width < 2 {
                let message = "batch norm needs two values a channel in training: a larger image or batch";
                return Err(TchError::Shape(message.to_owned()));
            }
            let _ = self.batches.shallow_clone().f_add_scalar_(1)?;
        }
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            mode == Mode::Train,
            Self::MOMENTUM,
            Self::EPSILON,
            true,
        )
    }
}

/// `x` times the transposed weight, plus the bias.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// How many inputs an image has.
    pub(super) fn inputs(&self) -> i64 {
        self.weight.size()[1]
    }

    pub(super) fn forward(&self, x: &Tensor) -> Outcome {
        x.f_linear(&self.weight, self.bias.as_ref())
    }
}

/// Maximum over windows of 2 x 2.
pub(super) fn max_pool_2(x: &Tensor) -> Outcome {
    x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

/// Maximum over windows of 3 x 3, every second one.
pub(super) fn max_pool_3_stride_2(x: &Tensor) -> Outcome {
    x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)
}

/// The mean of each channel: `[N, C]`. Flattened rather than viewed, as the input may be in channels-last order.
pub(super) fn global_mean(x: &Tensor) -> Outcome {
    x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)
}

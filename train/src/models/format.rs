//! In which order the values of images and convolutions lie in memory. Changes no value.

use tch::{Device, Kind, TchError, Tensor};

/// The order in which the values of a `[N, C, H, W]` tensor lie in memory. The shape is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryFormat {
    /// Plane by plane, as they come from a store.
    #[default]
    Contiguous,
    /// Pixel by pixel, all channels of one together: what the tensor cores of a GPU take without turning it round.
    ChannelsLast,
}

impl MemoryFormat {
    /// What a device computes fastest with.
    #[must_use]
    pub fn of(device: Device) -> Self {
        if device.is_cuda() { Self::ChannelsLast } else { Self::Contiguous }
    }

    /// A tensor `[N, C, H, W]` of this kind in this format, in one pass. Under [`MemoryFormat::Contiguous`] only the
    /// kind is looked at: what is a view stays one.
    pub(super) fn arrange(self, tensor: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        match self {
            Self::Contiguous => tensor.f_to_kind(kind),
            Self::ChannelsLast => {
                let (n, c, h, w) = tensor.size4()?;
                let turned = Tensor::f_empty([n, h, w, c], (kind, tensor.device()))?;
                let mut arranged = turned.f_permute([0, 3, 1, 2])?;
                arranged.f_copy_(tensor)?;
                Ok(arranged)
            }
        }
    }
}

//! Numbers on their way to a device and back, by way of pinned memory, so that nobody waits for them who does not want
//! to. On the CPU they are where they are needed from the start.

use tch::kind::Element;
use tch::{Device, Kind, Tensor};

use cellshard::error::{Error, Result};

use crate::libtorch::raise;

use super::ffi::{Event, Stream, pinned_like, within_reach};

/// Queues a copy of numbers of the host into a contiguous tensor of the same kind and as many values.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn copy_numbers<T: Element>(values: &[T], to: &Tensor, stream: Stream) -> Result<()> {
    stream.copy(to, &within_reach(Tensor::from_slice(values).view(to.size().as_slice()), to.device())?)
}

/// Numbers of the host as a tensor of a device; this thread does not wait for the copy.
///
/// # Panics
/// If memory runs out, as with tch's own ways to make a tensor; [`crate::libtorch::caught`] makes an error of it.
pub(crate) fn upload<T: Element>(values: &[T], shape: &[i64], device: Device) -> Tensor {
    let values = Tensor::from_slice(values).view(shape);
    match within_reach(values, device) {
        Ok(values) => values.to_device_(device, T::KIND, true, false),
        Err(error) => raise(error),
    }
}

/// Tensors on their way from a device to the host.
#[derive(Debug)]
pub(crate) struct Readback {
    /// Read by nobody before `come`.
    host: Vec<Tensor>,
    come: Event,
}

impl Readback {
    /// Starts to copy tensors to the host as float32; this thread does not wait.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn start(tensors: &[&Tensor], device: Device) -> Result<Self> {
        let stream = Stream::current(device);
        let mut host = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let values = tensor.detach().to_kind(Kind::Float).contiguous();
            if device.is_cuda() {
                let pinned = pinned_like(&values)?;
                stream.copy(&pinned, &values)?;
                host.push(pinned);
            } else {
                host.push(values);
            }
        }
        let mut come = Event::new(device)?;
        come.record(stream)?;
        Ok(Self { host, come })
    }

    /// Whether they have arrived.
    ///
    /// # Errors
    /// If the GPU reports that something failed before.
    pub(crate) fn has_come(&self) -> Result<bool> {
        self.come.has_come()
    }

    /// The tensors in main memory, once they have arrived.
    ///
    /// # Errors
    /// As [`Readback::has_come`].
    pub(crate) fn wait(self) -> Result<Vec<Tensor>> {
        self.come.wait()?;
        Ok(self.host)
    }
}

/// The values of a tensor in main memory, in row-major order.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.to_kind(Kind::Float).contiguous().view(-1);
    Vec::<f32>::try_from(flat).map_err(|e| Error::refused("a tensor", "numbers", e))
}

/// A `[N, K]` tensor in main memory as N rows of numbers.
pub(crate) fn rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>> {
    let k = usize::try_from(tensor.size()[1]).unwrap_or(1).max(1);
    Ok(numbers(tensor)?.chunks(k).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_device_and_back_as_they_are() {
        let values = [1.5_f32, -2.0, 3.25, 0.0];
        let there = upload(&values, &[2, 2], Device::Cpu);
        assert_eq!(there.size(), [2, 2]);
        let counts = Tensor::zeros([3], (Kind::Int64, Device::Cpu));
        copy_numbers(&[1_i64, 2, 3], &counts, Stream::current(Device::Cpu)).unwrap();
        let back = Readback::start(&[&there, &counts], Device::Cpu).unwrap();
        assert!(back.has_come().unwrap());
        let back = back.wait().unwrap();
        assert_eq!(Vec::<f32>::try_from(back[0].view(-1)).unwrap(), values);
        assert_eq!(Vec::<f32>::try_from(&back[1]).unwrap(), [1.0, 2.0, 3.0]);
    }
}

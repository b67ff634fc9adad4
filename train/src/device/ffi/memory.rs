//! Memory of the device, and memory of the host that it copies from without waiting.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::{ptr, slice};

use serde::Serialize;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use cellshard::error::{Error, Result};

use super::message::{check, gpu};
use super::stream::Stream;
use crate::libtorch::refused;

unsafe extern "C" {
    fn cs_pinned_like(pinned: *mut *mut C_tensor, like: *const C_tensor) -> *mut c_char;
    fn cs_device_memory(device: c_int, now: *mut i64, peak: *mut i64, peak_reserved: *mut i64) -> *mut c_char;
}

/// A tensor whose values are not set.
///
/// # Errors
/// If the device has not that much memory.
pub(crate) fn empty(shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
    let tensor = Tensor::f_empty(shape, (kind, device));
    tensor.map_err(|e| refused(&format!("{device:?}"), &format!("memory for {shape:?} of {kind:?}"), &e.to_string()))
}

/// A tensor in pinned memory of the shape and kind of another, its values not set.
///
/// # Errors
/// If there is no GPU, or not that much memory that can be pinned.
pub(crate) fn pinned_like(like: &Tensor) -> Result<Tensor> {
    let mut pinned = ptr::null_mut();
    // SAFETY: the shim reads a tensor that outlives the call, and writes one pointer.
    check("pinned memory", unsafe { cs_pinned_like(&raw mut pinned, like.as_ptr()) })?;
    // SAFETY: without a message the pointer is to a new tensor, which nobody else holds.
    Ok(unsafe { Tensor::from_ptr(pinned) })
}

/// A tensor of the host where a copy to a device does not have to wait for it: in pinned memory for a GPU, as it is for
/// the CPU.
///
/// # Errors
/// As [`pinned_like`], for a GPU.
pub(crate) fn within_reach(values: Tensor, device: Device) -> Result<Tensor> {
    if gpu(device).is_none() {
        return Ok(values);
    }
    let mut pinned = pinned_like(&values)?;
    pinned.f_copy_(&values).map_err(|e| refused("pinned memory", "a copy into it", &e.to_string()))?;
    Ok(pinned)
}

/// Bytes of the host that a device copies from: pinned for a GPU, plain for the CPU. Filled by whoever holds it; no
/// tensor shares them.
#[derive(Debug)]
pub(crate) struct HostBuffer {
    /// `[bytes] u8`, contiguous, on the host. Given to nobody.
    bytes: Tensor,
}

impl HostBuffer {
    /// A buffer of zeros.
    ///
    /// # Errors
    /// If there is not that much memory, or, for a GPU, not that much that can be pinned.
    pub(crate) fn new(n_bytes: usize, device: Device) -> Result<Self> {
        let size = i64::try_from(n_bytes).map_err(|e| Error::refused("a buffer", "a size below 2^63", e))?;
        let zeros = Tensor::f_zeros([size], (Kind::Uint8, Device::Cpu));
        let zeros = zeros.map_err(|e| refused("a buffer", &format!("{n_bytes} bytes of memory"), &e.to_string()))?;
        Ok(Self { bytes: within_reach(zeros, device)? })
    }

    /// Queues a copy of its first bytes into a contiguous tensor of u8 or i16. On a GPU the bytes must be left alone until an
    /// event that is recorded on `stream` afterwards has come.
    ///
    /// # Errors
    /// If it holds fewer bytes, or libtorch refuses.
    pub(crate) fn copy_to(&self, to: &Tensor, stream: Stream) -> Result<()> {
        let n_bytes = to.numel() * to.kind().elt_size_in_bytes();
        let from = self.bytes.f_narrow(0, 0, n_bytes as i64).and_then(|bytes| bytes.f_view_dtype(to.kind()));
        let from = from.and_then(|values| values.f_view(to.size().as_slice()));
        stream.copy(to, &from.map_err(|e| refused("a buffer", "as many bytes as are to be copied", &e.to_string()))?)
    }
}

#[cfg(test)]
impl HostBuffer {
    /// Where its bytes lie.
    pub(crate) fn address(&self) -> usize {
        self.bytes.data_ptr() as usize
    }
}

impl AsMut<[u8]> for HostBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: the tensor is contiguous, of as many initialised bytes as it has values, and lies on the host; it is
        // private, so that nothing but this borrow writes into its memory, and it lives as long as the borrow.
        unsafe { slice::from_raw_parts_mut(self.bytes.data_ptr().cast(), self.bytes.numel()) }
    }
}

/// What libtorch has taken of a GPU's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeviceMemory {
    /// Held by tensors now.
    pub allocated: u64,
    /// Held by tensors at most, since the process began.
    pub peak_allocated: u64,
    /// Reserved from the GPU at most, since the process began.
    pub peak_reserved: u64,
}

/// What libtorch has taken of a device's memory; `None` for the CPU, and for a GPU that nothing was asked of yet.
pub(crate) fn device_memory(device: Device) -> Option<DeviceMemory> {
    let gpu = gpu(device)?;
    let [mut now, mut peak, mut reserved] = [0_i64; 3];
    // SAFETY: the shim writes three numbers.
    let message = unsafe { cs_device_memory(gpu, &raw mut now, &raw mut peak, &raw mut reserved) };
    check("the GPU's memory", message).ok()?;
    let bytes = |n: i64| u64::try_from(n).unwrap_or_default();
    Some(DeviceMemory { allocated: bytes(now), peak_allocated: bytes(peak), peak_reserved: bytes(reserved) })
}

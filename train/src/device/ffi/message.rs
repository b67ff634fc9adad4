//! What all of the shim has in common: messages as errors, and the number of a GPU.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

use tch::Device;

use crate::libtorch;
use cellshard::error::Result;

unsafe extern "C" {
    fn cs_free(message: *mut c_char);
}

/// Turns a message of the shim into an error, and frees it.
pub(super) fn check(what: &str, message: *mut c_char) -> Result<()> {
    text(message).map_or(Ok(()), |text| Err(libtorch::refused(what, "libtorch to do it", &text)))
}

/// A text of the shim, which is freed; `None` of a null pointer.
pub(super) fn text(message: *mut c_char) -> Option<String> {
    if message.is_null() {
        return None;
    }
    // SAFETY: the shim returns null or a text that nobody else changes or frees.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; it is not used again.
    unsafe { cs_free(message) };
    Some(text)
}

/// The number of a GPU; `None` for the CPU, which all of the following does its work on at once.
pub(super) fn gpu(device: Device) -> Option<c_int> {
    match device {
        Device::Cuda(index) => c_int::try_from(index).ok(),
        _ => None,
    }
}

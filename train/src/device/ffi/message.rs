//! What all of the shim has in common: messages as errors, and the number of a GPU.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

use tch::{Device, TchError};

use cellshard::error::{Error, Result};

unsafe extern "C" {
    fn cs_free(message: *mut c_char);
}

/// Turns a message of the shim into an error, and frees it.
pub(super) fn check(what: &str, message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns null or a string from strdup, which nobody else holds.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; it is not used again.
    unsafe { cs_free(message) };
    Err(Error::refused(what, "libtorch to do it", text))
}

/// What libtorch refused, in one line: where in its sources it did so helps nobody here.
pub(super) fn refused(what: &str, expected: &str, error: &TchError) -> Error {
    Error::refused(what, expected, error.to_string().lines().next().unwrap_or_default())
}

/// The number of a GPU; `None` for the CPU, which all of the following does its work on at once.
pub(super) fn gpu(device: Device) -> Option<c_int> {
    match device {
        Device::Cuda(index) => c_int::try_from(index).ok(),
        _ => None,
    }
}

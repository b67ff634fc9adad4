//! libtorch's CUDA half: loading it, and how it computes.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::ptr;

use tch::Device;

use cellshard::error::Result;

use super::message::{check, gpu, text};

unsafe extern "C" {
    fn cs_load_cuda(found: *mut c_int) -> *mut c_char;
    fn cs_show_config(text: *mut *mut c_char) -> *mut c_char;
    fn cs_gpu_name(device: c_int, name: *mut *mut c_char) -> *mut c_char;
    fn cs_allow_tf32(allow: c_int) -> *mut c_char;
    #[cfg(test)]
    fn cs_allows_tf32(allows: *mut c_int) -> *mut c_char;
    fn cs_autocast_bf16(enabled: c_int) -> *mut c_char;
    fn cs_benchmark_cudnn(enabled: c_int) -> *mut c_char;
}

/// Loads the CUDA half of libtorch from beside the CPU half that this process runs on; false where there is none. To be
/// called before anything else touches libtorch.
///
/// # Errors
/// If it is there but cannot be loaded, as where the CUDA libraries that it needs are not.
pub(crate) fn load_cuda() -> Result<bool> {
    let mut found = 0;
    // SAFETY: the shim writes one int.
    check("CUDA", unsafe { cs_load_cuda(&raw mut found) })?;
    Ok(found != 0)
}

/// What libtorch says that it was built with, in lines of which one has `TORCH_VERSION=`.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn show_config() -> Result<String> {
    let mut found = ptr::null_mut();
    // SAFETY: the shim writes one pointer, to a text that is from then on ours.
    check("libtorch", unsafe { cs_show_config(&raw mut found) })?;
    Ok(text(found).unwrap_or_default())
}

/// The name of a GPU; `None` of the CPU, or where the CUDA runtime does not tell.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn gpu_name(device: Device) -> Result<Option<String>> {
    let Some(gpu) = gpu(device) else { return Ok(None) };
    let mut found = ptr::null_mut();
    // SAFETY: the shim writes one pointer, null or to a text that is from then on ours.
    check("the GPU", unsafe { cs_gpu_name(gpu, &raw mut found) })?;
    Ok(text(found))
}

/// Whether products of float32 may round their inputs to TF32 on CUDA; for the whole process.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn allow_tf32(allow: bool) -> Result<()> {
    // SAFETY: sets two flags of libtorch's global context.
    check("TF32", unsafe { cs_allow_tf32(c_int::from(allow)) })
}

/// Whether they may.
#[cfg(test)]
pub(crate) fn allows_tf32() -> bool {
    let mut allows = 0;
    // SAFETY: the shim writes one int.
    check("TF32", unsafe { cs_allows_tf32(&raw mut allows) }).unwrap();
    allows != 0
}

/// Runs `body` with autocast to bfloat16 on CUDA in this thread.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn with_bf16<T>(body: impl FnOnce() -> T) -> Result<T> {
    /// Switches it off, also where `body` panics.
    struct Autocast;
    impl Drop for Autocast {
        fn drop(&mut self) {
            // SAFETY: sets thread-local flags of libtorch, and frees weights that it keeps in bfloat16.
            let _ = check("autocast", unsafe { cs_autocast_bf16(0) });
        }
    }
    let _autocast = Autocast;
    // SAFETY: sets thread-local flags of libtorch.
    check("autocast", unsafe { cs_autocast_bf16(1) })?;
    Ok(body())
}

/// Whether cuDNN tries its algorithms the first time that it meets a shape, and keeps the fastest; for the whole
/// process.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn benchmark_cudnn(enabled: bool) -> Result<()> {
    // SAFETY: sets a flag of libtorch's global context.
    check("cuDNN", unsafe { cs_benchmark_cudnn(c_int::from(enabled)) })
}

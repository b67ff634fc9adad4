//! The C++ shim, made safe: what tch 0.24 lacks of libtorch. The only `unsafe` outside `store/map.rs`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::{Error, Result};

unsafe extern "C" {
    fn cs_free(message: *mut c_char);
    fn cs_fused_adam(
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        means: *const *mut C_tensor,
        squares: *const *mut C_tensor,
        steps: *const *mut C_tensor,
        n: usize,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        decoupled: c_int,
    ) -> *mut c_char;
    fn cs_fused_sgd(
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        momenta: *const *mut C_tensor,
        n: usize,
        learning_rate: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: c_int,
        first: c_int,
    ) -> *mut c_char;
    fn cs_clip_gradients(gradients: *const *mut C_tensor, n: usize, max_norm: f64) -> *mut c_char;
    fn cs_zero_gradients(gradients: *const *mut C_tensor, n: usize) -> *mut c_char;
    fn cs_load_cuda(found: *mut c_int) -> *mut c_char;
    fn cs_allow_tf32(allow: c_int);
    fn cs_autocast_bf16(enabled: c_int) -> *mut c_char;
}

/// The pointers of tensors, which live as long as the tensors.
fn pointers(tensors: &[Tensor]) -> Vec<*mut C_tensor> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast_mut()).collect()
}

/// Turns a message of the shim into an error, and frees it.
fn check(what: &str, message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns null or a string from strdup, which nobody else holds.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; it is not used again.
    unsafe { cs_free(message) };
    Err(Error::refused(what, "libtorch to do it", text))
}

/// Settings of Adam and AdamW.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adam {
    /// The learning rate of this step.
    pub(super) learning_rate: f64,
    /// Decay of the mean.
    pub(super) beta1: f64,
    /// Decay of the mean square.
    pub(super) beta2: f64,
    /// Weight decay.
    pub(super) weight_decay: f64,
    /// What keeps the denominator from 0.
    pub(super) epsilon: f64,
    /// Whether weight decay is decoupled (AdamW).
    pub(super) decoupled: bool,
}

/// One step of Adam in place, fused: parameters, gradients, means, mean squares, and step counts (float32 scalars on
/// the same device), in the same order.
///
/// # Errors
/// If libtorch refuses.
///
/// # Panics
/// If the lists differ in length.
pub(super) fn fused_adam(lists: [&[Tensor]; 5], adam: Adam) -> Result<()> {
    let n = lists[0].len();
    assert!(lists.iter().all(|list| list.len() == n), "as many gradients and states as parameters");
    let [p, g, m, v, t] = lists.map(pointers);
    let Adam { learning_rate, beta1, beta2, weight_decay, epsilon, decoupled } = adam;
    let decoupled = c_int::from(decoupled);
    // SAFETY: every array holds n pointers to tensors that outlive the call; the shim changes only what they share.
    let message = unsafe {
        cs_fused_adam(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            t.as_ptr(),
            n,
            learning_rate,
            beta1,
            beta2,
            weight_decay,
            epsilon,
            decoupled,
        )
    };
    check("a step of Adam", message)
}

/// One step of SGD with momentum in place, fused; `first` where the momenta hold nothing yet.
///
/// # Errors
/// If libtorch refuses.
///
/// # Panics
/// If the lists differ in length.
pub(super) fn fused_sgd(
    lists: [&[Tensor]; 3],
    learning_rate: f64,
    momentum: f64,
    weight_decay: f64,
    first: bool,
) -> Result<()> {
    let n = lists[0].len();
    assert!(lists.iter().all(|list| list.len() == n), "as many gradients and momenta as parameters");
    let [p, g, m] = lists.map(pointers);
    // SAFETY: as above.
    let message = unsafe {
        let first = c_int::from(first);
        cs_fused_sgd(p.as_ptr(), g.as_ptr(), m.as_ptr(), n, learning_rate, momentum, weight_decay, 0, first)
    };
    check("a step of SGD", message)
}

/// Scales gradients in place so that their common L2 norm is at most `max_norm`; nothing is read back from the device.
///
/// # Errors
/// If libtorch refuses.
pub(super) fn clip_gradients(gradients: &[Tensor], max_norm: f64) -> Result<()> {
    let g = pointers(gradients);
    // SAFETY: as above.
    check("clipping gradients", unsafe { cs_clip_gradients(g.as_ptr(), g.len(), max_norm) })
}

/// Sets gradients to zero in place.
///
/// # Errors
/// If libtorch refuses.
pub(super) fn zero_gradients(gradients: &[Tensor]) -> Result<()> {
    let g = pointers(gradients);
    // SAFETY: as above.
    check("zeroing gradients", unsafe { cs_zero_gradients(g.as_ptr(), g.len()) })
}

/// Loads the CUDA half of libtorch from beside the CPU half that this process runs on; false where there is none. To be
/// called before anything else touches libtorch.
///
/// # Errors
/// If it is there but cannot be loaded, as where the CUDA libraries that it needs are not.
pub(super) fn load_cuda() -> Result<bool> {
    let mut found = 0;
    // SAFETY: the shim writes one int.
    check("CUDA", unsafe { cs_load_cuda(&raw mut found) })?;
    Ok(found != 0)
}

/// Whether products of float32 may round their inputs to TF32 on CUDA; for the whole process.
pub(super) fn allow_tf32(allow: bool) {
    // SAFETY: sets two flags of libtorch's global context.
    unsafe { cs_allow_tf32(c_int::from(allow)) };
}

/// Runs `body` with autocast to bfloat16 on CUDA in this thread.
///
/// # Errors
/// If libtorch refuses.
pub(super) fn with_bf16<T>(body: impl FnOnce() -> T) -> Result<T> {
    // SAFETY: sets thread-local flags of libtorch.
    check("autocast", unsafe { cs_autocast_bf16(1) })?;
    let result = body();
    check("autocast", unsafe { cs_autocast_bf16(0) })?;
    Ok(result)
}

//! Fused optimisers, and all gradients at once.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use cellshard::error::Result;

use super::message::check;

unsafe extern "C" {
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
    fn cs_drop_gradients(parameters: *const *mut C_tensor, n: usize) -> *mut c_char;
}

/// The pointers of tensors, which live as long as the tensors.
fn pointers(tensors: &[Tensor]) -> Vec<*mut C_tensor> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast_mut()).collect()
}

/// Settings of Adam and AdamW.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    /// The learning rate of this step.
    pub(crate) learning_rate: f64,
    /// Decay of the mean.
    pub(crate) beta1: f64,
    /// Decay of the mean square.
    pub(crate) beta2: f64,
    /// Weight decay.
    pub(crate) weight_decay: f64,
    /// What keeps the denominator from 0.
    pub(crate) epsilon: f64,
    /// Whether weight decay is decoupled (AdamW).
    pub(crate) decoupled: bool,
}

/// One step of Adam in place, fused: parameters, gradients, means, mean squares, and step counts (float32 scalars on
/// the same device), in the same order.
///
/// # Errors
/// If libtorch refuses.
///
/// # Panics
/// If the lists differ in length.
pub(crate) fn fused_adam(lists: [&[Tensor]; 5], adam: Adam) -> Result<()> {
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
pub(crate) fn fused_sgd(
    lists: [&[Tensor]; 3],
    learning_rate: f64,
    momentum: f64,
    weight_decay: f64,
    first: bool,
) -> Result<()> {
    let n = lists[0].len();
    assert_eq!(lists[1].len(), n, "as many gradients as parameters");
    assert_eq!(lists[2].len(), if momentum == 0.0 { 0 } else { n }, "as many momenta, or none for none");
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
pub(crate) fn clip_gradients(gradients: &[Tensor], max_norm: f64) -> Result<()> {
    let g = pointers(gradients);
    // SAFETY: as above.
    check("clipping gradients", unsafe { cs_clip_gradients(g.as_ptr(), g.len(), max_norm) })
}

/// Leaves parameters without a gradient: the next one is taken as it is, which spares setting to zero and adding.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn drop_gradients(parameters: &[Tensor]) -> Result<()> {
    let p = pointers(parameters);
    // SAFETY: as above.
    check("dropping gradients", unsafe { cs_drop_gradients(p.as_ptr(), p.len()) })
}

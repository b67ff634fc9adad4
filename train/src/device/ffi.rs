//! The C++ shim, made safe: what tch 0.24 lacks of libtorch. The only `unsafe` outside `store/map.rs`.
#![allow(unsafe_code)]

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trace;

use std::ffi::{CStr, c_char, c_int};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use serde::Serialize;
use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;

use cellshard::error::{Error, Result};

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
    fn cs_drop_gradients(parameters: *const *mut C_tensor, n: usize) -> *mut c_char;
    fn cs_load_cuda(found: *mut c_int) -> *mut c_char;
    fn cs_allow_tf32(allow: c_int);
    fn cs_autocast_bf16(enabled: c_int) -> *mut c_char;
    fn cs_benchmark_cudnn(enabled: c_int);
    fn cs_pinned_like(pinned: *mut *mut C_tensor, like: *const C_tensor) -> *mut c_char;
    fn cs_pool_stream(device: c_int, id: *mut i64) -> *mut c_char;
    fn cs_copy(to: *mut C_tensor, from: *const C_tensor, device: c_int, stream: *const i64) -> *mut c_char;
    fn cs_event_new(event: *mut *mut CEvent) -> *mut c_char;
    fn cs_event_free(event: *mut CEvent);
    fn cs_event_record(event: *mut CEvent, device: c_int, stream: *const i64) -> *mut c_char;
    fn cs_event_block(event: *const CEvent, device: c_int, stream: *const i64) -> *mut c_char;
    fn cs_event_query(event: *const CEvent, over: *mut c_int) -> *mut c_char;
    fn cs_synchronize(device: c_int) -> *mut c_char;
    fn cs_device_memory(device: c_int, now: *mut i64, peak: *mut i64, peak_reserved: *mut i64) -> *mut c_char;
}

/// How long a thread that waits for an event sleeps before it asks again.
const POLL: Duration = Duration::from_micros(100);

/// `c10::Event`, which only the shim looks into.
#[repr(C)]
struct CEvent {
    _opaque: [u8; 0],
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

/// Whether products of float32 may round their inputs to TF32 on CUDA; for the whole process.
pub(crate) fn allow_tf32(allow: bool) {
    // SAFETY: sets two flags of libtorch's global context.
    unsafe { cs_allow_tf32(c_int::from(allow)) };
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

/// Whether cuDNN tries its algorithms the first time that it meets a shape, and keeps the fastest; for the whole process.
pub(crate) fn benchmark_cudnn(enabled: bool) {
    // SAFETY: sets a flag of libtorch's global context.
    unsafe { cs_benchmark_cudnn(c_int::from(enabled)) };
}

/// The number of a GPU; `None` for the CPU, which all of the following does its work on at once.
fn gpu(device: Device) -> Option<c_int> {
    match device {
        Device::Cuda(index) => c_int::try_from(index).ok(),
        _ => None,
    }
}

/// A queue of work on a device, which is done in order. On the CPU all work is done when it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    gpu: Option<c_int>,
    /// `None`: whichever this thread computes on.
    id: Option<i64>,
}

impl Stream {
    /// The stream that this thread computes on.
    pub(crate) fn current(device: Device) -> Self {
        Self { gpu: gpu(device), id: None }
    }

    /// A stream beside it, for copies. On a GPU nothing orders the two but an [`Event`].
    ///
    /// # Errors
    /// If the GPU cannot be used.
    pub(crate) fn beside(device: Device) -> Result<Self> {
        let mut id = 0;
        let Some(gpu) = gpu(device) else { return Ok(Self { gpu: None, id: Some(id) }) };
        // SAFETY: the shim writes one number.
        check("a stream of the GPU", unsafe { cs_pool_stream(gpu, &raw mut id) })?;
        Ok(Self { gpu: Some(gpu), id: Some(id) })
    }

    fn id(&self) -> *const i64 {
        self.id.as_ref().map_or(ptr::null(), ptr::from_ref)
    }

    /// Queues a copy between tensors of one shape and kind. Between a GPU and pinned memory this returns at once: what
    /// is copied from must be left alone until an event that is recorded here afterwards has come.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn copy(&self, to: &Tensor, from: &Tensor) -> Result<()> {
        #[cfg(test)]
        trace::note(trace::Call::Copy {
            to: to.data_ptr() as usize,
            from: from.data_ptr() as usize,
            copies: self.id.is_some(),
        });
        let message = match self.gpu {
            // SAFETY: the tensors outlive the call; libtorch keeps pinned memory that is freed earlier from being
            // used again before the copy is done, and so does its allocator of the GPU within one stream.
            Some(gpu) => unsafe { cs_copy(to.as_ptr().cast_mut(), from.as_ptr(), gpu, self.id()) },
            None => {
                let copied = tch::no_grad(|| to.shallow_clone().f_copy_(from));
                return copied.map_err(|e| refused("a copy", "libtorch to do it", &e));
            }
        };
        check("a copy", message)
    }
}

/// A point in a stream's work that other streams, and this thread, can wait for. On the CPU it has always come.
#[derive(Debug)]
pub(crate) struct Event(Option<NonNull<CEvent>>);

impl Event {
    /// An event that counts as come until it is recorded.
    ///
    /// # Errors
    /// If the GPU cannot be used.
    pub(crate) fn new(device: Device) -> Result<Self> {
        if gpu(device).is_none() {
            return Ok(Self(None));
        }
        let mut event = ptr::null_mut();
        // SAFETY: the shim writes one pointer, to an event that is from then on this value's.
        check("an event of the GPU", unsafe { cs_event_new(&raw mut event) })?;
        Ok(Self(NonNull::new(event)))
    }

    /// Makes it come when all that is queued on a stream by now is done. What waits for it already is not affected.
    ///
    /// # Errors
    /// If the GPU reports that something failed before.
    pub(crate) fn record(&mut self, stream: Stream) -> Result<()> {
        #[cfg(test)]
        trace::note(trace::Call::Record { event: ptr::from_ref(self) as usize, copies: stream.id.is_some() });
        let (Some(event), Some(gpu)) = (self.0, stream.gpu) else { return Ok(()) };
        // SAFETY: the event lives as long as this value; the stream's number outlives the call.
        check("the GPU", unsafe { cs_event_record(event.as_ptr(), gpu, stream.id()) })
    }

    /// Has all that is queued on a stream from now on wait for it. This thread goes on.
    ///
    /// # Errors
    /// As [`Event::record`].
    pub(crate) fn holds_back(&self, stream: Stream) -> Result<()> {
        #[cfg(test)]
        trace::note(trace::Call::HoldBack { event: ptr::from_ref(self) as usize, copies: stream.id.is_some() });
        let (Some(event), Some(gpu)) = (self.0, stream.gpu) else { return Ok(()) };
        // SAFETY: as above.
        check("the GPU", unsafe { cs_event_block(event.as_ptr(), gpu, stream.id()) })
    }

    /// Whether it has come.
    ///
    /// # Errors
    /// As [`Event::record`].
    pub(crate) fn has_come(&self) -> Result<bool> {
        #[cfg(test)]
        if trace::is_on() {
            return Ok(false);
        }
        let Some(event) = self.0 else { return Ok(true) };
        let mut over = 0;
        // SAFETY: as above; the shim writes one int.
        check("the GPU", unsafe { cs_event_query(event.as_ptr(), &raw mut over) })?;
        Ok(over != 0)
    }

    /// Waits until it has come.
    ///
    /// # Errors
    /// As [`Event::record`].
    pub(crate) fn wait(&self) -> Result<()> {
        #[cfg(test)]
        trace::note(trace::Call::Wait { event: ptr::from_ref(self) as usize });
        let Some(event) = self.0 else { return Ok(()) };
        // Asked now and then, as waiting in the driver keeps a core busy that decoding may need; whoever waits here is
        // batches ahead of the device.
        loop {
            let mut has_come = 0;
            // SAFETY: as above; the shim writes one int.
            check("the GPU", unsafe { cs_event_query(event.as_ptr(), &raw mut has_come) })?;
            if has_come != 0 {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Some(event) = self.0 {
            // SAFETY: it was made by `cs_event_new` and is not used again.
            unsafe { cs_event_free(event.as_ptr()) };
        }
    }
}

/// A tensor whose values are not set.
///
/// # Errors
/// If the device has not that much memory.
pub(crate) fn empty(shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
    let tensor = Tensor::f_empty(shape, (kind, device));
    tensor.map_err(|e| refused(&format!("{device:?}"), &format!("memory for {shape:?} of {kind:?}"), &e))
}

/// What libtorch refused, in one line: where in its sources it did so helps nobody here.
fn refused(what: &str, expected: &str, error: &TchError) -> Error {
    Error::refused(what, expected, error.to_string().lines().next().unwrap_or_default())
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
    pinned.f_copy_(&values).map_err(|e| refused("pinned memory", "a copy into it", &e))?;
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
        let zeros = zeros.map_err(|e| refused("a buffer", &format!("{n_bytes} bytes of memory"), &e))?;
        Ok(Self { bytes: within_reach(zeros, device)? })
    }

    /// Queues a copy of its first bytes into a contiguous tensor of u8. On a GPU the bytes must be left alone until an
    /// event that is recorded on `stream` afterwards has come.
    ///
    /// # Errors
    /// If it holds fewer bytes, or libtorch refuses.
    pub(crate) fn copy_to(&self, to: &Tensor, stream: Stream) -> Result<()> {
        let from = self.bytes.f_narrow(0, 0, to.numel() as i64).and_then(|bytes| bytes.f_view(to.size().as_slice()));
        stream.copy(to, &from.map_err(|e| refused("a buffer", "as many bytes as are to be copied", &e))?)
    }
}

impl AsMut<[u8]> for HostBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: the tensor is contiguous, of as many initialised bytes as it has values, and lies on the host; it is
        // private, so that nothing but this borrow writes into its memory, and it lives as long as the borrow.
        unsafe { slice::from_raw_parts_mut(self.bytes.data_ptr().cast(), self.bytes.numel()) }
    }
}

/// Waits until a device has done all that it was asked for; the CPU always has.
///
/// # Errors
/// If the GPU reports that something failed before.
pub(crate) fn synchronize(device: Device) -> Result<()> {
    let Some(gpu) = gpu(device) else { return Ok(()) };
    // SAFETY: the shim takes a number.
    check("the GPU", unsafe { cs_synchronize(gpu) })
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

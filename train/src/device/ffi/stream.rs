//! Streams and events: what a device does in which order, and who waits for whom.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::ptr::{self, NonNull};
use std::time::Duration;

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use cellshard::error::Result;

use super::message::{check, gpu};
#[cfg(test)]
use super::trace;
use crate::libtorch::refused;

unsafe extern "C" {
    fn cs_pool_stream(device: c_int, id: *mut i64) -> *mut c_char;
    fn cs_copy(to: *mut C_tensor, from: *const C_tensor, device: c_int, stream: *const i64) -> *mut c_char;
    fn cs_event_new(event: *mut *mut CEvent) -> *mut c_char;
    fn cs_event_free(event: *mut CEvent) -> *mut c_char;
    fn cs_event_record(event: *mut CEvent, device: c_int, stream: *const i64) -> *mut c_char;
    fn cs_event_block(event: *const CEvent, device: c_int, stream: *const i64) -> *mut c_char;
    fn cs_event_query(event: *const CEvent, over: *mut c_int) -> *mut c_char;
    fn cs_synchronize(device: c_int) -> *mut c_char;
}

/// How long a thread that waits for an event sleeps before it asks again.
const POLL: Duration = Duration::from_micros(100);

/// `c10::Event`, which only the shim looks into.
#[repr(C)]
struct CEvent {
    _opaque: [u8; 0],
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
                return copied.map_err(|e| refused("a copy", "libtorch to do it", &e.to_string()));
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
            let freed = unsafe { cs_event_free(event.as_ptr()) };
            // Whatever the GPU refuses here, whoever asks it next is told as well.
            let _ = check("an event of the GPU", freed);
        }
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

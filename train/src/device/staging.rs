//! The memory that batches go through on their way to the device, allocated once: buffers of the host, which go round
//! between the feed and the copies, and slots of the device, which go round between the copies and what is computed.
//! Owns who waits for whom; reads no site and computes nothing.
//!
//! Copies have a stream beside the one that computes, and nothing orders the two on a GPU but the events of a slot:
//!
//! - a copy into a slot waits for `consumed`, which is recorded behind everything that was computed from what it held;
//! - what is computed from a slot waits for `ready`, which is recorded behind the copy into it;
//! - a buffer goes back to the feed when this thread has seen the `ready` of its copy.
//!
//! Waiting for the first two is the device's part. This thread waits for a copy only where it is two batches ahead of
//! the device, and so keeps from running further ahead. On the CPU a copy is done when it is asked for, and every event
//! has come: the same code without any waiting.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use cellshard::error::Result;
use cellshard::feed::Batch;
use cellshard::site::Dtype;

use super::ffi::{self, Event, HostBuffer, Stream};
use super::transfer::copy_numbers;

/// Buffers of the host: at most as many as there are slots are being copied, the others are filled ahead.
const N_BUFFERS: usize = 4;
/// Slots of the device: what is computed from one, the next batch is copied into the other.
const N_SLOTS: usize = 2;

/// The memory of one device's batches, for one size of batch.
pub struct Ring {
    device: Device,
    batch: usize,
    batch_bytes: usize,
    copies: Stream,
    slots: Vec<Slot>,
    /// The slot that is copied into next.
    next: usize,
    /// The slot that the caller computes from.
    lent: Option<usize>,
    home: Home,
}

/// Where buffers are that nobody has.
type Home = Arc<Mutex<Vec<HostBuffer>>>;

/// What batches are: `[N, C, H, W]` of at most so many sites, and the type of their pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchShape {
    /// `[N, C, H, W]`.
    pub sides: [usize; 4],
    /// The type of pixels.
    pub dtype: Dtype,
}

/// Room for one batch on the device.
struct Slot {
    /// `[batch, C, H, W]`, as [`DeviceBatch::raw`](super::batch::DeviceBatch::raw) has it.
    raw: Tensor,
    /// `[2 * batch] i64`: plates, then labels, of as many sites as the batch has.
    ids: Tensor,
    /// What is copied into it, until the copy is known to be done.
    source: Option<Batch<Lease>>,
    /// The copy into it is done.
    ready: Event,
    /// All that was computed from it is done.
    consumed: Event,
}

/// A host buffer lent to a feed. Whoever drops it sends it home.
pub(crate) struct Lease {
    buffer: Option<HostBuffer>,
    home: Home,
}

#[cfg(test)]
impl Lease {
    /// Where its bytes lie.
    pub(crate) fn address(&self) -> usize {
        self.buffer.as_ref().map_or(0, HostBuffer::address)
    }
}

impl AsMut<[u8]> for Lease {
    fn as_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], AsMut::as_mut)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.home.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }
}

/// A batch as it lies in a slot.
pub(crate) struct SlotBatch {
    /// `[n, C, H, W]`, as [`DeviceBatch::raw`](super::batch::DeviceBatch::raw) has it.
    pub(crate) raw: Tensor,
    /// `[k] i64`.
    pub(crate) plates: Tensor,
    /// `[k] i64`.
    pub(crate) labels: Tensor,
}

impl Ring {
    /// Memory for batches of a shape, or of fewer sites. Buffers of the host come with the first feed.
    ///
    /// # Errors
    /// If the device has not that much memory.
    ///
    /// # Panics
    /// If a batch has more values than 63 bits count.
    pub fn new(BatchShape { sides, dtype }: BatchShape, device: Device) -> Result<Self> {
        let batch_bytes = sides.iter().product::<usize>() * dtype.bytes();
        let batch = sides[0];
        // Bits are bits: libtorch copies no uint16 that tch knows the kind of.
        let kind = match dtype {
            Dtype::Uint8 => Kind::Uint8,
            Dtype::Uint16 => Kind::Int16,
        };
        let shape = sides.map(|n| i64::try_from(n).expect("a size that fits into memory"));
        let mut slots = Vec::with_capacity(N_SLOTS);
        for _ in 0..N_SLOTS {
            let of = |shape: &[i64], kind| ffi::empty(shape, kind, device);
            let mut slot = Slot {
                raw: of(&shape, kind)?,
                ids: of(&[2 * shape[0]], Kind::Int64)?,
                source: None,
                ready: Event::new(device)?,
                consumed: Event::new(device)?,
            };
            // The memory may be what a tensor had that something queued is still computed from.
            slot.consumed.record(Stream::current(device))?;
            slots.push(slot);
        }
        let (copies, home) = (Stream::beside(device)?, Home::default());
        Ok(Self { device, batch, batch_bytes, copies, slots, next: 0, lent: None, home })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Sites of the largest batch.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The buffers that a feed fills; those of an earlier feed where it is over.
    pub(crate) fn buffers(&self) -> Result<Vec<Lease>> {
        let mut buffers = std::mem::take(&mut *self.home.lock().unwrap_or_else(PoisonError::into_inner));
        buffers.truncate(N_BUFFERS);
        while buffers.len() < N_BUFFERS {
            buffers.push(HostBuffer::new(self.batch_bytes, self.device)?);
        }
        Ok(buffers.into_iter().map(|buffer| Lease { buffer: Some(buffer), home: self.home.clone() }).collect())
    }

    /// Batches whose copies are done, for the feed. Waits for the one that was copied into the next slot.
    pub(crate) fn copied(&mut self) -> Result<Vec<Batch<Lease>>> {
        let mut done = Vec::new();
        for (i, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.source.is_some()) {
            if i == self.next {
                slot.ready.wait()?;
            } else if !slot.ready.has_come()? {
                continue;
            }
            done.extend(slot.source.take());
        }
        Ok(done)
    }

    /// Queues the copy of a batch into the next slot, whose number it returns, behind what is computed from what it
    /// holds. `ids` are plates, then labels, of as many sites each.
    pub(crate) fn send(&mut self, batch: Batch<Lease>, ids: &[i64]) -> Result<usize> {
        let number = self.next;
        let slot = &mut self.slots[number];
        let (n_sites, copies) = (batch.sites.len() as i64, self.copies);
        slot.consumed.holds_back(copies)?;
        let buffer = slot.source.insert(batch).pixels.buffer.as_ref();
        buffer.expect("a lease is whole until it is dropped").copy_to(&slot.raw.narrow(0, 0, n_sites), copies)?;
        copy_numbers(ids, &slot.ids.narrow(0, 0, ids.len() as i64), copies)?;
        slot.ready.record(copies)?;
        self.next = (number + 1) % N_SLOTS;
        Ok(number)
    }

    /// Lends a slot with a batch of `n_sites`, of which `n_known` have plates and labels. What is asked to be computed
    /// from now on waits for its copy.
    pub(crate) fn lend(&mut self, number: usize, n_sites: usize, n_known: usize) -> Result<SlotBatch> {
        let slot = &self.slots[number];
        slot.ready.holds_back(Stream::current(self.device))?;
        self.lent = Some(number);
        let n_known = n_known as i64;
        Ok(SlotBatch {
            raw: slot.raw.narrow(0, 0, n_sites as i64),
            plates: slot.ids.narrow(0, 0, n_known),
            labels: slot.ids.narrow(0, n_known, n_known),
        })
    }

    /// Takes the slot back that is lent. All that is to be computed from it must have been asked for.
    pub(crate) fn take_back(&mut self) -> Result<()> {
        match self.lent.take() {
            Some(number) => self.slots[number].consumed.record(Stream::current(self.device)),
            None => Ok(()),
        }
    }

    /// Waits for all copies and sends their buffers home.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let waited = self.slots.iter().map(|slot| slot.ready.wait()).collect::<Result<Vec<()>>>();
        self.slots.iter_mut().for_each(|slot| slot.source = None);
        waited.map(|_| ())
    }

    /// How long it takes to copy whole buffers to the device `n_copies` times with nothing else going on, and how many
    /// bytes one has.
    pub(crate) fn time_copies(&mut self, n_copies: u64) -> Result<(Duration, usize)> {
        let buffers = self.buffers()?;
        let copy = |i: usize| {
            let buffer = buffers[i % N_BUFFERS].buffer.as_ref().expect("a lease is whole until it is dropped");
            buffer.copy_to(&self.slots[i % N_SLOTS].raw, self.copies)
        };
        // Whatever is computed from the slots has to be done; here no event is asked.
        ffi::synchronize(self.device)?;
        // Every buffer once before it counts: the first use of memory is slower.
        (0..N_BUFFERS).try_for_each(copy)?;
        ffi::synchronize(self.device)?;
        let start = Instant::now();
        (0..n_copies).try_for_each(|i| copy(i as usize))?;
        ffi::synchronize(self.device)?;
        Ok((start.elapsed(), self.batch_bytes))
    }
}

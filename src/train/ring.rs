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

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::feed::Batch;

use super::batches::Sites;
use super::shim::{self, Event, HostBuffer, Stream};

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

/// Room for one batch on the device.
struct Slot {
    /// `[batch, C, H, W] u8`.
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
pub(super) struct Lease {
    buffer: Option<HostBuffer>,
    home: Home,
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
pub(super) struct Lent {
    /// `[n, C, H, W] u8`.
    pub(super) raw: Tensor,
    /// `[k] i64`.
    pub(super) plates: Tensor,
    /// `[k] i64`.
    pub(super) labels: Tensor,
}

impl Ring {
    /// Memory for batches of up to `batch` sites (at most all that the store has). Buffers of the host come with the
    /// first feed.
    ///
    /// # Errors
    /// If the device has not that much memory.
    ///
    /// # Panics
    /// Never: the sides of an image are numbers of 32 bits.
    pub fn new(sites: &Sites, batch: usize, device: Device) -> Result<Self> {
        let store = sites.reader.store();
        let batch = batch.min(store.sites().len()).max(1);
        let (size, n_channels) = (store.spec().size, store.spec().channels.len());
        let shape = [batch, n_channels, size.height as usize, size.width as usize];
        let shape = shape.map(|n| i64::try_from(n).expect("a size that fits into memory"));
        let mut slots = Vec::with_capacity(N_SLOTS);
        for _ in 0..N_SLOTS {
            let of = |shape: &[i64], kind| shim::empty(shape, kind, device);
            let mut slot = Slot {
                raw: of(&shape, Kind::Uint8)?,
                ids: of(&[2 * shape[0]], Kind::Int64)?,
                source: None,
                ready: Event::new(device)?,
                consumed: Event::new(device)?,
            };
            // The memory may be what a tensor had that something queued is still computed from.
            slot.consumed.record(Stream::current(device))?;
            slots.push(slot);
        }
        let batch_bytes = batch * sites.reader.site_bytes();
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
    pub(super) fn buffers(&self) -> Result<Vec<Lease>> {
        let mut buffers = std::mem::take(&mut *self.home.lock().unwrap_or_else(PoisonError::into_inner));
        buffers.truncate(N_BUFFERS);
        while buffers.len() < N_BUFFERS {
            buffers.push(HostBuffer::new(self.batch_bytes, self.device)?);
        }
        Ok(buffers.into_iter().map(|buffer| Lease { buffer: Some(buffer), home: self.home.clone() }).collect())
    }

    /// Batches whose copies are done, for the feed. Waits for the one that was copied into the next slot.
    pub(super) fn copied(&mut self) -> Result<Vec<Batch<Lease>>> {
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
    pub(super) fn send(&mut self, batch: Batch<Lease>, ids: &[i64]) -> Result<usize> {
        let number = self.next;
        let slot = &mut self.slots[number];
        let (n_sites, copies) = (batch.sites.len() as i64, self.copies);
        slot.consumed.holds_back(copies)?;
        let buffer = slot.source.insert(batch).pixels.buffer.as_ref();
        buffer.expect("a lease is whole until it is dropped").copy_to(&slot.raw.narrow(0, 0, n_sites), copies)?;
        shim::copy_numbers(ids, &slot.ids.narrow(0, 0, ids.len() as i64), copies)?;
        slot.ready.record(copies)?;
        self.next = (number + 1) % N_SLOTS;
        Ok(number)
    }

    /// Lends a slot with a batch of `n_sites`, of which `n_known` have plates and labels. What is asked to be computed
    /// from now on waits for its copy.
    pub(super) fn lend(&mut self, number: usize, n_sites: usize, n_known: usize) -> Result<Lent> {
        let slot = &self.slots[number];
        slot.ready.holds_back(Stream::current(self.device))?;
        self.lent = Some(number);
        let n_known = n_known as i64;
        Ok(Lent {
            raw: slot.raw.narrow(0, 0, n_sites as i64),
            plates: slot.ids.narrow(0, 0, n_known),
            labels: slot.ids.narrow(0, n_known, n_known),
        })
    }

    /// Takes the slot back that is lent. All that is to be computed from it must have been asked for.
    pub(super) fn take_back(&mut self) -> Result<()> {
        match self.lent.take() {
            Some(number) => self.slots[number].consumed.record(Stream::current(self.device)),
            None => Ok(()),
        }
    }

    /// Waits for all copies and sends their buffers home.
    pub(super) fn settle(&mut self) -> Result<()> {
        let waited = self.slots.iter().map(|slot| slot.ready.wait()).collect::<Result<Vec<()>>>();
        self.slots.iter_mut().for_each(|slot| slot.source = None);
        waited.map(|_| ())
    }

    /// How long it takes to copy whole buffers to the device `n_copies` times with nothing else going on, and how many
    /// bytes one has.
    pub(super) fn time_copies(&mut self, n_copies: u64) -> Result<(Duration, usize)> {
        let buffers = self.buffers()?;
        let copy = |i: usize| {
            let buffer = buffers[i % N_BUFFERS].buffer.as_ref().expect("a lease is whole until it is dropped");
            buffer.copy_to(&self.slots[i % N_SLOTS].raw, self.copies)
        };
        // Every buffer once before it counts: the first use of memory is slower.
        (0..N_BUFFERS).try_for_each(copy)?;
        shim::synchronize(self.device)?;
        let start = Instant::now();
        (0..n_copies).try_for_each(|i| copy(i as usize))?;
        shim::synchronize(self.device)?;
        Ok((start.elapsed(), self.batch_bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::shim::trace::{self, Call};
    use super::*;
    use crate::feed::{Io, Reader, Verify};
    use crate::pack::{OnError, PackConfig, Partition, pack};
    use crate::simulate::{CellType, Config, simulate};
    use crate::source::SourceConfig;
    use crate::store::{Codec, Store};

    /// The sites of a small store in `dir`.
    fn sites(dir: &std::path::Path) -> Sites {
        let config = Config {
            cell_types: vec![CellType { name: "RPE".to_owned(), n_experiments: 2 }],
            n_test_experiments: 1,
            n_plates: 1,
            n_wells: 24,
            n_sirnas: 4,
            size: 16,
            n_channels: 2,
            ..Config::default()
        };
        simulate(&config, &dir.join("data"), &|_| {}).unwrap();
        let config = PackConfig {
            source: SourceConfig { root: dir.join("data"), ..SourceConfig::default() },
            dst: dir.join("store"),
            codec: Codec::Raw,
            sites_per_shard: None,
            threads: 1,
            on_error: OnError::Fail,
            partition: Partition::WHOLE,
            rehash: false,
        };
        pack(&config, &|_| {}).unwrap();
        let reader = Reader::new(Store::open(&dir.join("store")).unwrap(), Io::Mmap, Verify::First);
        Sites::new(Arc::new(reader), |_| None, 1, false)
    }

    #[test]
    fn slots_take_turns_and_buffers_come_home() {
        let dir = tempfile::tempdir().unwrap();
        let sites = sites(dir.path());
        let mut ring = Ring::new(&sites, 3, Device::Cpu).unwrap();
        let addresses = |leases: &mut [Lease]| {
            let mut all: Vec<usize> = leases.iter_mut().map(|lease| lease.as_mut().as_ptr() as usize).collect();
            all.sort_unstable();
            all
        };
        let mut leases = ring.buffers().unwrap();
        let first = addresses(&mut leases);
        assert!(first.len() == N_BUFFERS && leases.iter_mut().all(|lease| lease.as_mut().len() == 3 * 2 * 16 * 16));
        let mut batch = |value: u8| {
            let mut pixels = leases.pop().unwrap();
            pixels.as_mut().fill(value);
            Batch { sites: vec![0, 1], pixels, faults: Vec::new() }
        };
        let (a, b) = (ring.send(batch(7), &[1, 2, 3, 4]).unwrap(), ring.send(batch(9), &[5, 6]).unwrap());
        assert_eq!((a, b), (0, 1));
        let Lent { raw, plates, labels } = ring.lend(a, 2, 2).unwrap();
        assert_eq!((raw.size(), raw.min().int64_value(&[]), raw.max().int64_value(&[])), (vec![2, 2, 16, 16], 7, 7));
        let numbers = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap();
        assert_eq!((numbers(&plates), numbers(&labels)), (vec![1, 2], vec![3, 4]));
        ring.take_back().unwrap();
        ring.take_back().unwrap();
        // On the CPU both copies are done.
        assert_eq!(ring.copied().unwrap().len(), 2);
        assert_eq!(ring.send(batch(11), &[]).unwrap(), 0);
        assert_eq!(ring.slots[1].raw.get(0).max().int64_value(&[]), 9);
        ring.settle().unwrap();
        drop(leases);
        assert_eq!(addresses(&mut ring.buffers().unwrap()), first, "the next feed gets the same memory");
    }

    /// How far the copies and the computations have come, at least, at some point of the program.
    #[derive(Debug, Clone, Copy, Default, PartialEq)]
    struct Known {
        copies: usize,
        computations: usize,
    }

    impl Known {
        fn join(&mut self, other: Self) {
            self.copies = self.copies.max(other.copies);
            self.computations = self.computations.max(other.computations);
        }
    }

    /// Both streams of a GPU and the thread that asks them, which know of each other only what events tell.
    #[derive(Default)]
    struct Model {
        streams: [Known; 2],
        thread: Known,
        events: BTreeMap<usize, Known>,
        /// Of each slot, the last copy into it and the last computation from it.
        slots: BTreeMap<usize, Known>,
        /// Of each buffer, the last copy from it.
        buffers: BTreeMap<usize, usize>,
    }

    impl Model {
        fn call(&mut self, call: Call) {
            match call {
                Call::Copy { to, from, copies } => {
                    assert!(copies, "all copies are beside the computations");
                    let stream = &mut self.streams[1];
                    stream.copies += 1;
                    let slot = self.slots.entry(to).or_default();
                    assert!(stream.computations >= slot.computations, "overwritten before it was consumed");
                    slot.copies = stream.copies;
                    self.buffers.insert(from, stream.copies);
                }
                Call::Record { event, copies } => {
                    self.events.insert(event, self.streams[usize::from(copies)]);
                }
                Call::HoldBack { event, copies } => {
                    let known = self.events.get(&event).copied().unwrap_or_default();
                    self.streams[usize::from(copies)].join(known);
                }
                Call::Wait { event } => self.thread.join(self.events.get(&event).copied().unwrap_or_default()),
            }
        }

        fn compute(&mut self, slot: usize) {
            let stream = &mut self.streams[0];
            stream.computations += 1;
            let slot = self.slots.get_mut(&slot).expect("copied before");
            assert!(stream.copies >= slot.copies, "computed from before it was copied");
            slot.computations = stream.computations;
        }

        fn free(&self, buffer: usize) {
            let copied = self.buffers.get(&buffer).copied().unwrap_or_default();
            assert!(self.thread.copies >= copied, "filled again before it was copied");
        }
    }

    #[test]
    fn events_order_copies_computations_and_buffers_on_a_gpu_of_any_speed() {
        let dir = tempfile::tempdir().unwrap();
        let sites = sites(dir.path());
        let mut ring = Ring::new(&sites, 3, Device::Cpu).unwrap();
        let address = |tensor: &Tensor| tensor.data_ptr() as usize;
        let mut model = Model::default();
        trace::start();
        let mut longest_run_ahead = 0;
        // Two feeds, the first of which is left with a slot lent and a copy under way.
        for n_batches in [5, 9] {
            let mut leases = ring.buffers().unwrap();
            leases.iter_mut().for_each(|lease| model.free(lease.as_mut().as_ptr() as usize));
            let mut coming: Option<usize> = None;
            for i in 0..=n_batches {
                // In the order of `Batches::next_batch`.
                ring.take_back().unwrap();
                let copied = ring.copied().unwrap();
                trace::take().into_iter().for_each(|call| model.call(call));
                for mut batch in copied {
                    model.free(batch.pixels.as_mut().as_ptr() as usize);
                    leases.push(batch.pixels);
                }
                let mut pixels = leases.pop().expect("a buffer for the feed to fill");
                model.free(pixels.as_mut().as_ptr() as usize);
                let sent = ring.send(Batch { sites: vec![i, i + 1], pixels, faults: Vec::new() }, &[0; 4]).unwrap();
                if let Some(slot) = coming.replace(sent) {
                    let lent = ring.lend(slot, 2, 2).unwrap();
                    trace::take().into_iter().for_each(|call| model.call(call));
                    for tensor in [&lent.raw, &lent.plates] {
                        model.compute(address(tensor));
                    }
                }
                longest_run_ahead =
                    longest_run_ahead.max((model.streams[0].computations - model.thread.computations) / 2);
            }
            drop(leases);
            ring.settle().unwrap();
            trace::take().into_iter().for_each(|call| model.call(call));
        }
        assert_eq!(longest_run_ahead, 3, "batches that are asked for and not known to be done");
    }
}

use std::collections::BTreeMap;

use crate::device::ffi::trace::{self, Call};
use crate::device::loader::Sites;
use cellshard::feed::{Io, Reader, Verify};
use cellshard::pack::{PackConfig, pack};
use cellshard::simulate::{CellType, Config, simulate};
use cellshard::store::{Codec, Store};

use super::*;

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
    let config = PackConfig { codec: Codec::Raw, ..PackConfig::new(&dir.join("data"), &dir.join("store")) };
    pack(&config, &|_| {}).unwrap();
    let reader = Reader::new(Store::open(&dir.join("store")).unwrap(), Io::Mmap, Verify::First);
    Sites::new(Arc::new(reader), |_| None, 1, false)
}

#[test]
fn slots_take_turns_and_buffers_come_home() {
    let dir = tempfile::tempdir().unwrap();
    let sites = sites(dir.path());
    let mut ring = Ring::new(sites.batch_shape(3), Device::Cpu).unwrap();
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
    let SlotBatch { raw, plates, labels } = ring.lend(a, 2, 2).unwrap();
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
    /// Goes through what was asked for since it last did.
    fn follow(&mut self) {
        for call in trace::take() {
            self.call(call);
        }
    }

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
    let mut ring = Ring::new(sites.batch_shape(3), Device::Cpu).unwrap();
    let address = |tensor: &Tensor| tensor.data_ptr() as usize;
    let mut model = Model::default();
    let _trace = trace::Trace::start();
    let mut longest_run_ahead = 0;
    // Two feeds, the first of which is left with a slot lent and a copy under way.
    for n_batches in [5, 9] {
        let mut leases = ring.buffers().unwrap();
        for lease in &mut leases {
            model.free(lease.as_mut().as_ptr() as usize);
        }
        let mut coming: Option<usize> = None;
        for i in 0..=n_batches {
            // In the order of `Batches::next_batch`.
            ring.take_back().unwrap();
            let copied = ring.copied().unwrap();
            model.follow();
            for mut batch in copied {
                model.free(batch.pixels.as_mut().as_ptr() as usize);
                leases.push(batch.pixels);
            }
            let mut pixels = leases.pop().expect("a buffer for the feed to fill");
            model.free(pixels.as_mut().as_ptr() as usize);
            let sent = ring.send(Batch { sites: vec![i, i + 1], pixels, faults: Vec::new() }, &[0; 4]).unwrap();
            if let Some(slot) = coming.replace(sent) {
                let lent = ring.lend(slot, 2, 2).unwrap();
                model.follow();
                for tensor in [&lent.raw, &lent.plates] {
                    model.compute(address(tensor));
                }
            }
            longest_run_ahead = longest_run_ahead.max((model.streams[0].computations - model.thread.computations) / 2);
        }
        drop(leases);
        ring.settle().unwrap();
        model.follow();
    }
    assert_eq!(longest_run_ahead, 3, "batches that are asked for and not known to be done");
}

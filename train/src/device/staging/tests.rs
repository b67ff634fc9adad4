use crate::device::ffi::trace::Trace;
use crate::device::small::sites;

use super::model::Model;
use super::*;

#[test]
fn slots_take_turns_and_buffers_come_home() {
    let dir = tempfile::tempdir().unwrap();
    let sites = sites(dir.path(), 2, 16);
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

#[test]
fn events_order_copies_computations_and_buffers_on_a_gpu_of_any_speed() {
    let dir = tempfile::tempdir().unwrap();
    let sites = sites(dir.path(), 2, 16);
    let mut ring = Ring::new(sites.batch_shape(3), Device::Cpu).unwrap();
    let address = |tensor: &Tensor| tensor.data_ptr() as usize;
    let mut model = Model::default();
    let _trace = Trace::start();
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
            longest_run_ahead = longest_run_ahead.max(model.n_ahead() / 2);
        }
        drop(leases);
        ring.settle().unwrap();
        model.follow();
    }
    assert_eq!(longest_run_ahead, 3, "batches that are asked for and not known to be done");
}

#[test]
fn real_batches_hand_their_memory_over_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let sites = sites(dir.path(), 2, 16);
    let mut ring = Ring::new(sites.batch_shape(3), Device::Cpu).unwrap();
    let address = |tensor: &Tensor| tensor.data_ptr() as usize;
    let mut model = Model::default();
    let _trace = Trace::start();
    let n_sites = sites.reader.store().sites().len();
    // As training does it, which gives memory back before the next batch; as evaluation does, which leaves that to the
    // next; and left in the middle.
    for (releases, n_batches) in [(true, usize::MAX), (false, usize::MAX), (true, 5), (false, 4)] {
        let mut batches = sites.start(0..n_sites, &mut ring).unwrap();
        let mut n_done = 0;
        while let Some(batch) = if n_done < n_batches { batches.next_batch().unwrap() } else { None } {
            model.follow();
            assert_eq!(batch.sites, (3 * n_done..n_sites.min(3 * n_done + 3)).collect::<Vec<_>>());
            for tensor in [&batch.raw, &batch.plates] {
                model.compute(address(tensor));
            }
            if releases {
                batches.release().unwrap();
            }
            n_done += 1;
        }
        assert_eq!(n_done, n_batches.min(n_sites.div_ceil(3)));
        drop(batches);
        model.follow();
    }
    assert!(model.n_given_back() > 2 * n_sites / 3, "buffers went round");
}

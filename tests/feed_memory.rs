//! The feed in its steady state: over many epochs it asks for no memory at all.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cellshard::feed::{Feed, Io, Permutation, Reader, Verify};
use cellshard::pack::{PackConfig, pack};
use cellshard::store::{Codec, Store};
use cellshard::wave::Mode;
use common::Fixture;

mod common;

/// The system's allocator, with every request counted.
struct Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "an allocator is unsafe to write; it only counts and passes on")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test alone in this file: others beside it would be counted, too.
#[test]
fn ten_epochs_ask_for_no_memory() {
    let (small, fast) = (Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast));
    let codecs = [Codec::Raw, Codec::Zstd(3), small, fast];
    for (codec, io) in codecs.into_iter().flat_map(|codec| [(codec, Io::Mmap), (codec, Io::Pread)]) {
        let fixture = Fixture::kaggle(common::small());
        pack(&PackConfig { codec: Some(codec), ..fixture.config() }, &|_| {}).unwrap();
        let reader = Arc::new(Reader::new(Store::open(&fixture.store()).unwrap(), io, Verify::Always));
        let (n, batch) = (reader.store().sites().len(), 5);
        let buffers = vec![vec![0; batch * reader.site_bytes()]; 3];
        let n_batches = n.div_ceil(batch);
        let mut next = 0;
        let plan = move |sites: &mut Vec<usize>| {
            let order = Permutation::new(n, 7, (next / n_batches) as u64);
            let start = next % n_batches * batch;
            sites.extend((start..n.min(start + batch)).map(|position| order.at(position)));
            next += 1;
        };
        let feed = Feed::start(&reader, buffers, 4, plan).unwrap();
        let epochs = |n_epochs: usize| {
            for _ in 0..n_epochs * n_batches {
                let batch = feed.next_batch().unwrap().unwrap();
                assert!(batch.faults.is_empty());
                feed.give_back(batch);
            }
        };
        // Until each thread has had each kind of work, and every list its largest batch: on a busy machine a thread may
        // come late.
        epochs(50);
        let requests = || {
            let before = REQUESTS.load(Ordering::Relaxed);
            epochs(10);
            REQUESTS.load(Ordering::Relaxed) - before
        };
        assert!((0..20).any(|_| requests() == 0), "{codec} {io:?}: it never stops");
        assert_eq!(requests(), 0, "{codec} {io:?}");
    }
}

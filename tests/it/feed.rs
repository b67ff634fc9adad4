//! The feed against the pixels that a tree was made of: order, threads, and what it says of damage.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cellshard::feed::{Feed, Io, Next, Permutation, Reader, Verify};
use cellshard::pack::{PackConfig, pack};
use cellshard::store::{Codec, Store};
use cellshard::wave::Mode;
use proptest::prelude::*;

use crate::common::{Fixture, site_pixels, small};

fn packed(codec: Codec) -> Fixture {
    let fixture = Fixture::kaggle(small());
    pack(&PackConfig { codec: Some(codec), ..fixture.config() }, &|_| {}).unwrap();
    fixture
}

/// Every batch: its sites, its pixels, and what went wrong.
pub(crate) type Seen = Vec<(Vec<usize>, Vec<u8>, Vec<(usize, String)>)>;

pub(crate) fn feed(reader: Reader, batch: usize, threads: usize, start: usize, seed: u64) -> Seen {
    let (n, bytes) = (reader.store().sites().len(), reader.site_bytes());
    let order = Permutation::new(n, seed, 0);
    let mut positions = start * batch..n;
    let next = move |sites: &mut Vec<usize>| sites.extend(positions.by_ref().take(batch).map(|i| order.at(i)));
    let feed = Feed::start(&Arc::new(reader), vec![vec![0; batch * bytes]; 3], threads, next).unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = feed.next_batch().unwrap() {
        let pixels = batch.pixels[..batch.sites.len() * bytes].to_vec();
        let faults = batch.faults.iter().map(|(position, error)| (*position, error.to_string())).collect();
        seen.push((batch.sites.clone(), pixels, faults));
        feed.give_back(batch);
    }
    seen
}

fn open(root: &Path, io: Io, verify: Verify) -> Reader {
    Reader::new(Store::open(root).unwrap(), io, verify)
}

#[test]
fn every_site_comes_once_with_its_own_pixels() {
    for codec in [Codec::Raw, Codec::Zstd(3), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
        // A disk's files may or may not be in memory, which reading ahead asks for.
        let fixture = Fixture::kaggle_on_disk(small());
        pack(&PackConfig { codec: Some(codec), ..fixture.config() }, &|_| {}).unwrap();
        for (io, verify) in [(Io::Mmap, Verify::First), (Io::Pread, Verify::Always), (Io::Mmap, Verify::Never)] {
            let reader = open(&fixture.store(), io, verify);
            let (rows, bytes) = (reader.store().sites().to_vec(), reader.site_bytes());
            let mut met = BTreeSet::new();
            for (sites, pixels, faults) in feed(reader, 7, 2, 0, 5) {
                assert!(faults.is_empty(), "{faults:?}");
                for (site, pixels) in sites.iter().zip(pixels.chunks(bytes)) {
                    let id = &rows[*site].id;
                    let plate = &id.well.plate;
                    let (experiment, well) = (plate.experiment.as_str(), id.well.well.to_string());
                    let expected = site_pixels(&fixture.spec, experiment, &plate.plate, &well, id.site);
                    assert!(pixels == expected, "{id}");
                    assert!(met.insert(*site), "{id} twice");
                }
            }
            assert_eq!(met.len(), rows.len());
        }
    }
}

#[test]
fn a_damaged_site_is_named_and_the_others_of_its_batch_are_whole() {
    for codec in [Codec::Raw, Codec::Zstd(3), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
        for io in [Io::Mmap, Io::Pread] {
            let fixture = packed(codec);
            let shard = "pixels.zarr/HEPG2-01/Plate2/c/0/0/0/0";
            flip(&fixture.store().join(shard));
            let faults: Vec<_> = feed(open(&fixture.store(), io, Verify::First), 8, 2, 0, 1)
                .into_iter()
                .flat_map(|(_, _, faults)| faults)
                .collect();
            assert_eq!(faults.len(), 1, "{faults:?}");
            let place = fixture.store().join(shard).display().to_string();
            assert!(faults[0].1.starts_with(&format!("{place}: ")), "{faults:?}");
            assert!(faults[0].1.contains("site HEPG2-01/2/B02/1: expected"), "{faults:?}");
        }
    }
}

/// Changes a bit of the first site of a shard, or back.
fn flip(shard: &Path) {
    let file = OpenOptions::new().read(true).write(true).open(shard).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 20).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 20).unwrap();
}

#[test]
fn a_site_is_verified_as_often_as_was_asked_for() {
    for io in [Io::Mmap, Io::Pread] {
        let fixture = packed(Codec::Raw);
        let shard = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
        let modes = [Verify::Never, Verify::First, Verify::Always];
        let [never, first, always] = modes.map(|verify| open(&fixture.store(), io, verify));
        let mut pixels = vec![0; never.site_bytes()];
        let mut is_whole = |reader: &Reader| reader.read(0, &mut pixels).is_ok();
        assert!([&never, &first, &always].into_iter().all(&mut is_whole));
        flip(&shard);
        assert_eq!([&never, &first, &always].map(&mut is_whole), [true, true, false], "{io:?}: damaged since");
        let [never, first, always] = modes.map(|verify| open(&fixture.store(), io, verify));
        for _ in 0..2 {
            // Each time: a site that was found damaged does not count as verified.
            assert_eq!([&never, &first, &always].map(&mut is_whole), [true, false, false], "{io:?}: from the start");
        }
        flip(&shard);
        assert_eq!([&never, &first, &always].map(&mut is_whole), [true; 3], "{io:?}: mended");
    }
}

#[test]
fn a_shard_cut_short_while_it_is_open_is_an_error() {
    for io in [Io::Mmap, Io::Pread] {
        let fixture = packed(Codec::Raw);
        let reader = open(&fixture.store(), io, Verify::First);
        let mut pixels = vec![0; reader.site_bytes()];
        reader.read(0, &mut pixels).unwrap();
        let shard = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
        OpenOptions::new().write(true).open(&shard).unwrap().set_len(4096 + 7).unwrap();
        let error = reader.read(1, &mut pixels).unwrap_err().to_string();
        assert!(error.contains("HEPG2-01/Plate1/c/0"), "{error}");
    }
}

#[test]
fn a_lost_shard_is_an_error() {
    let fixture = packed(Codec::Raw);
    fs::remove_file(fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0")).unwrap();
    let reader = open(&fixture.store(), Io::Mmap, Verify::First);
    let error = reader.read(0, &mut vec![0; reader.site_bytes()]).unwrap_err();
    assert!(error.is_data_fault() && error.to_string().contains("site HEPG2-01/1/B02/1"), "{error}");
    // A pipe in its place would keep whoever opens it waiting.
    let pipe = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = reader.read(0, &mut vec![0; reader.site_bytes()]).unwrap_err();
    assert!(error.is_data_fault() && error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn a_panic_of_a_thread_reaches_the_caller() {
    let fixture = packed(Codec::Raw);
    let reader = Arc::new(open(&fixture.store(), Io::Mmap, Verify::First));
    let buffers = vec![vec![0; 4 * reader.site_bytes()]; 2];
    // There is no site of this number.
    let feed = Feed::start(&reader, buffers, 2, |sites: &mut Vec<usize>| sites.push(usize::MAX)).unwrap();
    assert!(feed.next_batch().err().unwrap().to_string().contains("panicked"));
    let feed = Feed::start(&reader, vec![vec![0; 9]], 2, |_: &mut Vec<usize>| panic!("no plan")).unwrap();
    assert!(feed.next_batch().err().unwrap().to_string().contains("panicked"));
    // A buffer that is too small for the batch.
    let feed = Feed::start(&reader, vec![vec![0; 9]], 2, |sites: &mut Vec<usize>| sites.push(0)).unwrap();
    assert!(feed.next_batch().err().unwrap().to_string().contains("panicked"));
}

#[test]
fn a_caller_that_keeps_every_buffer_is_told_so() {
    let fixture = packed(Codec::Raw);
    let reader = Arc::new(open(&fixture.store(), Io::Mmap, Verify::First));
    let buffers = vec![vec![0; reader.site_bytes()]; 2];
    let feed = Feed::start(&reader, buffers, 2, |sites: &mut Vec<usize>| sites.push(3)).unwrap();
    let (_one, two) = (feed.next_batch().unwrap().unwrap(), feed.next_batch().unwrap().unwrap());
    let error = feed.next_batch().err().unwrap().to_string();
    assert!(error.contains("all of them with the caller"), "{error}");
    feed.give_back(two);
    assert!(feed.next_batch().unwrap().is_some());
}

#[test]
fn buffers_come_back_for_another_feed() {
    let fixture = packed(Codec::Raw);
    let reader = Arc::new(open(&fixture.store(), Io::Mmap, Verify::First));
    let mut buffers = vec![vec![0; reader.site_bytes()]; 3];
    let before: BTreeSet<*const u8> = buffers.iter().map(Vec::as_ptr).collect();
    for _ in 0..3 {
        let feed = Feed::start(&reader, buffers, 2, |sites: &mut Vec<usize>| sites.push(3)).unwrap();
        let batch = feed.next_batch().unwrap().unwrap();
        feed.give_back(batch);
        buffers = feed.stop();
        assert_eq!(buffers.iter().map(Vec::as_ptr).collect::<BTreeSet<_>>(), before);
    }
}

#[test]
fn batches_of_the_feed_before_are_given_back_to_this_one() {
    let fixture = packed(Codec::Raw);
    let reader = Arc::new(open(&fixture.store(), Io::Mmap, Verify::First));
    let plan = |sites: &mut Vec<usize>| sites.push(3);
    let feed = Feed::start(&reader, vec![vec![0; reader.site_bytes()]; 2], 2, plan).unwrap();
    let kept = feed.next_batch().unwrap().unwrap();
    let mut buffers = feed.stop();
    assert_eq!(buffers.len(), 1);
    let feed = Feed::start_with_lent(&reader, &mut buffers, 1, 2, plan).unwrap();
    let _one = feed.next_batch().unwrap().unwrap();
    assert!(feed.next_batch().is_err(), "both buffers are with the caller");
    assert!(matches!(feed.next_batch_within(Duration::from_millis(5)).unwrap(), Next::AllLent));
    feed.give_back(kept);
    assert_eq!(feed.next_batch().unwrap().unwrap().sites, [3]);
    assert!(Feed::start_with_lent(&reader, &mut Vec::<Vec<u8>>::new(), 0, 2, plan).is_err());
    let mut buffers = vec![vec![0; reader.site_bytes()]; 2];
    assert!(Feed::start_with_lent(&reader, &mut buffers, 0, 0, plan).is_err());
    assert_eq!(buffers.len(), 2, "they stay with the caller");
}

#[test]
fn a_caller_waits_no_longer_than_it_says() {
    let fixture = packed(Codec::Raw);
    let reader = Arc::new(open(&fixture.store(), Io::Mmap, Verify::First));
    let (plan, plans) = std::sync::mpsc::channel();
    let next = move |sites: &mut Vec<usize>| sites.extend(plans.recv().ok());
    let feed = Feed::start(&reader, vec![vec![0; reader.site_bytes()]; 2], 2, next).unwrap();
    let soon = Duration::from_millis(5);
    assert!(matches!(feed.next_batch_within(soon).unwrap(), Next::NotYet));
    plan.send(2).unwrap();
    let long = Duration::from_mins(1);
    let Next::Batch(batch) = feed.next_batch_within(long).unwrap() else { panic!("a batch was planned") };
    assert_eq!(batch.sites, [2]);
    drop(plan);
    assert!(matches!(feed.next_batch_within(long).unwrap(), Next::End));
}

#[test]
fn of_several_callers_each_has_batches_of_its_own() {
    let fixture = packed(Codec::Raw);
    let reader = Arc::new(open(&fixture.store(), Io::Mmap, Verify::Never));
    let n = reader.store().sites().len();
    for _ in 0..50 {
        let mut i = 0;
        let next = move |sites: &mut Vec<usize>| {
            sites.extend((i < 3 * n).then_some(i % n));
            i += 1;
        };
        let feed = Feed::start(&reader, vec![vec![0; reader.site_bytes()]; 4], 3, next).unwrap();
        let take = || {
            let mut found = Vec::new();
            while let Some(batch) = feed.next_batch().unwrap() {
                found.extend(&batch.sites);
                feed.give_back(batch);
            }
            found
        };
        let mut found: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        found.sort_unstable();
        assert_eq!(found, (0..n).flat_map(|site| [site; 3]).collect::<Vec<_>>());
    }
}

#[test]
fn a_shard_cut_short_under_a_feed_ends_in_errors_that_name_it() {
    for io in [Io::Mmap, Io::Pread] {
        let fixture = packed(Codec::Raw);
        let reader = Arc::new(open(&fixture.store(), io, Verify::Never));
        let n = reader.store().sites().len();
        let buffers = vec![vec![0; 4 * reader.site_bytes()]; 1];
        let mut k = 0;
        let next = move |sites: &mut Vec<usize>| {
            sites.extend((0..4).map(|i| (k + i) % n));
            k += 4;
        };
        let feed = Feed::start(&reader, buffers, 2, next).unwrap();
        for _ in 0..n.div_ceil(4) {
            let batch = feed.next_batch().unwrap().unwrap();
            assert!(batch.faults.is_empty());
            feed.give_back(batch);
        }
        let shard = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
        OpenOptions::new().write(true).open(&shard).unwrap().set_len(4096).unwrap();
        // The batch that was filled meanwhile may be whole.
        let faults: Vec<_> = (0..2 * n.div_ceil(4))
            .flat_map(|_| {
                let mut batch = feed.next_batch().unwrap().unwrap();
                let faults = std::mem::take(&mut batch.faults);
                feed.give_back(batch);
                faults
            })
            .collect();
        // With pread the site before the cut can still be read; a map that is too long is not touched at all.
        assert!(faults.len() >= 4, "{io:?}: {faults:?}");
        for (_, error) in faults {
            assert!(error.to_string().contains("HEPG2-01/Plate1/c/0/0/0/0"), "{error}");
        }
    }
}

#[test]
fn dropping_a_feed_in_the_middle_ends_its_threads() {
    let fixture = packed(Codec::Raw);
    let reader = Arc::new(open(&fixture.store(), Io::Mmap, Verify::First));
    let buffers = vec![vec![0; reader.site_bytes()]; 2];
    let feed = Feed::start(&reader, buffers, 2, |sites: &mut Vec<usize>| sites.push(3)).unwrap();
    assert!(feed.next_batch().unwrap().is_some());
    drop(feed);
    assert_eq!(Arc::strong_count(&reader), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn order_and_pixels_are_the_same_at_any_thread_count_and_after_a_resume(batch in 1_usize..9, seed in any::<u64>()) {
        let fixture = packed(Codec::Raw);
        let at = |threads, start| feed(open(&fixture.store(), Io::Mmap, Verify::First), batch, threads, start, seed);
        let one = at(1, 0);
        prop_assert!(one == at(2, 0));
        prop_assert!(one == at(8, 0));
        for start in 0..one.len() {
            prop_assert!(one[start..] == at(2, start)[..]);
        }
    }
}

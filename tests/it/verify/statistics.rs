//! Statistics against the listings: a chunk a plate, and the one chunk that stores of version 0.1.0 have.

use std::fs;
use std::path::{Path, PathBuf};

use cellshard::store::Codec;
use cellshard::store::format::manifest::{self, Entry};
use cellshard::verify::{Depth, Kind};

use super::{packed, verify};
use crate::common::copy_folder;

/// A store of each layout in a folder that goes when the test ends, with the chunk that holds its second plate.
fn layouts() -> Vec<(tempfile::TempDir, PathBuf, &'static str)> {
    let fixture = packed(Codec::Zstd(3));
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/store-0.1.0");
    let copied = |from: &Path, chunk| {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        copy_folder(from, &store);
        (dir, store, chunk)
    };
    vec![copied(&old, "c/0/0/0/0"), copied(&fixture.store(), "c/1/0/0/0")]
}

/// Puts a content in the place of another and makes the list of all anew, so that every checksum fits.
fn forge(store: &Path, path: &str, bytes: &[u8]) {
    fs::write(store.join(path), bytes).unwrap();
    let list = store.join("SHA256SUMS");
    let mut entries = manifest::parse(&fs::read_to_string(&list).unwrap(), "list").unwrap();
    let forged = Entry { size: None, ..Entry::of(path, bytes) };
    *entries.iter_mut().find(|entry| entry.path == path).unwrap() = forged;
    fs::write(list, manifest::format(&entries)).unwrap();
}

fn encoded(counts: &[u8]) -> Vec<u8> {
    let mut chunk = zstd::bulk::compress(counts, 3).unwrap();
    let crc = crc32c::crc32c(&chunk);
    chunk.extend(crc.to_le_bytes());
    chunk
}

#[test]
fn counts_that_do_not_follow_from_the_listings_are_found_in_either_layout() {
    for (_dir, store, chunk) in layouts() {
        for array in ["histogram", "comoments"] {
            let path = format!("pixels.zarr/statistics/{array}/{chunk}");
            let good = fs::read(store.join(&path)).unwrap();
            let counts = zstd::bulk::decompress(&good[..good.len() - 4], 1 << 20).unwrap();
            let of = |change: &dyn Fn(&mut Vec<u8>)| {
                let mut counts = counts.clone();
                change(&mut counts);
                encoded(&counts)
            };
            let last = counts.len() - 1;
            let mut wrong_crc = good.clone();
            *wrong_crc.last_mut().unwrap() ^= 1;
            let other_level = {
                let mut chunk = zstd::bulk::compress(&counts, 19).unwrap();
                chunk.extend(crc32c::crc32c(&chunk).to_le_bytes());
                chunk
            };
            for (what, forged, is_found) in [
                ("a count", of(&|counts| counts[last] ^= 1), true),
                ("one count more", of(&|counts| counts.extend([0; 8])), true),
                ("one count less", of(&|counts| counts.truncate(last - 7)), true),
                ("its crc32c", wrong_crc, true),
                ("no zstd", b"no zstd at all".to_vec(), true),
                ("nothing", Vec::new(), true),
                ("how it is compressed", other_level, false),
                ("what it was", good.clone(), false),
            ] {
                forge(&store, &path, &forged);
                let found = verify(&store, Depth::Full).findings;
                let found: Vec<_> = found.iter().map(|f| (f.kind, f.path.as_str())).collect();
                let expected = is_found.then_some((Kind::Contradiction, path.as_str()));
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{array}: {what}");
            }
        }
    }
}

#[test]
fn without_the_list_of_all_the_chunks_of_either_layout_are_known() {
    for (_dir, store, chunk) in layouts() {
        let missing = |lost: &[&str]| {
            let found = verify(&store, Depth::Full).findings;
            let found: Vec<_> = found.iter().map(|f| (f.kind, f.path.clone())).collect();
            let expected = lost.iter().map(|path| (Kind::Missing, (*path).to_owned()));
            assert_eq!(found, expected.collect::<Vec<_>>());
        };
        fs::remove_file(store.join("SHA256SUMS")).unwrap();
        missing(&["SHA256SUMS"]);
        let path = format!("pixels.zarr/statistics/comoments/{chunk}");
        fs::remove_file(store.join(&path)).unwrap();
        missing(&["SHA256SUMS", &path]);
        let document = "pixels.zarr/statistics/histogram/zarr.json";
        fs::remove_file(store.join(document)).unwrap();
        missing(&["SHA256SUMS", &path, document]);
    }
}

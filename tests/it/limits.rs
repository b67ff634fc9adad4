//! What the system allows: a store has far more shards than a process may have files open.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use cellshard::feed::{Feed, Io, Reader, Verify};
use cellshard::pack::{PackConfig, pack};
use cellshard::store::{Codec, Store};

use crate::common::{Fixture, site_pixels, small, stderr, tool};

/// A store with a shard a site, 48.
fn many_shards(codec: Codec) -> Fixture {
    let fixture = Fixture::kaggle_on_disk(small());
    pack(&PackConfig { codec: Some(codec), sites_per_shard: Some(1), ..fixture.config() }, &|_| {}).unwrap();
    fixture
}

/// Runs a program that may have 20 files open, whatever it asks for.
fn with_20_files(name: &str, words: &[&str]) -> Output {
    let program = tool(name);
    let shell = ["-c", "ulimit -n 20 && exec \"$0\" \"$@\""];
    Command::new("sh").args(shell).arg(program.get_program()).args(words).output().unwrap()
}

#[test]
fn every_program_works_where_20_files_may_be_open() {
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let fixture = many_shards(codec);
        let path = |name: &str| fixture.path().join(name).to_str().unwrap().to_owned();
        let (tree, store) = (path("data"), path("store"));
        for (program, words) in [
            ("verify", vec![store.as_str()]),
            ("verify", vec![&store, "--deep"]),
            ("verify", vec![&tree]),
            ("verify", vec![&tree, "--against", &store]),
            ("stats", vec!["--shards", &store, "--csv"]),
            ("bench", vec!["--shards", &store, "--seconds", "0.01", "--rounds", "1"]),
            ("bench", vec!["--shards", &store, "--seconds", "0.01", "--rounds", "1", "--io", "pread", "--batch", "48"]),
            ("pack", vec!["--src", &tree, "--dst", &path("again"), "--sites-per-shard", "1"]),
            ("pack", vec!["--src", &store, "--dst", &path("other"), "--sites-per-shard", "7", "--codec", "zstd:1"]),
        ] {
            let output = with_20_files(program, &words);
            assert!(output.status.success(), "{program} {words:?}: {}", stderr(&output));
        }
    }
}

/// Files of a store that this process has open or mapped.
fn open_files(store: &Path) -> [usize; 2] {
    let is_of_store = |path: &str| path.contains(store.to_str().unwrap());
    let files = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let n_files = files.filter(|path| is_of_store(&path.to_string_lossy())).count();
    let n_maps = fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| is_of_store(line)).count();
    [n_files, n_maps]
}

#[test]
fn a_feed_reads_every_site_with_few_shards_open() {
    for (codec, io) in [(Codec::Raw, Io::Mmap), (Codec::Zstd(3), Io::Mmap), (Codec::Raw, Io::Pread)] {
        let fixture = many_shards(codec);
        for most in [1, 3, 47] {
            let store = Store::open(&fixture.store()).unwrap();
            let reader = Arc::new(Reader::keeping_open(store.clone(), io, Verify::Always, most));
            let (n, bytes) = (store.sites().len(), reader.site_bytes());
            let mut next = 0;
            let plan = move |sites: &mut Vec<usize>| {
                sites.extend((next..(next + 5).min(3 * n)).map(|i| i * 7 % n));
                next += 5;
            };
            let feed = Feed::start(&reader, vec![vec![0; 5 * bytes]; 3], 4, plan).unwrap();
            let mut n_read = 0;
            while let Some(batch) = feed.next_batch().unwrap() {
                assert!(batch.faults.is_empty(), "{:?}", batch.faults);
                for (&site, pixels) in batch.sites.iter().zip(batch.pixels.chunks(bytes)) {
                    let id = &store.sites()[site].id;
                    let plate = &id.well.plate;
                    let well = id.well.well.to_string();
                    let expected = site_pixels(&fixture.spec, plate.experiment.as_str(), &plate.plate, &well, id.site);
                    assert!(pixels == expected, "{id}");
                }
                n_read += batch.sites.len();
                // The system's lists change while they are read: what is really too many is so every time.
                let looks = (0..5).map(|_| open_files(&fixture.store()));
                let [n_files, n_maps] = looks.reduce(|[a, b], [c, d]| [a.min(c), b.min(d)]).unwrap();
                assert!(n_files <= most && n_maps <= most, "{n_files} files and {n_maps} maps of {most}");
                feed.give_back(batch);
            }
            assert_eq!(n_read, 3 * n);
        }
    }
}

#[test]
fn where_there_is_hardly_any_memory_every_program_says_so_and_none_aborts() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let path = |name: &str| fixture.path().join(name).to_str().unwrap().to_owned();
    let (tree, store) = (path("data"), path("store"));
    for (program, words) in [
        ("verify", vec![store.as_str()]),
        ("verify", vec![&tree]),
        ("pack", vec!["--src", &tree, "--dst", &store]),
        ("stats", vec!["--shards", &store]),
    ] {
        // At most what the program itself takes and little more: whether threads begin then is a matter of luck.
        for kib in [22_000, 26_000, 30_000] {
            let shell = [String::from("-c"), format!("ulimit -v {kib} && exec \"$0\" \"$@\"")];
            let output = Command::new("sh").args(shell).arg(tool(program).get_program()).args(&words).output().unwrap();
            let told = stderr(&output);
            assert!(
                output.status.code() == Some(2) && told.contains("expected 32 MiB to begin with"),
                "{program} {kib}: {told}"
            );
        }
    }
}

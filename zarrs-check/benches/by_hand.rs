//! What we do by hand beside the crate that would do it, in one run: a shard written chunk by chunk beside zarrs, which
//! encodes it whole; the order of an epoch asked for position by position beside rand's shuffle. Prints ratios, and
//! writes them as JSON where `--json FILE` says so.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cellshard::classes::Classes;
use cellshard::feed::Permutation;
use cellshard::site::{Dtype, ImageSize, PlateId};
use cellshard::store::format::spec::channels;
use cellshard::store::write::encode::Encoder;
use cellshard::store::{Codec, Format, StoreSpec, StoreWriter};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zarrs::array::Array;
use zarrs::filesystem::FilesystemStore;

/// A shard of RxRx1: 77 sites of six channels.
const N_SITES: u32 = 77;
const SIDE: u32 = 512;
const ROUNDS: usize = 5;
/// Sites of RxRx1.
const N_EPOCH: usize = 125_510;

fn main() {
    let file = std::env::args().skip_while(|flag| flag != "--json").nth(1);
    let mut found = json!({ "command": "make bench-by-hand", "rounds": ROUNDS });
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        found[format!("shard, {codec}")] = shard(codec);
    }
    found["order of an epoch"] = order();
    let text = serde_json::to_string_pretty(&found).expect("names and numbers") + "\n";
    print!("{text}");
    if let Some(file) = file {
        std::fs::write(file, text).expect("a file that can be written");
    }
}

/// Both write a shard to memory that looks like a disk, and know its SHA-256 in the end.
fn shard(codec: Codec) -> Value {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let size = ImageSize { height: SIDE, width: SIDE };
    let (format, dtype) = (Format::LATEST, Dtype::Uint8);
    let spec =
        StoreSpec { present_only: false, format, channels: channels(6), size, dtype, codec, sites_per_shard: N_SITES };
    let plate: PlateId = "HEPG2-01/Plate1".parse().expect("a plate");
    let pixels: Vec<Vec<u8>> = (0..N_SITES).map(|site| noise(site, spec.site_bytes())).collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(write_ours(&dir.path().join(format!("ours-{round}")), &spec, &plate, &pixels));
        theirs.push(write_theirs(&dir.path().join(format!("theirs-{round}")), &spec, &plate, &pixels));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    json!({
        "ours_s": ours.as_secs_f64(),
        "zarrs_s": theirs.as_secs_f64(),
        "ratio": theirs.as_secs_f64() / ours.as_secs_f64(),
        // By construction: a chunk and its encoding, or the shard as one buffer.
        "ours_buffer_bytes": 2 * spec.site_bytes(),
        "zarrs_buffer_bytes": spec.site_bytes() * N_SITES as usize,
    })
}

fn write_ours(root: &Path, spec: &StoreSpec, plate: &PlateId, pixels: &[Vec<u8>]) -> Duration {
    let writer = StoreWriter::open(root, spec.clone(), Classes::default(), cellshard::store::Changes::default())
        .expect("a new store");
    let builder = writer.plate_builder(plate).expect("a new plate");
    let mut encoder = Encoder::new(spec).expect("zstd");
    let (mut site, mut chunk) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let mut shard = builder.shard(0).expect("a shard");
    for pixels in pixels {
        site.clear();
        site.extend_from_slice(pixels);
        encoder.encode(&mut site, &mut chunk).expect("memory");
        shard.append(&chunk).expect("room");
    }
    black_box(shard.finish(pixels.len()).expect("room"));
    start.elapsed()
}

fn write_theirs(root: &Path, spec: &StoreSpec, plate: &PlateId, pixels: &[Vec<u8>]) -> Duration {
    let folder = root.join(plate.to_string());
    std::fs::create_dir_all(&folder).expect("a new folder");
    std::fs::write(folder.join("zarr.json"), spec.plate_document(pixels.len())).expect("room");
    let store = Arc::new(FilesystemStore::new(root).expect("a folder"));
    let array = Array::open(store, &format!("/{plate}")).expect("an array of ours");
    let start = Instant::now();
    array.store_chunk(&[0, 0, 0, 0], pixels.concat()).expect("room");
    let file = folder.join("c/0/0/0/0");
    black_box(Sha256::digest(std::fs::read(&file).expect("the shard")));
    std::fs::File::open(&file).and_then(|file| file.sync_all()).expect("the shard");
    start.elapsed()
}

/// Pixels that compress about as real ones do: few levels, some structure.
fn noise(seed: u32, n: usize) -> Vec<u8> {
    let mut state = u64::from(seed) << 1 | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 60
    };
    (0..n).map(|i| (i / 37 % 11 + next() as usize) as u8).collect()
}

/// One epoch of RxRx1 in random order, whole, and one position of it.
fn order() -> Value {
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS as u64 {
        let start = Instant::now();
        let mut all: Vec<usize> = (0..N_EPOCH).collect();
        all.shuffle(&mut Pcg64Mcg::seed_from_u64(round));
        black_box(&all);
        times[0].push(start.elapsed());
        let start = Instant::now();
        let order = Permutation::new(N_EPOCH, 1, round);
        black_box((0..N_EPOCH).map(|i| order.at(i)).fold(0, usize::wrapping_add));
        times[1].push(start.elapsed());
        let start = Instant::now();
        black_box(Permutation::new(N_EPOCH, 1, round).at(black_box(N_EPOCH / 2)));
        times[2].push(start.elapsed());
    }
    let [shuffle, whole, one] = times.map(|times| median(times).as_secs_f64());
    json!({
        "positions": N_EPOCH,
        "rand_shuffle_s": shuffle,
        "ours_all_positions_s": whole,
        "ours_one_position_s": one,
        "ratio_of_shuffling_to_resuming": shuffle / one,
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

//! `make bench-pack`: what packing costs beside the work that nobody can spare, and beside the packer that a Python
//! user would write: PNGs of RxRx1's kind, and 16-bit TIFFs of LZW. Every figure is measured in this one run, in turns, on
//! the same threads and files.
//!
//! usage: cargo bench --bench pack -- [--data DIR] [--python PYTHON] [--json FILE] [--threads N]

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use cellshard::bench::machine;
use cellshard::store::Codec;
use cellshard::wave::{Encoder, Mode, Shape};
use common::{Args, ROUNDS, SITE_BYTES, middle, plate, write_json};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CODECS: [Codec; 5] =
    [Codec::Raw, Codec::Zstd(1), Codec::Zstd(3), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)];

fn main() {
    let args = Args::parse();
    let plate = plate(&args.data);
    let sites = list_sites(&plate);
    let n_sites = sites.len();
    let png_bytes: u64 = sites.iter().flatten().map(|path| fs::metadata(path).unwrap().len()).sum();
    println!(
        "{n_sites} sites, {} MB of PNGs ({:.3} of raw), {} threads, destination on tmpfs\n",
        png_bytes / 1_000_000,
        png_bytes as f64 / (n_sites as u64 * SITE_BYTES) as f64,
        args.threads
    );

    // The first pass warms the page cache.
    decode_and_encode(&sites, None, args.threads);
    let mut seconds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut peak_kib = 0;
    for _ in 0..ROUNDS {
        let mut note = |name: &str, value: f64| seconds.entry(name.to_owned()).or_default().push(value);
        note("decode alone", decode_and_encode(&sites, None, args.threads));
        for codec in CODECS {
            if codec != Codec::Raw {
                note(&format!("decode + {codec} alone"), decode_and_encode(&sites, Some(codec), args.threads));
            }
            let (took, kib) = pack(&args.data, &codec.to_string(), args.threads);
            note(&format!("pack {codec}"), took);
            peak_kib = peak_kib.max(kib);
        }
        if let Some(python) = &args.python {
            note("python cv2 + zarr, zstd 3", python_pack(python, &plate, args.threads));
        }
    }
    let median: BTreeMap<&str, f64> = seconds.iter().map(|(name, values)| (name.as_str(), middle(values))).collect();
    println!("{:<28} {:>8} {:>9}", "", "seconds", "sites/s");
    for (name, value) in &median {
        println!("{name:<28} {value:>8.2} {:>9.0}", n_sites as f64 / value);
    }
    println!();
    let mut ratios = Vec::new();
    let mut ratio = |name: &str, value: f64, goal: &str| {
        println!("{name:<58} {value:>6.2}   goal {goal}");
        ratios.push(json!({ "name": name, "ratio": value, "goal": goal }));
    };
    ratio("pack raw / decode alone (image crate)", median["pack raw"] / median["decode alone"], "<= 1.25");
    for codec in &CODECS[1..] {
        let alone = median[format!("decode + {codec} alone").as_str()];
        let name = format!("pack {codec} / decode + encode alone");
        ratio(&name, median[format!("pack {codec}").as_str()] / alone, "<= 1.20");
    }
    ratio("pack wave / pack raw", median["pack wave"] / median["pack raw"], "<= 2");
    if args.python.is_some() {
        ratio(
            "python, 2 processes / pack zstd:3",
            median["python cv2 + zarr, zstd 3"] / median["pack zstd:3"],
            ">= 1.80",
        );
    }
    let tiffs = args.python.as_ref().map(|python| tiff_plate(&args, python, &mut ratio));
    let (verify, sha) = verify_rate(&args);
    ratio("verify, bytes a second / sha2 alone on all cores", verify / sha, ">= 0.80");
    let (ten_kib, rerun) = ten_plates(&args, &plate);
    println!(
        "\npeak memory: 1 plate {} MiB, 10 plates {} MiB   goal <= 600, the same",
        peak_kib / 1024,
        ten_kib / 1024
    );
    println!("rerun when all is done, 10 plates: {rerun:.2} s   goal < 1");
    if let Some(path) = &args.json {
        let report = json!({
            "command": "make bench-pack", "threads": args.threads, "sites": n_sites, "png_bytes": png_bytes,
            "machine": machine(), "seconds": seconds, "tiff": tiffs, "ratios": ratios,
            "verify_bytes_per_s": verify, "sha2_bytes_per_s": sha,
            "peak_kib_1_plate": peak_kib, "peak_kib_10_plates": ten_kib, "rerun_10_plates_s": rerun,
        });
        write_json(path, &report);
    }
}

/// The PNGs of each site, in the order of their channels.
fn list_sites(plate: &Path) -> Vec<Vec<PathBuf>> {
    let mut by_site: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(plate).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        by_site.entry(name.rsplit_once('_').unwrap().0.to_owned()).or_default().push(path);
    }
    by_site
        .into_values()
        .map(|mut paths| {
            paths.sort();
            paths
        })
        .collect()
}

type Encode = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

/// What encodes a site's pixels, appending to the chunk, with nothing of ours around it.
fn encoder(codec: Codec) -> Encode {
    let shape = Shape { channels: 6, height: 512, width: 512 };
    match codec {
        Codec::Raw => Box::new(|_, _| ()),
        Codec::Zstd(level) => {
            let mut compressor = zstd::bulk::Compressor::new(level).unwrap();
            Box::new(move |pixels, chunk| {
                chunk.reserve(zstd::zstd_safe::compress_bound(pixels.len()));
                compressor.compress_to_buffer(pixels, chunk).unwrap();
            })
        }
        Codec::Wave(mode) => {
            let mut encoder = Encoder::new(mode).unwrap();
            Box::new(move |pixels, chunk| encoder.encode(shape, pixels, chunk).unwrap())
        }
    }
}

/// Decodes every PNG with the `image` crate, and encodes each site if a codec is given. Seconds.
fn decode_and_encode(sites: &[Vec<PathBuf>], codec: Option<Codec>, threads: usize) -> f64 {
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut encode = encoder(codec.unwrap_or(Codec::Raw));
                let mut chunk = Vec::new();
                while let Some(site) = sites.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut pixels = Vec::with_capacity(SITE_BYTES as usize);
                    for path in site {
                        let image = image::load_from_memory(&fs::read(path).unwrap()).unwrap();
                        pixels.extend_from_slice(image.as_luma8().unwrap().as_raw());
                    }
                    chunk.clear();
                    encode(&pixels, &mut chunk);
                    std::hint::black_box((&pixels, &chunk));
                }
            });
        }
    });
    start.elapsed().as_secs_f64()
}

/// A folder on tmpfs that goes when dropped. Memory for it is touched first: a virtual machine whose free memory was
/// given back to its host would otherwise spend up to a second of the run on getting it again.
fn on_tmpfs() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a tmpfs at /dev/shm");
    let path = dir.path().join("warm");
    let mut file = fs::File::create(&path).unwrap();
    let block = vec![1; 1 << 20];
    (0..1100).for_each(|_| file.write_all(&block).unwrap());
    drop(file);
    fs::remove_file(path).unwrap();
    dir
}

fn pack(data: &Path, codec: &str, threads: usize) -> (f64, u64) {
    let dir = on_tmpfs();
    pack_to(data, &dir.path().join("store"), codec, threads)
}

/// Runs `pack`; seconds, and the peak of its memory in KiB.
fn pack_to(data: &Path, dst: &Path, codec: &str, threads: usize) -> (f64, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pack"));
    command.arg("--src").arg(data).arg("--dst").arg(dst).args(["--codec", codec, "--threads", &threads.to_string()]);
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak = peak.max(high.and_then(|kib| kib.parse().ok()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "pack failed");
            return (start.elapsed().as_secs_f64(), peak);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn python_pack(python: &Path, plate: &Path, processes: usize) -> f64 {
    let dir = on_tmpfs();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/pack_python.py");
    let out = Command::new(python)
        .arg(script)
        .arg(plate)
        .arg(dir.path().join("store"))
        .arg(processes.to_string())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(out.status.success(), "the python packer failed");
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    report["seconds"].as_f64().unwrap()
}

/// Packs a plate of 16-bit TIFFs, and has Python pack it: tifffile and zarr-python, a process a core, as many shards for
/// each. Each at the codec that it has where nothing is asked for, and both at the same. Seconds, and bytes of the stores.
fn tiff_plate(args: &Args, python: &Path, ratio: &mut dyn FnMut(&str, f64, &str)) -> Value {
    let tree = args.data.with_file_name("bench-pack-tiff");
    if !tree.is_dir() {
        eprintln!("simulating a plate of 48 sites of 6 x 1080 x 1080 in {}", tree.display());
        let flags = ["--layout", "phenix", "--bits", "16", "--size", "1080", "--plates", "1", "--wells", "8"];
        let flags =
            flags.into_iter().chain(["--sites", "6", "--channels", "6", "--seed", "1", "--experiments", "BENCH:1"]);
        common::run(Command::new(env!("CARGO_BIN_EXE_simulate")).arg("--dst").arg(&tree).args(flags));
    }
    let plate = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let mut seconds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for level in ["1", "3"] {
            let dir = on_tmpfs();
            let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
            let mut pack = Command::new(env!("CARGO_BIN_EXE_pack"));
            pack.arg("--src").arg(&tree).arg("--dst").arg(&ours).args(["--layout", "phenix", "--sites-per-shard", "8"]);
            pack.args(["--codec", &format!("zstd:{level}"), "--threads", &args.threads.to_string()]);
            let start = Instant::now();
            common::run(pack.stdout(Stdio::null()));
            seconds.entry(format!("pack zstd:{level}")).or_default().push(start.elapsed().as_secs_f64());
            bytes.insert(format!("pack zstd:{level}"), bytes_below(&ours));
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/pack_tiff_python.py");
            let mut peer = Command::new(python);
            peer.arg(script).arg(plate.join("Images")).arg(&theirs).args([&args.threads.to_string(), "8", level]);
            let out = peer.stderr(Stdio::inherit()).output().unwrap();
            assert!(out.status.success(), "the python packer failed");
            let report: Value = serde_json::from_slice(&out.stdout).unwrap();
            seconds.entry(format!("python zstd {level}")).or_default().push(report["seconds"].as_f64().unwrap());
            bytes.insert(format!("python zstd {level}"), bytes_below(&theirs));
        }
    }
    let median: BTreeMap<&str, f64> = seconds.iter().map(|(name, values)| (name.as_str(), middle(values))).collect();
    for (name, value) in &median {
        println!("16-bit TIFF, {name:<15} {value:>8.2} s {:>9} MB", bytes[*name] / 1_000_000);
    }
    for (name, theirs, ours) in [
        ("16-bit TIFF, python / pack, each at its default codec", "python zstd 3", "pack zstd:1"),
        ("16-bit TIFF, python / pack, both at zstd 1", "python zstd 1", "pack zstd:1"),
        ("16-bit TIFF, python / pack, both at zstd 3", "python zstd 3", "pack zstd:3"),
    ] {
        ratio(name, median[theirs] / median[ours], ">= 2.00");
    }
    json!({ "seconds": seconds, "bytes": bytes })
}

fn bytes_below(dir: &Path) -> u64 {
    let bytes = |path: PathBuf| if path.is_dir() { bytes_below(&path) } else { fs::metadata(path).unwrap().len() };
    fs::read_dir(dir).unwrap().map(|entry| bytes(entry.unwrap().path())).sum()
}

/// Bytes a second that `verify` reads and hashes, and that sha2 alone hashes, in turns, on all cores.
fn verify_rate(args: &Args) -> (f64, f64) {
    let dir = on_tmpfs();
    let store = dir.path().join("store");
    pack_to(&args.data, &store, "raw", args.threads);
    let cores = thread::available_parallelism().unwrap().get();
    let (mut verify, mut sha) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS + 2 {
        let out = Command::new(env!("CARGO_BIN_EXE_verify")).arg(&store).arg("--json").output().unwrap();
        let report: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(report["whole"], true);
        verify.push(report["bytes_read"].as_f64().unwrap() / report["seconds"].as_f64().unwrap());
        let start = Instant::now();
        let n_blocks = 2000;
        thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    let block = vec![7_u8; 128 << 10];
                    let mut hash = Sha256::new();
                    (0..n_blocks).for_each(|_| hash.update(&block));
                    std::hint::black_box(hash.finalize());
                });
            }
        });
        sha.push((cores * n_blocks * (128 << 10)) as f64 / start.elapsed().as_secs_f64());
    }
    (middle(&verify), middle(&sha))
}

/// The peak memory of packing ten plates (links to the one), and how long a rerun takes.
fn ten_plates(args: &Args, plate: &Path) -> (u64, f64) {
    let tree = tempfile::tempdir_in(args.data.parent().unwrap()).unwrap();
    for i in 1..=10 {
        let dir = tree.path().join(format!("BENCH-{i:02}/Plate1"));
        fs::create_dir_all(&dir).unwrap();
        for entry in fs::read_dir(plate).unwrap() {
            let path = entry.unwrap().path();
            fs::hard_link(&path, dir.join(path.file_name().unwrap())).unwrap();
        }
    }
    let dir = on_tmpfs();
    let store = dir.path().join("store");
    let (_, kib) = pack_to(tree.path(), &store, "zstd:3", args.threads);
    let reruns: Vec<f64> = (0..ROUNDS).map(|_| pack_to(tree.path(), &store, "zstd:3", args.threads).0).collect();
    (kib, middle(&reruns))
}

//! `make bench-feed`: the feed beside what memory and zstd can give at most, and beside other readers of the same
//! plate. Every figure is measured in this one run, in turns: batches of 64 sites at random, on as many threads as
//! there are cores, from a warm page cache.
//!
//! usage: cargo bench --bench feed -- [--data DIR] [--work DIR] [--python PYTHON] [--json FILE] [--threads N]

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use cellshard::bench::{Bench, BenchConfig, Checked, Limit, Part, machine};
use cellshard::feed::{Feed, Io, Permutation, Reader, Verify};
use cellshard::store::Store;
use common::{Args, ROUNDS, SITE_BYTES, middle, plate, run, write_json};
use serde_json::{Value, json};

const BATCH: usize = 64;
/// Seconds that each of our figures is measured in a round.
const SECONDS: f64 = 3.0;
/// Epochs that another reader is timed over in a round, at least, after one to warm up; more of a fast one.
const EPOCHS: &str = "4";
/// Readers of raw pixels that ours is compared with, FFCV with an epoch a pass; and all others that were measured.
const RIVALS: [&str; 6] = ["ffcv", "tensorstore-raw", "webdataset", "mosaic-streaming", "litdata", "zarr-raw"];
const OTHERS: [&str; 3] = ["ffcv-one-pass", "zarrs-raw", "numpy-memmap"];

fn main() {
    let args = Args::parse();
    let plate = plate(&args.data);
    let codecs = [("raw", "raw"), ("zstd", "zstd:3"), ("wave", "wave"), ("fast", "wave:fast")];
    let stores = codecs.map(|(name, codec)| {
        let store = args.work.join(name);
        let threads = args.threads.to_string();
        let paths = [Path::new("--src"), &args.data, Path::new("--dst"), &store];
        run(Command::new(env!("CARGO_BIN_EXE_pack"))
            .args(paths)
            .args(["--codec", codec, "--threads", &threads])
            .stdout(Stdio::null()));
        store
    });
    let peers = args
        .python
        .as_ref()
        .map(|python| Peers::prepare(python, &plate, [&stores[0], &stores[1]], &args.work, args.threads));
    let open = |store: &Path, io| {
        let shards = store.to_owned();
        let config =
            BenchConfig { shards, n_threads: args.threads, batch: BATCH, io, seconds: SECONDS, rounds: ROUNDS };
        let bench = Bench::open(config).unwrap();
        assert_eq!(bench.n_sample(), bench.store().sites().len(), "ours reads the whole plate, as the others do");
        bench
    };
    let [raw, zstd, wave, fast] = &stores;
    let benches = [
        ("raw", raw, Io::Mmap),
        ("raw, pread", raw, Io::Pread),
        ("zstd:3", zstd, Io::Mmap),
        ("zstd:3, pread", zstd, Io::Pread),
        ("wave", wave, Io::Mmap),
        ("wave:fast", fast, Io::Mmap),
    ];
    let benches = benches.map(|(name, store, io)| (name, open(store, io)));

    let mut rates: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut settings: BTreeMap<String, Value> = BTreeMap::new();
    for round in 1..=ROUNDS {
        for (name, bench) in &benches {
            for part in parts(name) {
                eprintln!("round {round}: {name}: {}", part.name());
                let rate = bench.measure(part).unwrap().unwrap();
                rates.entry(format!("{name}: {}", part.name())).or_default().push(rate.mb_per_s);
            }
        }
        for name in peers.iter().flat_map(|peers| &peers.names) {
            eprintln!("round {round}: {name}");
            let peers = peers.as_ref().unwrap();
            // How a reader is fastest is tried out in the first round.
            let found = peers.read(name, settings.get(name).and_then(|found| found["way"].as_str()));
            assert_eq!(found["crc_sum"], json!(peers.crc_sum), "{name} did not read the plate");
            rates.entry(name.clone()).or_default().push(found["mb_per_s"].as_f64().unwrap());
            settings.entry(name.clone()).or_insert(found);
        }
    }
    report(&args, &rates, &settings, peers.as_ref(), &memory(raw, args.threads));
}

/// What is measured of ours on a store.
fn parts(name: &str) -> Vec<Part> {
    let limits: &[Limit] = match name {
        "raw" => &[Limit::Memcpy, Limit::Copy],
        "zstd:3" | "wave" | "wave:fast" => &[Limit::Decode],
        _ => &[],
    };
    limits
        .iter()
        .copied()
        .map(Part::Limit)
        .chain([Checked::Never, Checked::First, Checked::Always].map(Part::WarmFeed))
        .collect()
}

fn report(
    args: &Args,
    rates: &BTreeMap<String, Vec<f64>>,
    settings: &BTreeMap<String, Value>,
    peers: Option<&Peers>,
    memory: &[u64],
) {
    let at = |name: &str| rates.get(name).map(|rounds| middle(rounds));
    println!("\n{}, {} threads, batches of {BATCH} at random, page cache warm\n", machine(), args.threads);
    let mut rows: Vec<(&String, f64)> = rates.iter().map(|(name, rounds)| (name, middle(rounds))).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    println!("{:<44} {:>9} {:>9}", "raw pixels", "MB/s", "sites/s");
    for (name, rate) in &rows {
        println!("{name:<44} {rate:>9.0} {:>9.0}", rate * 1e6 / SITE_BYTES as f64);
    }
    println!();
    let mut ratios = Vec::new();
    let mut ratio = |name: String, value: Option<f64>, goal: &str| {
        let Some(value) = value else { return };
        println!("{name:<66} {value:>6.2}   goal {goal}");
        ratios.push(json!({ "name": name, "ratio": value, "goal": goal }));
    };
    let feed = |store: &str, checked: Checked| at(&format!("{store}: {}", Part::WarmFeed(checked).name()));
    let limit = |store: &str, limit: Limit| at(&format!("{store}: {}", Part::Limit(limit).name()));
    let over = |ours: Option<f64>, theirs: Option<f64>| Some(ours? / theirs?);
    let best = |names: &[&'static str]| {
        let found = names.iter().filter_map(|&name| Some((name, at(name)?)));
        found.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(("nobody", None), |(name, rate)| (name, Some(rate)))
    };
    let (rival, rival_rate) = best(&RIVALS);
    let (fastest, fastest_rate) = best(&[&RIVALS[..], &OTHERS[..]].concat());
    let (first, always) = (feed("raw", Checked::First), feed("raw", Checked::Always));
    println!("six: {}\n", RIVALS.join(", "));
    ratio(format!("raw, verified at first read / best of six ({rival})"), over(first, rival_rate), ">= 5");
    ratio(format!("raw, verified at every read / best of six ({rival})"), over(always, rival_rate), ">= 4");
    ratio(
        format!("raw, verified at first read / fastest of all others ({fastest})"),
        over(first, fastest_rate),
        "shown",
    );
    ratio(
        format!("raw, verified at every read / fastest of all others ({fastest})"),
        over(always, fastest_rate),
        "shown",
    );
    ratio("raw, verified at first read / ffcv, an epoch a pass".into(), over(first, at("ffcv")), "shown");
    ratio(
        "raw, verified at first read / copying past the caches".into(),
        over(first, limit("raw", Limit::Copy)),
        "shown",
    );
    ratio("raw, verified at first read / memcpy".into(), over(first, limit("raw", Limit::Memcpy)), "shown");
    let [python_raw, python_zstd] = ["cellshard-python-raw", "cellshard-python-zstd"].map(at);
    ratio("raw, by Python / the feed of Rust".into(), over(python_raw, first), ">= 0.9");
    ratio("zstd:3, by Python / the feed of Rust".into(), over(python_zstd, feed("zstd:3", Checked::First)), ">= 0.9");
    ratio(format!("raw, by Python / fastest of all others ({fastest})"), over(python_raw, fastest_rate), ">= 1.8");
    ratio(
        "zstd:3, verified at first read / tensorstore-zstd".into(),
        over(feed("zstd:3", Checked::First), at("tensorstore-zstd")),
        ">= 1.6",
    );
    ratio(
        "zstd:3, verified at first read / decoding alone".into(),
        over(feed("zstd:3", Checked::First), limit("zstd:3", Limit::Decode)),
        ">= 0.92",
    );
    ratio(
        "zstd:3, verified at every read / decoding alone".into(),
        over(feed("zstd:3", Checked::Always), limit("zstd:3", Limit::Decode)),
        "shown",
    );
    for codec in ["wave", "wave:fast"] {
        let ours = feed(codec, Checked::First);
        let decoding = over(ours, limit(codec, Limit::Decode));
        ratio(format!("{codec}, verified at first read / decoding alone"), decoding, ">= 0.92");
        ratio(format!("{codec}, verified at first read / zstd:3"), over(ours, feed("zstd:3", Checked::First)), "shown");
    }
    ratio(
        "raw, verified at first read / PNG by cv2 and DataLoader".into(),
        over(feed("raw", Checked::First), at("png-cv2")),
        "shown",
    );
    let mib = |kib: &u64| format!("{:.1}", *kib as f64 / 1024.0);
    println!(
        "\nmemory after each of 10 epochs, beside what is mapped, MiB: {}",
        memory.iter().map(mib).collect::<Vec<_>>().join(" ")
    );
    println!("(a ring of 3 batches of {BATCH} sites has {} MiB)", (3 * BATCH as u64 * SITE_BYTES) >> 20);
    for (name, why) in peers.iter().flat_map(|peers| &peers.missing) {
        println!("not measured: {name}: {why}");
    }
    if let Some(path) = &args.json {
        let report = json!({
            "command": "make bench-feed", "machine": machine(), "threads": args.threads, "batch": BATCH,
            "sites": 616, "mb_per_s": rates, "ratios": ratios, "peers": settings,
            "peers_not_measured": peers.map(|peers| &peers.missing), "anonymous_kib_after_each_epoch": memory,
        });
        write_json(path, &report);
    }
}

/// Memory of this process in KiB, but for mapped files, after each of ten epochs of one feed.
fn memory(store: &Path, threads: usize) -> Vec<u64> {
    let reader = Arc::new(Reader::new(Store::open(store).unwrap(), Io::Mmap, Verify::Always));
    let n = reader.store().sites().len();
    // Not 0, which the system would have no memory for until it is written to.
    let buffers = vec![vec![1; BATCH * reader.site_bytes()]; 3];
    let mut epochs = (0..10).flat_map(move |epoch| {
        let order = Permutation::new(n, 1, epoch);
        (0..n).map(move |i| order.at(i)).collect::<Vec<_>>()
    });
    let feed = Feed::start(&reader, buffers, threads, move |sites| sites.extend(epochs.by_ref().take(BATCH))).unwrap();
    let (mut found, mut sites) = (Vec::new(), 0);
    while let Some(batch) = feed.next_batch().unwrap() {
        assert!(batch.faults.is_empty());
        sites += batch.sites.len();
        feed.give_back(batch);
        if sites / n > found.len() {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
            found.push(anonymous.unwrap().parse().unwrap());
        }
    }
    found
}

/// The other readers: a Python script that prepares and reads one of them at a time.
struct Peers {
    command: Vec<PathBuf>,
    flags: Vec<PathBuf>,
    names: Vec<String>,
    /// Those that cannot run here, and why.
    missing: BTreeMap<String, String>,
    /// What each must say of the plate: the sum of zlib's crc32 of every site.
    crc_sum: u64,
}

impl Peers {
    fn prepare(python: &Path, plate: &Path, [raw, zstd]: [&PathBuf; 2], work: &Path, threads: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/feed_peers.py");
        let (peers, threads) = (work.join("peers"), PathBuf::from(threads.to_string()));
        let flags = [("--plate", plate), ("--raw", raw), ("--zstd", zstd), ("--work", &peers)];
        let flags = flags.into_iter().chain([("--workers", threads.as_path()), ("--epochs", Path::new(EPOCHS))]);
        let flags = flags.flat_map(|(flag, value)| [PathBuf::from(flag), value.to_owned()]).collect();
        let store = Store::open(raw).unwrap();
        let reader = Reader::new(store, Io::Mmap, Verify::Always);
        let mut pixels = vec![0; reader.site_bytes()];
        let crc_sum = (0..reader.store().sites().len()).fold(0_u64, |sum, site| {
            reader.read(site, &mut pixels).unwrap();
            sum.wrapping_add(crc32fast::hash(&pixels).into())
        });
        let command = vec![python.to_owned(), script];
        let mut peers = Self { command, flags, names: Vec::new(), missing: BTreeMap::new(), crc_sum };
        let names = peers.call(&["list"], false).unwrap();
        for name in names.split_whitespace() {
            eprintln!("preparing {name}");
            match peers.call(&["prepare", name], true) {
                Ok(_) => peers.names.push(name.to_owned()),
                Err(why) => {
                    peers.missing.insert(name.to_owned(), why);
                }
            }
        }
        peers
    }

    /// Measures a reader, used in a way or in the fastest.
    fn read(&self, name: &str, way: Option<&str>) -> Value {
        let words: Vec<&str> =
            ["read", name].into_iter().chain(way.into_iter().flat_map(|way| ["--way", way])).collect();
        let line = self.call(&words, true).unwrap_or_else(|why| panic!("{name}: {why}"));
        serde_json::from_str(line.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{name}: {e}: {line}"))
    }

    /// What the script prints; the last line of its errors where it fails.
    fn call(&self, words: &[&str], with_flags: bool) -> Result<String, String> {
        let mut command = Command::new(&self.command[0]);
        command.arg(&self.command[1]).args(words);
        if with_flags {
            command.args(&self.flags);
        }
        let out = command.output().unwrap();
        if out.status.success() {
            return Ok(String::from_utf8(out.stdout).unwrap());
        }
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        Err(errors.lines().last().unwrap_or("no reason given").to_owned())
    }
}

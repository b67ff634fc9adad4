//! What the benchmarks share: the plate, the programs of this package, and writing a run down.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use serde_json::Value;

/// Rounds; each figure is the median of them.
pub(crate) const ROUNDS: usize = 3;
/// Bytes of a site's raw pixels: 6 x 512 x 512.
pub(crate) const SITE_BYTES: u64 = 6 * 512 * 512;

/// What a benchmark is told on its command line.
pub(crate) struct Args {
    /// The tree of PNGs; simulated if it is not there.
    pub(crate) data: PathBuf,
    /// Where stores are packed that are kept from run to run.
    pub(crate) work: PathBuf,
    /// A Python that has the peers; without it they are left out.
    pub(crate) python: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) threads: usize,
}

impl Args {
    pub(crate) fn parse() -> Self {
        let cores = thread::available_parallelism().unwrap().get();
        let (data, work) = ("target/bench-pack".into(), "target/bench-feed".into());
        let mut args = Self { data, work, python: None, json: None, threads: cores };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(flag) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{flag} takes a value"));
            match flag.as_str() {
                "--data" => args.data = value().into(),
                "--work" => args.work = value().into(),
                "--python" => args.python = Some(value().into()),
                "--json" => args.json = Some(value().into()),
                "--threads" => args.threads = value().parse().expect("a number of threads"),
                other => panic!("unknown flag {other}"),
            }
        }
        args
    }
}

/// The folder of a simulated plate of 616 sites in the tree `data`, made if it is not there.
pub(crate) fn plate(data: &Path) -> PathBuf {
    let plate = data.join("train/BENCH-01/Plate1");
    if !plate.is_dir() {
        eprintln!("simulating a plate of 616 sites in {}", data.display());
        let flags = ["--experiments", "BENCH:1", "--plates", "1", "--seed", "1"];
        run(Command::new(env!("CARGO_BIN_EXE_simulate")).arg("--dst").arg(data).args(flags));
    }
    plate
}

pub(crate) fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?} failed");
}

pub(crate) fn middle(values: &[f64]) -> f64 {
    cellshard::bench::median(values.to_vec()).expect("a round or more")
}

pub(crate) fn write_json(path: &Path, report: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_string_pretty(report).unwrap() + "\n").unwrap();
    println!("\nwritten to {}", path.display());
}

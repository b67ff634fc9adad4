//! `bench`: where the time of reading goes, measured part by part in one run.

use clap::{Command, CommandFactory, Parser};

use crate::bench::{Bench, BenchConfig, machine};
use crate::cli::report::bench::{BenchReport, announce};
use crate::cli::{self, At, Code, Exit, IoFlag, Shards};

/// Measure where the time of reading goes, from the disk to a batch in memory
///
/// Disk, page cache, checksums, decoding, and the feed; train --bench goes on to the device. The rates are raw pixels in 10^6 bytes a second, whatever the codec. The store's files are read, and once dropped
/// from the page cache; nothing is written.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Flags {
    #[command(flatten)]
    store: At<Shards>,
    /// Sites in a batch
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Threads that read and decode [default: one a core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// How shards are read: mmap or pread
    #[arg(long, value_name = "HOW", default_value = "mmap", hide_possible_values = true)]
    io: IoFlag,
    /// Seconds a part is measured in a round
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = cli::positive_seconds)]
    seconds: f64,
    /// Rounds; a figure is the median of them
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    cli::framed(Flags::command())
}

/// Runs it.
pub fn main() -> Code {
    cli::run("bench", body)
}

fn body() -> anyhow::Result<Exit> {
    let flags: Flags = cli::parse(&command())?;
    cli::when_interrupted("nothing was changed; run it again");
    let config = BenchConfig {
        shards: flags.store.path().to_owned(),
        n_threads: cli::threads(flags.threads)?,
        batch: flags.batch as usize,
        io: flags.io.into(),
        seconds: flags.seconds,
        rounds: flags.rounds as usize,
    };
    let bench = Bench::open(config)?;
    let report = BenchReport::new(machine(), &bench, bench.run(&announce)?);
    cli::show(report.show(&bench, flags.json))?;
    Ok(Exit::Success)
}

//! `bench`: where the time of reading and training goes, measured part by part in one run.

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use cellshard::bench::{Bench, BenchConfig, machine};
use cellshard::cli::bench::BenchReport;
use cellshard::cli::{self, Exit, IoFlag, recipe_args};
use clap::{CommandFactory, FromArgMatches, Parser};

/// Measure where time goes: disk, page cache, checksums, decoding, the feed, copies to the device, training steps, and
/// the real run beside what the device could do
///
/// The rates are raw pixels in 10^6 bytes a second, whatever the codec. The store's files are read, and once dropped
/// from the page cache; nothing is written.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Flags {
    /// The store
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// Only up to a batch in memory; needs no libtorch
    #[arg(long)]
    feed_only: bool,
    /// Only training steps: copies to the device, steps on a resident batch, the real run
    #[arg(long, conflicts_with = "feed_only")]
    steps_only: bool,
    /// Threads that read and decode [default: one a core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// How the feed reads shards
    #[arg(long, value_name = "HOW", default_value = "mmap")]
    io: IoFlag,
    /// Seconds that each part is measured in each round
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = cli::positive_seconds)]
    seconds: f64,
    /// Rounds; a figure is the median of them
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Training steps")]
    steps: cli::step_args::StepArgs,
}

fn main() -> ExitCode {
    cli::run(body)
}

fn body() -> anyhow::Result<Exit> {
    let matches = recipe_args::add(Flags::command()).get_matches();
    let flags = Flags::from_arg_matches(&matches)?;
    let recipe = flags.steps.recipe(&recipe_args::given(&matches))?;
    let n_threads = cli::threads(flags.threads)?;
    let config = BenchConfig {
        shards: flags.shards.clone(),
        n_threads,
        batch: recipe.batch as usize,
        io: flags.io.into(),
        seconds: flags.seconds,
        rounds: flags.rounds as usize,
    };
    // What cannot be measured is said before anything is.
    let bench = Bench::open(config)?;
    let steps =
        (!flags.feed_only).then(|| flags.steps.open(&flags.shards, &recipe, flags.io, n_threads)).transpose()?;
    let figures = if flags.steps_only {
        Vec::new()
    } else {
        bench.run(&|part| {
            let _ = writeln!(stderr(), "measuring  {}", part.name());
        })?
    };
    let mut report = BenchReport::new(machine(), &bench, figures);
    if let Some(steps) = steps {
        report = report.with_device(steps.measure(flags.rounds)?);
    }
    cli::show(if flags.json {
        cli::report::json(&report)
    } else {
        Ok(report.print(&mut stdout().lock(), bench.store().spec().codec)?)
    })?;
    Ok(Exit::Success)
}

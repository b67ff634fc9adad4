//! `stats`: plate statistics of a store, from the counts that `pack` gathered; reads no pixel.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Command, CommandFactory, Parser, ValueEnum};

use crate::cli::report::statistics;
use crate::cli::{self, Exit};
use crate::plate_statistics::summarise_store;
use crate::stats::{Grouping, PopulationGroup, Summary};
use crate::store::Store;

/// Show mean, standard deviation, median, MAD and percentiles of grey levels for each plate (or experiment,
/// cell type, store), population and channel.
#[derive(Parser)]
#[command(name = "stats", version, after_help = cli::EXIT_CODES)]
struct Args {
    /// The store
    #[arg(long)]
    shards: PathBuf,
    /// What is taken together
    #[arg(long, default_value = "plate")]
    by: By,
    /// Which wells [default: controls in the table, every population in --csv and --json]
    #[arg(long, value_delimiter = ',')]
    population: Vec<Wells>,
    /// Write CSV to stdout
    #[arg(long, group = "output")]
    csv: bool,
    /// Write JSON to stdout
    #[arg(long, group = "output")]
    json: bool,
    /// Write one line a site and channel to stdout, in the columns of Kaggle's pixel statistics
    #[arg(long, group = "output", conflicts_with_all = ["by", "population"])]
    pixel_stats: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Plate,
    Experiment,
    CellType,
    Store,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wells {
    Negative,
    Positive,
    Controls,
    Treatment,
    All,
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    Args::command()
}

/// Runs it.
#[must_use]
pub fn main() -> ExitCode {
    cli::run("stats", body)
}

fn body() -> anyhow::Result<Exit> {
    let args: Args = cli::parse()?;
    cli::limit_threads(None)?;
    cli::when_interrupted("nothing was changed; run it again");
    let store = Store::open(&args.shards)?;
    let mut out = BufWriter::new(stdout().lock());
    if args.pixel_stats {
        statistics::pixel_stats(&mut out, &store)?;
    } else {
        let by = match args.by {
            By::Plate => Grouping::Plate,
            By::Experiment => Grouping::Experiment,
            By::CellType => Grouping::CellType,
            By::Store => Grouping::Store,
        };
        let mut summaries = summarise_store(&store, by)?;
        let table = !args.csv && !args.json;
        choose(&mut summaries, &args.population, table);
        if table {
            statistics::table(&mut out, &summaries, &store.spec().channels)?;
        } else if args.csv {
            statistics::csv(&mut out, &summaries)?;
        } else {
            let by = args.by.to_possible_value().map_or_else(String::new, |by| by.get_name().to_owned());
            statistics::json(&summaries, &by, &store.spec().channels)?;
        }
    }
    out.flush()?;
    Ok(Exit::Success)
}

/// Keeps the populations asked for. A table without a wish shows the controls, or all wells of a store without labels.
fn choose(summaries: &mut Vec<Summary>, wanted: &[Wells], table: bool) {
    let groups: Vec<PopulationGroup> = wanted.iter().map(|&wells| PopulationGroup::ALL[wells as usize]).collect();
    let has_controls = summaries.iter().any(|summary| summary.population == PopulationGroup::Controls);
    let default = if has_controls { PopulationGroup::Controls } else { PopulationGroup::All };
    let wanted = |population| {
        if groups.is_empty() { !table || population == default } else { groups.contains(&population) }
    };
    summaries.retain(|summary| wanted(summary.population));
}

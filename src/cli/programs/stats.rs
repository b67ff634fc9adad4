//! `stats`: plate statistics of a store, from the counts that `pack` gathered; reads no pixel.

use std::io::{BufWriter, Write, stdout};

use clap::{Command, CommandFactory, Parser, ValueEnum};

use crate::cli::report::statistics;
use crate::cli::{self, At, Code, Exit, Shards};
use crate::plate_statistics::summarise_store;
use crate::stats::{Grouping, PopulationGroup, Summary};
use crate::store::Store;

/// Show the grey levels of each plate, population and channel
///
/// Mean, standard deviation, median, MAD, percentiles and the dark and saturated share, exactly, for each plate (or
/// experiment, cell type, store).
#[derive(Parser)]
#[command(name = "stats", version)]
struct Args {
    #[command(flatten)]
    store: At<Shards>,
    /// plate (default), experiment, cell-type or store
    ///
    /// What is taken together
    #[arg(long, value_name = "WHAT", default_value = "plate", hide_possible_values = true, hide_default_value = true)]
    by: By,
    /// negative, positive, controls, treatment or all
    ///
    /// Which wells, one or several with commas [default: controls in the table, every population in --csv and --json]
    #[arg(long, value_name = "WELLS", value_delimiter = ',', hide_possible_values = true)]
    population: Vec<Wells>,
    /// Write CSV to stdout
    #[arg(long, group = "output", help_heading = "Output")]
    csv: bool,
    /// Write JSON to stdout
    #[arg(long, group = "output", help_heading = "Output")]
    json: bool,
    /// Write Kaggle's pixel statistics: a row a site and channel
    #[arg(long, group = "output", help_heading = "Output", conflicts_with_all = ["by", "population"])]
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
    cli::framed(Args::command())
}

/// Runs it.
pub fn main() -> Code {
    cli::run("stats", body)
}

fn body() -> anyhow::Result<Exit> {
    let args: Args = cli::parse(&command())?;
    cli::limit_threads(None)?;
    cli::when_interrupted("nothing was changed; run it again");
    let store = Store::open(args.store.path())?;
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

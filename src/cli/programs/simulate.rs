//! `simulate`: makes a tree of RxRx1-like images with known truth. Parses flags and reports; the work is in
//! `cellshard::simulate`.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Command, CommandFactory, Parser};

use crate::cli::{self, Align, Exit, Progress, Table};
use crate::simulate::{Bits, CellType, Config, Layout, Report, simulate};

const TYPES: &str = "HUVEC:4,RPE:2,HEPG2:2,U2OS:2";

/// Make realistic plates in any layout that pack reads, with known biology and batch effects
#[derive(Parser)]
#[command(name = "simulate", version, after_help = cli::EXIT_CODES)]
struct Flags {
    /// Folder to make the tree in; must be new or empty
    #[arg(long, value_name = "DIR")]
    dst: PathBuf,
    /// Cell types and how many experiments each gets
    #[arg(long, value_name = "TYPE:COUNT", value_delimiter = ',', default_value = TYPES)]
    experiments: Vec<CellType>,
    /// Experiments of each cell type that are in the test set (the last ones; none where a type has only one)
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    test_experiments: u16,
    /// Plates in an experiment
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    plates: u16,
    /// Wells in use on a plate, 308 at most; fewer grow from B02 and keep the share of controls
    #[arg(long, value_name = "COUNT", default_value_t = 308)]
    wells: u16,
    /// Sites (fields of view) in a well
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    sites: u16,
    /// Treatment classes; 30 positive controls and untreated are numbered after them
    #[arg(long, value_name = "COUNT", default_value_t = 1108)]
    sirnas: u32,
    /// Width and height of an image, pixels; the field of view stays the same, so cells shrink with it
    #[arg(long, value_name = "PIXELS", default_value_t = 512)]
    size: u16,
    /// Channels, 1 to 6, from the first [default: 6; 5 of rxrx19a and jump-png, 3 of wilds]
    #[arg(long, value_name = "COUNT")]
    channels: Option<u8>,
    /// Bits of a pixel: 8, or 16 with levels as a camera gives them
    #[arg(long, value_name = "BITS", default_value = "8", value_parser = bits())]
    bits: Bits,
    /// Seed; the same flags and seed give the same bytes at any number of threads
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Names of folders and images, and tables beside them; truth.csv is in all of them
    #[arg(long, value_name = "NAME", default_value = "kaggle2019", value_parser = layouts())]
    layout: Layout,
    /// Threads [default: one a core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

fn layouts() -> impl TypedValueParser<Value = Layout> {
    let values = Layout::ALL.map(|layout| PossibleValue::new(layout.name()).help(layout.about()));
    PossibleValuesParser::new(values).map(|name| name.parse().expect("only names of layouts are taken"))
}

fn bits() -> impl TypedValueParser<Value = Bits> {
    PossibleValuesParser::new(["8", "16"]).map(|bits| if bits == "8" { Bits::Eight } else { Bits::Sixteen })
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    Flags::command()
}

/// Runs it.
#[must_use]
pub fn main() -> ExitCode {
    cli::run("simulate", body)
}

fn body() -> anyhow::Result<Exit> {
    let flags: Flags = cli::parse()?;
    let config = Config {
        cell_types: flags.experiments,
        n_test_experiments: flags.test_experiments,
        n_plates: flags.plates,
        n_wells: flags.wells,
        n_sites: flags.sites,
        n_sirnas: flags.sirnas,
        size: flags.size,
        n_channels: flags.channels.unwrap_or_else(|| flags.layout.usual_channels()),
        bits: flags.bits,
        seed: flags.seed,
        layout: flags.layout,
        n_threads: cli::threads(flags.threads)?,
    };
    cli::when_interrupted(format!("{} is not complete: remove it and run again", flags.dst.display()));
    let progress = Progress::new("simulate", "sites");
    progress.set_total(config.total_sites());
    let report = simulate(&config, &flags.dst, &|n| progress.add(n))?;
    drop(progress);
    cli::show(print(&report, flags.json))?;
    Ok(Exit::Success)
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        return cli::report::print_json("simulate", report);
    }
    let mut table = Table::new([("made", Align::Left), ("", Align::Right)]);
    for (what, value) in [
        ("experiments", cli::count(report.experiments)),
        ("plates", cli::count(report.plates)),
        ("wells", cli::count(report.wells)),
        ("sites", cli::count(report.sites)),
        ("raw pixels", cli::bytes(report.raw_bytes)),
        ("image files", cli::bytes(report.image_bytes)),
    ] {
        table.row([what, &value]);
    }
    Ok(write!(stdout(), "{table}\npack it with\n{}\n", report.pack)?)
}

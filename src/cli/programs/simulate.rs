//! `simulate`: makes a tree of RxRx1-like images with known truth. Parses flags and reports; the work is in
//! `cellshard::simulate`.

use std::io::{Write, stdout};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Command, CommandFactory, Parser};

use crate::cli::{self, Align, At, Code, Exit, Place, Progress, Table};
use crate::simulate::{Bits, CellType, Config, Layout, Report, simulate};

const TYPES: &str = "HUVEC:4,RPE:2,HEPG2:2,U2OS:2";

/// Make realistic plates in any layout that pack reads, with known truth
///
/// Their biology and batch effects are known, and truth.csv says what each well was given.
#[derive(Parser)]
#[command(name = "simulate", version)]
struct Flags {
    #[command(flatten)]
    dst: At<Dst>,
    /// Cell types and their numbers of experiments
    ///
    /// [default: HUVEC:4,RPE:2,HEPG2:2,U2OS:2]
    #[arg(long, value_name = "TYPE:COUNT", value_delimiter = ',', default_value = TYPES, hide_default_value = true)]
    experiments: Vec<CellType>,
    /// Experiments of each cell type that are in the test set (the last ones; none where a type has only one)
    #[arg(long, value_name = "COUNT", default_value_t = 1, hide_short_help = true)]
    test_experiments: u16,
    /// Plates in an experiment
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    plates: u16,
    /// Wells in use on a plate
    ///
    /// 308 at most; fewer grow from B02 and keep the share of controls
    #[arg(long, value_name = "COUNT", default_value_t = 308)]
    wells: u16,
    /// Sites (fields of view) in a well
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    sites: u16,
    /// Treatment classes
    ///
    /// 30 positive controls and untreated are numbered after them
    #[arg(long, value_name = "COUNT", default_value_t = 1108)]
    sirnas: u32,
    /// Width and height of an image
    ///
    /// The field of view stays the same, so cells shrink with it
    #[arg(long, value_name = "PIXELS", default_value_t = 512)]
    size: u16,
    /// Channels, 1 to 6
    ///
    /// From the first [default: 6; 5 of rxrx19a and jump-png, 3 of wilds]
    #[arg(long, value_name = "COUNT")]
    channels: Option<u8>,
    /// Bits of a pixel: 8 or 16
    ///
    /// 16 has levels as a camera gives them
    #[arg(long, value_name = "BITS", default_value = "8", value_parser = bits(), hide_possible_values = true)]
    bits: Bits,
    /// Seed
    ///
    /// The same flags and seed give the same bytes at any number of threads
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Names of images; --help lists them
    #[arg(long, value_name = "NAME", default_value = "kaggle2019", value_parser = layouts(),
        hide_possible_values = true, hide_default_value = true, long_help = about_layouts())]
    layout: Layout,
    /// Threads [default: one a core]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    threads: Option<usize>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// Where to make them.
struct Dst;

impl Place for Dst {
    const NAME: &'static str = "DST";
    const FLAG: &'static str = "dst";
    const HELP: &'static str = "Folder of the tree: new, empty, or one to go on with";
}

/// The help of `--layout`: clap's own would list them in the short help, too.
fn about_layouts() -> String {
    let begin = "Names of folders and images, and tables beside them; truth.csv is in all of them [default: kaggle2019]\n\nPossible values:";
    let value = |layout: Layout| format!("\n- {}: {}", layout.name(), layout.about());
    Layout::ALL.map(value).into_iter().fold(begin.to_owned(), |text, value| text + &value)
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
    cli::framed(Flags::command())
}

/// Runs it.
pub fn main() -> Code {
    cli::run("simulate", body)
}

fn body() -> anyhow::Result<Exit> {
    let flags: Flags = cli::parse(&command())?;
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
    cli::when_interrupted(format!("what is made is kept; go on with: {}", cli::command_line()));
    let progress = Progress::new("simulate", "sites");
    progress.set_total(config.total_sites());
    let report = simulate(&config, flags.dst.path(), &|n| progress.add(n))?;
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

//! `pack`: a tree of PNGs, or a store of another codec, into a store of tensor shards.

use std::path::PathBuf;

use clap::{Command, CommandFactory, Parser, ValueEnum};

use crate::cli::{self, At, Code, Exit, Place, SourceArgs, report};
use crate::fault::Fault;
use crate::files::WholeFile;
use crate::pack::{self, OnError, PackConfig, Partition};
use crate::store::Codec;

/// Turn a tree of microscopy images into a store of checksummed tensor shards
///
/// A store of another codec is transcoded. Resumes by itself: run it again after any interruption, with new experiments,
/// or with replaced images.
#[derive(Parser)]
#[command(name = "pack", version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
struct Args {
    #[command(flatten)]
    src: At<Src>,
    #[command(flatten)]
    dst: At<Dst>,
    /// raw, wave, wave:fast, zstd:1..22 [default: zstd:3]
    ///
    /// Chunks of raw are the tensors, page-aligned; wave makes half of what zstd does, of 8 bits only, and is read by
    /// cellshard, and with its package by zarr-python; wave:fast is an eighth larger and decoded half as fast again; images
    /// of 16 bits are zstd:1 by default
    #[arg(long)]
    codec: Option<Codec>,
    /// Sites in one shard file [default: those of the source store, or as many as make 121 MB raw, at most 77]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    sites_per_shard: Option<u32>,
    /// Threads that decode and encode [default: one a core]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    threads: Option<usize>,
    /// What faults leave out: plates (fail), sites (skip)
    ///
    /// fail: examine everything, report all faults, leave the plates that have one out; skip: leave out only the sites
    /// that have one and list them in rejected.csv
    #[arg(long, value_name = "WHAT", default_value = "fail", hide_possible_values = true, hide_default_value = true)]
    on_error: OnErrorArg,
    /// Pack part I of N of the plates; the last process to finish completes the store
    #[arg(long, value_name = "I/N", hide_short_help = true)]
    partition: Option<Partition>,
    /// Names of the channels, in order [default: RxRx1's stains in its own layouts with six; else as in file names]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", hide_short_help = true)]
    channel_names: Vec<String>,
    /// Make siRNAs that the store does not know yet new classes of it, behind its last
    #[arg(long, hide_short_help = true)]
    add_classes: bool,
    /// Compare the content of every source, and of the store's own files, not only sizes and times; mends a damaged
    /// store
    #[arg(long, hide_short_help = true)]
    rehash: bool,
    /// Remove sites that the store holds and the source no longer has; without this, their plates stay as they are, and
    /// the exit code is 1
    #[arg(long, hide_short_help = true)]
    prune: bool,
    /// Say what would be packed, and stop
    ///
    /// Also how large it will be, and how the first site was understood
    #[arg(long)]
    dry_run: bool,
    /// Write every fault to this CSV file
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = "Output")]
    faults: Option<PathBuf>,
    /// Report as JSON on stdout
    #[arg(long, hide_short_help = true, help_heading = "Output")]
    json: bool,
    #[command(flatten, next_help_heading = "Source")]
    source: SourceArgs,
}

/// What is packed.
struct Src;

impl Place for Src {
    const NAME: &'static str = "SRC";
    const FLAG: &'static str = "src";
    const HELP: &'static str = "Folder with the images, or a finished store to be transcoded";
}

/// Where it is packed to.
struct Dst;

impl Place for Dst {
    const NAME: &'static str = "DST";
    const FLAG: &'static str = "dst";
    const HELP: &'static str = "Folder of the store; made if it is not there";
}

#[derive(Clone, Copy, ValueEnum)]
enum OnErrorArg {
    Fail,
    Skip,
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    cli::framed(Args::command())
}

/// Runs it.
pub fn main() -> Code {
    cli::run("pack", body)
}

fn body() -> anyhow::Result<Exit> {
    let args: Args = cli::parse(&command())?;
    let config = config(&args)?;
    let faults_file = args.faults.as_deref().map(WholeFile::create).transpose()?;
    let (faults, is_all_done, shown) = if args.dry_run {
        cli::when_interrupted("nothing was changed");
        let (plan, faults) = pack::plan(&config)?;
        let shown = report::plan(&plan, &faults, args.prune, args.json);
        (faults, args.prune || plan.held.is_empty(), shown)
    } else {
        let again = cli::command_line();
        cli::when_interrupted(format!("what is packed is kept; go on with: {again}"));
        let bar = cli::Progress::new("pack", "sites");
        bar.doing(if pack::is_transcoded(&config)? { "looking at both stores" } else { "looking for images" });
        let packed = pack::pack(&config, &|progress| bar.see(progress))?;
        drop(bar);
        let shown = report::pack(&packed, &config.dst, args.json);
        let is_finished = packed.finished || packed.is_left_to_others;
        (packed.faults, is_finished && packed.kept.is_empty(), shown)
    };
    if let Some(file) = faults_file {
        file.finish_with(report::faults_csv(&faults).as_bytes())?;
    }
    cli::show(shown)?;
    // Images that no plate takes are in no list of the store, so that the exit code has to tell of them.
    let is_told = |fault: &Fault| config.on_error == OnError::Skip && fault.plate.is_some();
    let refused = !faults.iter().all(is_told);
    Ok(if refused || !is_all_done { Exit::Faults } else { Exit::Success })
}

fn config(args: &Args) -> anyhow::Result<PackConfig> {
    Ok(PackConfig {
        source: args.source.config(args.src.path()),
        dst: args.dst.path().to_owned(),
        codec: args.codec,
        sites_per_shard: args.sites_per_shard,
        threads: cli::threads(args.threads)?,
        on_error: match args.on_error {
            OnErrorArg::Fail => OnError::Fail,
            OnErrorArg::Skip => OnError::Skip,
        },
        partition: args.partition.unwrap_or(Partition::WHOLE),
        channel_names: args.channel_names.clone(),
        add_classes: args.add_classes,
        rehash: args.rehash,
        prune: args.prune,
    })
}

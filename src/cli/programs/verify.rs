//! `verify`: what of a store or of a raw tree is whole, and what to send again.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory, Parser};

use crate::cli::numbers::BYTES;
use crate::cli::{self, Code, Exit, Progress, SourceArgs, report};
use crate::error::{Error, Result};
use crate::files::{self, WholeFile};
use crate::store::format::manifest;
use crate::verify::{self, Depth, Kind, StoreConfig};

/// Prove what of a store or of a raw tree of images is whole, down to the site
///
/// What is missing, extra, cut short or altered is named, with the sites that cannot be read because of it.
#[derive(Parser)]
#[command(name = "verify", version)]
struct Args {
    /// A store, or a raw tree
    #[arg(value_name = "STORE|TREE")]
    path: PathBuf,
    /// Store: compare only names and sizes
    #[arg(long, conflicts_with = "deep")]
    quick: bool,
    /// Store: also decode and compare every site
    #[arg(long)]
    deep: bool,
    /// Store: a SHA256SUMS kept elsewhere, for a store that arrived half
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    manifest: Option<PathBuf>,
    /// List what to send again, for rsync --files-from
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    damaged_list: Option<PathBuf>,
    /// Tree: write a list of every file's SHA-256
    ///
    /// For --against after an upload
    #[arg(long, value_name = "FILE", conflicts_with = "against", help_heading = "Output")]
    write: Option<PathBuf>,
    /// Tree: compare with that list, or with a store
    ///
    /// With a list that --write made, or with the sources of a store
    #[arg(long, value_name = "FILE|STORE")]
    against: Option<PathBuf>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    threads: Option<usize>,
    /// Report as JSON on stdout
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten, next_help_heading = "Source (a raw tree)")]
    source: SourceArgs,
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    // They are of little use here, and the short help is one screen.
    let rare = ["metadata", "label_column", "negative_control", "experiments"];
    let command = cli::framed(Args::command());
    rare.into_iter().fold(command, |command, id| command.mut_arg(id, |flag| flag.hide_short_help(true)))
}

/// Runs it.
pub fn main() -> Code {
    cli::run("verify", body)
}

fn body() -> anyhow::Result<Exit> {
    let args: Args = cli::parse(&command())?;
    cli::limit_threads(args.threads)?;
    if !files::is_dir(&args.path)? {
        return Err(Error::refused(args.path.display(), "a folder", "none").into());
    }
    let is_store = args.manifest.is_some() || verify::is_store(&args.path)?;
    check_flags(&args, is_store)?;
    cli::when_interrupted("nothing was changed and nothing was proven; run it again");
    let damaged_list = args.damaged_list.as_deref().map(WholeFile::create).transpose()?;
    let bar = Progress::new("verify", BYTES);
    bar.doing("looking for files");
    let progress = |progress| bar.see(progress);
    let mut found = if is_store {
        let depth = if args.deep {
            Depth::Deep
        } else if args.quick {
            Depth::Quick
        } else {
            Depth::Full
        };
        let config = StoreConfig { root: args.path.clone(), depth, manifest: args.manifest.clone() };
        verify::verify_store(&config, &progress)?
    } else if let Some(against) = &args.against {
        verify::compare_tree(&args.source.config(&args.path), against, &progress)?
    } else {
        drop(bar);
        return verify_tree(&args);
    };
    drop(bar);
    if let Some(file) = damaged_list {
        // The list that is being written is no part of what is verified.
        let own = [file.temporary(), args.damaged_list.as_deref()].into_iter().flatten().map(files::resolve);
        let own: Vec<Option<PathBuf>> = own.collect::<Result<_, _>>()?;
        let is_own = |path: &str| files::resolve(&args.path.join(path)).is_ok_and(|path| own.contains(&path));
        found.findings.retain(|finding| finding.kind != Kind::Extra || !is_own(&finding.path));
        let lines: String = found.damaged().map(|path| format!("{path}\n")).collect();
        file.finish_with(lines.as_bytes())?;
    }
    cli::show(report::verify(&args.path, &found, is_store, args.json))?;
    Ok(if found.findings.is_empty() { Exit::Success } else { Exit::Faults })
}

/// A flag that would have no effect is refused: who gave it expects one.
fn check_flags(args: &Args, is_store: bool) -> Result<()> {
    let of_store = args.quick || args.deep || args.manifest.is_some();
    let against_list = args.against.as_deref().map(verify::is_store).transpose()?.is_some_and(|is_store| !is_store);
    let of_tree = args.write.is_some() || args.against.is_some() || args.source.any();
    let (what, expected, found) = match is_store {
        true if of_tree => ("--write, --against and what says how to read a raw tree", "a raw tree", "a store"),
        false if of_store => ("--quick, --deep, --manifest", "a store", "a raw tree"),
        false if args.source.any() && against_list => {
            ("--against", "no flag that says how to read the tree", "one: every file of a list counts")
        }
        false if args.damaged_list.is_some() && args.against.is_none() => {
            ("--damaged-list", "a store, or --against FILE", "a raw tree alone")
        }
        _ => return Ok(()),
    };
    Err(Error::refused(what, expected, found))
}

fn verify_tree(args: &Args) -> anyhow::Result<Exit> {
    let config = args.source.config(&args.path);
    let list = args.write.as_deref();
    let file = list.map(WholeFile::create).transpose()?;
    let bar = Progress::new("verify", "sites");
    bar.doing("looking for images");
    let temporary = file.as_ref().and_then(WholeFile::temporary);
    let except: Option<Vec<&Path>> = list.map(|list| temporary.into_iter().chain([list]).collect());
    let found = verify::verify_tree(&config, except.as_deref(), &|n| bar.set_total(n), &|n| bar.add(n))?;
    drop(bar);
    if let (Some(file), Some(entries)) = (file, &found.list) {
        file.finish_by(|out| manifest::write(entries, out))?;
    }
    cli::show(report::tree(&args.path, &found, list, args.json))?;
    Ok(if found.faults.is_empty() { Exit::Success } else { Exit::Faults })
}

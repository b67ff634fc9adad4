//! `train`: trains a network on a store by a recipe, or measures how fast it would.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::parser::ValueSource;
use clap::{Command, CommandFactory, FromArgMatches, Parser};

use crate::device::DeviceChoice;
use crate::engine::stop::Stop;
use crate::libtorch::hide_what_is_caught;
use crate::plan::{Resume, TrainConfig};
use crate::train::train;
use cellshard::cli::{self, At, Code, Exit, IoFlag, Shards, VerifyFlag, pages};
use cellshard::training::recipe::{KEYS, Recipe};

use super::bench_args::BenchArgs;
use super::train_screen::TrainScreen;
use super::{dry_run, durations, predict, recipe_args};

/// Train a network on a store by a recipe; stops in time and goes on where it was
#[derive(Parser)]
#[command(name = "train", version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Flags {
    #[command(flatten)]
    store: At<Shards>,
    /// A recipe, or a TOML file
    ///
    /// A recipe that ships with the program, by its name (base-cnn, resnet50, two-step, demo), or one of your own
    #[arg(long, value_name = "NAME|FILE", default_value = "resnet50")]
    recipe: String,
    /// The run folder [default: runs/RECIPE-N]
    ///
    /// Without it, the first of these names that is free; one that is given must be new or empty, but with --resume
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Go on with the run; with auto, or begin it
    ///
    /// By the recipe and the split that it keeps; --epochs (of two steps, --second-epochs) has it train for more epochs, or
    /// fewer, from here on. With auto it begins where there is no run yet, by the recipe that is given, which must be that of
    /// a run that is there: so a job can be started again and again
    #[arg(long, requires = "run", num_args = 0..=1, value_name = "auto", default_missing_value = "", value_parser = behind_resume)]
    resume: Option<BehindResume>,
    /// What computes: auto, cpu, cuda:N
    ///
    /// auto is the first GPU, else the CPU
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Stop after this time, such as 8h45m, and save
    ///
    /// Or as Slurm writes it (08:45:00; 30 is 30 minutes). The step is finished, the exit code is 75
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    time_limit: Option<Duration>,
    /// Stop after so many optimiser steps of this process: save, exit 75
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    max_steps: Option<u64>,
    /// How often to save where to go on within an epoch, beside its end
    #[arg(long, value_name = "DURATION", value_parser = durations::parse, default_value = "10m", hide_short_help = true)]
    checkpoint_every: Duration,
    /// Threads that read and decode shards [default: one a core]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    threads: Option<usize>,
    /// How shards are read; pread also where a file could shrink while it is mapped
    #[arg(long, value_name = "HOW", default_value = "mmap", hide_short_help = true)]
    io: IoFlag,
    /// When a site's checksum is verified
    #[arg(long, value_name = "WHEN", default_value = "first", hide_short_help = true)]
    verify: VerifyFlag,
    /// Leave damaged sites out and count them, instead of ending the run
    #[arg(long, hide_short_help = true)]
    skip_damaged: bool,
    /// Report as JSON
    #[arg(long, hide_short_help = true)]
    json: bool,
    /// Train nothing: measure where the time would go
    ///
    /// From the disk to the step, in raw pixels a second, and what holds the rest up; no run folder is made
    #[arg(long, conflicts_with_all = ["run", "resume", "time_limit", "max_steps", "checkpoint_every", "skip_damaged"])]
    bench: bool,
    /// Train nothing: tell the split and the time
    ///
    /// The recipe and the split as they are resolved, the steps, and by some steps on the device and the data how long all of
    /// it will take; nothing is written
    #[arg(long, conflicts_with_all = ["bench", "max_steps"])]
    dry_run: bool,
    #[command(flatten, next_help_heading = "Bench")]
    bench_args: BenchArgs,
}

/// What may stand behind `--resume`.
#[derive(Debug, Clone, Copy)]
enum BehindResume {
    Nothing,
    Auto,
}

fn behind_resume(text: &str) -> Result<BehindResume, String> {
    match text {
        "" => Ok(BehindResume::Nothing),
        "auto" => Ok(BehindResume::Auto),
        _ => Err("expected auto, or nothing, behind --resume; STORE stands before it".to_owned()),
    }
}

/// Its flags, and those of a recipe's keys.
#[must_use]
pub fn command() -> Command {
    cli::framed_with(recipe_args::add(Flags::command()), cli::EXIT_CODES_OF_TRAIN)
}

/// Runs it.
pub fn main() -> Code {
    hide_what_is_caught();
    cli::run("train", body)
}

fn body() -> anyhow::Result<Exit> {
    let started = Instant::now();
    if let Some(folder) = pages::asked() {
        pages::write(&folder, [command(), predict::command()])?;
        return Ok(Exit::Success);
    }
    let matches = cli::matches(&command())?;
    let flags = Flags::from_arg_matches(&matches)?;
    let changes = recipe_args::given(&matches);
    let (name, recipe) = Recipe::named(&flags.recipe)?;
    let recipe = recipe.with(&changes)?;
    let has_recipe = matches.value_source("recipe") == Some(ValueSource::CommandLine);
    let is_given = |key: &str| changes.iter().any(|(name, _)| name == key);
    let resume = match flags.resume {
        None => Resume::No,
        Some(BehindResume::Nothing) => Resume::Yes,
        Some(BehindResume::Auto) => {
            let asked = KEYS.iter().map(|key| key.name).filter(|key| has_recipe || is_given(key)).collect();
            Resume::Auto { asked }
        }
    };
    let goes_on = resume == Resume::Yes;
    let told = |key: &str, epochs: u32| (goes_on && is_given(key)).then_some(epochs);
    let (epochs, second_epochs) = (told("epochs", recipe.epochs), told("second-epochs", recipe.second_epochs));
    if goes_on && has_recipe {
        anyhow::bail!("--resume: expected no --recipe (a run keeps its own, which --resume auto compares), found one");
    }
    let is_told = |key: &str| ["epochs", "second-epochs"].contains(&key);
    if let Some((key, _)) = changes.iter().find(|(key, _)| goes_on && !is_told(key)) {
        anyhow::bail!("--resume: expected no recipe flags but --epochs (a run keeps its recipe), found --{key}");
    }
    let config = TrainConfig {
        run: flags.run,
        resume,
        device: flags.device,
        n_threads: cli::threads(flags.threads)?,
        io: flags.io.into(),
        verify: flags.verify.into(),
        skip_damaged: flags.skip_damaged,
        checkpoint_every: flags.checkpoint_every,
        stop: Stop {
            asked: if flags.bench || flags.dry_run { told_at_once() } else { cli::stop_on_signals()? },
            deadline: flags.time_limit.and_then(|limit| started.checked_add(limit)),
            after_steps: flags.max_steps,
        },
        epochs,
        second_epochs,
        command_line: cli::arguments().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        ..TrainConfig::new(flags.store.path(), &name, recipe)
    };
    if flags.bench {
        return flags.bench_args.run(&config, flags.json);
    }
    if flags.dry_run {
        return dry_run::run(&config, flags.json);
    }
    let mut screen = TrainScreen::new(flags.json);
    let report = train(&config, &mut screen)?;
    drop(screen);
    if flags.json {
        cli::show(cli::report::print_json("train", &report))?;
    }
    Ok(if report.stopped.is_some() { Exit::Stopped } else { Exit::Success })
}

/// What writes nothing has nothing to save, and ends at once.
fn told_at_once() -> Arc<AtomicBool> {
    cli::when_interrupted("nothing was written; run it again");
    Arc::default()
}

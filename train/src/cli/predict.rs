//! `predict`: classes, probabilities and embeddings of a store's wells by trained runs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory, Parser, ValueEnum};

use crate::device::DeviceChoice;
use crate::libtorch::hide_what_is_caught;
use crate::models::export::{MatrixFile, index_path};
use crate::predict::{PredictConfig, Wells, predict};
use cellshard::classes::Classes;
use cellshard::cli::{self, At, Code, Exit, Progress, Shards};
use cellshard::error::Error;
use cellshard::files::{self, WholeFile};
use cellshard::training::evaluate::submission::{Dialect, Spelling, WellTable, to_csv};
use cellshard::training::run::{BEST_ACCURACY, BEST_LOSS, INFO, LAST, RunFolder};

use super::predictions;

/// Predict the class of every well of a store by trained runs
///
/// By the mean probability over sites, symmetries and runs. A run of two steps answers for each cell type with the network that was trained for it.
#[derive(Parser)]
#[command(name = "predict", version, override_usage = "predict [OPTIONS] <STORE> --run <DIR>...")]
struct Flags {
    #[command(flatten)]
    store: At<Shards>,
    /// A run folder of `train`, or several
    ///
    /// They are averaged, for each well those that were not trained on it
    #[arg(long, value_name = "DIR", required = true, num_args = 1.., value_delimiter = ',')]
    run: Vec<PathBuf>,
    /// Which of a run's networks
    #[arg(long, value_name = "WHICH", default_value = "best-accuracy", hide_short_help = true)]
    checkpoint: Checkpoint,
    /// Which wells: test, validation, all
    ///
    /// Test as the dataset has it, those that validated in all runs, or all that are no controls
    #[arg(long, value_name = "WHICH", default_value = "test", conflicts_with = "like", hide_possible_values = true)]
    wells: WellsFlag,
    /// Predict the wells of this CSV instead
    ///
    /// Its columns are `id_code,sirna`; predictions are in its order, and classes are written as it does
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    /// Average over symmetries: 1, 2, 4 or 8
    ///
    /// Of the square: 1 none, 2 a flip, 4 flips, 8 flips and transposition
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = ["1", "2", "4", "8"], hide_possible_values = true)]
    tta: String,
    /// Of two steps, answer by the network of the first, of all cell types
    #[arg(long, hide_short_help = true)]
    first_step: bool,
    /// Write `id_code,sirna` here
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Write probabilities, .npy or .safetensors
    ///
    /// [wells, classes] float32; FILE.csv names the rows, and says what each well is to the networks: unseen, validation or
    /// train
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    probabilities: Option<PathBuf>,
    /// Write embeddings, .npy or .safetensors
    ///
    /// [wells, features] float32 of one network; FILE.csv is as beside probabilities
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    embeddings: Option<PathBuf>,
    /// A classes.csv of what numbers in --like and --truth stand for; not needed where the source numbered its siRNAs
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    classes: Option<PathBuf>,
    /// Compare with the classes of this CSV
    ///
    /// Its columns are `id_code,sirna` [default: with those that the store knows]
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Sites in a batch
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..),
        hide_short_help = true)]
    batch: u16,
    /// What to compute on: auto, cpu, cuda:N
    ///
    /// auto is the first GPU, else the CPU
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Threads that read and decode shards [default: one a core]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    threads: Option<usize>,
    /// Report as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Checkpoint {
    BestAccuracy,
    BestLoss,
    Last,
}

#[derive(Clone, Copy, ValueEnum)]
enum WellsFlag {
    Test,
    Validation,
    All,
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    cli::framed(Flags::command())
}

/// Runs it.
pub fn main() -> Code {
    hide_what_is_caught();
    cli::run("predict", || body(&cli::parse(&command())?))
}

/// Makes sure that no file is to be written over another one, over what is read, or into a run or a store.
fn check_outputs(flags: &Flags) -> anyhow::Result<()> {
    // Where a path leads, also one whose last part is not there yet.
    let place = |path: &Path| -> cellshard::Result<PathBuf> {
        let path = files::follow_links(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = files::resolve(folder)?.unwrap_or_else(|| folder.to_owned());
        Ok(path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name)))
    };
    let matrices = [("--probabilities", &flags.probabilities), ("--embeddings", &flags.embeddings)];
    let mut outputs = Vec::new();
    outputs.extend(flags.out.clone().map(|path| ("--out", path)));
    for (flag, path) in matrices.into_iter().filter_map(|(flag, path)| Some((flag, path.clone()?))) {
        outputs.push((flag, index_path(&path)));
        outputs.push((flag, path));
    }
    let mut taken: Vec<(String, PathBuf)> = Vec::new();
    for (flag, path) in [("--like", &flags.like), ("--truth", &flags.truth), ("--classes", &flags.classes)] {
        taken.extend(path.as_deref().map(place).transpose()?.map(|path| (flag.to_owned(), path)));
    }
    let mut folders = vec![(format!("--shards {}", flags.store.path().display()), place(flags.store.path())?)];
    for root in &flags.run {
        folders.push((format!("--run {}", root.display()), place(root)?));
        let run = RunFolder::open(root)?;
        if run.info()?.second_step_of.is_some() && run.above().exists()? {
            folders.push((format!("the run of --run {}", root.display()), place(run.above().root())?));
        }
    }
    for (flag, path) in outputs {
        // A pipe or a terminal takes whatever comes.
        if files::look_at(&path)?.is_some_and(|found| !found.is_file()) {
            continue;
        }
        let real = place(&path)?;
        let shown = format!("{flag} {}", path.display());
        if let Some((other, _)) = taken.iter().find(|(_, known)| *known == real) {
            return Err(Error::refused(shown, "a file of its own", format!("that of {other}")).into());
        }
        for (other, folder) in &folders {
            if real.starts_with(folder) {
                let expected = format!("a file outside of {other}");
                return Err(Error::refused(shown, expected, "one inside").into());
            }
        }
        taken.push((flag.to_owned(), real));
    }
    Ok(())
}

fn body(flags: &Flags) -> anyhow::Result<Exit> {
    check_outputs(flags)?;
    cli::when_interrupted("nothing was written; run it again");
    let run = RunFolder::open(&flags.run[0])?;
    let classes = run.info()?.classes(&run.file(INFO).display().to_string())?;
    // Files are read, and outputs tried, before the long work starts.
    let read = |path: &PathBuf| Classes::parse(&files::read_text(path)?, &path.display().to_string());
    let numbers = flags.classes.as_ref().map(read).transpose()?;
    let spelling = Spelling::new(&classes, numbers.as_ref());
    let table = |path: &PathBuf| WellTable::read(path, spelling);
    let like = flags.like.as_ref().map(table).transpose()?;
    let truth = flags.truth.as_ref().map(table).transpose()?;
    let out = flags.out.as_deref().map(WholeFile::create).transpose()?;
    let probabilities = flags.probabilities.as_deref().map(MatrixFile::create).transpose()?;
    let embeddings = flags.embeddings.as_deref().map(MatrixFile::create).transpose()?;
    let config = PredictConfig {
        runs: flags.run.clone(),
        checkpoint: match flags.checkpoint {
            Checkpoint::BestAccuracy => BEST_ACCURACY,
            Checkpoint::BestLoss => BEST_LOSS,
            Checkpoint::Last => LAST,
        }
        .to_owned(),
        wells: match (&like, flags.wells) {
            (Some(like), _) => Wells::Listed(like.rows.iter().map(|(well, _)| well.clone()).collect()),
            (None, WellsFlag::Test) => Wells::Test,
            (None, WellsFlag::Validation) => Wells::Validation,
            (None, WellsFlag::All) => Wells::All,
        },
        n_symmetries: flags.tta.parse().context("--tta")?,
        embeddings: flags.embeddings.is_some(),
        first_step: flags.first_step,
        truth: truth.map(|truth| truth.rows.into_iter().collect()),
        only_figures: flags.out.is_none() && flags.probabilities.is_none() && flags.embeddings.is_none(),
        batch: usize::from(flags.batch),
        device: flags.device,
        n_threads: cli::threads(flags.threads)?,
        ..PredictConfig::new(flags.store.path(), &flags.run[0])
    };
    let progress = Progress::new("predict", "sites");
    progress.doing("loading networks");
    let found = predict(&config, &|done| progress.see(done))?;
    drop(progress);
    if let Some(file) = out {
        let rows: Vec<_> = found.wells.iter().cloned().zip((0..found.wells.len()).map(|i| found.best(i))).collect();
        let dialect = like.map_or_else(|| Dialect::of(&classes), |like| like.dialect);
        file.finish_with(to_csv(&rows, dialect, spelling)?.as_bytes())?;
    }
    if let Some(file) = probabilities {
        file.finish("probabilities", &found.wells, &found.parts, &found.probabilities)?;
    }
    if let Some((file, rows)) = embeddings.zip(found.embeddings.as_ref()) {
        file.finish("embeddings", &found.wells, &found.parts, rows)?;
    }
    let outputs = [&flags.out, &flags.probabilities, &flags.embeddings];
    cli::show(predictions::print(&found, &outputs.map(Option::as_ref), flags.json).context("stdout"))?;
    Ok(Exit::Success)
}

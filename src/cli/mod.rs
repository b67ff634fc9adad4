//! The programs, and what they share: exit codes, progress, tables, what reports look like.

mod arguments;
mod command;
mod exit;
mod interrupt;
mod looks;
mod numbers;
pub mod pages;
pub mod programs;
mod progress;
mod reading;
pub mod report;
mod screen;
mod source_args;
mod stop_request;
mod table;

pub use crate::words::{agree, count, plural};
pub use arguments::arguments;
pub(crate) use arguments::tell_arguments;
pub use command::{At, MaybeAt, Place, Shards, framed, framed_with, matches, parse};
pub use exit::{Code, EXIT_CODES, EXIT_CODES_OF_TRAIN, Exit, run, show};
pub use interrupt::{command_line, when_interrupted};
pub use numbers::{bytes, rate};
pub use progress::Progress;
pub use reading::{IoFlag, VerifyFlag};
pub use screen::{Screen, screen};
pub use source_args::SourceArgs;
pub use stop_request::stop_on_signals;
pub use table::{Align, Table};

/// Files that a thread has open at most, and its share of those that the process has.
const FILES_OF_A_THREAD: usize = 8;

/// The number of threads asked for, or one a core, but no more than the limit of open files has room for.
///
/// # Errors
/// If it is 0 or beyond reason.
pub fn threads(asked: Option<usize>) -> crate::Result<usize> {
    match asked {
        None => {
            let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            Ok(n_cores.min(crate::files::most_open() / FILES_OF_A_THREAD).max(1))
        }
        Some(n) if (1..=1024).contains(&n) => Ok(n),
        Some(n) => Err(crate::Error::refused("--threads", "1 to 1024", n)),
    }
}

/// Has all parallel work of this process use the number of threads asked for.
///
/// # Errors
/// If it is 0 or beyond reason.
pub fn limit_threads(asked: Option<usize>) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads(asked)?).build_global();
    pool.map_err(|e| crate::Error::refused("--threads", "a number of threads that can be started", e))?;
    Ok(())
}

/// Parses a number of seconds greater than 0.
///
/// # Errors
/// If it is none, or more than a day.
pub fn positive_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=86400.0).contains(seconds));
    seconds.ok_or_else(|| format!("expected seconds, from 0.001 to 86400, found {text:?}"))
}

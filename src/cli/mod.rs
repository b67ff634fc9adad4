//! What the programs share: exit codes, progress, tables. Only `bin/` uses it.

mod exit;
#[cfg(feature = "torch")]
pub mod predictions;
mod progress;
pub mod recipe_args;
pub mod report;
mod source_args;
pub mod statistics;
mod table;
#[cfg(feature = "torch")]
mod train_screen;

pub use exit::{Exit, run, show};
pub use progress::Progress;
pub use source_args::SourceArgs;
pub use table::{Align, Table, bytes, count, plural};
#[cfg(feature = "torch")]
pub use train_screen::TrainScreen;

/// The number of threads asked for, or one a core.
///
/// # Errors
/// If it is 0 or beyond reason.
pub fn threads(asked: Option<usize>) -> crate::Result<usize> {
    match asked {
        None => Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        Some(n) if (1..=1024).contains(&n) => Ok(n),
        Some(n) => Err(crate::Error::refused("--threads", "1 to 1024", n)),
    }
}

/// Has all parallel work of this process use the number of threads asked for.
///
/// # Errors
/// If it is 0 or beyond reason.
pub fn limit_threads(asked: Option<usize>) -> anyhow::Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads(asked)?).build_global()?;
    Ok(())
}

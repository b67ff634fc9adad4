//! Runs as one page that needs nothing from elsewhere: curves, accuracy by group, what is confused, what differs.

mod confused;
mod page;
mod read;
mod text;

pub use page::{Known, experiments_of, runs_page};
pub use read::{Best, Run, read_runs};
pub use text::runs_text;

//! What the programs share: exit codes, progress, tables. Only `bin/` uses it.

mod exit;
mod progress;
mod table;

pub use exit::{Exit, run};
pub use progress::Progress;
pub use table::{Align, Table, bytes, count};

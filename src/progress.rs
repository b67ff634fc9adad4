//! How far work has come, as it is told to whoever shows it.

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So much is to be done, in whatever is counted: sites, bytes.
    Planned(u64),
    /// So much more is.
    Done(u64),
}

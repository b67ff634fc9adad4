//! From a raw tree, or from another store, to a store. Returns a report and prints nothing.

mod another;
mod cell_types;
mod config;
mod meaning;
mod pipeline;
mod place;
mod plate;
mod rejected;
mod report;
mod resume;
mod stamp;
mod thread_group;
mod transcode;
mod tree;

use crate::error::Result;
use crate::fault::Fault;
use crate::store::is_store;

pub use crate::progress::Progress;
pub use config::{OnError, PackConfig, Partition};
pub use report::{ChannelFile, FirstSite, Held, HeldPlate, OTHER_IMAGES, PackReport, Plan};

/// Looks at source and destination and says what a run would do, with the faults that names (and the listings of a
/// store) alone show.
///
/// # Errors
/// If the source cannot be read, or the destination is of another kind.
pub fn plan(config: &PackConfig) -> Result<(Plan, Vec<Fault>)> {
    if is_transcoded(config)? { transcode::plan(config) } else { tree::plan(config) }
}

/// Whether the source is a store, which is transcoded.
///
/// # Errors
/// If it cannot be looked at.
pub fn is_transcoded(config: &PackConfig) -> Result<bool> {
    is_store(&config.source.root)
}

/// Packs; a source that is a store is transcoded. Resumes by itself: plates that are done and unchanged are left alone.
///
/// # Errors
/// If the source or its CSVs cannot be read, the destination is of another kind or full, or a file cannot be written.
/// Faults of images, and of a store's sites, are no error: they are in the report.
pub fn pack(config: &PackConfig, progress: &(dyn Fn(Progress) + Sync)) -> Result<PackReport> {
    if is_transcoded(config)? { transcode::transcode(config, progress) } else { tree::pack(config, progress) }
}

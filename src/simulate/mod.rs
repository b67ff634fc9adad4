//! Made-up plates with known truth: a tree in any layout that `pack` reads whose cells, siRNA effects and batch effects
//! were chosen, not measured. Owns the request and its checks; never reads a tree, and copies no real pixel.

mod batch;
mod begun;
mod biology;
mod cells;
mod config;
mod dice;
mod encode;
mod layout;
mod layouts;
mod optics;
mod plates;
mod shape;
mod textures;
mod tree;

use std::path::Path;

pub use batch::{Batch, batches};
pub use biology::{Biology, Effect, Strength};
pub use config::{CellType, Config, Report};
pub use encode::Bits;
pub use layout::Layout;
pub use plates::{Content, FULL_PLATE, POSITIVE_CONTROLS, maps};

use crate::error::Result;

/// Makes a tree in `dst`, which must not exist or be empty. `progress` is told how many sites were finished, each
/// time some were, from any thread.
///
/// # Errors
/// If the config is out of range, if `dst` has something in it, or if a file cannot be written.
pub fn simulate(config: &Config, dst: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<Report> {
    config.check()?;
    tree::write(config, dst, progress)
}

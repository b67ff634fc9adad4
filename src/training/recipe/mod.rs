//! What a run is to do: a table of keys, read from TOML, changed by flags, checked, and written back resolved.

mod architecture;
mod options;
mod parse;
#[expect(clippy::module_inception, reason = "the room is named for its main thing")]
mod recipe;
mod schema;

pub use options::{Architecture, BatchBy, Controls, Fold, Normalize, Optimizer, Precision, Schedule, SplitBy, Watch};
pub use recipe::{KEYS, Recipe};
pub use schema::Key;

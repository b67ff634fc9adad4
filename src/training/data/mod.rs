//! What is trained on: which wells on which side of the split, the outputs of their classes, the order of an epoch, and
//! what each plate is normalised by. Pure, but for reading a split.

pub mod channel_stats;
mod class_map;
mod hold_out;
mod identity;
mod plate_table;
mod sampler;
mod split;
mod unseen;

pub use class_map::ClassMap;
pub use identity::{experiments_sha256, site_keys};
pub use plate_table::{PlateTable, trained};
pub use sampler::{EpochSampler, groups};
pub use split::{Part, Split, SplitPart, WellParts};

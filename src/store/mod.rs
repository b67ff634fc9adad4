//! The store: format 1, how it is written, how it is read. Knows nothing of PNGs and of statistics beyond their rows.

pub mod checksum;
pub mod chunk;
pub mod listing;
pub mod manifest;
mod map;
pub mod merge;
mod read;
pub mod rows;
pub mod spec;
mod write;

pub use map::MappedShard;
pub use read::{Shard, Store, read_spec};
pub use spec::{Codec, StoreSpec};
pub use write::{
    CLASSES, FinishedShard, PlateBuilder, SHA256SUMS, ShardWriter, StoreWriter, TEMPORARY, check_destination,
};

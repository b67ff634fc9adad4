//! The store: format 1, how it is written, how it is read. Knows nothing of PNGs and of statistics beyond their rows.

mod ahead;
pub mod checksum;
pub mod chunk;
mod destination;
pub mod index;
pub mod listing;
pub mod manifest;
mod map;
pub mod merge;
mod read;
pub mod rows;
mod session;
mod shard;
pub mod spec;
pub(crate) mod stream;
mod write;

pub use destination::{check_destination, is_store};
pub use map::MappedShard;
pub(crate) use read::open_shard;
pub use read::{Shard, Store, read_spec};
pub use session::TEMPORARY;
pub use shard::{FinishedShard, PlateBuilder, ShardWriter};
pub use spec::{Codec, StoreSpec, shard_path};
pub use write::{CLASSES, SHA256SUMS, StoreWriter};

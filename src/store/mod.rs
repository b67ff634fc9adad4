//! The store: its format as pure data, how it is read, how it is written. Knows nothing of PNGs, and nothing of
//! statistics beyond their rows.

pub mod format;
pub mod read;
pub mod write;

pub use format::names::{CLASSES, SHA256SUMS, TEMPORARY, shard_path};
pub use format::spec::{Codec, Format, StoreSpec};
pub use read::map::MappedShard;
pub use read::shard::Shard;
pub use read::store::{Store, check_is_there, read_spec};
pub use write::commit::{Committed, MayGo, StoreWriter};
pub use write::destination::{
    Changes, check_destination, in_its_format, is_store, refuse_other_classes, store_classes,
};
pub use write::held::Lost;
pub use write::plate::{FinishedShard, PlateBuilder, ShardWriter};

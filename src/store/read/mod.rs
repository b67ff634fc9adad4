//! Reading a store: its tables, the pixels of its sites, mapped or not. Needs no PNG, trusts no byte, writes nothing.

mod ahead;
pub mod belongs;
pub(crate) mod copy;
pub mod decode;
pub mod listing;
pub mod map;
pub mod proof;
pub mod shard;
pub mod store;
pub mod told;

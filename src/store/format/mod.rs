//! Format 1 of the store as pure data: names, documents, lists, rows, the index of a shard. What is parsed here is
//! hostile until it has been checked.

pub mod checksum;
pub mod index;
pub mod listing;
pub mod manifest;
pub mod names;
pub mod rows;
pub mod spec;
pub mod statistics;
pub mod zarr;

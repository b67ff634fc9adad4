//! cellshard turns a tree of microscopy PNGs into checksummed tensor shards, proves that they arrived whole, and
//! reads them fast. Nothing in here prints or exits; the programs in `bin/` do.
#![doc = "\n\nStart with [`site`] for the words, then [`error`]."]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod bench;
pub mod classes;
#[cfg(feature = "cli")]
pub mod cli;
pub mod csv_table;
pub mod error;
pub mod fault;
pub mod feed;
pub mod files;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod memory;
pub mod pack;
pub mod plate_proof;
pub mod plate_statistics;
pub mod progress;
pub mod simulate;
pub mod site;
pub mod source;
pub mod stats;
pub mod store;
mod suggest;
pub mod training;
pub mod verify;
pub mod wave;
pub mod words;
pub mod zstandard;

pub use error::{Error, Result};

//! cellshard turns a tree of microscopy PNGs into checksummed tensor shards, proves that they arrived whole, and
//! reads them fast. Nothing in here prints or exits; the programs in `bin/` do.
#![doc = "\n\nStart with [`site`] for the words, then [`error`]."]

pub mod cli;
pub mod error;
pub mod simulate;
pub mod site;

pub use error::{Error, Result};

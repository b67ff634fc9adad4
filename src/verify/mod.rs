//! Proving, after an upload or whenever in doubt, what of a store or a raw tree is whole. Returns reports and prints
//! nothing; changes nothing.

mod compared;
mod consistency;
mod expected;
mod files;
mod images;
mod labels;
mod report;
mod rows;
mod statistics;
mod store;
mod trace;
mod tree;

pub use crate::store::is_store;
pub use report::{Compared, Depth, Finding, Kind, Report};
pub use store::{StoreConfig, verify_store};
pub use tree::{TreeReport, compare_tree, verify_tree};

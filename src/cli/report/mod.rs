//! What the programs print: results to stdout, notes to stderr.

pub mod bench;
mod faults;
pub mod inspect;
mod json;
mod labels;
mod pack;
pub mod statistics;
mod verify;

pub use faults::faults_csv;
pub use json::{MOST_LISTED, SCHEMA, print_error, print_json};
pub use pack::{pack, plan};
pub use verify::{tree, verify};

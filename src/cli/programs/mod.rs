//! The programs: their flags, and what they do with them. A file of `bin/` calls one of these and nothing else; man
//! pages and other front ends take the flags from here, too.

pub mod bench;
pub mod cellshard;
pub mod inspect;
pub mod pack;
pub mod simulate;
pub mod stats;
pub mod verify;

pub use cellshard::run;

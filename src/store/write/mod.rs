//! Writing a store: plates built aside, put in their place whole, and merged into the root's files at the end.

pub mod another;
pub mod commit;
pub mod destination;
pub mod encode;
pub mod held;
mod leftovers;
mod lock;
pub mod merge;
pub mod merged;
pub mod plate;
mod session;
mod swap;

//! Where the time of reading goes: each part of the way from the disk to a batch by itself, and the feed as it runs,
//! measured in turns in one run. Needs no libtorch; what happens on the device is measured in `train/bench.rs`.
//!
//! Rates are in raw pixels a second, whatever the codec: a chunk of zstd counts as the site that it holds. So they can
//! be compared, and the least of them is the most that can come out.

mod feeds;
mod limits;
mod machine;
mod memory;
mod part;
mod sample;

pub use feeds::{Figure, median};
pub use limits::Limit;
pub use machine::machine;
pub use part::{Checked, Part};
pub use sample::{Bench, BenchConfig, Rate};

//! Training and prediction on cellshard's stores with libtorch. What needs no tensor (recipes, splits, measures, run
//! folders) is in `cellshard::training`. Nothing in here prints or exits; the programs in `bin/` do.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod asked;
mod begun;
pub mod bench;
mod checked;
pub mod cli;
pub mod device;
pub mod dry_run;
pub mod engine;
mod ensemble;
mod libtorch;
pub mod models;
pub mod optim;
pub mod plan;
pub mod predict;
pub mod train;
pub mod transforms;

pub use libtorch::hide_what_is_caught;

//! The programs `train` and `predict`: their flags, and what they do with them and show.

mod bench_args;
mod dry_run;
mod durations;
mod live;
pub mod predict;
mod predictions;
mod recipe_args;
pub mod train;
mod train_screen;

//! The trainer's tests, in one program: it links once, and its tests keep all cores busy to the end. A file that counts
//! on having its process to itself, as one that sets libtorch's number of threads does, is a program beside this one.

#[path = "../common/mod.rs"]
mod common;

mod augment;
mod bench;
mod device;
mod ensembles;
mod family;
mod flags;
mod learning;
mod pipeline;
mod predict;
mod runs_of_0_1_0;
mod train;

//! `pack`: a tree of PNGs, or a store of another codec, into a store of tensor shards.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard::cli::programs::pack::main()
}

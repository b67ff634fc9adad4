//! `stats`: plate statistics of a store, from the counts that `pack` gathered; reads no pixel.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard::cli::programs::stats::main()
}

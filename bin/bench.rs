//! `bench`: where the time of reading goes, measured part by part in one run.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard::cli::programs::bench::main()
}

//! `cellshard`: the one name on the PATH, which runs the others.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard::cli::programs::cellshard::main()
}

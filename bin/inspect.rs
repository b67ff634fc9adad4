//! `inspect`: looks at a store.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard::cli::programs::inspect::main()
}

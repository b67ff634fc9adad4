//! `verify`: what of a store or of a raw tree is whole, and what to send again.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard::cli::programs::verify::main()
}

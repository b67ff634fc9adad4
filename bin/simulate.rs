//! `simulate`: makes a tree of RxRx1-like images with known truth.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard::cli::programs::simulate::main()
}

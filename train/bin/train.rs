//! `train`: trains a network on a store by a recipe, or measures how fast it would.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard_train::cli::train::main()
}

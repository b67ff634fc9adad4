//! `predict`: classes, probabilities and embeddings of a store's wells by trained runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    cellshard_train::cli::predict::main()
}

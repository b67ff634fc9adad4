//! `predict`: classes, probabilities and embeddings of a store's wells by trained runs.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard_train::cli::predict::main()
}

//! `train`: trains a network on a store by a recipe, or measures how fast it would.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard_train::cli::train::main()
}

//! `simulate`: makes a tree of RxRx1-like images with known truth.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard::cli::programs::simulate::main()
}

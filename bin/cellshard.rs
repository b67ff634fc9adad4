//! `cellshard`: the one name on the PATH, which runs the others.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard::cli::programs::cellshard::main()
}

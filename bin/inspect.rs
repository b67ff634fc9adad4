//! `inspect`: looks at a store.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard::cli::programs::inspect::main()
}

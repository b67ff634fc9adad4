//! `stats`: plate statistics of a store, from the counts that `pack` gathered; reads no pixel.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard::cli::programs::stats::main()
}

//! `pack`: a tree of PNGs, or a store of another codec, into a store of tensor shards.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard::cli::programs::pack::main()
}

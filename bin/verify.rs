//! `verify`: what of a store or of a raw tree is whole, and what to send again.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard::cli::programs::verify::main()
}

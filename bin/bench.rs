//! `bench`: where the time of reading goes, measured part by part in one run.

use cellshard::cli::Code;

fn main() -> Code {
    cellshard::cli::programs::bench::main()
}

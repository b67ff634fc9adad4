//! What the tests share. Both crates' tests have the trees; each runs the programs that cargo built for it.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its own part")]

mod json_page;
mod short_help;
mod strace;
mod tree;

use std::process::Command;

pub use json_page::JsonPage;
pub use short_help::check_help;
pub use strace::strace;
pub use tree::*;

/// Runs one of the programs.
pub fn tool(name: &str) -> Command {
    let path = match name {
        "cellshard" => env!("CARGO_BIN_EXE_cellshard"),
        "pack" => env!("CARGO_BIN_EXE_pack"),
        "verify" => env!("CARGO_BIN_EXE_verify"),
        "stats" => env!("CARGO_BIN_EXE_stats"),
        "simulate" => env!("CARGO_BIN_EXE_simulate"),
        "inspect" => env!("CARGO_BIN_EXE_inspect"),
        "bench" => env!("CARGO_BIN_EXE_bench"),
        _ => panic!("no program {name}"),
    };
    Command::new(path)
}

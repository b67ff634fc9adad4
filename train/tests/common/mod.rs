//! What the trainer's tests share: the trees of the other crate's tests, packed by the library.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its own part")]

#[path = "../../../tests/common/json_page.rs"]
mod json_page;
#[path = "../../../tests/common/tree.rs"]
mod tree;

use std::process::Command;

pub use json_page::JsonPage;
pub use tree::*;

/// Runs one of the programs.
pub fn tool(name: &str) -> Command {
    let path = match name {
        "train" => env!("CARGO_BIN_EXE_train"),
        "predict" => env!("CARGO_BIN_EXE_predict"),
        _ => panic!("no program {name}"),
    };
    Command::new(path)
}

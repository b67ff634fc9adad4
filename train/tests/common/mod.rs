//! What the trainer's tests share: the trees of the other crate's tests, packed by the library.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its own part")]

#[path = "../../../tests/common/json_page.rs"]
mod json_page;
#[path = "../../../tests/common/short_help.rs"]
mod short_help;
#[path = "../../../tests/common/tree.rs"]
mod tree;

use std::process::Command;

use cellshard::simulate::{CellType, Config};

pub use json_page::JsonPage;
pub use short_help::check_help;
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

/// Two cell types with three experiments, of which one each is the test set; 24 wells, 6 siRNAs, 3 x 32 x 32.
pub fn two_cell_types(n_plates: u16) -> Config {
    let cell_type = |name: &str| CellType { name: name.to_owned(), n_experiments: 3 };
    Config {
        cell_types: vec![cell_type("HUVEC"), cell_type("RPE")],
        n_test_experiments: 1,
        n_plates,
        n_wells: 24,
        n_sirnas: 6,
        size: 32,
        n_channels: 3,
        ..Config::default()
    }
}

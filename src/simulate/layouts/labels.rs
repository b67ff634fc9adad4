//! The tables of each layout, and what it calls what wells were given.

use std::path::Path;

use crate::error::Result;
use crate::simulate::config::Config;
use crate::simulate::dice::Dice;
use crate::simulate::layout::{Layout, Tables};
use crate::simulate::plates::POSITIVE_CONTROLS;

use super::well::LabelledWell;
use super::{kaggle, relatives, screen};

/// Writes every CSV of the layout into `dst`. The rows follow the order of `wells`.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(config: &Config, dst: &Path, wells: &[LabelledWell]) -> Result<()> {
    let names = names(config);
    let name = |class: u32| names[class as usize].clone();
    let given = |well: &LabelledWell| name(well.content.class);
    match config.layout.tables() {
        Tables::None => {}
        Tables::Kaggle => kaggle::write(config, dst, wells, &name)?,
        Tables::RxRx1 => kaggle::write_metadata(config, dst, wells, &name)?,
        Tables::Relative => relatives::write(config, dst, wells, &name)?,
        Tables::Wells => screen::write_labels(dst, wells, given)?,
        Tables::LoadData => screen::write_load_data(config, dst, wells, given)?,
    }
    kaggle::write_truth(dst, wells, &name)
}

/// What the layout calls each class. The numbers in names are a permutation, so that whoever takes `sirna_250` for
/// class 250 is found out, as with RxRx1's own.
fn names(config: &Config) -> Vec<String> {
    let n_named = config.n_sirnas as usize + POSITIVE_CONTROLS;
    let mut numbers: Vec<usize> = (1..=n_named).collect();
    Dice::new(config.seed, &[0x9a3e]).shuffle(&mut numbers);
    let named = |name: fn(usize) -> String, untreated: &str| {
        let untreated = std::iter::once(untreated.to_owned());
        numbers.iter().copied().map(name).chain(untreated).collect()
    };
    let mut names: Vec<String> = match config.layout {
        Layout::Kaggle2019 | Layout::Bare | Layout::KaggleFlat => (0..=n_named).map(|c| c.to_string()).collect(),
        Layout::Kaggle2023 => named(|n| format!("sirna_{n}"), "UNTREATED"),
        Layout::RxrxAi | Layout::Wilds | Layout::Rxrx => named(|n| format!("s{}", 10_000 + n), "EMPTY"),
        Layout::RxRx2 => named(|n| format!("factor_{n}"), relatives::untreated(config.layout)),
        Layout::RxRx19a | Layout::RxRx19b | Layout::RxRx3 => {
            named(|n| format!("compound_{n}"), relatives::untreated(config.layout))
        }
        Layout::Phenix
        | Layout::ImageXpress
        | Layout::MetaXpress
        | Layout::Cv8000
        | Layout::JumpPng
        | Layout::Bbbc021
        | Layout::Table => named(|n| format!("compound_{n}"), screen::UNTREATED),
    };
    if let Some(positive) = relatives::positive(config.layout) {
        for name in &mut names[config.n_sirnas as usize..n_named] {
            positive.clone_into(name);
        }
    }
    names
}

//! What a tree was begun with: a file in it for as long as it is not complete, so that a run that was interrupted goes on
//! and no other one mixes with it.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, Found};
use crate::words::agree;

use super::config::Config;

/// The name of the file.
const BEGUN: &str = ".cellshard-simulate";

/// A tree that is being made.
pub(super) struct Begun {
    file: PathBuf,
}

impl Begun {
    /// Begins a tree in a folder that is new or empty, or goes on with one that was begun with the same flags. What a
    /// process that was killed left half written is removed.
    ///
    /// # Errors
    /// If the folder holds anything else, or a tree that was begun with other flags.
    pub(super) fn in_folder(dst: &Path, config: &Config) -> Result<Self> {
        files::create_dirs(dst)?;
        let file = dst.join(BEGUN);
        let settings = settings(config);
        if files::is_file(&file)? {
            check(dst, &files::read_text(&file)?, &settings)?;
            files::remove_temporary(dst, 1..=usize::MAX)?;
            return Ok(Self { file });
        }
        let is_other = |found: &&Found| !found.name().is_some_and(files::is_temporary);
        if let Some(found) = files::list(dst)?.iter().find(is_other) {
            let expected = "a folder that is new or empty, or one that simulate was interrupted in";
            let found = found.path.file_name().unwrap_or_default().display().to_string();
            return Err(Error::refused(dst.display(), expected, found));
        }
        // Of a process that was killed before it had begun.
        files::remove_temporary(dst, 1..=1)?;
        let lines = settings.iter().map(|(flag, value)| format!("{flag} {value}\n"));
        files::write_whole(&file, lines.collect::<String>().as_bytes())?;
        Ok(Self { file })
    }

    /// Everything is there.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub(super) fn complete(self) -> Result<()> {
        files::remove_file(&self.file).map(drop)
    }
}

/// All that decides what is made, as flags; the program's version, too.
fn settings(config: &Config) -> Vec<(&'static str, String)> {
    let mut types: Vec<String> = config.cell_types.iter().map(|t| format!("{}:{}", t.name, t.n_experiments)).collect();
    types.sort();
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("--experiments", types.join(",")),
        ("--test-experiments", config.n_test_experiments.to_string()),
        ("--plates", config.n_plates.to_string()),
        ("--wells", config.n_wells.to_string()),
        ("--sites", config.n_sites.to_string()),
        ("--sirnas", config.n_sirnas.to_string()),
        ("--size", config.size.to_string()),
        ("--channels", config.n_channels.to_string()),
        ("--bits", (8 * config.bits.bytes()).to_string()),
        ("--seed", config.seed.to_string()),
        ("--layout", config.layout.name().to_owned()),
    ]
}

/// Refuses other settings than a tree was begun with, by their names.
fn check(dst: &Path, text: &str, settings: &[(&str, String)]) -> Result<()> {
    let begun: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let of_begun = |flag: &str| begun.iter().find(|(known, _)| *known == flag).map_or("", |(_, value)| value);
    let others: Vec<&(&str, String)> = settings.iter().filter(|(flag, value)| of_begun(flag) != value).collect();
    if others.is_empty() {
        return Ok(());
    }
    let with = |value: &dyn Fn(&(&str, String)) -> String| {
        others.iter().map(|other| format!("{} {}", other.0, value(other))).collect::<Vec<_>>().join(" ")
    };
    let flags = agree(others.len() as u64, "the flag", "the flags");
    let expected = format!("{flags} that it was begun with: {}", with(&|(flag, _)| of_begun(flag).to_owned()));
    Err(Error::refused(dst.display(), expected, with(&|(_, value)| value.clone())))
}

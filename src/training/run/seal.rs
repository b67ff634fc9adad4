//! What a run writes before it trains, once: recipe, split and `run.json`, their SHA-256 in a seal, and what its files
//! are known by as its own. An edit of any of them is found before they are used.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files::{self, Found};
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::{self, Entry};
use crate::store::read::proof::Depth;
use crate::training::recipe::Recipe;

use super::folder::{INFO, LOG, RECIPE, RunFolder, SEAL, SPLIT, json};
use super::info::RunInfo;

impl RunFolder {
    /// Makes sure that a run can begin here. To be asked once more when its log is locked, should two begin at once.
    ///
    /// # Errors
    /// If the folder holds something, or cannot be looked into.
    pub fn check_new(&self) -> Result<()> {
        match self.holds()? {
            None => Ok(()),
            Some(found) => {
                let expected = "a new or empty folder that can be written (or --resume, to go on with a run)";
                Err(Error::refused(format!("--run {}", self.root().display()), expected, found))
            }
        }
    }

    /// What keeps a run from beginning here, if anything does. What a run that was killed before it began has left does
    /// not.
    ///
    /// # Errors
    /// If the folder cannot be looked into.
    pub fn holds(&self) -> Result<Option<String>> {
        what_is_held(self.root())
    }

    /// Makes sure that no other process trains here.
    ///
    /// # Errors
    /// If one does, or that cannot be told.
    pub(super) fn check_unlocked(&self) -> Result<()> {
        let log = self.file(LOG);
        if files::is_file(&log)? && !files::is_link(&log)? { self.open_log().map(drop) } else { Ok(()) }
    }

    /// Writes what stays the same for the whole run, and gives the run what its files are known by: the SHA-256 of all
    /// that decides what it learns, be it on another machine or in another folder.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn begin(&self, recipe: &Recipe, split: &str, info: &RunInfo) -> Result<()> {
        files::create_dirs(self.root())?;
        let recipe = recipe.to_toml();
        let decides = RunInfo { run_id: None, environment: None, ..info.clone() };
        let id = Sha::of(&[recipe.as_bytes(), split.as_bytes(), &json(&decides)].concat());
        let document = json(&RunInfo { run_id: Some(id.to_string()), ..info.clone() });
        let files = [(RECIPE, recipe.as_bytes()), (SPLIT, split.as_bytes()), (INFO, document.as_slice())];
        // The seal before what it names, so that what a kill leaves is known as what this has written, and nothing of an
        // earlier attempt beside it; the document last, as a run is one by it.
        for name in [RECIPE, SPLIT] {
            files::remove_file(&self.file(name))?;
        }
        let sealed: Vec<Entry> = files.iter().map(|(name, bytes)| Entry::of(*name, bytes)).collect();
        self.write(SEAL, manifest::format(&sealed).as_bytes())?;
        files.iter().try_for_each(|(name, bytes)| self.write(name, bytes))
    }

    /// What files of the run are known by as such. `None` of a run of 0.1.0, which said nothing of the kind.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn identity(&self) -> Result<Option<String>> {
        Ok(self.info()?.run_id)
    }

    /// What to warn of where the run has no seal.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn unsealed(&self) -> Result<Option<String>> {
        let info = self.info()?;
        if info.is_sealed() {
            return Ok(None);
        }
        let mut warning = format!(
            "{} was made before runs were sealed: its recipe, split and networks are believed as they are",
            self.root().display()
        );
        if info.second_step_of.is_some() && !self.above().exists()? {
            warning += ", and what its first step was trained on is not known here";
        }
        Ok(Some(warning))
    }

    /// Proves that what was written before training started is as it was. A run of 0.1.0 has no seal and is believed.
    ///
    /// # Errors
    /// If something was changed or the seal is lost, or the system cannot tell.
    pub fn check_seal(&self) -> Result<()> {
        if !files::exists(&self.file(SEAL))? {
            if !self.info()?.is_sealed() {
                return Ok(());
            }
            let expected = format!("the list of {RECIPE}, {INFO} and {SPLIT} that the run began with");
            return Err(Error::malformed(self.file(SEAL).display(), expected, "none: lost since"));
        }
        let sealed = sealed(self.root())?;
        let names: Vec<&str> = sealed.iter().map(|entry| entry.path.as_str()).collect();
        if names != [RECIPE, INFO, SPLIT] {
            let expected = format!("a list of {RECIPE}, {INFO} and {SPLIT}");
            return Err(Error::malformed(self.file(SEAL).display(), expected, names.join(", ")));
        }
        for entry in &sealed {
            if !entry.is_whole(self.root(), Depth::Content)? {
                let expected = format!("it as it was when the run began, as {SEAL} says");
                return Err(Error::malformed(self.file(&entry.path).display(), expected, "another content"));
            }
        }
        Ok(())
    }
}

fn sealed(root: &Path) -> Result<Vec<Entry>> {
    let path = root.join(SEAL);
    manifest::parse(&files::read_text(&path)?, &path.display().to_string())
}

/// What keeps a run from beginning in a folder, if anything does. What a run that was killed before it began has left
/// does not: its log, its seal with what that proves, and files that were under way.
fn what_is_held(root: &Path) -> Result<Option<String>> {
    if files::exists(root)? && !files::is_dir(root)? {
        return Ok(Some("a file".to_owned()));
    }
    let all = files::list(root)?;
    let name = |found: &Found| found.name().map(str::to_owned);
    let has = |wanted: &str| all.iter().any(|found| found.name() == Some(wanted));
    let sealed = match if has(SEAL) && !has(INFO) { sealed(root) } else { Ok(Vec::new()) } {
        Err(error) if error.is_of_the_system() => return Err(error),
        other => other.unwrap_or_default(),
    };
    for found in &all {
        let left = match found.name() {
            // A link leads to what is not ours.
            Some(LOG) => files::is_file(&found.path)? && !files::is_link(&found.path)?,
            Some(SEAL) => !sealed.is_empty(),
            Some(name @ (RECIPE | SPLIT)) => match sealed.iter().find(|entry| entry.path == name) {
                Some(entry) => entry.is_whole(root, Depth::Content)?,
                None => false,
            },
            Some(name) => !found.is_dir() && files::is_temporary(name),
            None => false,
        };
        if !left {
            return Ok(Some(name(found).unwrap_or_else(|| "a file with a name that is no text".to_owned())));
        }
    }
    Ok(None)
}

//! What a run folder holds, and where. Trains nothing.
//!
//! ```text
//! runs/resnet50-1/
//!     recipe.toml   split.csv   run.json          written before training starts, never changed
//!     seal.sha256                                 their SHA-256: an edit of them is refused
//!     metrics.csv   metrics-groups.csv   events.out.tfevents.*   train.log
//!     best-loss.safetensors   best-accuracy.safetensors   last.safetensors     the network, nothing else
//!     best-loss.csv   best-accuracy.csv           what those say of each well that validates
//!     resume.safetensors                          what `--resume` needs beside: optimiser, progress
//!     summary.json                                written last: training is over
//!     report.html                                 a page of it, made of the rest
//!     HUVEC/ ...                                  two steps: a run folder of its own for each cell type
//! ```

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::files;
use crate::site::ImageSize;
use crate::training::data::{Split, WellParts};
use crate::training::recipe::Recipe;

use super::info::RunInfo;

/// The recipe as it was resolved.
pub const RECIPE: &str = "recipe.toml";
/// Which wells are trained on, and which validate.
pub const SPLIT: &str = "split.csv";
/// What the network is and what it was trained on.
pub const INFO: &str = "run.json";
/// Everything that was logged.
pub const LOG: &str = "train.log";
/// What came of it; there only when training is over.
pub const SUMMARY: &str = "summary.json";
/// A page of all of it, written when training is over.
pub const REPORT: &str = "report.html";
/// The network after the last epoch.
pub const LAST: &str = "last.safetensors";
/// The network after the epoch of least validation loss.
pub const BEST_LOSS: &str = "best-loss.safetensors";
/// The network after the epoch of highest validation accuracy per well.
pub const BEST_ACCURACY: &str = "best-accuracy.safetensors";
/// Where training goes on.
pub const RESUME: &str = "resume.safetensors";
/// The list of what is written before training starts, with its SHA-256.
pub const SEAL: &str = "seal.sha256";

/// A value as a JSON file.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("what is written here is made of names and numbers");
    bytes.push(b'\n');
    bytes
}

/// One run folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Makes a run folder: `root`, which must hold nothing, or with `None` the first free `runs/NAME-N`. A run that was
    /// killed before it began to train, and left its log and what is written before, counts as nothing.
    ///
    /// # Errors
    /// If it holds something, or cannot be made.
    pub fn create(root: Option<&Path>, name: &str) -> Result<Self> {
        if let Some(root) = root {
            let folder = Self { root: root.to_owned() };
            // Whoever is at work there is the first thing to know.
            folder.check_new().or_else(|error| folder.check_unlocked().and(Err(error)))?;
            files::create_dirs(root)?;
            return Ok(folder);
        }
        let runs = Path::new("runs");
        files::create_dirs(runs)?;
        let mut n = 1_u32;
        loop {
            let root = runs.join(format!("{name}-{n}"));
            match files::create_dir(&root) {
                Ok(()) => return Ok(Self { root }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(Error::io(&root, "create")(e)),
            }
        }
    }

    /// The run folder of a place, whether there is one or not.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A run folder that is there.
    ///
    /// # Errors
    /// If it has no `run.json`.
    pub fn open(root: &Path) -> Result<Self> {
        if !files::is_file(&root.join(INFO))? {
            let found = if files::is_dir(root)? { format!("no {INFO}") } else { "none".to_owned() };
            return Err(Error::refused(root.display(), format!("a run folder (with {INFO})"), found));
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Whether a cell type may have a run folder within one: its name is none of what a run has beside.
    #[must_use]
    pub fn can_be_folder(cell_type: &str) -> bool {
        let is_of_run = |extension: &str| ["toml", "csv", "json", "log", "safetensors", "html"].contains(&extension);
        let extension = Path::new(cell_type).extension().and_then(|extension| extension.to_str());
        !extension.is_some_and(is_of_run) && !cell_type.starts_with("events.out")
    }

    /// The run folder of one cell type within this one, for the second of two steps.
    #[must_use]
    pub fn of_cell_type(&self, cell_type: &str) -> Self {
        Self { root: self.root.join(cell_type) }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Whether training has begun here.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn exists(&self) -> Result<bool> {
        files::is_file(&self.file(INFO))
    }

    /// Whether training here is over.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn is_finished(&self) -> Result<bool> {
        files::is_file(&self.file(SUMMARY))
    }

    /// The recipe.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn recipe(&self) -> Result<Recipe> {
        let path = self.file(RECIPE);
        Recipe::parse(&files::read_text(&path)?, &path.display().to_string())
    }

    /// The run whose second step this is, if it is one and was not moved.
    #[must_use]
    pub fn above(&self) -> Self {
        Self { root: self.root.join("..") }
    }

    /// Whether it is known on what the network was trained that the run starts from, if it starts from one of ours.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn knows_its_start(&self) -> Result<bool> {
        let info = self.info()?;
        if info.is_sealed() {
            return Ok(info.starts_from.is_none_or(|start| !start.of_unknown_run));
        }
        // 0.1.0 kept no more of it than its name.
        let is_second = info.second_step_of.is_some();
        Ok(self.recipe()?.init_from.is_none() && (!is_second || self.above().exists()?))
    }

    /// What the run's network knows of wells.
    ///
    /// # Errors
    /// If the split cannot be read.
    pub fn parts(&self) -> Result<WellParts> {
        let mut parts = Split::parts(&self.file(SPLIT))?;
        let info = self.info()?;
        if info.second_step_of.is_some() && !info.is_sealed() {
            // The second steps of 0.1.0 say only of their own cell type what they are; they began where the first ended.
            let above = self.above();
            if above.exists()? {
                let own = std::mem::replace(&mut parts, Split::parts(&above.file(SPLIT))?);
                parts.extend(own);
            }
        }
        Ok(parts)
    }

    /// What the network is.
    ///
    /// # Errors
    /// If it cannot be read, or is of another format.
    pub fn info(&self) -> Result<RunInfo> {
        let path = self.file(INFO);
        let malformed = |found: String| Error::malformed(path.display(), "a run of format 1", found);
        let info: RunInfo = self.read_json(INFO)?;
        let sizes = [info.input_size, info.store_size].concat();
        let plausible = sizes.iter().all(|side| (1..=ImageSize::MAX_SIDE).contains(side))
            && (1..=64).contains(&info.channels.len())
            && (2..=1_000_000).contains(&info.classes.len())
            && info.n_treatments <= info.classes.len()
            && info.trained.len() == info.channels.len();
        match info.format {
            1 if plausible => Ok(info),
            1 => Err(malformed("sizes or classes that contradict each other".to_owned())),
            other => Err(malformed(format!("format {other}"))),
        }
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        files::write_whole(&self.file(name), bytes)
    }

    /// Writes a JSON file whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written.
    ///
    /// # Panics
    /// If `value` cannot be JSON, as a map with keys that are not texts.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        self.write(name, &json(value))
    }

    /// Reads a JSON file.
    ///
    /// # Errors
    /// If it cannot be read, or is something else.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.file(name);
        serde_json::from_slice(&files::read(&path)?)
            .map_err(|e| Error::malformed(path.display(), "what train wrote", e))
    }

    /// Opens the log to append to, and keeps other processes from training here as long as it is open. What one that was
    /// killed left half written is removed.
    ///
    /// # Errors
    /// If another process trains here, or it cannot be opened.
    pub fn open_log(&self) -> Result<File> {
        let path = self.file(LOG);
        let log = files::append(&path)?;
        match log.try_lock() {
            Err(TryLockError::WouldBlock) => {
                Err(Error::refused(self.root.display(), "no other process that trains here", "one"))
            }
            // A file system without locks: then one process at a time is the user's part.
            Err(TryLockError::Error(_)) => Ok(log),
            Ok(()) => {
                // Its own, and those of second steps.
                files::remove_temporary(&self.root, 1..=2)?;
                Ok(log)
            }
        }
    }
}

//! What a run folder holds, and where. Trains nothing.
//!
//! ```text
//! runs/resnet50-1/
//!     recipe.toml   split.csv   run.json          written before training starts, never changed
//!     seal.sha256                                 their SHA-256, by which the run is known
//!     metrics.csv   metrics-groups.csv   events.out.tfevents.*   train.log
//!     best-loss.safetensors   best-accuracy.safetensors   last.safetensors     the network, nothing else
//!     resume.safetensors                          what `--resume` needs beside: optimiser, progress
//!     summary.json                                written last: training is over
//!     HUVEC/ ...                                  two steps: a run folder of its own for each cell type
//! ```

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::classes::{Class, Classes};
use crate::error::{Error, Result};
use crate::files;
use crate::site::ImageSize;
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::{self, Entry};
use crate::store::read::proof::Depth;
use crate::training::recipe::{Architecture, Recipe};

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
/// The network after the last epoch.
pub const LAST: &str = "last.safetensors";
/// The network after the epoch of least validation loss.
pub const BEST_LOSS: &str = "best-loss.safetensors";
/// The network after the epoch of highest validation accuracy per well.
pub const BEST_ACCURACY: &str = "best-accuracy.safetensors";
/// Where training goes on.
pub const RESUME: &str = "resume.safetensors";
/// The list of what is written before training starts, with its SHA-256: the run is known by it.
pub const SEAL: &str = "seal.sha256";

/// What a run trains: everything that `predict` has to know beside the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of this document: 1.
    pub format: u32,
    /// The program that wrote it, with its version.
    pub producer: String,
    /// The network.
    pub model: Architecture,
    /// The names of an image's channels.
    pub channels: Vec<String>,
    /// Rows and columns of an image as the network gets it, after crop and resize; those of the store as it is.
    pub input_size: [u32; 2],
    /// Rows and columns of an image in the store.
    pub store_size: [u32; 2],
    /// The class of each output, in order; treatments first.
    pub classes: Vec<RunClass>,
    /// How many of them are treatments.
    pub n_treatments: usize,
    /// SHA-256 of the store's SHA256SUMS.
    pub store_sha256: String,
    /// The cell type that this is the second step of, and then the folder above is the run.
    pub second_step_of: Option<String>,
    /// The cell types of the experiments that are trained on: an experiment that another store gives another one is not
    /// answered for by the network of either.
    #[serde(default)]
    pub cell_types: BTreeMap<String, String>,
    /// `[centre, spread]` of each channel over all wells of the plates that are trained on, in grey levels.
    pub trained: Vec<[f32; 2]>,
}

/// A class that a network tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunClass {
    /// Its number.
    pub class: u32,
    /// The siRNA as the source of the store names it.
    pub sirna: String,
    /// What wells of it are: `treatment`, `positive_control`, `negative_control`.
    pub well_type: String,
}

impl RunInfo {
    /// The classes as a table; `place` names the run in errors.
    ///
    /// # Errors
    /// If numbers or siRNAs come twice, or a kind of wells is not known.
    pub fn classes(&self, place: &str) -> Result<Classes> {
        let class = |row: &RunClass| {
            let population = row.well_type.parse().map_err(|e| Error::malformed(place, "a class", e))?;
            Ok(Class { class: row.class, sirna: row.sirna.clone(), population })
        };
        Classes::numbered(self.classes.iter().map(class).collect::<Result<Vec<_>>>()?, place)
    }

    /// Size of an image as the network gets it.
    #[must_use]
    pub fn input_size(&self) -> ImageSize {
        ImageSize { height: self.input_size[0], width: self.input_size[1] }
    }
}

/// A value as a JSON file.
fn json(value: &impl Serialize) -> Vec<u8> {
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
    /// Makes a run folder: `root`, which must be new or empty, or with `None` the first free `runs/NAME-N`.
    ///
    /// # Errors
    /// If it holds something, or cannot be made.
    pub fn create(root: Option<&Path>, name: &str) -> Result<Self> {
        if let Some(root) = root {
            files::create_dirs(root)?;
            // Whoever makes the log is the one to train here, should two begin at once.
            let log = root.join(LOG);
            let is_ours = files::is_empty_dir(root)? && files::create_new(&log).is_ok();
            if !is_ours {
                let expected = "a new or empty folder that can be written (or --resume, to go on with a run)";
                return Err(Error::refused(format!("--run {}", root.display()), expected, "another"));
            }
            return Ok(Self { root: root.to_owned() });
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
        let is_of_run = |extension: &str| ["toml", "csv", "json", "log", "safetensors"].contains(&extension);
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

    /// Writes what stays the same for the whole run.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn begin(&self, recipe: &Recipe, split: &str, info: &RunInfo) -> Result<()> {
        files::create_dirs(&self.root)?;
        self.write(RECIPE, recipe.to_toml().as_bytes())?;
        self.write(SPLIT, split.as_bytes())?;
        let mut sealed = Vec::new();
        for name in [RECIPE, SPLIT] {
            sealed.push(Entry::of(name, &files::read(&self.file(name))?));
        }
        // Whoever finds the document finds the seal: it counts as begun by it.
        let document = json(info);
        sealed.push(Entry::of(INFO, &document));
        self.write(SEAL, manifest::format(&sealed).as_bytes())?;
        self.write(INFO, &document)
    }

    /// By what files of the run are known as such: the SHA-256 of its seal. `None` of a run that was made before there were
    /// seals.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn identity(&self) -> Result<Option<String>> {
        Ok(files::read_if_there(&self.file(SEAL))?.map(|seal| Sha::of(&seal).to_string()))
    }

    /// Proves that what was written before training started is as it was; says nothing of a run that has no seal.
    ///
    /// # Errors
    /// If something was changed, or the system cannot tell.
    pub fn check_seal(&self) -> Result<()> {
        let path = self.file(SEAL);
        if !files::exists(&path)? {
            return Ok(());
        }
        let sealed = manifest::parse(&files::read_text(&path)?, &path.display().to_string())?;
        let names: Vec<&str> = sealed.iter().map(|entry| entry.path.as_str()).collect();
        if names != [RECIPE, INFO, SPLIT] {
            let expected = format!("a list of {RECIPE}, {INFO} and {SPLIT}");
            return Err(Error::malformed(path.display(), expected, names.join(", ")));
        }
        for entry in &sealed {
            if !entry.is_whole(&self.root, Depth::Content)? {
                let expected = format!("it as it was when the run began, as {SEAL} says");
                return Err(Error::malformed(self.file(&entry.path).display(), expected, "another content"));
            }
        }
        Ok(())
    }

    /// The recipe.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn recipe(&self) -> Result<Recipe> {
        let path = self.file(RECIPE);
        Recipe::parse(&files::read_text(&path)?, &path.display().to_string())
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

    /// Opens the log to append to, and keeps other processes from training here as long as it is open.
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
            Err(TryLockError::Error(_)) | Ok(()) => Ok(log),
        }
    }
}

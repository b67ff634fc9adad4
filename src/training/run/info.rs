//! `run.json`: what a run trains, on what, and on which machine. Reads and writes no file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::classes::{Class, Classes};
use crate::error::{Error, Result};
use crate::site::ImageSize;
use crate::training::recipe::Architecture;

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
    /// What it starts from; `None` where that is nothing, and of a run of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_from: Option<StartsFrom>,
    /// The experiments that are trained on or validate, each with the SHA-256 of its pixels and labels, as
    /// [`experiments_sha256`](crate::training::data::experiments_sha256) has it: the same in every store that holds them.
    /// None of a run that 0.1.0 made.
    #[serde(default)]
    pub experiments: BTreeMap<String, String>,
    /// What its files are known by as its own: see [`RunFolder::begin`](super::RunFolder::begin). `None` of a run that
    /// 0.1.0 made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The cell type that this is the second step of, and then the folder above is the run.
    pub second_step_of: Option<String>,
    /// The cell types of the experiments that are trained on: an experiment that another store gives another one is not
    /// answered for by the network of either.
    #[serde(default)]
    pub cell_types: BTreeMap<String, String>,
    /// Treatments that no well is trained on, by their numbers: an output each, which nothing was learned of.
    #[serde(default)]
    pub untrained: Vec<u32>,
    /// `[centre, spread]` of each channel over all wells of the plates that are trained on, in grey levels.
    pub trained: Vec<[f32; 2]>,
    /// On what it began, for whoever asks later; says nothing of what it learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// The pretrained weights that a run starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartsFrom {
    /// The file's SHA-256.
    pub sha256: String,
    /// Whether it is a network of a run of ours of which nobody could tell on what it was trained.
    pub of_unknown_run: bool,
}

impl StartsFrom {
    /// What to say of one whose run is not known.
    pub const UNKNOWN_RUN: &'static str =
        "a network of a run whose folder it is not in: whether it was trained on what validates is not known";
}

/// On what a run began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The device, and why it is this one.
    pub device: String,
    /// The GPU's name, where it is one.
    pub gpu: Option<String>,
    /// The version of libtorch, with that of CUDA where it has a GPU.
    pub libtorch: String,
    /// The program and its arguments; empty where a library's user trains.
    pub command_line: Vec<String>,
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

    /// Whether a version made it that seals what it writes before training: all but 0.1.0.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.run_id.is_some()
    }

    /// Size of an image as the network gets it.
    #[must_use]
    pub fn input_size(&self) -> ImageSize {
        ImageSize { height: self.input_size[0], width: self.input_size[1] }
    }
}

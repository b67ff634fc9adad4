//! A run that is gone on with: what it began with, proven, and whether a store is its own. Trains nothing and writes
//! nothing.

use std::collections::BTreeSet;

use crate::plan::{TrainConfig, same_classes};
use cellshard::error::{Error, Result};
use cellshard::site::WellId;
use cellshard::store::format::checksum::Sha;
use cellshard::store::{SHA256SUMS, Store};
use cellshard::training::data::{Split, data_sha256};
use cellshard::training::recipe::Recipe;
use cellshard::training::run::{INFO, RunFolder, RunInfo, SPLIT};

/// A run that is gone on with.
pub(crate) struct Begun {
    pub(crate) folder: RunFolder,
    pub(crate) info: RunInfo,
    pub(crate) recipe: Recipe,
}

impl Begun {
    /// Opens the run, once all that it wrote before it trained is proven, and that the store is its own.
    pub(crate) fn open(config: &TrainConfig, store: &Store) -> Result<Self> {
        let root = config.run.as_deref().ok_or_else(|| Error::refused("--resume", "--run DIR with it", "none"))?;
        let folder = RunFolder::open(root)?;
        folder.check_seal()?;
        let info = folder.info()?;
        if let Some(cell_type) = &info.second_step_of {
            let expected = "the run folder above, whose second step this is";
            return Err(Error::refused(format!("--resume --run {}", root.display()), expected, cell_type));
        }
        let recipe = folder.recipe()?;
        if config.second_epochs.is_some() && !recipe.two_step {
            return Err(Error::refused("--second-epochs", "a run of two steps, or --epochs", "a run of one"));
        }
        let begun = Self { folder, info, recipe };
        begun.check_store(store)?;
        Ok(begun)
    }

    /// What the run is, as it began, if that is what follows from its recipe and the store today.
    pub(crate) fn same_network(&self, found: RunInfo) -> Result<RunInfo> {
        let of_network = |info: &RunInfo| (info.model, info.channels.clone(), info.input_size, info.classes.clone());
        if of_network(&found) != of_network(&self.info) {
            let place = self.folder.file(INFO);
            return Err(Error::refused(place.display(), "what follows from its recipe", "another network"));
        }
        Ok(self.info.clone())
    }

    /// Makes sure that a store is the one that the run was begun with, in whatever codec, and whatever else is in it by
    /// now.
    fn check_store(&self, store: &Store) -> Result<()> {
        let parts = Split::parts(&self.folder.file(SPLIT))?;
        let place = || format!("{}: --shards {}", self.folder.root().display(), store.root().display());
        let Some(expected) = &self.info.data_sha256 else {
            // A run of 0.1.0 knows its store by its list alone.
            let (found, _) = Sha::of_file(&store.root().join(SHA256SUMS), &|_| {})?;
            if found.to_string() == self.info.store_sha256 {
                return Ok(());
            }
            let expected = format!("the store it was trained on (SHA256SUMS {:.12}...)", self.info.store_sha256);
            return Err(Error::refused(place(), expected, format!("{:.12}...", found.to_string())));
        };
        let known: BTreeSet<&WellId> = store.sites().iter().map(|site| &site.id.well).collect();
        let experiments = self.info.experiments.iter().map(String::as_str).collect();
        let found = data_sha256(store, &experiments);
        if found.as_ref() != Some(expected) {
            let lost = parts.keys().filter(|well| experiments.contains(well.plate.experiment.as_str()));
            let lost: Vec<_> = lost.filter(|well| !known.contains(well)).collect();
            let found = match lost.first() {
                Some(first) => format!("no {first}, and {} more wells of its split are not there", lost.len() - 1),
                None => "other ones of the same names".to_owned(),
            };
            return Err(Error::refused(place(), "the pixels and labels that it was trained on", found));
        }
        same_classes(&self.info.classes(&self.folder.file(INFO).display().to_string())?, store)
    }
}

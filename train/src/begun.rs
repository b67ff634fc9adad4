//! A run that is gone on with: what it began with, proven, and whether a store is its own. Trains nothing and writes
//! nothing.

use std::collections::BTreeSet;

use crate::engine::checkpoint;
use crate::plan::{TrainConfig, same_classes};
use crate::transforms::pipeline::Pipeline;
use cellshard::error::{Error, Result};
use cellshard::site::WellId;
use cellshard::store::format::checksum::Sha;
use cellshard::store::{SHA256SUMS, Store};
use cellshard::training::data::{Split, data_sha256};
use cellshard::training::recipe::{Recipe, Schedule};
use cellshard::training::run::{INFO, RunFolder, RunInfo, SPLIT};

/// A run that is gone on with.
pub(crate) struct Begun {
    pub(crate) folder: RunFolder,
    pub(crate) info: RunInfo,
    pub(crate) recipe: Recipe,
    /// How many epochs the networks of a second step are to train at most, if that was ever told.
    pub(crate) second_epochs: Option<u32>,
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
        // Of two steps, what the second was told is kept by the first.
        let told = if recipe.two_step { checkpoint::progress(&folder)? } else { None };
        let second_epochs = config.second_epochs.or(told.and_then(|progress| progress.second_epochs));
        let begun = Self { folder, info, recipe, second_epochs };
        begun.check_store(store)?;
        Ok(begun)
    }

    /// Makes sure that the run's network is what follows from its recipe and the store today.
    pub(crate) fn check_network(&self, store: &Store) -> Result<()> {
        let (info, spec) = (&self.info, store.spec());
        let size = [spec.size.height, spec.size.width];
        let channels: Vec<&str> = spec.channels.iter().map(|channel| channel.name.as_str()).collect();
        let is_same = info.model == self.recipe.model
            && info.channels == channels
            && info.store_size == size
            && info.input_size == Pipeline::input_size(&self.recipe, size)?;
        if is_same {
            return Ok(());
        }
        let place = self.folder.file(INFO);
        Err(Error::refused(place.display(), "what follows from its recipe and the store", "another network"))
    }

    /// What to warn of where 0.1.0 began the run and meant something else by its recipe.
    pub(crate) fn other_rules(&self) -> Option<String> {
        let recipe = &self.recipe;
        let is_other = recipe.two_step || (recipe.schedule == Schedule::Exponential && recipe.warmup_epochs > 0.0);
        let warning = "what is not trained yet follows the rules of today: the exponential schedule begins after the \
                       warm-up, and a second step has a seed and a warm-up of its own";
        (!self.info.is_sealed() && is_other).then(|| warning.to_owned())
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

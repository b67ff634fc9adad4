//! A run that is gone on with: what it began with, proven, and whether a store is its own. Trains nothing and writes
//! nothing.

use serde::{Deserialize, Serialize};

use crate::engine::checkpoint;
use crate::plan::{Resume, StagePlan, TrainConfig, same_classes};
use crate::transforms::pipeline::Pipeline;
use cellshard::error::{Error, Result};
use cellshard::files;
use cellshard::store::format::checksum::Sha;
use cellshard::store::{SHA256SUMS, Store};
use cellshard::training::data::experiments_sha256;
use cellshard::training::early_stopping::EarlyStopping;
use cellshard::training::recipe::{Recipe, Schedule};
use cellshard::training::run::{INFO, RESUME, RunFolder, RunInfo, SUMMARY};
use cellshard::training::schedule::leaves_warm_up;
use cellshard::words::agree;

/// What came of one network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The cell type of the second of two steps; none otherwise.
    pub cell_type: Option<String>,
    /// Epochs trained.
    pub epochs: u32,
    /// Epochs that it was told to train at most; `None` of one that 0.1.0 ended.
    #[serde(default)]
    pub epochs_at_most: Option<u32>,
    /// Best epochs.
    pub early: EarlyStopping,
    /// The accuracy that guessing would have.
    pub chance: f64,
    /// Damaged sites that were left out, counted at each reading.
    pub n_skipped: u64,
}

/// A run that is gone on with.
pub(crate) struct Begun {
    pub(crate) folder: RunFolder,
    pub(crate) info: RunInfo,
    pub(crate) recipe: Recipe,
    /// How many epochs the networks of a second step are to train at most, if that was ever told.
    pub(crate) second_epochs: Option<u32>,
    /// What of that the first step has kept.
    pub(crate) kept_second_epochs: Option<u32>,
}

impl Begun {
    /// The run that is gone on with, if one is: the one that is told, or one that is there and was begun as is asked for.
    ///
    /// # Errors
    /// As [`Begun::open`]; or if the folder holds something that is neither a run nor nothing, or a run by another
    /// recipe.
    pub(crate) fn find(config: &TrainConfig, store: &Store) -> Result<Option<Self>> {
        let asked = match &config.resume {
            Resume::No => return Ok(None),
            Resume::Yes => return Self::open(config, store).map(Some),
            Resume::Auto { asked } => asked,
        };
        let root = config.run.as_deref().ok_or_else(|| Error::refused("--resume auto", "--run DIR with it", "none"))?;
        let folder = RunFolder::at(root);
        if !folder.exists()? {
            let Some(found) = folder.holds()? else { return Ok(None) };
            // What is left of a run that lost what it is known by is no place to begin another.
            let expected = format!("a run (with {INFO}), or a new or empty folder");
            return Err(Error::refused(format!("--resume auto --run {}", root.display()), expected, found));
        }
        let begun = Self::open(config, store)?;
        begun.check_asked(&config.recipe, asked)?;
        Ok(Some(begun))
    }

    /// Makes sure that the run was begun by a recipe, in the keys that were asked for.
    fn check_asked(&self, recipe: &Recipe, asked: &[&'static str]) -> Result<()> {
        let mut others = Vec::new();
        for &key in asked {
            let (kept, found) = (self.recipe.value(key), recipe.value(key));
            if kept == found {
                continue;
            }
            // What was told since is as much what the run does as what it began with.
            let told = match key {
                "epochs" => {
                    checkpoint::progress(&self.folder)?.and_then(|progress| progress.told.map(|told| told.epochs))
                }
                "second-epochs" => self.second_epochs,
                _ => None,
            };
            if told.is_none_or(|told| Some(told.to_string()) != found) {
                others.push((key, kept, found));
            }
        }
        let Some((key, kept, found)) = others.first() else { return Ok(()) };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let more_epochs = if matches!(*key, "epochs" | "second-epochs") {
            format!("; --resume --{key} N is what changes it")
        } else {
            String::new()
        };
        let expected = format!("{}, by which the run was begun{more_epochs}", text(kept));
        let others = match others.len() - 1 {
            0 => String::new(),
            n => format!(", and {n} other {} not the run's", agree(n as u64, "key that is", "keys that are")),
        };
        let place = format!("--resume auto --run {}: {key}", self.folder.root().display());
        Err(Error::refused(place, expected, format!("{}{others}", text(found))))
    }

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
        // Of two steps, what the second was told is kept by the first; 0.1.0 told it nothing.
        let is_kept = recipe.two_step && (info.is_sealed() || files::exists(&folder.file(RESUME))?);
        let told = if is_kept { checkpoint::progress(&folder)? } else { None };
        let kept_second_epochs = told.and_then(|progress| progress.second_epochs);
        let second_epochs = config.second_epochs.or(kept_second_epochs);
        let begun = Self { folder, info, recipe, second_epochs, kept_second_epochs };
        begun.check_store(store)?;
        Ok(begun)
    }

    /// Sets how far each network is to be trained, by what is told now and was told before.
    ///
    /// # Errors
    /// If it cannot be trained that far. Nothing was written.
    pub(crate) fn set_epochs(&self, config: &TrainConfig, stages: &mut [StagePlan]) -> Result<()> {
        let mut second_has_begun = false;
        for name in stages.iter().filter_map(|stage| stage.cell_type.as_ref()) {
            second_has_begun |= self.folder.of_cell_type(name).exists()?;
        }
        for stage in stages {
            let (folder, flag, told) = match &stage.cell_type {
                Some(name) => (self.folder.of_cell_type(name), "--second-epochs", config.second_epochs),
                None => (self.folder.clone(), "--epochs", config.epochs),
            };
            let is_second = stage.cell_type.is_some();
            // What was told before holds, too, for networks that nobody came to since.
            let wanted = told.or(self.second_epochs.filter(|_| is_second));
            let refuse = |expected: String| Err(Error::refused(flag, expected, wanted.unwrap_or_default()));
            if told == Some(0) {
                return refuse("1 or more".to_owned());
            }
            let is_over = folder.is_finished()?;
            // Epochs that it has trained, and how many it trains at most if nobody says otherwise.
            let (trained, current) = if is_over {
                let Summary { epochs_at_most, .. } = folder.read_json(SUMMARY)?;
                (0, epochs_at_most.unwrap_or(stage.recipe.epochs))
            } else if folder.exists()? {
                let progress = checkpoint::progress(&folder)?.unwrap_or_default();
                (progress.epoch, progress.recipe(&stage.recipe).epochs)
            } else {
                (0, stage.recipe.epochs)
            };
            // The same again is no news: whoever restarts a job says it each time.
            stage.epochs = wanted.unwrap_or(current);
            if stage.epochs == current {
                continue;
            }
            if !is_second && second_has_begun {
                return refuse(format!("{current}, as the second step has begun from it (--second-epochs is its own)"));
            }
            if is_over && stage.epochs < current {
                if is_second {
                    // It had more than that to become better in.
                    stage.epochs = current;
                    continue;
                }
                return refuse(format!("more than the {current} epochs that it was told before"));
            }
            if stage.epochs <= trained {
                return refuse(format!("more than the {trained} epochs that are over"));
            }
            let recipe = Recipe { epochs: stage.epochs, ..stage.recipe.clone() };
            if leaves_warm_up(&recipe, stage.order.steps_per_epoch(), flag).is_err() {
                return refuse(format!("more than the {} epochs of warm-up", stage.recipe.warmup_epochs));
            }
            if is_over {
                // Proven now, and not when its turn comes.
                checkpoint::progress(&folder)?;
                stage.is_reopened = true;
            }
        }
        Ok(())
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
        let place = || format!("{}: --shards {}", self.folder.root().display(), store.root().display());
        if !self.info.is_sealed() {
            // A run of 0.1.0 knows its store by its list alone.
            let (found, _) = Sha::of_file(&store.root().join(SHA256SUMS), &|_| {})?;
            if found.to_string() == self.info.store_sha256 {
                return Ok(());
            }
            let expected = format!("the store it was trained on (SHA256SUMS {:.12}...)", self.info.store_sha256);
            return Err(Error::refused(place(), expected, format!("{:.12}...", found.to_string())));
        }
        let found = experiments_sha256(store, &self.info.experiments.keys().map(String::as_str).collect());
        if let Some((name, _)) = self.info.experiments.iter().find(|(name, sha)| found.get(*name) != Some(sha)) {
            let what = if found.contains_key(name) { "other ones" } else { "none" };
            let expected = "the pixels and labels that it was trained on";
            return Err(Error::refused(place(), expected, format!("{what} of experiment {name}")));
        }
        same_classes(&self.info.classes(&self.folder.file(INFO).display().to_string())?, store)
    }
}

//! What a run will be: store, recipe, split and classes joined and checked, the networks to train in order, and what
//! each is made of. Trains nothing and writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tch::{Device, Kind};

use crate::device::DeviceChoice;
use crate::engine::checkpoint::{EPOCH, RUN};
use crate::engine::stop::Stop;
use crate::engine::watch::StageWork;
use crate::models::{MemoryFormat, Network, NetworkSpec, weights};
use crate::optim::optimizer::Optimizer;
use crate::transforms::pipeline::Pipeline;
use cellshard::classes::{Classes, population_field};
use cellshard::error::{Error, Result};
use cellshard::feed::{Io, Verify};
use cellshard::files;
use cellshard::store::format::checksum::Sha;
use cellshard::store::{CLASSES, SHA256SUMS, Store};
use cellshard::training::data::{ClassMap, EpochSampler, Split, experiments_sha256};
use cellshard::training::recipe::{Precision, Recipe, SplitBy};
use cellshard::training::run::{RunClass, RunFolder, RunInfo, StartsFrom, Work};
use cellshard::training::schedule::leaves_warm_up;

/// What to do where the run folder has a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Begin, and refuse a folder that holds something.
    No,
    /// Go on with the run that is there, by the recipe that it keeps.
    Yes,
    /// Go on where a run is there, else begin: a job that is started again and again says the same each time.
    Auto {
        /// The keys in which the run that is there must have been begun by the recipe that is asked for.
        asked: Vec<&'static str>,
    },
}

/// A run as it is asked for.
#[derive(Debug, Clone)]
pub struct TrainConfig {
    /// The store.
    pub shards: PathBuf,
    /// The run folder; with `None` the first free `runs/NAME-N`.
    pub run: Option<PathBuf>,
    /// Whether to go on with the run that is there.
    pub resume: Resume,
    /// The recipe's name, for the folder.
    pub name: String,
    /// What to do. A run that is taken up again keeps its own.
    pub recipe: Recipe,
    /// The device.
    pub device: DeviceChoice,
    /// Threads that read and decode.
    pub n_threads: usize,
    /// How shards are read.
    pub io: Io,
    /// When sites are verified.
    pub verify: Verify,
    /// Whether damaged sites are left out instead of ending the run.
    pub skip_damaged: bool,
    /// How often to save where to go on, within an epoch.
    pub checkpoint_every: Duration,
    /// When to stop early.
    pub stop: Stop,
    /// Of a run that is gone on with: how many epochs it is to train instead of what it was told before.
    pub epochs: Option<u32>,
    /// The same of the networks of a second step.
    pub second_epochs: Option<u32>,
    /// The program and its arguments, for `run.json`.
    pub command_line: Vec<String>,
}

impl TrainConfig {
    /// A run of a recipe on a store, with everything else as usual.
    #[must_use]
    pub fn new(shards: &Path, name: &str, recipe: Recipe) -> Self {
        Self {
            shards: shards.to_owned(),
            run: None,
            resume: Resume::No,
            name: name.to_owned(),
            recipe,
            device: DeviceChoice::Auto,
            n_threads: 2,
            io: Io::Mmap,
            verify: Verify::First,
            skip_damaged: false,
            checkpoint_every: Duration::from_mins(10),
            stop: Stop::default(),
            epochs: None,
            second_epochs: None,
            command_line: Vec::new(),
        }
    }
}

/// Whether a device computes in the recipe's precision.
pub(crate) fn check_precision(recipe: &Recipe, device: Device) -> Result<()> {
    if recipe.precision == Precision::Bf16 && device == Device::Cpu {
        return Err(Error::refused("--precision", "tf32 or f32 on the CPU", "bf16"));
    }
    Ok(())
}

/// The network that a run trains.
pub(crate) fn network_spec(info: &RunInfo) -> NetworkSpec {
    NetworkSpec {
        architecture: info.model,
        n_channels: info.channels.len(),
        n_classes: info.classes.len(),
        size: info.input_size(),
    }
}

/// One network to train.
pub(crate) struct StagePlan {
    pub(crate) cell_type: Option<String>,
    pub(crate) recipe: Recipe,
    pub(crate) split: Split,
    /// The order in which it trains on the split's training set.
    pub(crate) order: EpochSampler,
    /// How many epochs it is to train at most.
    pub(crate) epochs: u32,
    /// Whether it is trained on although it is over.
    pub(crate) is_reopened: bool,
}

impl StagePlan {
    /// What there is to do for it.
    pub(crate) fn work(&self) -> StageWork {
        let Self { cell_type, recipe, split, order, .. } = self;
        let judged = split.validation.len() as u64;
        let trained = order.steps_per_epoch() * u64::from(recipe.batch) * u64::from(recipe.accumulate);
        // The network that a second step starts from is judged before.
        let first = Work { trained: 0, judged: if cell_type.is_some() { judged } else { 0 } };
        StageWork { first, epoch: Work { trained, judged } }
    }
}

/// A run that was checked.
pub(crate) struct Plan<'a> {
    pub(crate) store: &'a Store,
    pub(crate) recipe: &'a Recipe,
    pub(crate) classes: &'a ClassMap,
    pub(crate) split: &'a Split,
    pub(crate) device: Device,
}

impl Plan<'_> {
    /// The networks to train, in order: one, or with two steps one more for each cell type. What a run has begun keeps
    /// the recipe that is written there; `second_epochs` is what the others of a second step are told.
    ///
    /// # Errors
    /// If one cannot be trained as it is asked for, or what is there is not as it was written.
    pub(crate) fn stages(&self, begun: Option<&RunFolder>, second_epochs: Option<u32>) -> Result<Vec<StagePlan>> {
        let mut stages = vec![self.stage(None, self.recipe.clone(), self.split.clone(), begun.is_some())?];
        if self.recipe.two_step {
            let sites = self.store.sites();
            let cell_type = |i: &usize| sites[*i].id.well.plate.experiment.cell_type();
            let treated = self.split.train.iter().filter(|&&i| self.is_treatment(i));
            let cell_types: BTreeSet<&str> = treated.map(cell_type).collect();
            for name in cell_types {
                if !RunFolder::can_be_folder(name) {
                    let expected = "cell types that can be folders of a run beside its own files";
                    return Err(Error::refused("--two-step", expected, format!("{name:?}")));
                }
                let mut split = self.split.filtered(|i| cell_type(&i) == name);
                split.start_from(self.store, &self.split.well_parts(self.store), name)?;
                let folder = begun.map(|run| run.of_cell_type(name));
                let is_begun = folder.as_ref().map_or(Ok(false), RunFolder::exists)?;
                let recipe = match folder {
                    Some(folder) if is_begun => {
                        folder.check_seal()?;
                        folder.recipe()?
                    }
                    _ => {
                        let told = Recipe {
                            second_epochs: second_epochs.unwrap_or(self.recipe.second_epochs),
                            ..self.recipe.clone()
                        };
                        if second_epochs.is_some_and(|epochs| f64::from(epochs) <= told.second_warmup_epochs) {
                            let expected = format!("more than the {} epochs of warm-up", told.second_warmup_epochs);
                            return Err(Error::refused("--second-epochs", expected, told.second_epochs));
                        }
                        told.second_step()
                    }
                };
                stages.push(self.stage(Some(name), recipe, split, is_begun)?);
            }
        }
        for StagePlan { cell_type, recipe, split, .. } in &stages {
            if split.validation.is_empty() && recipe.split != SplitBy::None {
                let of = cell_type.as_deref().unwrap_or("all cell types");
                return Err(Error::refused(format!("validation set of {of}"), "a well or more", "none"));
            }
        }
        Ok(stages)
    }

    /// One network to train. What is not begun is checked: that its recipe can be read again once it is written, and
    /// that its rate gets past the warm-up.
    fn stage(&self, cell_type: Option<&str>, recipe: Recipe, split: Split, is_begun: bool) -> Result<StagePlan> {
        let order = EpochSampler::new(&recipe, self.store, &split.train, cell_type)?;
        if !is_begun {
            recipe.check_written()?;
            let key = if cell_type.is_some() { "--second-warmup-epochs" } else { "--warmup-epochs" };
            leaves_warm_up(&recipe, order.steps_per_epoch(), key)?;
        }
        let (cell_type, epochs) = (cell_type.map(str::to_owned), recipe.epochs);
        Ok(StagePlan { cell_type, recipe, split, order, epochs, is_reopened: false })
    }

    fn is_treatment(&self, site: usize) -> bool {
        let class = self.store.sites()[site].label.class;
        class.and_then(|class| self.classes.output(class)).is_some_and(|output| output < self.classes.n_treatments())
    }

    /// What the run is.
    pub(crate) fn info(&self) -> Result<RunInfo> {
        let (store, recipe) = (self.store, self.recipe);
        let treated: Vec<usize> = self.split.train.iter().copied().filter(|&i| self.is_treatment(i)).collect();
        let class = |&class: &u32| {
            let row = store.classes().rows().iter().find(|row| row.class == class).expect("a class of the store");
            RunClass { class, sirna: row.sirna.clone(), well_type: population_field(row.population).to_owned() }
        };
        let trained: BTreeSet<u32> = treated.iter().filter_map(|&i| store.sites()[i].label.class).collect();
        let treatments = self.classes.classes().iter().take(self.classes.n_treatments()).copied();
        let store_size = [store.spec().size.height, store.spec().size.width];
        let listing = store.root().join(SHA256SUMS);
        let (sha, _) = Sha::of_file(&listing, &|_| {})?;
        Ok(RunInfo {
            format: 1,
            producer: format!("cellshard {}", env!("CARGO_PKG_VERSION")),
            model: recipe.model,
            channels: store.spec().channels.iter().map(|channel| channel.name.clone()).collect(),
            input_size: Pipeline::input_size(recipe, store_size)?,
            store_size,
            classes: self.classes.classes().iter().map(class).collect(),
            n_treatments: self.classes.n_treatments(),
            store_sha256: sha.to_string(),
            experiments: experiments_sha256(store, &self.split.experiments(store)),
            run_id: None,
            second_step_of: None,
            cell_types: treated.iter().map(|&i| cell_type_of(store, i)).collect(),
            untrained: treatments.filter(|class| !trained.contains(class)).collect(),
            trained: Pipeline::trained(recipe, store, &treated)?,
            starts_from: None,
            environment: None,
        })
    }

    /// Does what the first network needs before its first step, so that what cannot work fails before anything is
    /// written.
    pub(crate) fn rehearse(&self, info: &RunInfo) -> Result<()> {
        self.pipeline(self.recipe, self.split, info)?;
        let mut network = Network::new(&network_spec(info), self.recipe.seed, Kind::Float, Device::Cpu)?;
        if let Some(path) = &self.recipe.init_from {
            weights::init_from(&mut network, Path::new(path))?;
        }
        Ok(())
    }

    /// What happens to the pixels of the plates that are trained and validated on.
    pub(crate) fn pipeline(&self, recipe: &Recipe, split: &Split, info: &RunInfo) -> Result<Pipeline> {
        let used = split.train.iter().chain(&split.validation).map(|&i| &self.store.sites()[i].id.well.plate);
        Pipeline::new(recipe, self.store, &used.collect(), &info.trained, self.device)
    }

    /// A network as it is before its first step, on the device, and its optimiser.
    pub(crate) fn untrained(&self, recipe: &Recipe, info: &RunInfo) -> Result<(Network, Optimizer)> {
        let format = MemoryFormat::of(self.device);
        let network = Network::in_format(&network_spec(info), recipe.seed, Kind::Float, self.device, format)?;
        let parameters: Vec<_> =
            network.parameters().into_iter().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect();
        let optimizer = Optimizer::new(recipe, &parameters);
        Ok((network, optimizer))
    }
}

/// Tells a split what the network of `--init-from` knows, where it is one of a run of ours, and what the run is to keep of
/// it.
pub(crate) fn start_of(recipe: &Recipe, store: &Store, split: &mut Split) -> Result<Option<StartsFrom>> {
    let Some(given) = recipe.init_from.as_deref().map(Path::new) else { return Ok(None) };
    let place = format!("--init-from {}", given.display());
    let path = files::resolve(given)?.unwrap_or_else(|| given.to_owned());
    let metadata = weights::read(&path)?.metadata;
    let (sha, _) = Sha::of_file(&path, &|_| {})?;
    // 0.1.0 wrote into its networks which epoch they are of, and not of which run.
    let (id, is_ours) = (metadata.get(RUN), metadata.contains_key(RUN) || metadata.contains_key(EPOCH));
    let folder = RunFolder::at(path.parent().unwrap_or(Path::new("/")));
    let is_of_folder = is_ours && folder.exists()? && folder.identity()?.as_ref() == id;
    let mut is_known = !is_ours;
    if is_of_folder {
        folder.check_seal()?;
        is_known = folder.knows_its_start()?;
        split.start_from(store, &folder.parts()?, &place)?;
    }
    Ok(Some(StartsFrom { sha256: sha.to_string(), of_unknown_run: !is_known }))
}

/// Whether a store means by its classes what a run does; one without labels means nothing by them.
pub(crate) fn same_classes(table: &Classes, store: &Store) -> Result<()> {
    let known: BTreeMap<u32, &str> = table.rows().iter().map(|row| (row.class, row.sirna.as_str())).collect();
    for row in store.classes().rows() {
        if let Some(name) = known.get(&row.class).filter(|name| **name != row.sirna) {
            let place = format!("{}: class {}", store.root().join(CLASSES).display(), row.class);
            return Err(Error::refused(place, format!("{name:?}, as the run has it (pack --classes)"), &row.sirna));
        }
    }
    Ok(())
}

/// The experiment of a site, and its cell type.
fn cell_type_of(store: &Store, site: usize) -> (String, String) {
    let experiment = &store.sites()[site].id.well.plate.experiment;
    (experiment.as_str().to_owned(), experiment.cell_type().to_owned())
}

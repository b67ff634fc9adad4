//! A whole run: the store and the recipe are checked, the run folder is made or taken up again, and one stage or two
//! are trained.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use crate::classes::population_field;
use crate::error::{Error, Result};
use crate::feed::{Io, Reader, Verify};
use crate::runs::{BEST_ACCURACY, LAST, RunClass, RunFolder, RunInfo, SUMMARY};
use crate::store::checksum::Sha;
use crate::store::{SHA256SUMS, Store};

use super::batches::Sites;
use super::checkpoint;
use super::device::{self, DeviceChoice, DeviceMemory};
use super::journal::{Journal, Observer};
use super::models::{MemoryFormat, Network, NetworkSpec};
use super::optimizer::Optimizer;
use super::order::TrainOrder;
use super::pipeline::Pipeline;
use super::progress::Progress;
use super::recipe::{Precision, Recipe, SplitBy};
use super::schedule::EarlyStopping;
use super::split::{ClassMap, Split};
use super::stage::{End, Stage, Tally};
use super::stop::Stop;
use super::weights;

/// A run as it is asked for.
#[derive(Debug, Clone)]
pub struct TrainConfig {
    /// The store.
    pub shards: PathBuf,
    /// The run folder; with `None` the first free `runs/NAME-N`.
    pub run: Option<PathBuf>,
    /// Whether to go on with the run that is there.
    pub resume: bool,
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
}

impl TrainConfig {
    /// A run of a recipe on a store, with everything else as usual.
    #[must_use]
    pub fn new(shards: &Path, name: &str, recipe: Recipe) -> Self {
        Self {
            shards: shards.to_owned(),
            run: None,
            resume: false,
            name: name.to_owned(),
            recipe,
            device: DeviceChoice::Auto,
            n_threads: 2,
            io: Io::Mmap,
            verify: Verify::First,
            skip_damaged: false,
            checkpoint_every: Duration::from_mins(10),
            stop: Stop::default(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Serialize)]
pub struct TrainReport {
    /// The run folder.
    pub run: PathBuf,
    /// Why it stopped before its end, if it did: it can be resumed.
    pub stopped: Option<&'static str>,
    /// What came of each network that is trained to its end.
    pub stages: Vec<Summary>,
    /// Seconds that this process took.
    pub seconds: f64,
    /// Seconds from its beginning to the end of its first optimiser step; none where it took none.
    pub first_step_seconds: Option<f64>,
    /// What it has taken of the GPU's memory; none on the CPU.
    pub gpu_memory: Option<DeviceMemory>,
    /// Damaged sites that were left out, counted at each reading.
    pub n_skipped: u64,
}

/// What came of one network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The cell type of the second of two steps; none otherwise.
    pub cell_type: Option<String>,
    /// Epochs trained.
    pub epochs: u32,
    /// Best epochs.
    pub early: EarlyStopping,
    /// The accuracy that guessing would have.
    pub chance: f64,
    /// Damaged sites that were left out, counted at each reading.
    pub n_skipped: u64,
}

/// Trains.
///
/// # Errors
/// If store, recipe, run folder or device cannot be used, before anything is written; if data is damaged or the loss is
/// not finite, with the last good checkpoint kept.
pub fn train(config: &TrainConfig, observer: &mut dyn Observer) -> Result<TrainReport> {
    let started = Instant::now();
    let store = Store::open(&config.shards)?;
    let (device, device_name) = device::open(config.device)?;
    let (folder, recipe) = if config.resume {
        let root = config.run.as_deref().ok_or_else(|| Error::refused("--resume", "--run DIR with it", "none"))?;
        let folder = RunFolder::open(root)?;
        if let Some(cell_type) = folder.info()?.second_step_of {
            let expected = "the run folder above, whose second step this is";
            return Err(Error::refused(format!("--resume --run {}", root.display()), expected, cell_type));
        }
        let recipe = folder.recipe()?;
        (Some(folder), recipe)
    } else {
        (None, config.recipe.clone())
    };
    check_precision(&recipe, device)?;
    let classes = ClassMap::new(&store, &recipe)?;
    let split = match &folder {
        Some(folder) => Split::read(folder, &store)?,
        None => Split::new(&store, &recipe)?,
    };
    classes.check(&store, &split)?;
    let plan = Plan { config, store: &store, recipe: &recipe, classes: &classes, split: &split, device };
    let stages = plan.stages()?;
    let info = plan.info()?;
    match &folder {
        Some(folder) => same_run(folder, &info)?,
        None => plan.rehearse(&info)?,
    }
    device::set_up(device, recipe.precision);
    // Everything that could be refused has been by now; from here on there is something to keep.
    let folder = match folder {
        Some(folder) => folder,
        None => {
            let folder = RunFolder::create(config.run.as_deref(), &config.name)?;
            folder.begin(&recipe, &split.to_csv(&store), &info)?;
            folder
        }
    };
    let mut journal = Journal::open(&folder, observer)?;
    plan.announce(&mut journal, &folder, &device_name)?;
    if let n @ 1.. = stages[0].order.n_never() {
        journal.line(&format!("warning    {n} sites never come: their plate or experiment has fewer than a batch"))?;
    }
    let reader = Arc::new(Reader::new(store.clone(), config.io, config.verify));
    let sites = Sites::new(reader, |class| classes.output(class), config.n_threads, config.skip_damaged);
    let mut report = TrainReport {
        run: folder.root().to_owned(),
        stopped: None,
        stages: Vec::new(),
        seconds: 0.0,
        first_step_seconds: None,
        gpu_memory: None,
        n_skipped: 0,
    };
    let mut tally = Tally { started, n_steps: 0, first_step: None };
    for stage in &stages {
        let (end, summary) = plan.run(stage, &folder, &info, &sites, &mut tally, &mut journal)?;
        report.n_skipped += summary.n_skipped;
        if let Some(reason) = end {
            journal.line(&format!("stopped: {reason}; --resume --run {} goes on", folder.root().display()))?;
            report.stopped = Some(reason);
            break;
        }
        report.stages.push(summary);
    }
    if report.stopped.is_none() {
        conclude(&mut journal, &report)?;
    }
    report.first_step_seconds = tally.first_step.map(|took| took.as_secs_f64());
    report.gpu_memory = device::memory(device);
    if let Some(memory) = report.gpu_memory {
        let [held, reserved] = [memory.peak_allocated, memory.peak_reserved].map(|bytes| bytes as f64 / 1e9);
        journal.line(&format!("GPU memory {held:.2} GB held at most, {reserved:.2} GB reserved"))?;
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Whether a device computes in the recipe's precision.
pub(super) fn check_precision(recipe: &Recipe, device: Device) -> Result<()> {
    if recipe.precision == Precision::Bf16 && device == Device::Cpu {
        return Err(Error::refused("--precision", "tf32 or f32 on the CPU", "bf16"));
    }
    Ok(())
}

/// Says what came of a run that is over.
fn conclude(journal: &mut Journal, report: &TrainReport) -> Result<()> {
    for Summary { cell_type, epochs, early, chance, .. } in &report.stages {
        let what = cell_type.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let best = early.best_accuracy.map_or("no validation".to_owned(), |best| {
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            format!("best epoch {}: wells {} (chance {})", best.epoch, percent(best.accuracy), percent(*chance))
        });
        journal.line(&format!("finished{what} after {epochs} epochs, {best}"))?;
    }
    if report.n_skipped > 0 {
        journal.line(&format!("left out   {} readings of damaged sites", report.n_skipped))?;
    }
    Ok(())
}

/// The network that a run trains.
pub(super) fn network_spec(info: &RunInfo) -> NetworkSpec {
    NetworkSpec {
        architecture: info.model,
        n_channels: info.channels.len(),
        n_classes: info.classes.len(),
        size: info.input_size(),
    }
}

/// Whether a run folder was begun with the same store and network.
fn same_run(folder: &RunFolder, info: &RunInfo) -> Result<()> {
    let found = folder.info()?;
    let place = |what: &str| format!("{}: {what}", folder.root().display());
    if found.store_sha256 != info.store_sha256 {
        let expected = format!("the store it was trained on (SHA256SUMS {:.12}...)", found.store_sha256);
        return Err(Error::refused(place("--shards"), expected, format!("{:.12}...", info.store_sha256)));
    }
    let compared = |info: &RunInfo| (info.model, info.channels.clone(), info.input_size, info.classes.clone());
    if compared(&found) != compared(info) {
        return Err(Error::refused(place("run.json"), "what follows from its recipe", "another network"));
    }
    Ok(())
}

/// One network to train.
pub(super) struct StagePlan {
    cell_type: Option<String>,
    recipe: Recipe,
    split: Split,
    /// The order in which it trains on the split's training set.
    pub(super) order: TrainOrder,
}

/// A run that was checked.
pub(super) struct Plan<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) store: &'a Store,
    pub(super) recipe: &'a Recipe,
    pub(super) classes: &'a ClassMap,
    pub(super) split: &'a Split,
    pub(super) device: Device,
}

impl Plan<'_> {
    /// The networks to train, in order: one, or with two steps one more for each cell type.
    pub(super) fn stages(&self) -> Result<Vec<StagePlan>> {
        let stage = |cell_type: Option<&str>, recipe: Recipe, split: Split| {
            let order = TrainOrder::new(&recipe, self.store, &split.train, cell_type)?;
            Ok(StagePlan { cell_type: cell_type.map(str::to_owned), recipe, split, order })
        };
        let mut stages = vec![stage(None, self.recipe.clone(), self.split.clone())?];
        if self.recipe.two_step {
            let sites = self.store.sites();
            let cell_type = |i: &usize| sites[*i].id.well.plate.experiment.cell_type();
            let treated = self.split.train.iter().filter(|&&i| self.is_treatment(i));
            let cell_types: BTreeSet<&str> = treated.map(cell_type).collect();
            for name in cell_types {
                let split = self.split.filtered(|i| cell_type(&i) == name);
                stages.push(stage(Some(name), self.recipe.second_step(), split)?);
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

    fn is_treatment(&self, site: usize) -> bool {
        let class = self.store.sites()[site].label.class;
        class.and_then(|class| self.classes.output(class)).is_some_and(|output| output < self.classes.n_treatments())
    }

    pub(super) fn info(&self) -> Result<RunInfo> {
        let (store, recipe) = (self.store, self.recipe);
        let treated: Vec<usize> = self.split.train.iter().copied().filter(|&i| self.is_treatment(i)).collect();
        let class = |&class: &u32| {
            let row = store.classes().rows().iter().find(|row| row.class == class).expect("a class of the store");
            RunClass { class, sirna: row.sirna.clone(), well_type: population_field(row.population).to_owned() }
        };
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
            second_step_of: None,
            trained: Pipeline::trained(recipe, store, &treated)?,
        })
    }

    /// Does what the first network needs before its first step, so that what cannot work fails before anything is
    /// written.
    fn rehearse(&self, info: &RunInfo) -> Result<()> {
        self.pipeline(self.recipe, self.split, info)?;
        let mut network = Network::new(&network_spec(info), self.recipe.seed, Kind::Float, Device::Cpu)?;
        if let Some(path) = &self.recipe.init_from {
            weights::init_from(&mut network, Path::new(path))?;
        }
        Ok(())
    }

    /// What happens to the pixels of the plates that are trained and validated on.
    pub(super) fn pipeline(&self, recipe: &Recipe, split: &Split, info: &RunInfo) -> Result<Pipeline> {
        let used = split.train.iter().chain(&split.validation).map(|&i| &self.store.sites()[i].id.well.plate);
        Pipeline::new(recipe, self.store, &used.collect(), &info.trained, self.device)
    }

    fn announce(&self, journal: &mut Journal, folder: &RunFolder, device: &str) -> Result<()> {
        let (store, split) = (self.store, self.split);
        let size = store.spec().size;
        let n_wells = |sites: &[usize]| sites.iter().map(|&i| &store.sites()[i].id.well).collect::<BTreeSet<_>>().len();
        let experiments = |sites: &[usize]| {
            let names = sites.iter().map(|&i| &store.sites()[i].id.well.plate.experiment).collect::<BTreeSet<_>>();
            names.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        journal.line(&format!("run        {}", folder.root().display()))?;
        journal.line(&format!("device     {device}"))?;
        journal.line(&format!(
            "store      {}: {} x {} x {} pixels, {} classes",
            store.root().display(),
            store.spec().channels.len(),
            size.height,
            size.width,
            self.classes.classes().len(),
        ))?;
        for (name, sites) in [("train", &split.train), ("validate", &split.validation)] {
            let what = format!("{} wells, {} sites: {}", n_wells(sites), sites.len(), experiments(sites));
            journal.line(&format!("{name:<9}  {what}"))?;
        }
        for warning in &split.warnings {
            journal.line(&format!("warning    {warning}"))?;
        }
        Ok(())
    }

    /// Trains one network, or finds it trained. Tells why it stopped before its end, if it did.
    fn run(
        &self,
        stage: &StagePlan,
        root: &RunFolder,
        info: &RunInfo,
        sites: &Sites,
        tally: &mut Tally,
        journal: &mut Journal,
    ) -> Result<(Option<&'static str>, Summary)> {
        let StagePlan { cell_type, recipe, split, order } = stage;
        let folder = cell_type.as_ref().map_or_else(|| root.clone(), |name| root.of_cell_type(name));
        if folder.is_finished() {
            return Ok((None, folder.read_json(SUMMARY)?));
        }
        if !folder.exists() {
            let info = RunInfo { second_step_of: cell_type.clone(), ..info.clone() };
            folder.begin(recipe, &split.to_csv(self.store), &info)?;
        }
        let (mut network, mut optimizer) = self.untrained(recipe, info)?;
        let what = cell_type.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let progress = match checkpoint::load(&folder, &mut network, &mut optimizer)? {
            Some(progress) => {
                let at = format!("epoch {}, step {}", progress.epoch + 1, progress.step);
                journal.line(&format!("resume     {what}{at}"))?;
                progress
            }
            None => {
                self.initialise(&mut network, cell_type.as_deref(), root, journal)?;
                Progress::default()
            }
        };
        let pipeline = self.pipeline(recipe, split, info)?;
        let stage = Stage {
            folder: &folder,
            recipe,
            split,
            order,
            sites,
            classes: self.classes,
            pipeline: &pipeline,
            device: self.device,
            stop: &self.config.stop,
            checkpoint_every: self.config.checkpoint_every,
            tally,
            journal,
            counts_start: cell_type.is_some(),
            what: &what,
        };
        let (progress, stopped) = match stage.train(&network, &mut optimizer, progress)? {
            End::Finished(progress) => (progress, None),
            End::Stopped(progress, reason) => (progress, Some(reason)),
        };
        let summary = Summary {
            cell_type: cell_type.clone(),
            epochs: progress.epoch,
            early: progress.early,
            chance: 1.0 / self.classes.n_treatments() as f64,
            n_skipped: progress.n_skipped,
        };
        if stopped.is_none() {
            folder.write_json(SUMMARY, &summary)?;
        }
        Ok((stopped, summary))
    }

    /// A network as it is before its first step, on the device, and its optimiser.
    pub(super) fn untrained(&self, recipe: &Recipe, info: &RunInfo) -> Result<(Network, Optimizer)> {
        let format = MemoryFormat::of(self.device);
        let network = Network::in_format(&network_spec(info), recipe.seed, Kind::Float, self.device, format)?;
        let parameters: Vec<_> =
            network.parameters().into_iter().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect();
        let optimizer = Optimizer::new(recipe, &parameters);
        Ok((network, optimizer))
    }

    /// Gives a new network its first weights: those of the first step, pretrained ones, or those it was made with.
    fn initialise(
        &self,
        network: &mut Network,
        cell_type: Option<&str>,
        root: &RunFolder,
        journal: &mut Journal,
    ) -> Result<()> {
        if cell_type.is_some() {
            let best = root.file(BEST_ACCURACY);
            let path = if best.exists() { best } else { root.file(LAST) };
            return weights::load(network, &weights::read(&path)?, &path.display().to_string());
        }
        if let Some(path) = &self.recipe.init_from {
            let report = weights::init_from(network, Path::new(path))?;
            for line in report.lines() {
                journal.line(&format!("init       {line}"))?;
            }
        }
        Ok(())
    }
}

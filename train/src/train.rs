//! A whole run: the store and the recipe are checked, the run folder is made or taken up again, and one stage or two
//! are trained.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::device::loader::Sites;
use crate::device::{self, DeviceMemory};
use crate::engine::checkpoint;
use crate::engine::fit::{End, ProcessStats, Stage};
use crate::models::{Network, weights};
use crate::plan::{Plan, StagePlan, TrainConfig, check_precision};
use cellshard::error::{Error, Result};
use cellshard::feed::Reader;
use cellshard::files;
use cellshard::store::Store;
use cellshard::training::data::{ClassMap, Split};
use cellshard::training::early_stopping::EarlyStopping;
use cellshard::training::run::{BEST_ACCURACY, LAST, Observer, Progress, RunFolder, RunInfo, RunLog, SPLIT, SUMMARY};

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
    let store = Store::open_proven(&config.shards)?;
    let (device, device_name) = device::open(config.device)?;
    let (folder, recipe) = if config.resume {
        let root = config.run.as_deref().ok_or_else(|| Error::refused("--resume", "--run DIR with it", "none"))?;
        let folder = RunFolder::open(root)?;
        folder.check_seal()?;
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
        Some(folder) => Split::read(&folder.file(SPLIT), &store)?,
        None => Split::new(&store, &recipe)?,
    };
    classes.check(&store, &split)?;
    let plan = Plan { store: &store, recipe: &recipe, classes: &classes, split: &split, device };
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
    let mut log = RunLog::open(&folder, observer)?;
    let run = Run { config, plan };
    run.announce(&mut log, &folder, &device_name)?;
    if let n @ 1.. = stages[0].order.n_left_out() {
        log.line(&format!("warning    {n} sites never come: their plate or experiment has fewer than a batch"))?;
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
    let mut stats = ProcessStats { started, n_steps: 0, first_step: None };
    for stage in &stages {
        let (end, summary) = run.network(stage, &folder, &info, &sites, &mut stats, &mut log)?;
        report.n_skipped += summary.n_skipped;
        if let Some(reason) = end {
            log.line(&format!("stopped: {reason}; --resume --run {} goes on", folder.root().display()))?;
            report.stopped = Some(reason);
            break;
        }
        report.stages.push(summary);
    }
    if report.stopped.is_none() {
        conclude(&mut log, &report)?;
    }
    report.first_step_seconds = stats.first_step.map(|took| took.as_secs_f64());
    report.gpu_memory = device::memory(device);
    if let Some(memory) = report.gpu_memory {
        let [held, reserved] = [memory.peak_allocated, memory.peak_reserved].map(|bytes| bytes as f64 / 1e9);
        log.line(&format!("GPU memory {held:.2} GB held at most, {reserved:.2} GB reserved"))?;
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Says what came of a run that is over.
fn conclude(log: &mut RunLog, report: &TrainReport) -> Result<()> {
    for Summary { cell_type, epochs, early, chance, .. } in &report.stages {
        let what = cell_type.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let best = early.best_accuracy.map_or("no validation".to_owned(), |best| {
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            format!("best epoch {}: wells {} (chance {})", best.epoch, percent(best.accuracy), percent(*chance))
        });
        log.line(&format!("finished{what} after {epochs} epochs, {best}"))?;
    }
    if report.n_skipped > 0 {
        log.line(&format!("left out   {} readings of damaged sites", report.n_skipped))?;
    }
    Ok(())
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

/// A checked run, and how it is to be trained.
struct Run<'a> {
    config: &'a TrainConfig,
    plan: Plan<'a>,
}

impl Run<'_> {
    fn announce(&self, log: &mut RunLog, folder: &RunFolder, device: &str) -> Result<()> {
        let (store, split) = (self.plan.store, self.plan.split);
        let size = store.spec().size;
        let n_wells = |sites: &[usize]| sites.iter().map(|&i| &store.sites()[i].id.well).collect::<BTreeSet<_>>().len();
        let experiments = |sites: &[usize]| {
            let names = sites.iter().map(|&i| &store.sites()[i].id.well.plate.experiment).collect::<BTreeSet<_>>();
            names.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        log.line(&format!("run        {}", folder.root().display()))?;
        log.line(&format!("device     {device}"))?;
        log.line(&format!(
            "store      {}: {} x {} x {} pixels, {} classes",
            store.root().display(),
            store.spec().channels.len(),
            size.height,
            size.width,
            self.plan.classes.classes().len(),
        ))?;
        for (name, sites) in [("train", &split.train), ("validate", &split.validation)] {
            let what = format!("{} wells, {} sites: {}", n_wells(sites), sites.len(), experiments(sites));
            log.line(&format!("{name:<9}  {what}"))?;
        }
        for warning in &split.warnings {
            log.line(&format!("warning    {warning}"))?;
        }
        Ok(())
    }

    /// Trains one network, or finds it trained. Tells why it stopped before its end, if it did.
    fn network(
        &self,
        stage: &StagePlan,
        root: &RunFolder,
        info: &RunInfo,
        sites: &Sites,
        stats: &mut ProcessStats,
        log: &mut RunLog,
    ) -> Result<(Option<&'static str>, Summary)> {
        let StagePlan { cell_type, recipe, split, order } = stage;
        let folder = cell_type.as_ref().map_or_else(|| root.clone(), |name| root.of_cell_type(name));
        if folder.is_finished()? {
            return Ok((None, folder.read_json(SUMMARY)?));
        }
        if folder.exists()? {
            folder.check_seal()?;
        } else {
            let info = RunInfo { second_step_of: cell_type.clone(), ..info.clone() };
            folder.begin(recipe, &split.to_csv(self.plan.store), &info)?;
        }
        let (mut network, mut optimizer) = self.plan.untrained(recipe, info)?;
        let what = cell_type.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let progress = match checkpoint::load(&folder, &mut network, &mut optimizer)? {
            Some(progress) => {
                let at = format!("epoch {}, step {}", progress.epoch + 1, progress.step);
                log.line(&format!("resume     {what}{at}"))?;
                progress
            }
            None => {
                self.initialise(&mut network, cell_type.as_deref(), root, log)?;
                Progress::default()
            }
        };
        let pipeline = self.plan.pipeline(recipe, split, info)?;
        let stage = Stage {
            folder: &folder,
            recipe,
            split,
            order,
            sites,
            classes: self.plan.classes,
            pipeline: &pipeline,
            device: self.plan.device,
            stop: &self.config.stop,
            checkpoint_every: self.config.checkpoint_every,
            stats,
            log,
            evaluate_first: cell_type.is_some(),
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
            chance: 1.0 / self.plan.classes.n_treatments() as f64,
            n_skipped: progress.n_skipped,
        };
        if stopped.is_none() {
            folder.write_json(SUMMARY, &summary)?;
        }
        Ok((stopped, summary))
    }

    /// Gives a new network its first weights: those of the first step, pretrained ones, or those it was made with.
    fn initialise(
        &self,
        network: &mut Network,
        cell_type: Option<&str>,
        root: &RunFolder,
        log: &mut RunLog,
    ) -> Result<()> {
        if cell_type.is_some() {
            let name = if files::exists(&root.file(BEST_ACCURACY))? { BEST_ACCURACY } else { LAST };
            return weights::load(network, &checkpoint::read(root, name)?, &root.file(name).display().to_string());
        }
        if let Some(path) = &self.plan.recipe.init_from {
            let report = weights::init_from(network, Path::new(path))?;
            for line in report.lines() {
                log.line(&format!("init       {line}"))?;
            }
        }
        Ok(())
    }
}

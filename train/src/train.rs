//! A whole run, once it is checked: the run folder is made or taken up again, and one stage or two are trained.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

pub use crate::begun::Summary;
use crate::checked::{Checked, checked};
use crate::device::loader::Sites;
use crate::device::{self, DeviceMemory};
use crate::engine::checkpoint;
use crate::engine::fit::{End, Stage};
use crate::engine::watch::ProcessStats;
use crate::libtorch::caught;
use crate::models::{Network, weights};
use crate::plan::{Plan, StagePlan, TrainConfig};
use cellshard::error::{Error, Result};
use cellshard::feed::Reader;
use cellshard::files;
use cellshard::inspect::run_page::{experiments_of, read_runs, runs_page};
use cellshard::store::format::checksum::Sha;
use cellshard::training::run::{
    BEST_ACCURACY, Environment, Observer, Progress, REPORT, RunFolder, RunInfo, RunLog, SUMMARY, Told,
};
use cellshard::words::{plural, quoted};

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

/// Trains.
///
/// # Errors
/// If store, recipe, run folder or device cannot be used, before anything is written; if data is damaged, memory runs
/// out or the loss is not finite, with the last good checkpoint kept.
pub fn train(config: &TrainConfig, observer: &mut dyn Observer) -> Result<TrainReport> {
    let started = Instant::now();
    caught("training", || checked(config, |run| begin(run, config, observer, started)))
}

/// Makes or takes up the run folder of a run that was checked, and trains.
fn begin(
    checked: Checked<'_>,
    config: &TrainConfig,
    observer: &mut dyn Observer,
    started: Instant,
) -> Result<TrainReport> {
    // Everything that could be refused has been by now; from here on there is something to keep.
    let folder = match checked.folder() {
        Some(folder) => folder.clone(),
        None => RunFolder::create(config.run.as_deref(), &config.name)?,
    };
    let warnings = checked.warnings()?;
    let Checked { plan, begun, stages, info, environment } = checked;
    let mut log = RunLog::open(&folder, observer)?;
    if begun.is_none() {
        // With the log locked: nobody else begins here.
        folder.check_new()?;
        folder.begin(plan.recipe, &plan.split.to_csv(plan.store), info)?;
    }
    let second_epochs = begun.and_then(|begun| begun.second_epochs);
    let kept_second_epochs = begun.and_then(|begun| begun.kept_second_epochs);
    let is_begun = begun.is_some();
    let run = Run { config, plan, info, is_begun, warnings, second_epochs, kept_second_epochs, started };
    let outcome = caught("training", || run.all(&stages, &folder, environment, &mut log));
    if let Err(error) = &outcome {
        // A log that cannot be written is no reason to say something else.
        let _ = log.note(&format!("error      {error}"));
    }
    outcome
}

/// Whether all networks of a run are trained, and none is to be trained on.
fn is_over(stages: &[StagePlan], folder: &RunFolder) -> Result<bool> {
    for StagePlan { cell_type, is_reopened, .. } in stages {
        let folder = cell_type.as_ref().map_or_else(|| folder.clone(), |name| folder.of_cell_type(name));
        if *is_reopened || !folder.is_finished()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says what came of a run that is over.
fn conclude(log: &mut RunLog, report: &TrainReport) -> Result<()> {
    for Summary { cell_type, epochs, early, chance, .. } in &report.stages {
        let what = cell_type.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let best = early.best_accuracy.map_or("no validation".to_owned(), |best| {
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            format!("best epoch {}: wells {} (chance {})", best.epoch, percent(best.accuracy), percent(*chance))
        });
        log.line(&format!("finished{what} after {}, {best}", plural(u64::from(*epochs), "epoch")))?;
    }
    if report.n_skipped > 0 {
        log.line(&format!("left out   {} of damaged sites", plural(report.n_skipped, "reading")))?;
    }
    Ok(())
}

/// A checked run, and how it is to be trained.
struct Run<'a> {
    config: &'a TrainConfig,
    plan: Plan<'a>,
    info: &'a RunInfo,
    /// Whether it is gone on with.
    is_begun: bool,
    /// What a user should know of it, beside what the split has to say.
    warnings: Vec<String>,
    /// How many epochs the networks of a second step are to train at most, if that was ever told.
    second_epochs: Option<u32>,
    /// What of that the first step has kept.
    kept_second_epochs: Option<u32>,
    started: Instant,
}

impl Run<'_> {
    /// Trains all networks, one after the other, or finds them trained.
    fn all(&self, stages: &[StagePlan], folder: &RunFolder, on: &Environment, log: &mut RunLog) -> Result<TrainReport> {
        let (config, classes, device) = (self.config, self.plan.classes, self.plan.device);
        self.announce(log, folder, on)?;
        if let n @ 1.. = stages[0].order.n_left_out() {
            log.line(&format!("warning    {n} sites never come: their plate or experiment has fewer than a batch"))?;
        }
        let reader = Arc::new(Reader::new(self.plan.store.clone(), config.io, config.verify));
        let mut sites = Sites::new(reader, |class| classes.output(class), config.n_threads, config.skip_damaged);
        if !self.info.is_sealed() && self.is_begun {
            // 0.1.0 knew a site by its place in the store.
            sites.keys = Arc::new((0..self.plan.store.sites().len() as u64).collect());
        }
        let mut report = TrainReport {
            run: folder.root().to_owned(),
            stopped: None,
            stages: Vec::new(),
            seconds: 0.0,
            first_step_seconds: None,
            gpu_memory: None,
            n_skipped: 0,
        };
        if let Some(second_epochs) = config.second_epochs.filter(|told| self.kept_second_epochs != Some(*told)) {
            self.keep_second_epochs(folder, second_epochs)?;
        }
        if self.is_begun && is_over(stages, folder)? {
            log.line("finished   before: there is nothing left to train")?;
        }
        let mut stats =
            ProcessStats::new(self.started, stages.iter().map(|stage| stage.work().all(stage.epochs)).sum());
        for stage in stages {
            let (end, summary) = self.network(stage, folder, &sites, &mut stats, log)?;
            report.n_skipped += summary.n_skipped;
            // One that stopped early leaves less to do than was thought.
            let work = stage.work();
            stats.over = stats.over + work.all(summary.epochs);
            stats.all = stats.all.without(work.epoch.times(u64::from(stage.epochs.saturating_sub(summary.epochs))));
            if let Some(reason) = end {
                let store = self.plan.store.root().to_string_lossy();
                let run = folder.root().to_string_lossy();
                let command = quoted(["cellshard", "train", &store, "--run", &run, "--resume"]);
                log.line(&format!("stopped: {reason}; {command} goes on"))?;
                report.stopped = Some(reason);
                break;
            }
            report.stages.push(summary);
        }
        if report.stopped.is_none() {
            conclude(log, &report)?;
            self.write_report(folder, &sites.reader, log)?;
        }
        report.first_step_seconds = stats.first_step.map(|took| took.as_secs_f64());
        report.gpu_memory = device::memory(device);
        if let Some(memory) = report.gpu_memory {
            let [held, reserved] = [memory.peak_allocated, memory.peak_reserved].map(|bytes| bytes as f64 / 1e9);
            log.line(&format!("GPU memory {held:.2} GB held at most, {reserved:.2} GB reserved"))?;
        }
        report.seconds = self.started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Writes the page of the run. It is made of what the run folder has, so that what keeps it from being written loses
    /// nothing, and is a warning.
    fn write_report(&self, folder: &RunFolder, reader: &Reader, log: &mut RunLog) -> Result<()> {
        let write = || {
            let runs = read_runs(&[folder.root().to_owned()])?;
            let known = experiments_of(&runs, self.plan.store);
            folder.write(REPORT, runs_page(&runs, Some((reader, &known)), &runs[0].name)?.as_bytes())
        };
        match write() {
            Ok(()) => log.line(&format!("report     {}", folder.file(REPORT).display())),
            Err(error) => log.line(&format!("warning    {REPORT}: {error}")),
        }
    }

    fn announce(&self, log: &mut RunLog, folder: &RunFolder, on: &Environment) -> Result<()> {
        let (store, split) = (self.plan.store, self.plan.split);
        let size = store.spec().size;
        let n_wells = |sites: &[usize]| sites.iter().map(|&i| &store.sites()[i].id.well).collect::<BTreeSet<_>>().len();
        let experiments = |sites: &[usize]| {
            let names = sites.iter().map(|&i| &store.sites()[i].id.well.plate.experiment).collect::<BTreeSet<_>>();
            names.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        log.line(&format!("run        {}", folder.root().display()))?;
        let gpu = on.gpu.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
        log.line(&format!("device     {}{gpu}, libtorch {}", on.device, on.libtorch))?;
        if !on.command_line.is_empty() {
            log.note(&format!("command    {}", on.command_line.join(" ")))?;
        }
        log.line(&format!(
            "store      {}: {} x {} x {} pixels, {} classes",
            store.root().display(),
            store.spec().channels.len(),
            size.height,
            size.width,
            self.plan.classes.classes().len(),
        ))?;
        if let Some(deadline) = self.config.stop.deadline {
            // As it was understood, as `8:45` is minutes to some and hours to others.
            let limit = deadline.saturating_duration_since(self.started).as_secs_f64().round();
            log.line(&format!("time limit {}", humantime::format_duration(Duration::from_secs_f64(limit))))?;
        }
        for (name, sites) in [("train", &split.train), ("validate", &split.validation)] {
            let what = format!("{} wells, {} sites: {}", n_wells(sites), sites.len(), experiments(sites));
            log.line(&format!("{name:<9}  {what}"))?;
        }
        for warning in self.warnings.iter().chain(&split.warnings) {
            log.line(&format!("warning    {warning}"))?;
        }
        Ok(())
    }

    /// Trains one network, or finds it trained. Tells why it stopped before its end, if it did.
    fn network(
        &self,
        stage: &StagePlan,
        root: &RunFolder,
        sites: &Sites,
        stats: &mut ProcessStats,
        log: &mut RunLog,
    ) -> Result<(Option<&'static str>, Summary)> {
        let StagePlan { cell_type, recipe, split, order, epochs, is_reopened } = stage;
        let folder = cell_type.as_ref().map_or_else(|| root.clone(), |name| root.of_cell_type(name));
        if folder.is_finished()? && !is_reopened {
            let summary: Summary = folder.read_json(SUMMARY)?;
            let progress = Progress { epoch: summary.epochs, early: summary.early.clone(), ..Progress::default() };
            checkpoint::check_networks(&folder, &progress)?;
            return Ok((None, summary));
        }
        if !folder.exists()? {
            let info = RunInfo { second_step_of: cell_type.clone(), ..self.info.clone() };
            folder.begin(recipe, &split.to_csv(self.plan.store), &info)?;
        }
        let (mut network, mut optimizer) = self.plan.untrained(recipe, self.info)?;
        let what = cell_type.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let mut progress = match checkpoint::load(&folder, &mut network, &mut optimizer)? {
            Some(progress) => {
                let at = format!("epoch {}, step {}", progress.epoch + 1, progress.step);
                log.line(&format!("resume     {what}{at}"))?;
                progress
            }
            None => {
                self.initialise(&mut network, cell_type.as_deref(), root, log)?;
                let second_epochs = self.second_epochs.filter(|_| cell_type.is_none());
                let progress = Progress { second_epochs, ..Progress::default() };
                checkpoint::save(&folder, &network, &optimizer, &progress)?;
                progress
            }
        };
        let before = progress.recipe(recipe).epochs;
        if *is_reopened || *epochs != before {
            progress.told = Some(Told { epochs: *epochs, after: progress.epoch });
            log.line(&format!("epochs     {what}{epochs} instead of {before}, by a schedule of as many"))?;
            files::remove_file(&folder.file(SUMMARY))?;
            files::remove_file(&root.file(REPORT))?;
            checkpoint::save(&folder, &network, &optimizer, &progress)?;
        }
        let recipe = &progress.recipe(recipe);
        let pipeline = self.plan.pipeline(recipe, split, self.info)?;
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
            work: stage.work(),
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
            epochs_at_most: Some(recipe.epochs),
            early: progress.early,
            chance: 1.0 / self.plan.classes.n_treatments() as f64,
            n_skipped: progress.n_skipped,
        };
        if stopped.is_none() {
            folder.write_json(SUMMARY, &summary)?;
        }
        Ok((stopped, summary))
    }

    /// Has the first of two steps keep what the networks of the second are told now, so that it holds for those, too,
    /// that nobody has begun yet.
    fn keep_second_epochs(&self, root: &RunFolder, second_epochs: u32) -> Result<()> {
        let (mut network, mut optimizer) = self.plan.untrained(self.plan.recipe, self.info)?;
        let Some(progress) = checkpoint::load(root, &mut network, &mut optimizer)? else { return Ok(()) };
        let progress = Progress { second_epochs: Some(second_epochs), ..progress };
        checkpoint::save(root, &network, &optimizer, &progress)
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
            // It was written when the first step's first epoch was over, whatever validates.
            let path = root.file(BEST_ACCURACY).display().to_string();
            return weights::load(network, &checkpoint::read(root, BEST_ACCURACY)?, &path);
        }
        if let Some(path) = &self.plan.recipe.init_from {
            let (found, _) = Sha::of_file(Path::new(path), &|_| {})?;
            if self.info.starts_from.as_ref().is_some_and(|start| start.sha256 != found.to_string()) {
                return Err(Error::malformed(path, "the weights that the run began with", "others"));
            }
            let report = weights::init_from(network, Path::new(path))?;
            for line in report.lines() {
                log.line(&format!("init       {line}"))?;
            }
        }
        Ok(())
    }
}

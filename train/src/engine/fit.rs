//! One network trained from its first step to its last: the loop, what is saved when, and when it stops.

use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use crate::device::ffi;
use crate::device::loader::{Batches, Sites};
use crate::device::staging::Ring;
use crate::models::Network;
use crate::optim::optimizer::Optimizer;
use crate::transforms::pipeline::Pipeline;
use cellshard::error::{Error, Result};
use cellshard::training::data::{ClassMap, EpochSampler, Split};
use cellshard::training::early_stopping::NewBest;
use cellshard::training::evaluate::metrics::{EpochMetrics, Evaluation, Sums};
use cellshard::training::recipe::Recipe;
use cellshard::training::run::metrics_csv::{MetricsFile, StepsFile};
use cellshard::training::run::{BEST_ACCURACY, BEST_LOSS, EventWriter, LAST, Progress, RunFolder, RunLog};
use cellshard::training::schedule::learning_rate;

use super::checkpoint;
use super::predictor::{Classifier, PredictionStream};
use super::step::{StepPlan, Stepper};
use super::step_losses::{BatchInfo, StepLosses, Wait};
use super::stop::Stop;
use super::watch::{ProcessStats, StageWork, Tick, Watched};

/// Batches on a GPU between two times that losses are sent to the host. What is sent at one has arrived by the next.
pub(crate) const SEND_EVERY: usize = 25;

/// All that a stage needs beside the network, its optimiser and its progress.
pub(crate) struct Stage<'a, 'o> {
    pub(crate) folder: &'a RunFolder,
    pub(crate) recipe: &'a Recipe,
    pub(crate) split: &'a Split,
    pub(crate) order: &'a EpochSampler,
    pub(crate) classes: &'a ClassMap,
    pub(crate) sites: &'a Sites,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) device: Device,
    pub(crate) stop: &'a Stop,
    pub(crate) checkpoint_every: Duration,
    pub(crate) stats: &'a mut ProcessStats,
    pub(crate) log: &'a mut RunLog<'o>,
    pub(crate) work: StageWork,
    /// Whether the network's first weights count as an epoch, number 0.
    pub(crate) evaluate_first: bool,
    /// What stands before each line: the cell type of a second step.
    pub(crate) what: &'a str,
}

/// How a stage ended, and where it stood.
pub(crate) enum End {
    /// All epochs are trained, or early stopping ended it.
    Finished(Progress),
    /// It was told to stop, and saved where it goes on.
    Stopped(Progress, &'static str),
}

/// Batches whose losses are not in the sums yet, and the file that they are noted in.
struct Pending<'e> {
    losses: StepLosses,
    steps: StepsFile,
    events: &'e mut EventWriter,
}

impl Pending<'_> {
    /// Notes the losses that are on the host by step, and adds them up.
    fn collect(&mut self, wait: Wait, sums: &mut Sums, what: &str) -> Result<()> {
        // Of each step: its number, its rate, the sum of its sites' losses, and how many they are.
        let mut steps: Vec<(u64, f64, f64, f64)> = Vec::new();
        for batch in self.losses.collect(wait)? {
            let BatchInfo { step, lr, n_sites } = batch.info;
            if !batch.loss.is_finite() {
                return Err(not_finite(what, step + 1, "loss", &batch.loss.to_string()));
            }
            let n = n_sites as f64;
            let loss = f64::from(batch.loss) * n;
            sums.loss += loss;
            sums.correct += f64::from(batch.n_correct);
            sums.sites += n_sites as u64;
            match steps.last_mut() {
                Some((last, _, sum, all)) if *last == step + 1 => (*sum, *all) = (*sum + loss, *all + n),
                _ => steps.push((step + 1, lr, loss, n)),
            }
        }
        let steps: Vec<_> = steps.into_iter().map(|(step, lr, sum, n)| (step, lr, sum / n)).collect();
        self.steps.append(steps.iter().copied())?;
        self.events.steps(&steps)
    }

    /// Sends all that is left, waits for it, and adds it up.
    fn collect_all(&mut self, sums: &mut Sums, what: &str) -> Result<()> {
        self.losses.send_to_host()?;
        self.collect(Wait::All, sums, what)
    }
}

impl Stage<'_, '_> {
    /// Trains from where network, optimiser and progress stand to the end.
    pub(crate) fn train(mut self, network: &Network, optimizer: &mut Optimizer, mut progress: Progress) -> Result<End> {
        let is_new = progress.is_new();
        let mut metrics = MetricsFile::open(self.folder.root(), (!is_new).then_some(progress.epoch))?;
        // What is told of the first weights is told again where it was not saved.
        let from = if is_new { 0 } else { optimizer.n_steps() + 1 };
        let mut events = EventWriter::create(self.folder.root(), from, self.recipe)?;
        let mut ring = Ring::new(self.sites.batch_shape(self.recipe.batch as usize), self.device)?;
        if self.evaluate_first && is_new {
            // A network that was trained before is the first candidate: what follows need not be better.
            let Some(row) = self.evaluate(&mut ring, network, optimizer, &mut progress, 0)? else {
                return Ok(End::Stopped(progress, self.stop.reason(self.stats.n_steps).unwrap_or("told to stop")));
            };
            let best = self.keep_best(network, &mut progress, &row)?;
            metrics.append(&row)?;
            events.append(&row)?;
            self.log.line(&format!("{}{}", self.what, row.line(best)))?;
            self.log.epoch(&row);
            checkpoint::save(self.folder, network, optimizer, &progress)?;
        }
        while progress.epoch < self.recipe.epochs && !progress.has_stopped_early(self.recipe) {
            if let Some(reason) = self.epoch(&mut ring, network, optimizer, &mut progress, &mut events)? {
                return Ok(End::Stopped(progress, reason));
            }
            let epoch = progress.epoch + 1;
            let Some(row) = self.evaluate(&mut ring, network, optimizer, &mut progress, epoch)? else {
                // The epoch's steps are done; resuming goes on with its evaluation.
                checkpoint::save(self.folder, network, optimizer, &progress)?;
                return Ok(End::Stopped(progress, self.stop.reason(self.stats.n_steps).unwrap_or("told to stop")));
            };
            let best = self.keep_best(network, &mut progress, &row)?;
            checkpoint::save_network(self.folder, LAST, network, row.epoch)?;
            metrics.append(&row)?;
            events.append(&row)?;
            self.log.line(&format!("{}{}", self.what, row.line(best)))?;
            self.log.epoch(&row);
            progress.epoch += 1;
            (progress.step, progress.sums) = (0, Sums::default());
            checkpoint::save(self.folder, network, optimizer, &progress)?;
        }
        events.finish()?;
        Ok(End::Finished(progress))
    }

    /// Keeps the network where an epoch is the best so far.
    fn keep_best(&self, network: &Network, progress: &mut Progress, row: &EpochMetrics) -> Result<NewBest> {
        let validation = row.validation.as_ref().map(|found| (found.loss, found.accuracy_well));
        let best = progress.early.observe(row.epoch, validation);
        for (_, name) in [(best.loss, BEST_LOSS), (best.accuracy, BEST_ACCURACY)].iter().filter(|(is_best, _)| *is_best)
        {
            checkpoint::save_network(self.folder, name, network, row.epoch)?;
            if let Some(found) = &row.validation {
                self.folder.write_answers(name, row.epoch, &found.wells, self.classes.classes())?;
            }
        }
        Ok(best)
    }

    /// The training steps of one epoch, from where `progress` stands. Tells why it stopped before the end, if it did.
    fn epoch(
        &mut self,
        ring: &mut Ring,
        network: &Network,
        optimizer: &mut Optimizer,
        progress: &mut Progress,
        events: &mut EventWriter,
    ) -> Result<Option<&'static str>> {
        let recipe = self.recipe;
        let steps = self.order.steps_per_epoch();
        let mut batches = self.sites.start(self.order.epoch(u64::from(progress.epoch), progress.step), ring)?;
        let mut clock = Clock { since: Instant::now(), waited: Duration::ZERO };
        let n_before = optimizer.n_steps();
        let mut saved = Instant::now();
        let mut tick = Tick::start();
        let steps_file = StepsFile::open(self.folder.root(), optimizer.n_steps())?;
        let mut pending = Pending { losses: StepLosses::new(self.device), steps: steps_file, events };
        let stepper = Stepper { network, pipeline: self.pipeline, recipe, keys: &self.sites.keys };
        while progress.step < steps {
            let global_step = u64::from(progress.epoch) * steps + progress.step;
            let lr = learning_rate(recipe, global_step, steps);
            let plan = StepPlan { step: global_step, epoch: progress.epoch, lr };
            let step = optimizer.n_steps();
            let mut n_sites = 0;
            for output in stepper.step(optimizer, plan, &mut batches)? {
                self.log.fed(&output.sites);
                let info = BatchInfo { step, lr, n_sites: output.sites.len() };
                n_sites += output.sites.len() as u64;
                pending.losses.push(info, output.loss, output.n_correct);
            }
            self.note_skipped(&mut batches, progress)?;
            progress.step += 1;
            self.count_step()?;
            if self.device == Device::Cpu || pending.losses.n_on_device() >= SEND_EVERY {
                pending.losses.send_to_host()?;
                pending.collect(Wait::Arrived, &mut progress.sums, self.what)?;
                self.stats.look(self.device);
            }
            if self.stats.n_steps > 1 {
                tick.trained(n_sites, batches.waited(), &mut self.stats.pace);
            } else {
                // It is mostly the device getting ready.
                tick = Tick::after(batches.waited());
            }
            let standing = self.watched().in_epoch(progress, saved);
            self.log.stands(&standing)?;
            let reason = self.stop.reason(self.stats.n_steps);
            if reason.is_some() || saved.elapsed() >= self.checkpoint_every {
                pending.collect_all(&mut progress.sums, self.what)?;
                clock.count(progress, &batches);
                self.check_finite(network, optimizer)?;
                checkpoint::save(self.folder, network, optimizer, progress)?;
                saved = Instant::now();
                tick = Tick::after(batches.waited());
            }
            if reason.is_some() {
                return Ok(reason);
            }
        }
        pending.collect_all(&mut progress.sums, self.what)?;
        clock.count(progress, &batches);
        if optimizer.n_steps() == n_before && progress.sums.sites == 0 {
            let expected = "whole sites to train on in every epoch";
            return Err(Error::malformed(format!("{}epoch {}", self.what, progress.epoch + 1), expected, "none"));
        }
        self.check_finite(network, optimizer)?;
        Ok(None)
    }

    /// Logs damaged sites that were left out, each the first time, and counts them.
    fn note_skipped(&mut self, batches: &mut Batches, progress: &mut Progress) -> Result<()> {
        for (site, error) in batches.take_skipped() {
            progress.n_skipped += 1;
            self.log.skipped(site, &error)?;
        }
        Ok(())
    }

    /// Makes sure that no network with values that are not finite is ever saved.
    fn check_finite(&self, network: &Network, optimizer: &Optimizer) -> Result<()> {
        let flags: Vec<Tensor> = network.tensors().iter().map(|(_, tensor)| tensor.isfinite().all()).collect();
        if Tensor::stack(&flags, 0).all().int64_value(&[]) == 1 {
            return Ok(());
        }
        Err(not_finite(self.what, optimizer.n_steps(), "weights", "NaN or infinity"))
    }

    /// Counts a step. The process's first one is waited for: what it took is mostly the device getting ready.
    fn count_step(&mut self) -> Result<()> {
        self.stats.n_steps += 1;
        if self.stats.first_step.is_none() {
            ffi::synchronize(self.device)?;
            let took = self.stats.started.elapsed();
            self.stats.first_step = Some(took);
            if self.device != Device::Cpu {
                self.log.line(&format!("first step {:.1} s after the start", took.as_secs_f64()))?;
            }
        }
        Ok(())
    }

    /// The validation set by the network as it is; `None` where it was told to stop meanwhile.
    fn evaluate(
        &mut self,
        ring: &mut Ring,
        network: &Network,
        optimizer: &Optimizer,
        progress: &mut Progress,
        epoch: u32,
    ) -> Result<Option<EpochMetrics>> {
        let recipe = self.recipe;
        let (pipeline, precision) = (self.pipeline, recipe.precision);
        let classifier = Classifier { network, pipeline, precision, n_symmetries: 1, embeddings: false };
        let store = self.sites.reader.store();
        let n_treatments = self.classes.n_treatments();
        let mut evaluation = Evaluation::new(store.sites(), &self.sites.targets, n_treatments);
        let order = self.split.validation.clone().into_iter();
        let mut predictions = PredictionStream::new(classifier, self.sites.start(order, ring)?);
        let mut tick = Tick::start();
        let mut n_judged = 0;
        // A process that has not trained yet has resumed to evaluate: a time limit shorter than that would never pass
        // it.
        let stop = |n_steps: u64| if n_steps == 0 { self.stop.signal() } else { self.stop.reason(n_steps) };
        while let Some(prediction) = predictions.next_prediction()? {
            for ((&site, p), &loss) in prediction.sites.iter().zip(&prediction.probabilities).zip(&prediction.losses) {
                evaluation.add(site, p, loss);
            }
            n_judged += prediction.sites.len() as u64;
            tick.judged(prediction.sites.len() as u64, predictions.batches().waited(), &mut self.stats.pace);
            let standing = self.watched().in_validation(progress, epoch, n_judged);
            self.log.stands(&standing)?;
            if stop(self.stats.n_steps).is_some() {
                return Ok(None);
            }
        }
        self.note_skipped(predictions.batches(), progress)?;
        let found = evaluation.finish();
        if found.is_none() && !self.split.validation.is_empty() {
            let expected = "whole sites to validate on";
            return Err(Error::malformed(format!("{}epoch {epoch}", self.what), expected, "none"));
        }
        let steps = self.order.steps_per_epoch();
        let lr = learning_rate(recipe, (u64::from(epoch) * steps).saturating_sub(1), steps);
        Ok(Some(EpochMetrics::new(epoch, optimizer.n_steps(), lr, &progress.sums, found, 1.0 / n_treatments as f64)))
    }
}

impl<'a> Stage<'a, '_> {
    /// What whoever watches is told of it.
    fn watched(&self) -> Watched<'a, '_> {
        Watched {
            what: self.what,
            recipe: self.recipe,
            steps: self.order.steps_per_epoch(),
            work: self.work,
            stats: self.stats,
            deadline: self.stop.deadline,
            checkpoint_every: self.checkpoint_every,
        }
    }
}

/// What to say of values that are not finite.
fn not_finite(what: &str, step: u64, of: &str, found: &str) -> Error {
    let expected = format!(
        "a finite {of}; what was saved before is kept: begin a new run, from its weights with --init-from or afresh, \
         with a lower --lr or with --clip-norm"
    );
    Error::refused(format!("{what}step {step}"), expected, found)
}

/// Counts time since it last counted.
struct Clock {
    since: Instant,
    waited: Duration,
}

impl Clock {
    fn count(&mut self, progress: &mut Progress, batches: &Batches) {
        progress.sums.seconds += self.since.elapsed().as_secs_f64();
        progress.sums.waited += batches.waited().saturating_sub(self.waited).as_secs_f64();
        *self = Self { since: Instant::now(), waited: batches.waited() };
    }
}

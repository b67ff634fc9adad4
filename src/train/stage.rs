//! One network trained from its first step to its last: the loop, what is saved when, and when it stops.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Reduction, Tensor};

use crate::error::{Error, Result};
use crate::feed::{Permutation, mix};
use crate::runs::{BEST_ACCURACY, BEST_LOSS, LAST, RunFolder};

use super::augment::Mixed;
use super::batches::{Batches, DeviceBatch, Sites};
use super::checkpoint;
use super::events::EventWriter;
use super::infer::{Classifier, host};
use super::journal::Journal;
use super::metrics::{EpochMetrics, Evaluation, MetricsFile, StepsFile};
use super::models::{Mode, Network};
use super::optimizer::Optimizer;
use super::pipeline::{Moment, Pipeline};
use super::progress::{Progress, Sums};
use super::recipe::{Precision, Recipe};
use super::schedule::{NewBest, has_stopped, learning_rate};
use super::shim;
use super::split::{ClassMap, Split};
use super::stop::Stop;

/// Batches on a GPU between two looks at the losses; a look waits for the device.
const LOOK_EVERY: usize = 25;

/// All that a stage needs beside the network, its optimiser and its progress.
pub(super) struct Stage<'a, 'o> {
    pub(super) folder: &'a RunFolder,
    pub(super) recipe: &'a Recipe,
    pub(super) split: &'a Split,
    pub(super) classes: &'a ClassMap,
    pub(super) sites: &'a Sites,
    pub(super) pipeline: &'a Pipeline,
    pub(super) device: Device,
    pub(super) stop: &'a Stop,
    pub(super) checkpoint_every: Duration,
    /// Optimiser steps of this process so far, over all stages.
    pub(super) n_steps: &'a mut u64,
    pub(super) journal: &'a mut Journal<'o>,
    /// Whether the network's first weights count as an epoch, number 0.
    pub(super) counts_start: bool,
    /// What stands before each line: the cell type of a second step.
    pub(super) what: &'a str,
}

/// How a stage ended, and where it stood.
pub(super) enum End {
    /// All epochs are trained, or early stopping ended it.
    Finished(Progress),
    /// It was told to stop, and saved where it goes on.
    Stopped(Progress, &'static str),
}

/// Batches whose losses and hits are still on the device.
struct Pending {
    batches: Vec<PendingBatch>,
    steps: StepsFile,
}

struct PendingBatch {
    /// The optimiser step it belongs to, from 0, and that step's learning rate.
    step: u64,
    lr: f64,
    n_sites: usize,
    loss: Tensor,
    hits: Tensor,
}

impl Pending {
    /// Reads them back, notes the steps' losses, and adds them up.
    fn settle(&mut self, sums: &mut Sums, what: &str) -> Result<()> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let read = |of: fn(&PendingBatch) -> &Tensor| {
            host(&Tensor::stack(&self.batches.iter().map(of).collect::<Vec<_>>(), 0))
        };
        let (losses, hits) = (read(|batch| &batch.loss)?, read(|batch| &batch.hits)?);
        let mut steps: Vec<(u64, f64, f64, u32)> = Vec::new();
        for (batch, (loss, hits)) in self.batches.drain(..).zip(losses.into_iter().zip(hits)) {
            if !loss.is_finite() {
                return Err(not_finite(what, batch.step + 1, "loss", &loss.to_string()));
            }
            let loss = f64::from(loss);
            sums.loss += loss * batch.n_sites as f64;
            sums.correct += f64::from(hits);
            sums.sites += batch.n_sites as u64;
            match steps.last_mut() {
                Some((step, _, sum, n)) if *step == batch.step + 1 => (*sum, *n) = (*sum + loss, *n + 1),
                _ => steps.push((batch.step + 1, batch.lr, loss, 1)),
            }
        }
        self.steps.append(steps.into_iter().map(|(step, lr, sum, n)| (step, lr, sum / f64::from(n))))
    }
}

impl Stage<'_, '_> {
    /// Trains from where network, optimiser and progress stand to the end.
    pub(super) fn train(mut self, network: &Network, optimizer: &mut Optimizer, mut progress: Progress) -> Result<End> {
        let mut metrics = MetricsFile::open(self.folder.root(), progress.epoch)?;
        let mut events = EventWriter::create(self.folder.root(), optimizer.n_steps() + 1)?;
        if self.counts_start && progress == Progress::default() {
            // A network that was trained before is the first candidate: what follows need not be better.
            let Some(row) = self.evaluate(network, optimizer, &mut progress, 0)? else {
                return Ok(End::Stopped(progress, self.stop.reason(*self.n_steps).unwrap_or("told to stop")));
            };
            let best = self.keep_best(network, &mut progress, &row)?;
            metrics.append(&row)?;
            self.journal.line(&format!("{}{}", self.what, row.line(best)))?;
            checkpoint::save(self.folder, network, optimizer, &progress)?;
        }
        while progress.epoch < self.recipe.epochs && !has_stopped(self.recipe, &progress.early) {
            if let Some(reason) = self.epoch(network, optimizer, &mut progress)? {
                return Ok(End::Stopped(progress, reason));
            }
            let epoch = progress.epoch + 1;
            let Some(row) = self.evaluate(network, optimizer, &mut progress, epoch)? else {
                // The epoch's steps are done; resuming goes on with its evaluation.
                checkpoint::save(self.folder, network, optimizer, &progress)?;
                return Ok(End::Stopped(progress, self.stop.reason(*self.n_steps).unwrap_or("told to stop")));
            };
            let best = self.keep_best(network, &mut progress, &row)?;
            checkpoint::save_network(self.folder, LAST, network, row.epoch)?;
            metrics.append(&row)?;
            events.append(&row)?;
            self.journal.line(&format!("{}{}", self.what, row.line(best)))?;
            progress.epoch += 1;
            (progress.step, progress.sums) = (0, Sums::default());
            checkpoint::save(self.folder, network, optimizer, &progress)?;
        }
        Ok(End::Finished(progress))
    }

    /// Keeps the network where an epoch is the best so far.
    fn keep_best(&self, network: &Network, progress: &mut Progress, row: &EpochMetrics) -> Result<NewBest> {
        let best = progress.early.observe(row);
        for (_, name) in [(best.loss, BEST_LOSS), (best.accuracy, BEST_ACCURACY)].iter().filter(|(is_best, _)| *is_best)
        {
            checkpoint::save_network(self.folder, name, network, row.epoch)?;
        }
        Ok(best)
    }

    /// Optimiser steps of an epoch: whole ones, all of the same size.
    fn steps_per_epoch(&self) -> u64 {
        (self.split.train.len() / (self.recipe.batch as usize * self.recipe.accumulate as usize)) as u64
    }

    /// The training steps of one epoch, from where `progress` stands. Tells why it stopped before the end, if it did.
    fn epoch(
        &mut self,
        network: &Network,
        optimizer: &mut Optimizer,
        progress: &mut Progress,
    ) -> Result<Option<&'static str>> {
        let recipe = self.recipe;
        let steps = self.steps_per_epoch();
        let batch = recipe.batch as usize;
        let (start, n) = (progress.step as usize * batch * recipe.accumulate as usize, self.split.train.len());
        let order = Permutation::new(n, recipe.seed, u64::from(progress.epoch));
        let train = self.split.train.clone();
        let order = (start..n).map(move |i| train[order.at(i)]);
        let mut batches = self.sites.start(order, batch, self.device)?;
        let mut clock = Clock { since: Instant::now(), waited: Duration::ZERO };
        let n_before = optimizer.n_steps();
        let mut saved = Instant::now();
        let mut pending =
            Pending { batches: Vec::new(), steps: StepsFile::open(self.folder.root(), optimizer.n_steps())? };
        while progress.step < steps {
            let global_step = u64::from(progress.epoch) * steps + progress.step;
            self.step(network, optimizer, &mut batches, &mut pending, progress.epoch, global_step)?;
            self.note_skipped(&mut batches, progress)?;
            progress.step += 1;
            *self.n_steps += 1;
            if self.device == Device::Cpu || pending.batches.len() >= LOOK_EVERY {
                pending.settle(&mut progress.sums, self.what)?;
            }
            self.journal.step(progress.epoch + 1, progress.step, steps);
            let reason = self.stop.reason(*self.n_steps);
            if reason.is_some() || saved.elapsed() >= self.checkpoint_every {
                pending.settle(&mut progress.sums, self.what)?;
                clock.count(progress, &batches);
                self.check_finite(network, optimizer)?;
                checkpoint::save(self.folder, network, optimizer, progress)?;
                saved = Instant::now();
            }
            if reason.is_some() {
                return Ok(reason);
            }
        }
        pending.settle(&mut progress.sums, self.what)?;
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
            self.journal.skipped(site, &error)?;
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

    /// One optimiser step; none where damage left no two sites to learn from.
    fn step(
        &mut self,
        network: &Network,
        optimizer: &mut Optimizer,
        batches: &mut Batches,
        pending: &mut Pending,
        epoch: u32,
        step: u64,
    ) -> Result<()> {
        let recipe = self.recipe;
        let lr = learning_rate(recipe, step, self.steps_per_epoch());
        // Dropout draws from libtorch's generator; seeding it by the step makes a resumed run draw the same.
        tch::manual_seed(mix(recipe.seed ^ mix(step)).cast_signed());
        let mut has_gradients = false;
        for _ in 0..recipe.accumulate {
            let Some(DeviceBatch { raw, plates, labels, sites }) = batches.next_batch()? else { break };
            if sites.len() < 2 {
                // Batch norm needs two.
                continue;
            }
            has_gradients = true;
            self.journal.fed(&sites);
            let moment = Moment { seed: recipe.seed, epoch };
            let augmented = tch::no_grad(|| self.pipeline.augment(&raw, &plates, &sites, moment));
            let forward = || network.forward(&augmented.images, Mode::Train);
            let logits = if recipe.precision == Precision::Bf16 { shim::with_bf16(forward)?? } else { forward()? };
            let logits = logits.to_kind(Kind::Float);
            let loss = match &augmented.mixed {
                None => {
                    logits.cross_entropy_loss::<&Tensor>(&labels, None, Reduction::Mean, -100, recipe.label_smoothing)
                }
                Some(Mixed { partner, own }) => {
                    let each = |labels: &Tensor| {
                        logits.cross_entropy_loss::<&Tensor>(
                            labels,
                            None,
                            Reduction::None,
                            -100,
                            recipe.label_smoothing,
                        )
                    };
                    let other = labels.index_select(0, partner);
                    let (own_loss, other_loss) = (each(&labels), each(&other));
                    (&other_loss + own * (own_loss - &other_loss)).mean(Kind::Float)
                }
            };
            (&loss / f64::from(recipe.accumulate)).backward();
            let hits = logits.detach().argmax(-1, false).eq_tensor(&labels).sum(Kind::Float);
            let step = optimizer.n_steps();
            pending.batches.push(PendingBatch { step, lr, n_sites: sites.len(), loss: loss.detach(), hits });
        }
        if has_gradients { optimizer.step(lr) } else { Ok(()) }
    }

    /// The validation set by the network as it is; `None` where it was told to stop meanwhile.
    fn evaluate(
        &mut self,
        network: &Network,
        optimizer: &Optimizer,
        progress: &mut Progress,
        epoch: u32,
    ) -> Result<Option<EpochMetrics>> {
        let recipe = self.recipe;
        let classifier = Classifier { network, pipeline: self.pipeline, precision: recipe.precision, n_symmetries: 1 };
        let store = self.sites.reader.store();
        let n_treatments = self.classes.n_treatments();
        let mut evaluation = Evaluation::new(store.sites(), &self.sites.outputs, n_treatments);
        let order = self.split.validation.clone().into_iter();
        let mut batches = self.sites.start(order, recipe.batch as usize, self.device)?;
        // A process that has not trained yet has resumed to evaluate: a time limit shorter than that would never pass it.
        let stop = |n_steps: u64| if n_steps == 0 { self.stop.signal() } else { self.stop.reason(n_steps) };
        while let Some(answer) = classifier.next_answer(&mut batches, false)? {
            for ((&site, p), &loss) in answer.sites.iter().zip(&answer.probabilities).zip(&answer.losses) {
                evaluation.add(site, p, loss);
            }
            if stop(*self.n_steps).is_some() {
                return Ok(None);
            }
        }
        self.note_skipped(&mut batches, progress)?;
        let found = evaluation.finish();
        if found.is_none() && !self.split.validation.is_empty() {
            let expected = "whole sites to validate on";
            return Err(Error::malformed(format!("{}epoch {epoch}", self.what), expected, "none"));
        }
        let last_step = (u64::from(epoch) * self.steps_per_epoch()).saturating_sub(1);
        let lr = learning_rate(recipe, last_step, self.steps_per_epoch());
        Ok(Some(EpochMetrics::new(epoch, optimizer.n_steps(), lr, &progress.sums, found, 1.0 / n_treatments as f64)))
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

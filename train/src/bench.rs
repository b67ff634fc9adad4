//! What a training step takes, by itself and in the real loop: the same code that `train` runs, timed. Writes no run
//! folder and keeps no network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tch::{Device, Tensor};

use crate::checked::{Checked, checked};
use crate::device::batch::{DeviceBatch, Source};
use crate::device::loader::{Batches, Sites};
use crate::device::staging::Ring;
use crate::device::{self, DeviceMemory, ffi};
use crate::engine::fit::SEND_EVERY;
use crate::engine::predictor::{Classifier, PredictionStream};
use crate::engine::step::{StepPlan, Stepper};
use crate::engine::step_losses::{BatchInfo, StepLosses, Wait};
use crate::libtorch::caught;
use crate::models::Network;
use crate::optim::optimizer::Optimizer;
use crate::plan::{Plan, Resume, TrainConfig};
use crate::transforms::pipeline::Pipeline;
use cellshard::error::{Error, Result};
use cellshard::feed::Reader;
use cellshard::training::data::EpochSampler;
use cellshard::training::recipe::Recipe;
use cellshard::training::schedule::learning_rate;

/// Training by one recipe on one store and device, ready to be timed.
pub struct StepBench {
    device_name: String,
    order: EpochSampler,
    validation: Vec<usize>,
    sites: Sites,
    ring: Ring,
    steps: Steps,
}

/// How fast bytes get to the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CopyFigures {
    /// Buffers copied.
    pub copies: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Seconds they took.
    pub seconds: f64,
    /// Millions of bytes a second.
    pub mb_per_s: f64,
}

/// How fast steps are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepFigures {
    /// Steps that were timed.
    pub steps: u64,
    /// Sites that were trained on in them.
    pub sites: u64,
    /// Seconds they took, until the device was done.
    pub seconds: f64,
    /// Sites a second.
    pub sites_per_s: f64,
    /// Seconds of them spent waiting for data to be read.
    pub waited_s: f64,
    /// Milliseconds a step.
    pub ms_per_step: f64,
}

impl StepBench {
    /// Prepares what `train` would train first by this configuration, of which run folder, name, stop and checkpoints
    /// are not looked at. Nothing is written.
    ///
    /// # Errors
    /// If store, recipe or device cannot be used.
    pub fn open(config: &TrainConfig) -> Result<Self> {
        caught("the bench", || Self::prepare(config))
    }

    fn prepare(config: &TrainConfig) -> Result<Self> {
        // Of a run that would begin in no folder.
        let config = TrainConfig { run: None, resume: Resume::No, ..config.clone() };
        checked(&config, |run| Self::of(&run, &config))
    }

    /// Prepares the steps of a run's first network, as it would begin.
    pub(crate) fn of(checked: &Checked<'_>, config: &TrainConfig) -> Result<Self> {
        let Checked { plan, stages, info, environment, .. } = checked;
        let Plan { store, split, classes, device, .. } = *plan;
        let recipe = plan.recipe.clone();
        // Refuses what there are too few sites for; there is a first stage always.
        let order = stages[0].order.clone();
        let pipeline = plan.pipeline(&recipe, split, info)?;
        let (network, optimizer) = plan.untrained(&recipe, info)?;
        let reader = Arc::new(Reader::new(store.clone(), config.io, config.verify));
        let sites = Sites::new(reader, |class| classes.output(class), config.n_threads, config.skip_damaged);
        let ring = Ring::new(sites.batch_shape(recipe.batch as usize), device)?;
        let per_epoch = order.steps_per_epoch();
        let keys = sites.keys.clone();
        let steps = Steps { recipe, pipeline, network, optimizer, keys, device, per_epoch, n_done: 0 };
        let (device_name, validation) = (environment.device.clone(), split.validation.clone());
        Ok(Self { device_name, order, validation, sites, ring, steps })
    }

    /// The device and why it is this one, for a report.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// What this process has taken of the GPU's memory so far; `None` on the CPU.
    #[must_use]
    pub fn memory(&self) -> Option<DeviceMemory> {
        device::memory(self.steps.device)
    }

    /// Copies the ring's host buffers, a batch each, to the device, with nothing else going on.
    ///
    /// # Errors
    /// If memory runs out, or the device fails.
    pub fn host_to_device(&mut self, copies: u64) -> Result<CopyFigures> {
        let (took, buffer_bytes) = caught("copies to the device", || self.ring.time_copies(copies))?;
        let (bytes, seconds) = (copies * buffer_bytes as u64, took.as_secs_f64());
        Ok(CopyFigures { copies, bytes, seconds, mb_per_s: bytes as f64 / 1e6 / seconds.max(1e-9) })
    }

    /// Trains on one batch that lies on the device, again and again: what steps reach where data costs nothing.
    ///
    /// # Errors
    /// If the batch cannot be read, or the device fails.
    pub fn resident(&mut self, warmup: u64, steps: u64) -> Result<StepFigures> {
        caught("steps on one batch", || self.on_one_batch(warmup, steps))
    }

    fn on_one_batch(&mut self, warmup: u64, steps: u64) -> Result<StepFigures> {
        let mut batches = self.sites.start(self.order.epoch(0, 0), &mut self.ring)?;
        let batch = batches.next_batch()?.ok_or_else(|| Error::refused("the bench", "a batch", "none"))?;
        // Copies, as the ring's memory is used again.
        let [raw, plates, labels] = [batch.raw, batch.plates, batch.labels].map(|tensor| tensor.copy());
        let mut resident = Resident(DeviceBatch { raw, plates, labels, sites: batch.sites });
        drop(batches);
        self.steps.run(&mut resident, warmup, steps)
    }

    /// Trains as `train` does, on batches of the store in random order, epoch after epoch without what is between them.
    ///
    /// # Errors
    /// If a site cannot be read, or the device fails.
    pub fn real(&mut self, warmup: u64, steps: u64) -> Result<StepFigures> {
        let order = self.order.clone();
        let epochs = self.steps.n_done / order.steps_per_epoch()..;
        let order = epochs.flat_map(move |epoch| order.epoch(epoch, 0));
        let mut batches = self.sites.start(order, &mut self.ring)?;
        caught("steps of training", || self.steps.run(&mut batches, warmup, steps))
    }

    /// Judges batches of the validation set, as `train` does after each epoch; those after the first are timed, or that
    /// one where there is no other. `None` where nothing validates.
    ///
    /// # Errors
    /// If a site cannot be read, or the device fails.
    pub fn validation(&mut self, batches: u64) -> Result<Option<StepFigures>> {
        let all = self.validation.len();
        let n = all.min(batches as usize * self.steps.recipe.batch as usize);
        if n == 0 {
            return Ok(None);
        }
        caught("steps of validation", || {
            let Steps { network, pipeline, recipe, device, .. } = &self.steps;
            let (precision, device) = (recipe.precision, *device);
            let mut judge = |n: usize| -> Result<StepFigures> {
                let classifier = Classifier { network, pipeline, precision, n_symmetries: 1, embeddings: false };
                let timed = Timed::start(device, Duration::ZERO)?;
                let order: Vec<usize> = self.validation[..n].to_vec();
                let batches = self.sites.start(order.into_iter(), &mut self.ring)?;
                let mut predictions = PredictionStream::new(classifier, batches);
                let (mut n_batches, mut n_sites) = (0, 0);
                while let Some(prediction) = predictions.next_prediction()? {
                    n_batches += 1;
                    n_sites += prediction.sites.len() as u64;
                }
                let waited = predictions.batches().waited();
                timed.end(device, n_batches, n_sites, waited)
            };
            // A first batch has a device get ready, and is not timed.
            judge(n.min(self.steps.recipe.batch as usize))?;
            judge(n).map(Some)
        })
    }
}

/// A source that knows how long reading kept the caller waiting.
trait TimedSource: Source {
    fn waited(&self) -> Duration;
}

/// The same batch for ever.
struct Resident(DeviceBatch);

impl Source for Resident {
    fn next(&mut self) -> Result<Option<DeviceBatch>> {
        let DeviceBatch { raw, plates, labels, sites } = &self.0;
        let [raw, plates, labels] = [raw, plates, labels].map(Tensor::shallow_clone);
        Ok(Some(DeviceBatch { raw, plates, labels, sites: sites.clone() }))
    }

    fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

impl TimedSource for Resident {
    fn waited(&self) -> Duration {
        Duration::ZERO
    }
}

impl TimedSource for Batches<'_> {
    fn waited(&self) -> Duration {
        Batches::waited(self)
    }
}

/// Steps that are timed, until the device is done with them.
struct Timed {
    start: Instant,
    waited: Duration,
}

impl Timed {
    /// From now on, once the device has done what was asked for before; so much was waited for data by then.
    fn start(device: Device, waited: Duration) -> Result<Self> {
        ffi::synchronize(device)?;
        Ok(Self { start: Instant::now(), waited })
    }

    fn end(self, device: Device, steps: u64, sites: u64, waited: Duration) -> Result<StepFigures> {
        ffi::synchronize(device)?;
        let seconds = self.start.elapsed().as_secs_f64();
        Ok(StepFigures {
            steps,
            sites,
            seconds,
            sites_per_s: sites as f64 / seconds.max(1e-9),
            waited_s: waited.saturating_sub(self.waited).as_secs_f64(),
            ms_per_step: 1e3 * seconds / steps.max(1) as f64,
        })
    }
}

/// A loop of steps, as a stage has it.
struct Steps {
    recipe: Recipe,
    pipeline: Pipeline,
    network: Network,
    optimizer: Optimizer,
    keys: Arc<Vec<u64>>,
    device: Device,
    per_epoch: u64,
    /// Steps taken so far.
    n_done: u64,
}

impl Steps {
    /// Takes steps; those after the warm-up are timed, until the device is done with them.
    fn run(&mut self, source: &mut impl TimedSource, warmup: u64, steps: u64) -> Result<StepFigures> {
        let mut losses = StepLosses::new(self.device);
        for _ in 0..warmup {
            self.step(source, &mut losses)?;
        }
        let timed = Timed::start(self.device, source.waited())?;
        let mut sites = 0;
        for _ in 0..steps {
            sites += self.step(source, &mut losses)?;
        }
        timed.end(self.device, steps, sites, source.waited())
    }

    /// One step, and the sending of losses that is due; tells how many sites it was trained on.
    fn step(&mut self, source: &mut impl TimedSource, losses: &mut StepLosses) -> Result<u64> {
        let Self { network, pipeline, recipe, keys, optimizer, .. } = self;
        let stepper = Stepper { network, pipeline, recipe, keys };
        let step = self.n_done;
        let lr = learning_rate(recipe, step, self.per_epoch);
        let plan = StepPlan { step, epoch: (step / self.per_epoch) as u32, lr };
        let mut sites = 0;
        for output in stepper.step(optimizer, plan, source)? {
            let n_sites = output.sites.len();
            sites += n_sites as u64;
            losses.push(BatchInfo { step, lr, n_sites }, output.loss, output.n_correct);
        }
        self.n_done += 1;
        if losses.n_on_device() >= SEND_EVERY {
            losses.send_to_host()?;
            // What they are is of no interest here.
            losses.collect(Wait::Arrived)?;
        }
        Ok(sites)
    }
}

//! Where a stage stands, put together from what the host knows anyway: nothing here waits for the device.

use std::time::{Duration, Instant};

use tch::Device;

use crate::device;
use cellshard::training::recipe::{Recipe, Watch};
use cellshard::training::run::{Doing, Pace, Progress, Standing, Work};

/// What a stage has to do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StageWork {
    /// Before its first epoch.
    pub(crate) first: Work,
    /// In each epoch.
    pub(crate) epoch: Work,
}

impl StageWork {
    /// All of it, for so many epochs.
    pub(crate) fn all(&self, epochs: u32) -> Work {
        self.first + self.epoch.times(u64::from(epochs))
    }
}

/// Measures the time from step to step.
pub(crate) struct Tick {
    since: Instant,
    waited: Duration,
}

impl Tick {
    pub(crate) fn start() -> Self {
        Self::after(Duration::ZERO)
    }

    /// From now on, when so much has been waited for data before.
    pub(crate) fn after(waited: Duration) -> Self {
        Self { since: Instant::now(), waited }
    }

    pub(crate) fn trained(&mut self, sites: u64, waited: Duration, pace: &mut Pace) {
        self.note(Doing::Training, sites, waited, pace);
    }

    pub(crate) fn judged(&mut self, sites: u64, waited: Duration, pace: &mut Pace) {
        self.note(Doing::Validating, sites, waited, pace);
    }

    fn note(&mut self, doing: Doing, sites: u64, waited: Duration, pace: &mut Pace) {
        pace.add(doing, sites, self.since.elapsed(), waited.saturating_sub(self.waited));
        *self = Self::after(waited);
    }
}

/// What a process has done so far, over all stages.
pub(crate) struct ProcessStats {
    /// When it began.
    pub(crate) started: Instant,
    /// Optimiser steps.
    pub(crate) n_steps: u64,
    /// How long after its beginning the first of them was done.
    pub(crate) first_step: Option<Duration>,
    /// How fast it is.
    pub(crate) pace: Pace,
    /// What the networks of the run that are over took, and what all of them take at most.
    pub(crate) over: Work,
    pub(crate) all: Work,
    /// Bytes of the GPU's memory that it held when that was last looked at.
    pub(crate) gpu_memory: Option<u64>,
}

impl ProcessStats {
    /// Of a process that began then, of whose run so much is to be done at most.
    pub(crate) fn new(started: Instant, all: Work) -> Self {
        let (pace, over) = (Pace::default(), Work::default());
        Self { started, n_steps: 0, first_step: None, pace, over, all, gpu_memory: None }
    }

    /// Looks at the GPU's memory.
    pub(crate) fn look(&mut self, device: Device) {
        self.gpu_memory = device::memory(device).map(|memory| memory.allocated);
    }
}

/// A stage as it is told of.
pub(crate) struct Watched<'a, 's> {
    /// What stands before each line: the cell type of a second step.
    pub(crate) what: &'a str,
    pub(crate) recipe: &'s Recipe,
    /// Steps of an epoch.
    pub(crate) steps: u64,
    pub(crate) work: StageWork,
    pub(crate) stats: &'s ProcessStats,
    pub(crate) deadline: Option<Instant>,
    pub(crate) checkpoint_every: Duration,
}

impl<'a> Watched<'a, '_> {
    /// Where it stands between two steps.
    pub(crate) fn in_epoch(self, progress: &Progress, saved: Instant) -> Standing<'a> {
        let epoch = self.work.epoch;
        let trained = Work { trained: epoch.trained / self.steps * progress.step, judged: 0 };
        let timer = self.checkpoint_every.saturating_sub(saved.elapsed());
        let whole = self.stats.pace.time_for(epoch.without(trained));
        Standing {
            doing: Doing::Training,
            epoch: progress.epoch + 1,
            at: progress.step,
            of: self.steps,
            done: self.stats.over + self.work.all(progress.epoch) + trained,
            left_now: Work { judged: 0, ..epoch }.without(trained),
            saves_in: Some(whole.map_or(timer, |whole| whole.min(timer))),
            ..self.standing(progress)
        }
    }

    /// Where it stands within the validation of an epoch, from 1; 0 is that of its first weights.
    pub(crate) fn in_validation(self, progress: &Progress, epoch: u32, judged: u64) -> Standing<'a> {
        let all = self.work.epoch.judged;
        let (before, trained) = match epoch.checked_sub(1) {
            Some(before) => (self.work.all(before), self.work.epoch.trained),
            None => (Work::default(), 0),
        };
        let left_now = Work { trained: 0, judged: all.saturating_sub(judged) };
        Standing {
            doing: Doing::Validating,
            epoch,
            at: judged,
            of: all,
            done: self.stats.over + before + Work { trained, judged },
            left_now,
            saves_in: self.stats.pace.time_for(left_now),
            ..self.standing(progress)
        }
    }

    /// What does not follow from what it does now.
    fn standing(&self, progress: &Progress) -> Standing<'a> {
        Standing {
            network: self.what.trim_end_matches(": "),
            doing: Doing::Training,
            epoch: 0,
            epochs: self.recipe.epochs,
            may_stop_early: self.recipe.early_stopping != Watch::None,
            at: 0,
            of: 0,
            done: Work::default(),
            all: self.stats.all,
            left_now: Work::default(),
            pace: self.stats.pace,
            sums: progress.sums.clone(),
            best: progress.early.best_accuracy.map(|best| (best.accuracy, best.epoch)),
            saves_in: None,
            stops_in: self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
            gpu_memory: self.stats.gpu_memory,
        }
    }
}

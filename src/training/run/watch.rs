//! Where a run stands, for whoever watches: what is done of all that there is to do, how fast, and how long it will take.
//! Pure: nothing here reads a clock or a device.

use std::time::Duration;

use serde::Serialize;

use crate::training::evaluate::metrics::Sums;

/// What is done with sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// They are trained on; counted in optimiser steps.
    Training,
    /// They are judged, to validate; counted in sites.
    Validating,
}

/// Sites, each counted as often as it comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Those that are trained on.
    pub trained: u64,
    /// Those that are judged, to validate.
    pub judged: u64,
}

impl Work {
    /// As much, so many times over.
    #[must_use]
    pub fn times(self, n: u64) -> Self {
        Self { trained: self.trained * n, judged: self.judged * n }
    }

    /// What is left of it, once some is done.
    #[must_use]
    pub fn without(self, done: Self) -> Self {
        Self { trained: self.trained.saturating_sub(done.trained), judged: self.judged.saturating_sub(done.judged) }
    }

    /// What it takes, in sites that are trained on.
    fn weight(self, cost_of_judging: f64) -> f64 {
        self.trained as f64 + cost_of_judging * self.judged as f64
    }
}

impl std::ops::Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { trained: self.trained + other.trained, judged: self.judged + other.judged }
    }
}

impl std::iter::Sum for Work {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| sum + one)
    }
}

/// A mean over time in which what is a minute old counts half.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Recent {
    sites: f64,
    seconds: f64,
    waited: f64,
}

impl Recent {
    const HALF_LIFE_S: f64 = 60.0;

    fn add(&mut self, sites: u64, took: Duration, waited: Duration) {
        let seconds = took.as_secs_f64();
        let kept = (-seconds / Self::HALF_LIFE_S).exp2();
        self.sites = self.sites * kept + sites as f64;
        self.seconds = self.seconds * kept + seconds;
        self.waited = self.waited * kept + waited.as_secs_f64();
    }

    fn seconds_per_site(self) -> Option<f64> {
        (self.sites > 0.0).then(|| self.seconds / self.sites)
    }
}

/// How fast a process is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    training: Recent,
    judging: Recent,
}

impl Pace {
    /// What judging a site takes of training on it, as long as it was not measured: a forward pass of three as long.
    const COST_OF_JUDGING: f64 = 1.0 / 3.0;

    /// Takes note of sites that were trained on or judged, in how long, and how much of that was waiting for data.
    pub fn add(&mut self, doing: Doing, sites: u64, took: Duration, waited: Duration) {
        match doing {
            Doing::Training => self.training.add(sites, took, waited),
            Doing::Validating => self.judging.add(sites, took, waited),
        }
    }

    /// Sites a second, of late; `None` where nothing was measured.
    #[must_use]
    pub fn sites_per_second(&self, doing: Doing) -> Option<f64> {
        self.of(doing).seconds_per_site().filter(|&seconds| seconds > 0.0).map(f64::recip)
    }

    /// The share of the time that was spent waiting for data, of late.
    #[must_use]
    pub fn wait_share(&self, doing: Doing) -> Option<f64> {
        let recent = self.of(doing);
        (recent.seconds > 0.0).then(|| (recent.waited / recent.seconds).min(1.0))
    }

    /// How long work takes; `None` as long as nothing was trained on.
    #[must_use]
    pub fn time_for(&self, work: Work) -> Option<Duration> {
        let of_training = self.training.seconds_per_site()?;
        let seconds = of_training * work.weight(self.cost_of_judging());
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The share of work that is done, by the time it takes.
    #[must_use]
    pub fn share(&self, done: Work, all: Work) -> f64 {
        let cost = self.cost_of_judging();
        let all = all.weight(cost);
        if all > 0.0 { (done.weight(cost) / all).min(1.0) } else { 1.0 }
    }

    fn cost_of_judging(&self) -> f64 {
        let measured = self.training.seconds_per_site().filter(|&seconds| seconds > 0.0);
        let measured = measured.zip(self.judging.seconds_per_site()).map(|(training, judging)| judging / training);
        measured.unwrap_or(Self::COST_OF_JUDGING)
    }

    fn of(&self, doing: Doing) -> Recent {
        match doing {
            Doing::Training => self.training,
            Doing::Validating => self.judging,
        }
    }
}

/// Where a run stands, as far as that is known without waiting for the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing<'a> {
    /// The cell type of a second step's network; empty of any other.
    pub network: &'a str,
    /// What is done now.
    pub doing: Doing,
    /// The epoch, from 1; 0 while a second step's network is judged before it is trained.
    pub epoch: u32,
    /// Epochs at most.
    pub epochs: u32,
    /// Whether it may end before them, as it stops early.
    pub may_stop_early: bool,
    /// Steps of the epoch that are done, or sites that are judged.
    pub at: u64,
    /// All of those.
    pub of: u64,
    /// What is done of the run, over all of its networks.
    pub done: Work,
    /// All that there is to do at most.
    pub all: Work,
    /// What is left of this epoch's training or judging.
    pub left_now: Work,
    /// How fast this process is.
    pub pace: Pace,
    /// The epoch's training so far, as far as the device has told.
    pub sums: Sums,
    /// The highest accuracy per well of the network so far, and its epoch.
    pub best: Option<(f64, u32)>,
    /// When it saves where it goes on, as far as that is known.
    pub saves_in: Option<Duration>,
    /// When it is told to stop, if it is.
    pub stops_in: Option<Duration>,
    /// Bytes of the GPU's memory that are held; `None` on the CPU.
    pub gpu_memory: Option<u64>,
}

impl Standing<'_> {
    /// The mean loss of the epoch so far.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        (self.sums.sites > 0).then(|| self.sums.loss / self.sums.sites as f64)
    }

    /// The share of the run that is done.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.pace.share(self.done, self.all)
    }

    /// How long the rest of the run takes, if it trains for all of its epochs.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.pace.time_for(self.all.without(self.done))
    }

    /// A line of the log that says how far the run has come.
    #[must_use]
    pub fn line(&self) -> String {
        let of = if self.network.is_empty() { String::new() } else { format!("{}: ", self.network) };
        let mut parts = vec![format!("{of}epoch {} of {}", self.epoch, self.epochs)];
        parts.push(match self.doing {
            Doing::Training => format!("step {} of {}", self.at, self.of),
            Doing::Validating => format!("validating {} of {} sites", self.at, self.of),
        });
        parts.push(format!("{:.0} % of the run", 100.0 * self.share()));
        parts.extend(self.time_left().map(|left| left_in_words(left, self.may_stop_early)));
        parts.extend(self.loss().map(|loss| format!("loss {loss:.3}")));
        parts.extend(self.pace.sites_per_second(self.doing).map(|rate| format!("{rate:.0} sites/s")));
        parts.extend(self.pace.wait_share(self.doing).map(|share| format!("{:.0} % waiting", 100.0 * share)));
        format!("so far     {}", parts.join(", "))
    }
}

/// A time that is left, for people: `2h 10m left`, `45s left at most`.
#[must_use]
pub fn left_in_words(left: Duration, at_most: bool) -> String {
    format!("{} left{}", in_words(left), if at_most { " at most" } else { "" })
}

/// A duration for people: to the second below ten minutes, to the minute above.
#[must_use]
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    let unit = if seconds < 600 { 1 } else { 60 };
    let rounded = seconds.saturating_add(unit / 2) / unit * unit;
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// The third of fifteen epochs.
    pub(crate) fn standing(pace: Pace) -> Standing<'static> {
        Standing {
            network: "",
            doing: Doing::Training,
            epoch: 3,
            epochs: 15,
            may_stop_early: false,
            at: 12,
            of: 30,
            done: Work { trained: 250, judged: 0 },
            all: Work { trained: 1000, judged: 0 },
            left_now: Work { trained: 50, judged: 0 },
            pace,
            sums: Sums { loss: 25.0, correct: 5.0, sites: 10, seconds: 0.0, waited: 0.0 },
            best: None,
            saves_in: Some(seconds(30)),
            stops_in: None,
            gpu_memory: None,
        }
    }

    #[test]
    fn what_is_left_takes_as_long_as_the_last_minutes_did() {
        let mut pace = Pace::default();
        let work = Work { trained: 300, judged: 300 };
        assert_eq!((pace.time_for(work), pace.sites_per_second(Doing::Training)), (None, None));
        pace.add(Doing::Training, 100, seconds(10), seconds(1));
        assert_eq!(pace.sites_per_second(Doing::Training), Some(10.0));
        assert_eq!(pace.wait_share(Doing::Training), Some(0.1));
        // Judging was not measured: a third of the time.
        assert_eq!(pace.time_for(work), Some(seconds(40)));
        pace.add(Doing::Validating, 100, seconds(2), Duration::ZERO);
        assert_eq!(pace.time_for(work), Some(seconds(36)));
        assert_eq!(pace.share(Work { trained: 100, judged: 0 }, work), 10.0 / 36.0);
        // What was long ago counts for little: after ten minutes at half the pace it is half.
        for _ in 0..600 {
            pace.add(Doing::Training, 5, seconds(1), seconds(1));
        }
        let rate = pace.sites_per_second(Doing::Training).unwrap();
        assert!((4.99..5.05).contains(&rate) && pace.wait_share(Doing::Training).unwrap() > 0.99, "{rate}");
        assert_eq!(pace.share(work, work), 1.0);
        assert_eq!(pace.share(Work::default(), Work::default()), 1.0);
    }

    #[test]
    fn a_line_says_how_far_a_run_has_come() {
        let nothing = standing(Pace::default());
        assert_eq!(nothing.line(), "so far     epoch 3 of 15, step 12 of 30, 25 % of the run, loss 2.500");
        let mut pace = Pace::default();
        pace.add(Doing::Training, 100, seconds(1000), seconds(100));
        pace.add(Doing::Validating, 100, seconds(50), seconds(0));
        let line = Standing { may_stop_early: true, network: "RPE", ..standing(pace) }.line();
        let expected = "so far     RPE: epoch 3 of 15, step 12 of 30, 25 % of the run, 2h 5m left at most, loss 2.500, \
                        0 sites/s, 10 % waiting";
        assert_eq!(line, expected);
        let judging = Standing { doing: Doing::Validating, sums: Sums::default(), ..standing(pace) };
        let expected = "so far     epoch 3 of 15, validating 12 of 30 sites, 25 % of the run, 2h 5m left, 2 sites/s, \
                        0 % waiting";
        assert_eq!(judging.line(), expected);
    }

    #[test]
    fn durations_are_as_exact_as_people_need_them() {
        for (n, text) in [(0, "0s"), (59, "59s"), (599, "9m 59s"), (600, "10m"), (641, "11m"), (7500, "2h 5m")] {
            assert_eq!(in_words(seconds(n)), text);
        }
        assert!(in_words(Duration::MAX).contains("years"));
    }
}

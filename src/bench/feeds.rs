//! The feed as it runs, and all parts measured in turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Result;
use crate::feed::{Feed, Permutation, Reader, Verify};

use super::limits::{self, Limit};
use super::part::{Checked, Part};
use super::sample::{Bench, N_BUFFERS, Rate};

/// One figure of a report.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The median of the rounds, raw pixels in 10^6 bytes a second; none where it could not be measured.
    pub mb_per_s: Option<f64>,
    /// Why not.
    pub reason: Option<String>,
    /// Every round.
    pub rounds: Vec<Rate>,
}

impl Bench {
    /// Measures every part of the way in turns, as many rounds as are asked for.
    ///
    /// # Errors
    /// If a site cannot be read; the error names it.
    pub fn run(&self, progress: &dyn Fn(Part)) -> Result<Vec<Figure>> {
        let parts = Part::of(self.store.spec().codec);
        let mut found: BTreeMap<Part, (Vec<Rate>, Option<String>)> = BTreeMap::new();
        // Before the warm parts, which keep the sites in memory.
        let (cold, warm): (Vec<Part>, Vec<Part>) =
            parts.iter().partition(|part| matches!(part, Part::ColdFeed | Part::Limit(Limit::Disk)));
        for part in [cold, warm].into_iter().flat_map(|parts| vec![parts; self.config.rounds]).flatten() {
            progress(part);
            let (rates, reason) = found.entry(part).or_default();
            match self.measure(part)? {
                Ok(rate) => rates.push(rate),
                Err(why) => *reason = Some(why),
            }
        }
        Ok(parts
            .into_iter()
            .map(|part| {
                let (rounds, reason) = found.remove(&part).unwrap_or_default();
                let rates = rounds.iter().map(|rate| rate.mb_per_s).collect();
                // A round in which it could not be measured is of no interest beside one in which it could.
                let reason = reason.filter(|_| rounds.is_empty());
                Figure { name: part.name(), mb_per_s: median(rates), reason, rounds }
            })
            .collect())
    }

    /// Measures one part once; says why where it cannot be measured here.
    ///
    /// # Errors
    /// If a site cannot be read; the error names it.
    pub fn measure(&self, part: Part) -> Result<Result<Rate, String>> {
        match part {
            Part::Limit(limit) => limits::measure(self, limit),
            Part::ColdFeed => self.cold_feed(),
            Part::WarmFeed(checked) => self.warm_feed(checked).map(Ok),
        }
    }

    /// Every site of the store once, in random order, after the system was told to forget them.
    fn cold_feed(&self) -> Result<Result<Rate, String>> {
        if let Err(why) = limits::forget(self)? {
            return Ok(Err(why));
        }
        let n = self.store.sites().len();
        let order = Permutation::new(n, 2, 0);
        let buffers = self.buffers();
        let start = Instant::now();
        let mut run = self.feed(Verify::First, buffers, (0..n).map(move |i| order.at(i)))?;
        // Longer than the other parts, as a disk takes a while to show what it can; but not a whole night.
        let sites = run.read_for(Duration::from_secs_f64(20.0 * self.config.seconds))?;
        Ok(Ok(self.rate(sites, start)))
    }

    fn warm_feed(&self, checked: Checked) -> Result<Rate> {
        let (n, sample) = (self.sample.len(), self.sample.clone());
        let endless = (0_usize..).map(move |i| sample[Permutation::new(n, 3, (i / n) as u64).at(i % n)]);
        let mut run = self.feed(checked.verify(), self.buffers(), endless)?;
        // One epoch to have all in memory, and verified.
        run.read_sites(n as u64)?;
        let start = Instant::now();
        let sites = run.read_for(Duration::from_secs_f64(self.config.seconds))?;
        Ok(self.rate(sites, start))
    }

    fn buffers(&self) -> Vec<Vec<u8>> {
        // Not 0, which the system would have no memory for until it is written to.
        vec![vec![1; self.config.batch * self.store.spec().site_bytes()]; N_BUFFERS]
    }

    fn feed(
        &self,
        verify: Verify,
        buffers: Vec<Vec<u8>>,
        mut order: impl Iterator<Item = usize> + Send + 'static,
    ) -> Result<Run> {
        let reader = Arc::new(Reader::new(self.store.clone(), self.config.io, verify));
        let batch = self.config.batch;
        let next = move |sites: &mut Vec<usize>| sites.extend(order.by_ref().take(batch));
        Ok(Run(Feed::start(&reader, buffers, self.config.n_threads, next)?))
    }

    fn rate(&self, sites: u64, start: Instant) -> Rate {
        Rate::new(sites, self.store.spec().site_bytes(), start.elapsed().as_secs_f64())
    }
}

/// A feed under measurement: batches are taken and given back at once.
struct Run(Feed<Vec<u8>>);

impl Run {
    /// Reads a batch; how many sites it has, 0 at the end.
    fn step(&mut self) -> Result<u64> {
        let Some(mut batch) = self.0.next_batch()? else { return Ok(0) };
        if let Some((_, error)) = batch.faults.drain(..).next() {
            return Err(error);
        }
        let n = batch.sites.len() as u64;
        self.0.give_back(batch);
        Ok(n)
    }

    fn read_sites(&mut self, n: u64) -> Result<()> {
        let mut read = 0;
        while read < n {
            match self.step()? {
                0 => return Ok(()),
                more => read += more,
            }
        }
        Ok(())
    }

    /// Reads until the time is up or the sites end; how many it were.
    fn read_for(&mut self, time: Duration) -> Result<u64> {
        let (start, mut read) = (Instant::now(), 0);
        while start.elapsed() < time {
            match self.step()? {
                0 => break,
                more => read += more,
            }
        }
        Ok(read)
    }
}

/// The median, of an even number the mean of the two in the middle; none of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    Some(f64::midpoint(*values.get(n.checked_sub(1)? / 2)?, *values.get(n / 2)?))
}

//! What is measured of an epoch. Knows no network: probabilities in, figures out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::site::WellId;
use crate::store::format::rows::SiteRow;
use crate::training::early_stopping::NewBest;

/// Accuracy over some wells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Score {
    /// Wells.
    pub n_wells: u64,
    /// Sites.
    pub n_sites: u64,
    /// Share of sites whose most probable class is theirs.
    pub accuracy_site: f64,
    /// Share of wells whose class is the most probable by the mean over their sites.
    pub accuracy_well: f64,
    /// Share of wells whose class is among the five most probable.
    pub top5_well: f64,
}

/// What a validation set says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// Mean cross entropy over sites.
    pub loss: f64,
    /// Accuracy per site.
    pub accuracy_site: f64,
    /// Accuracy per well.
    pub accuracy_well: f64,
    /// Top 5 per well.
    pub top5_well: f64,
    /// The same by cell type.
    pub by_cell_type: BTreeMap<String, Score>,
    /// The same by experiment.
    pub by_experiment: BTreeMap<String, Score>,
    /// The same by plate.
    pub by_plate: BTreeMap<String, Score>,
    /// What was said of each well, in the order of wells.
    pub wells: Vec<WellAnswer>,
}

/// What a network says of a well by the mean over its sites. Only treatments compete.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WellAnswer {
    /// The well.
    pub well: WellId,
    /// Its sites that were judged.
    pub n_sites: u64,
    /// The output of its class.
    pub output: usize,
    /// How many outputs are more probable: 0 where it is right.
    pub rank: usize,
    /// The most probable outputs and their probabilities, five at most.
    pub first: Vec<(usize, f64)>,
}

/// Gathers probabilities of sites until all are there.
pub struct Evaluation<'a> {
    rows: &'a [SiteRow],
    outputs: &'a [i64],
    n_treatments: usize,
    losses: (f64, u64),
    wells: BTreeMap<&'a WellId, WellSum>,
}

struct WellSum {
    probabilities: Vec<f64>,
    n_sites: u64,
    n_right: u64,
    output: usize,
}

impl WellSum {
    /// The most probable outputs and their probabilities; of equals the first.
    fn first(&self, n: usize) -> Vec<(usize, f64)> {
        let p = &self.probabilities;
        let by_rank = |&a: &usize, &b: &usize| p[b].total_cmp(&p[a]).then(a.cmp(&b));
        let mut outputs: Vec<usize> = (0..p.len()).collect();
        if n < outputs.len() {
            outputs.select_nth_unstable_by(n, by_rank);
            outputs.truncate(n);
        }
        outputs.sort_by(by_rank);
        outputs.into_iter().map(|output| (output, p[output] / self.n_sites as f64)).collect()
    }
}

impl<'a> Evaluation<'a> {
    /// Of a store's sites, with the network's output for each one's class (-1 where there is none). Only the first
    /// `n_treatments` outputs compete: that a well is no control is known.
    #[must_use]
    pub fn new(rows: &'a [SiteRow], outputs: &'a [i64], n_treatments: usize) -> Self {
        Self { rows, outputs, n_treatments, losses: (0.0, 0), wells: BTreeMap::new() }
    }

    /// Adds a site's probabilities and loss. A site without a class is left out.
    pub fn add(&mut self, site: usize, probabilities: &[f32], loss: f32) {
        let Ok(output) = usize::try_from(self.outputs[site]) else { return };
        let treatments = &probabilities[..self.n_treatments];
        let well = self.wells.entry(&self.rows[site].id.well).or_insert_with(|| WellSum {
            probabilities: vec![0.0; treatments.len()],
            n_sites: 0,
            n_right: 0,
            output,
        });
        well.probabilities.iter_mut().zip(treatments).for_each(|(sum, &p)| *sum += f64::from(p));
        well.n_sites += 1;
        well.n_right += u64::from(rank(treatments, output) == 0);
        self.losses = (self.losses.0 + f64::from(loss), self.losses.1 + 1);
    }

    /// The figures; `None` where nothing was added.
    #[must_use]
    pub fn finish(self) -> Option<Validation> {
        let mut all = Score::default();
        let mut by_cell_type: BTreeMap<String, Score> = BTreeMap::new();
        let mut by_experiment: BTreeMap<String, Score> = BTreeMap::new();
        let mut by_plate: BTreeMap<String, Score> = BTreeMap::new();
        let mut wells = Vec::with_capacity(self.wells.len());
        for (&id, well) in &self.wells {
            let rank = rank(&well.probabilities, well.output);
            let (n_sites, output, first) = (well.n_sites, well.output, well.first(5));
            wells.push(WellAnswer { well: id.clone(), n_sites, output, rank, first });
            let experiment = &id.plate.experiment;
            for score in [
                &mut all,
                by_cell_type.entry(experiment.cell_type().to_owned()).or_default(),
                by_experiment.entry(experiment.to_string()).or_default(),
                by_plate.entry(id.plate.to_string()).or_default(),
            ] {
                score.n_wells += 1;
                score.n_sites += well.n_sites;
                score.accuracy_site += well.n_right as f64;
                score.accuracy_well += f64::from(rank == 0);
                score.top5_well += f64::from(rank < 5);
            }
        }
        let share = |score: &mut Score| {
            score.accuracy_site /= score.n_sites.max(1) as f64;
            score.accuracy_well /= score.n_wells.max(1) as f64;
            score.top5_well /= score.n_wells.max(1) as f64;
        };
        share(&mut all);
        [&mut by_cell_type, &mut by_experiment, &mut by_plate]
            .into_iter()
            .flat_map(BTreeMap::values_mut)
            .for_each(share);
        (self.losses.1 > 0).then(|| Validation {
            loss: self.losses.0 / self.losses.1 as f64,
            accuracy_site: all.accuracy_site,
            accuracy_well: all.accuracy_well,
            top5_well: all.top5_well,
            by_cell_type,
            by_experiment,
            by_plate,
            wells,
        })
    }
}

/// How many values are larger than that at `i`, or as large and before it: 0 for the most probable.
fn rank<T: PartialOrd>(values: &[T], i: usize) -> usize {
    values.iter().enumerate().filter(|&(k, value)| *value > values[i] || (*value == values[i] && k < i)).count()
}

/// Sums over the training steps of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Loss times sites.
    pub loss: f64,
    /// Sites whose most probable class is theirs.
    pub correct: f64,
    /// Sites.
    pub sites: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Seconds of it spent waiting for data.
    pub waited: f64,
}

/// The figures of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpochMetrics {
    /// The epoch, from 1; 0 is a second step's network before it is trained.
    pub epoch: u32,
    /// Optimiser steps so far.
    pub step: u64,
    /// The learning rate of its last step.
    pub lr: f64,
    /// Mean loss over the sites that were trained on, with augmentation, while the network changed.
    pub train_loss: f64,
    /// Share of them that were recognised.
    pub train_accuracy: f64,
    /// What the validation set says; `None` without one.
    pub validation: Option<Validation>,
    /// The accuracy that guessing has.
    pub chance: f64,
    /// Sites trained on a second.
    pub sites_per_second: f64,
    /// Share of the time that was spent waiting for data.
    pub wait_share: f64,
    /// Seconds of training.
    pub seconds: f64,
}

impl EpochMetrics {
    /// The figures of an epoch from its sums.
    #[must_use]
    pub fn new(epoch: u32, step: u64, lr: f64, sums: &Sums, validation: Option<Validation>, chance: f64) -> Self {
        let sites = sums.sites.max(1) as f64;
        Self {
            epoch,
            step,
            lr,
            train_loss: sums.loss / sites,
            train_accuracy: sums.correct / sites,
            validation,
            chance,
            sites_per_second: sums.sites as f64 / sums.seconds.max(1e-9),
            wait_share: sums.waited / sums.seconds.max(1e-9),
            seconds: sums.seconds,
        }
    }

    /// A line of the log; a best epoch is marked.
    #[must_use]
    pub fn line(&self, best: NewBest) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let mut line = match self.epoch {
            0 => "start    ".to_owned(),
            epoch => {
                format!("epoch {epoch:>3}  loss {:.3}, accuracy {}", self.train_loss, percent(self.train_accuracy))
            }
        };
        if let Some(Validation { loss, accuracy_site, accuracy_well, top5_well, .. }) = &self.validation {
            let [site, well, top5] = [accuracy_site, accuracy_well, top5_well].map(|share| percent(*share));
            line += &format!("   validation loss {loss:.3}, sites {site}, wells {well}, top 5 {top5}");
            line += match (best.loss, best.accuracy) {
                (true, true) => " (best)",
                (true, false) => " (least loss)",
                (false, true) => " (most right)",
                (false, false) => "",
            };
        }
        if self.epoch > 0 {
            line += &format!("   {:.0} sites/s, {} waiting", self.sites_per_second, percent(self.wait_share));
        }
        line
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::site::{Label, SiteId};

    /// An epoch with these validation figures and nothing else.
    pub(crate) fn epoch(epoch: u32, loss: f64, accuracy_well: f64) -> EpochMetrics {
        let score = Score { n_wells: 2, n_sites: 4, accuracy_site: 0.5, accuracy_well, top5_well: 1.0 };
        let groups = |name: &str| BTreeMap::from([(name.to_owned(), score)]);
        let validation = Validation {
            loss,
            accuracy_site: 0.5,
            accuracy_well,
            top5_well: 1.0,
            by_cell_type: groups("RPE"),
            by_experiment: groups("RPE-01"),
            by_plate: groups("RPE-01/Plate1"),
            wells: Vec::new(),
        };
        EpochMetrics::new(epoch, 3, 0.1, &Sums::default(), Some(validation), 0.25)
    }

    fn rows() -> Vec<SiteRow> {
        let site = |experiment: &str, well: &str, site| SiteRow {
            id: SiteId::new(experiment, 1, well, site).unwrap(),
            label: Label::unknown(),
            row: 0,
            crc32c: 0,
        };
        vec![
            site("RPE-01", "B02", 1),
            site("RPE-01", "B02", 2),
            site("RPE-02", "B02", 1),
            site("HUVEC-01", "C03", 1),
            site("HUVEC-01", "C04", 1),
        ]
    }

    #[test]
    fn wells_are_judged_by_the_mean_over_their_sites() {
        let rows = rows();
        // Three treatments and a control, which does not compete.
        let outputs = [1, 1, 0, 2, -1];
        let mut evaluation = Evaluation::new(&rows, &outputs, 3);
        evaluation.add(0, &[0.5, 0.4, 0.0, 0.1], 1.0); // wrong alone, right together
        evaluation.add(1, &[0.1, 0.6, 0.3, 0.0], 2.0);
        evaluation.add(2, &[0.2, 0.1, 0.1, 0.6], 3.0); // right: the control is out of the question
        evaluation.add(3, &[0.4, 0.3, 0.3, 0.0], 6.0); // wrong, in the top 5
        evaluation.add(4, &[0.4, 0.3, 0.3, 0.0], 100.0); // no class
        let found = evaluation.finish().unwrap();
        assert_eq!(found.loss, 3.0);
        assert_eq!((found.accuracy_site, found.accuracy_well, found.top5_well), (0.5, 2.0 / 3.0, 1.0));
        assert_eq!(found.by_cell_type["RPE"].accuracy_well, 1.0);
        assert_eq!(found.by_cell_type["HUVEC"].accuracy_well, 0.0);
        assert_eq!(found.by_plate.keys().collect::<Vec<_>>(), ["HUVEC-01/Plate1", "RPE-01/Plate1", "RPE-02/Plate1"]);
        assert_eq!(found.by_plate["RPE-02/Plate1"].accuracy_well, 1.0);
        let told: Vec<_> = found.wells.iter().map(|well| (well.output, well.rank, well.n_sites)).collect();
        assert_eq!(told, [(2, 2, 1), (1, 0, 2), (0, 0, 1)]);
        // Of equals the first, as they are ranked; the mean over sites, as float32 has it.
        let first: Vec<usize> = found.wells[0].first.iter().map(|(output, _)| *output).collect();
        assert_eq!((first, found.wells[0].first[0].1), (vec![0, 1, 2], f64::from(0.4_f32)));
        assert_eq!(found.wells[1].first[0], (1, f64::midpoint(f64::from(0.4_f32), f64::from(0.6_f32))));
        assert_eq!(
            found.by_experiment["RPE-01"],
            Score { n_wells: 1, n_sites: 2, accuracy_site: 0.5, accuracy_well: 1.0, top5_well: 1.0 }
        );
        assert!(Evaluation::new(&rows, &outputs, 3).finish().is_none());
    }

    #[test]
    fn the_first_five_are_the_most_probable_in_their_order() {
        let probabilities = vec![0.1, 0.3, 0.1, 0.0, 0.2, 0.1, 0.2];
        let sum = WellSum { probabilities, n_sites: 2, n_right: 0, output: 0 };
        assert_eq!(sum.first(5), [(1, 0.15), (4, 0.1), (6, 0.1), (0, 0.05), (2, 0.05)]);
        assert_eq!(sum.first(9).len(), 7);
    }

    #[test]
    fn equal_probabilities_are_no_hit_for_all() {
        assert_eq!((0..3).map(|i| rank(&[0.25, 0.25, 0.5], i)).collect::<Vec<_>>(), [1, 2, 0]);
    }
}

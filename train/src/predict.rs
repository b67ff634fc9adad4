//! Predictions for the wells of a store by one or several runs: probabilities and embeddings, mean over sites,
//! symmetries and the runs that were not trained on a well. Trains nothing and writes no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::Device;

use crate::asked::Asked;
pub use crate::asked::{PredictConfig, Wells};
use crate::device;
use crate::device::loader::Sites;
use crate::device::staging::Ring;
use crate::engine::predictor::{BatchPrediction, Classifier, PredictionStream};
use crate::ensemble::{load, members_of};
use crate::libtorch::caught;
use cellshard::classes::Classes;
use cellshard::error::{Error, Result};
use cellshard::feed::{Reader, Verify};
use cellshard::progress::Progress;
use cellshard::site::WellId;
use cellshard::store::Store;
use cellshard::training::data::Part;
use cellshard::training::recipe::Precision;
use cellshard::training::run::INFO;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// The wells, in the order asked for.
    pub wells: Vec<WellId>,
    /// The class number of each column of `probabilities`; treatments first.
    pub classes: Vec<u32>,
    /// The classes with their names.
    pub table: Classes,
    /// How many of them are treatments.
    pub n_treatments: usize,
    /// `[wells][classes]`, rows that add up to 1.
    pub probabilities: Vec<Vec<f32>>,
    /// `[wells][D]`, where asked for.
    pub embeddings: Option<Vec<Vec<f32>>>,
    /// Class of each well, where it is known.
    pub known: Vec<Option<u32>>,
    /// What each well is to the runs that answer for it: figures of one part say nothing of another.
    pub parts: Vec<Part>,
    /// What a user should know of the runs and the store.
    pub warnings: Vec<String>,
    /// Of each well, the most probable treatment of each of its sites by itself (after symmetries and runs).
    pub best_of_sites: Vec<Vec<u32>>,
    /// Sites that were used.
    pub n_sites: usize,
    /// On which device, for the log.
    pub device: String,
}

impl Predictions {
    /// The most probable treatment of a row.
    #[must_use]
    pub fn best(&self, row: usize) -> u32 {
        self.ranked(row)[0]
    }

    /// The treatments of a row, most probable first; of equals the smaller number.
    #[must_use]
    pub fn ranked(&self, row: usize) -> Vec<u32> {
        ranked(&self.probabilities[row], &self.classes, self.n_treatments)
    }
}

/// Predicts.
///
/// # Errors
/// If store or runs cannot be used together, nothing would come of it, data is damaged, memory runs out, or a GPU is
/// asked for that is not there.
pub fn predict(config: &PredictConfig, progress: &dyn Fn(Progress)) -> Result<Predictions> {
    caught("predicting", || checked(config, progress))
}

/// Checks all that can be refused, and then predicts.
fn checked(config: &PredictConfig, progress: &dyn Fn(Progress)) -> Result<Predictions> {
    if ![1, 2, 4, 8].contains(&config.n_symmetries) {
        return Err(Error::refused("--tta", "1, 2, 4 or 8, the groups of symmetries", config.n_symmetries));
    }
    let store = Store::open_proven(&config.shards)?;
    let asked = Asked::new(config, &store)?;
    let info = &asked.runs[0].info;
    let table = info.classes(&asked.runs[0].folder.file(INFO).display().to_string())?;
    let classes: Vec<u32> = info.classes.iter().map(|row| row.class).collect();
    if config.n_symmetries > 4 && info.input_size[0] != info.input_size[1] {
        let found = format!("{} x {}", info.input_size[0], info.input_size[1]);
        return Err(Error::refused("--tta", "at most 4 for images that are not square", found));
    }
    let sites = asked.sites(&store)?;
    let mut known = vec![None; asked.wells.len()];
    for &(site, row) in &sites {
        known[row] = match &config.truth {
            Some(truth) => truth.get(&asked.wells[row]).copied().flatten(),
            None => store.sites()[site].label.class,
        };
    }
    if config.only_figures && !known.iter().flatten().any(|class| classes[..info.n_treatments].contains(class)) {
        let expected = "a file to write (--out, --probabilities, --embeddings), or classes to compare with (--truth)";
        return Err(Error::refused("predict", expected, "none, and no class of these wells is known"));
    }
    let (device, device_name) = device::open(config.device)?;
    let mut n_sites = vec![0_u32; asked.wells.len()];
    for &(_, row) in &sites {
        n_sites[row] += 1;
    }
    // Everything is opened before the long work starts.
    let mut members = Vec::new();
    for (i, run) in asked.runs.iter().enumerate() {
        let own = sites.iter().filter(|&&(_, row)| asked.answering[row].contains(&i)).map(|&(site, _)| site);
        members.extend(members_of(run, &info.classes, &store, &own.collect::<Vec<_>>(), config.first_step)?);
    }
    if config.embeddings && members.len() != 1 {
        let expected = "one network: a single --run, and of two steps --first-step or wells of one cell type";
        return Err(Error::refused("--embeddings", expected, format!("{} networks", members.len())));
    }
    let mut networks = Vec::new();
    for member in &members {
        networks.push(load(&config.checkpoint, member, &store, device)?);
    }
    let reader = Arc::new(Reader::new(store.clone(), config.io, Verify::First));
    let outputs = |class: u32| classes.iter().position(|&c| c == class);
    let all = Sites::new(reader, outputs, config.n_threads, false);
    let mut sums = Sums {
        position: sites.iter().map(|&(site, _)| site).zip(0..).collect(),
        shares: sites.iter().map(|&(_, row)| 1.0 / asked.answering[row].len() as f32).collect(),
        probabilities: vec![vec![0.0; classes.len()]; sites.len()],
        embeddings: None,
    };
    let mut ring = Ring::new(all.batch_shape(config.batch), device)?;
    progress(Progress::Planned(members.iter().map(|member| member.sites.len() as u64).sum()));
    for (member, (network, pipeline, precision)) in members.iter().zip(&networks) {
        device::set_up(device, *precision)?;
        let precision = if device == Device::Cpu { Precision::F32 } else { *precision };
        let (n_symmetries, embeddings) = (config.n_symmetries, config.embeddings);
        let classifier = Classifier { network, pipeline, precision, n_symmetries, embeddings };
        let mut predictions =
            PredictionStream::new(classifier, all.start(member.sites.clone().into_iter(), &mut ring)?);
        while let Some(prediction) = predictions.next_prediction()? {
            progress(Progress::Done(prediction.sites.len() as u64));
            sums.add(prediction);
        }
    }
    let n_treatments = info.n_treatments;
    let Asked { wells, parts, warnings, .. } = asked;
    let mut found = Predictions {
        known,
        parts,
        warnings,
        best_of_sites: vec![Vec::new(); wells.len()],
        probabilities: vec![vec![0.0; classes.len()]; wells.len()],
        embeddings: sums.embeddings.as_ref().map(|all| vec![vec![0.0; all[0].len()]; wells.len()]),
        n_sites: sites.len(),
        device: device_name,
        classes,
        table,
        n_treatments,
        wells,
    };
    for (position, &(_, row)) in sites.iter().enumerate() {
        let share = 1.0 / n_sites[row] as f32;
        let mean = |into: &mut [f32], from: &[f32]| into.iter_mut().zip(from).for_each(|(sum, x)| *sum += share * x);
        mean(&mut found.probabilities[row], &sums.probabilities[position]);
        if let (Some(into), Some(from)) = (&mut found.embeddings, &sums.embeddings) {
            mean(&mut into[row], &from[position]);
        }
        found.best_of_sites[row].push(ranked(&sums.probabilities[position], &found.classes, found.n_treatments)[0]);
    }
    Ok(found)
}

/// Predictions for single sites, summed over runs.
struct Sums {
    /// Of each site of the store that is asked for, its place in the lists below.
    position: BTreeMap<usize, usize>,
    /// What each of the runs that answer for a site counts.
    shares: Vec<f32>,
    probabilities: Vec<Vec<f32>>,
    embeddings: Option<Vec<Vec<f32>>>,
}

impl Sums {
    fn add(&mut self, prediction: BatchPrediction) {
        let n = self.probabilities.len();
        for (i, site) in prediction.sites.into_iter().enumerate() {
            let position = self.position[&site];
            let share = self.shares[position];
            let sums = self.probabilities[position].iter_mut();
            sums.zip(&prediction.probabilities[i]).for_each(|(sum, p)| *sum += share * p);
            if let Some(embeddings) = &prediction.embeddings {
                let all = self.embeddings.get_or_insert_with(|| vec![vec![0.0; embeddings[i].len()]; n]);
                all[position].clone_from(&embeddings[i]);
            }
        }
    }
}

/// The treatments by their probability, most probable first; of equals the smaller number.
fn ranked(p: &[f32], classes: &[u32], n_treatments: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..n_treatments).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
    order.into_iter().map(|i| classes[i]).collect()
}

#[cfg(test)]
mod tests;

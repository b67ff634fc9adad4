//! Predictions for the wells of a store by one or several runs: probabilities and embeddings, mean over sites,
//! symmetries and runs. Trains nothing and writes no file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Device;

use crate::device::loader::Sites;
use crate::device::staging::Ring;
use crate::device::{self, DeviceChoice};
use crate::engine::predictor::{BatchPrediction, Classifier, PredictionStream};
use crate::ensemble::{load, members_of, same_classes};
use cellshard::classes::Classes;
use cellshard::error::{Error, Result};
use cellshard::feed::{Io, Reader, Verify};
use cellshard::site::WellId;
use cellshard::store::Store;
use cellshard::training::data::Split;
use cellshard::training::recipe::Precision;
use cellshard::training::run::{BEST_ACCURACY, INFO, RunFolder, SPLIT};

/// Which wells are predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wells {
    /// Treatments (and wells of which nothing is known) of the dataset `test`.
    Test,
    /// The validation set of the first run.
    Validation,
    /// Every well that is no control.
    All,
    /// These, in this order.
    Listed(Vec<WellId>),
}

/// What to predict, and with what.
#[derive(Debug, Clone)]
pub struct PredictConfig {
    /// The store.
    pub shards: PathBuf,
    /// Run folders; their probabilities are averaged.
    pub runs: Vec<PathBuf>,
    /// Which of a run's networks, as a file name in its folder.
    pub checkpoint: String,
    /// Which wells.
    pub wells: Wells,
    /// Symmetries of the square that are averaged over, 1 to 8.
    pub n_symmetries: usize,
    /// Whether embeddings are wanted.
    pub embeddings: bool,
    /// Sites a batch.
    pub batch: usize,
    /// The device.
    pub device: DeviceChoice,
    /// Threads that read.
    pub n_threads: usize,
    /// How shards are read.
    pub io: Io,
}

impl PredictConfig {
    /// A prediction for the test set by one run's best network.
    #[must_use]
    pub fn new(shards: &Path, run: &Path) -> Self {
        Self {
            shards: shards.to_owned(),
            runs: vec![run.to_owned()],
            checkpoint: BEST_ACCURACY.to_owned(),
            wells: Wells::Test,
            n_symmetries: 1,
            embeddings: false,
            batch: 64,
            device: DeviceChoice::Auto,
            n_threads: 2,
            io: Io::Mmap,
        }
    }
}

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
    /// `[wells][D]`, where asked for; of the first run.
    pub embeddings: Option<Vec<Vec<f32>>>,
    /// Class of each well, where the store knows it.
    pub known: Vec<Option<u32>>,
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

/// Predicts; `progress` is called with the number of sites that were done.
///
/// # Errors
/// If store or runs cannot be used together, data is damaged, or a GPU is asked for that is not there.
pub fn predict(config: &PredictConfig, progress: &dyn Fn(u64)) -> Result<Predictions> {
    let store = Store::open_proven(&config.shards)?;
    let runs: Vec<RunFolder> = config.runs.iter().map(|run| RunFolder::open(run)).collect::<Result<_>>()?;
    let first = runs.first().ok_or_else(|| Error::refused("--run", "a run folder", "none"))?;
    let info = first.info()?;
    let table = info.classes(&first.file(INFO).display().to_string())?;
    same_classes(&table, &store)?;
    let classes: Vec<u32> = info.classes.iter().map(|row| row.class).collect();
    if config.n_symmetries > 4 && info.input_size[0] != info.input_size[1] {
        let found = format!("{} x {}", info.input_size[0], info.input_size[1]);
        return Err(Error::refused("--tta", "at most 4 for images that are not square", found));
    }
    let wells = choose(config, &store, first)?;
    let rows: BTreeMap<&WellId, usize> = wells.iter().zip(0..).collect();
    let sites: Vec<usize> =
        (0..store.sites().len()).filter(|&i| rows.contains_key(&store.sites()[i].id.well)).collect();
    let row_of = |site: usize| rows[&store.sites()[site].id.well];
    let mut n_sites = vec![0_u32; wells.len()];
    for &site in &sites {
        n_sites[row_of(site)] += 1;
    }
    if let Some(i) = n_sites.iter().position(|&n| n == 0) {
        let missing = n_sites.iter().filter(|&&n| n == 0).count();
        let found = format!("no site of {} ({missing} of {} wells are not in it)", wells[i], wells.len());
        return Err(Error::refused(store.root().display(), "every well that is asked for", found));
    }
    let (device, device_name) = device::open(config.device)?;
    // Everything is opened before the long work starts.
    let mut members = Vec::new();
    for run in &runs {
        members.push(members_of(run, &info, &store, &sites)?);
    }
    let mut networks = Vec::new();
    for member in members.iter().flatten() {
        networks.push(load(&config.checkpoint, member, &store, device)?);
    }
    let reader = Arc::new(Reader::new(store.clone(), config.io, Verify::First));
    device::set_up(device, first.recipe()?.precision);
    let outputs = |class: u32| classes.iter().position(|&c| c == class);
    let all = Sites::new(reader, outputs, config.n_threads, false);
    let mut sums = Sums {
        position: sites.iter().copied().zip(0..).collect(),
        probabilities: vec![vec![0.0; info.classes.len()]; sites.len()],
        embeddings: None,
    };
    let mut ring = Ring::new(all.batch_shape(config.batch), device)?;
    let n_first = members[0].len();
    for (i, (member, (network, pipeline, precision))) in members.iter().flatten().zip(&networks).enumerate() {
        let precision = if device == Device::Cpu { Precision::F32 } else { *precision };
        // Embeddings of different networks have nothing to do with each other, so they are those of the first run.
        let embeddings = config.embeddings && i < n_first;
        let classifier = Classifier { network, pipeline, precision, n_symmetries: config.n_symmetries, embeddings };
        let mut predictions =
            PredictionStream::new(classifier, all.start(member.sites.clone().into_iter(), &mut ring)?);
        while let Some(prediction) = predictions.next_prediction()? {
            progress(prediction.sites.len() as u64);
            sums.add(prediction, 1.0 / runs.len() as f32)?;
        }
    }
    let mut found = Predictions {
        known: vec![None; wells.len()],
        best_of_sites: vec![Vec::new(); wells.len()],
        probabilities: vec![vec![0.0; info.classes.len()]; wells.len()],
        embeddings: sums.embeddings.as_ref().map(|all| vec![vec![0.0; all[0].len()]; wells.len()]),
        n_sites: sites.len(),
        device: device_name,
        classes,
        table,
        n_treatments: info.n_treatments,
        wells: wells.clone(),
    };
    for (position, &site) in sites.iter().enumerate() {
        let row = row_of(site);
        let share = 1.0 / n_sites[row] as f32;
        let mean = |into: &mut [f32], from: &[f32]| into.iter_mut().zip(from).for_each(|(sum, x)| *sum += share * x);
        mean(&mut found.probabilities[row], &sums.probabilities[position]);
        if let (Some(into), Some(from)) = (&mut found.embeddings, &sums.embeddings) {
            mean(&mut into[row], &from[position]);
        }
        found.best_of_sites[row].push(ranked(&sums.probabilities[position], &found.classes, found.n_treatments)[0]);
        found.known[row] = store.sites()[site].label.class;
    }
    Ok(found)
}

/// Predictions for single sites, summed over runs.
struct Sums {
    /// Of each site of the store that is asked for, its place in the lists below.
    position: BTreeMap<usize, usize>,
    probabilities: Vec<Vec<f32>>,
    embeddings: Option<Vec<Vec<f32>>>,
}

impl Sums {
    fn add(&mut self, prediction: BatchPrediction, share: f32) -> Result<()> {
        let n = self.probabilities.len();
        for (i, site) in prediction.sites.into_iter().enumerate() {
            let position = self.position[&site];
            let sums = self.probabilities[position].iter_mut();
            sums.zip(&prediction.probabilities[i]).for_each(|(sum, p)| *sum += share * p);
            if let Some(embeddings) = &prediction.embeddings {
                let all = self.embeddings.get_or_insert_with(|| vec![vec![0.0; embeddings[i].len()]; n]);
                if all[position].len() != embeddings[i].len() {
                    return Err(Error::refused("--embeddings", "networks of one size", "several"));
                }
                all[position].clone_from(&embeddings[i]);
            }
        }
        Ok(())
    }
}

/// The treatments by their probability, most probable first; of equals the smaller number.
fn ranked(p: &[f32], classes: &[u32], n_treatments: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..n_treatments).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
    order.into_iter().map(|i| classes[i]).collect()
}

/// The wells that are asked for.
fn choose(config: &PredictConfig, store: &Store, run: &RunFolder) -> Result<Vec<WellId>> {
    let sites = store.sites().iter();
    let (wells, what): (BTreeSet<WellId>, &str) = match &config.wells {
        Wells::Listed(wells) if wells.is_empty() => {
            return Err(Error::refused("--like", "a well or more", "none"));
        }
        Wells::Listed(wells) => return Ok(wells.clone()),
        Wells::Validation => {
            let split = Split::read(&run.file(SPLIT), store)?;
            (
                split.validation.iter().map(|&i| store.sites()[i].id.well.clone()).collect(),
                "validation wells of the run",
            )
        }
        Wells::Test => {
            let test = sites.filter(|site| site.label.dataset == "test" && !site.label.population.is_control());
            (test.map(|site| site.id.well.clone()).collect(), "wells of the dataset test (or --wells all)")
        }
        Wells::All => {
            let all = sites.filter(|site| !site.label.population.is_control());
            (all.map(|site| site.id.well.clone()).collect(), "wells that are no controls")
        }
    };
    if wells.is_empty() {
        return Err(Error::refused(store.root().display(), what, "none"));
    }
    Ok(wells.into_iter().collect())
}

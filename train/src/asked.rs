//! What is asked of several runs: which wells of a store, what each of them is to each run, and so which runs answer for
//! it. A run answers for no well that it was trained on, as long as another was not. Computes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use cellshard::error::{Error, Result};
use cellshard::feed::Io;
use cellshard::site::{Plate, WellId};
use cellshard::store::Store;
use cellshard::training::data::{Part, SplitPart, WellParts, experiments_sha256};
use cellshard::training::run::{BEST_ACCURACY, INFO, RunFolder, RunInfo, StartsFrom};

use crate::device::DeviceChoice;
use crate::plan::same_classes;

/// Which wells are predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wells {
    /// Treatments (and wells of which nothing is known) of the dataset `test`.
    Test,
    /// The validation sets of all runs; each well is answered for by the runs that were not trained on it.
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
    /// Symmetries of the square that are averaged over: 1, 2, 4 or 8.
    pub n_symmetries: usize,
    /// Whether embeddings are wanted, which are of one network.
    pub embeddings: bool,
    /// Of two steps, whether the network of the first answers, for all cell types.
    pub first_step: bool,
    /// The classes of wells, where they are not to be those that the store knows.
    pub truth: Option<HashMap<WellId, Option<u32>>>,
    /// Whether all that is wanted is how many are right: then nothing is computed where no class is known.
    pub only_figures: bool,
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
            first_step: false,
            truth: None,
            only_figures: false,
            batch: 64,
            device: DeviceChoice::Auto,
            n_threads: 2,
            io: Io::Mmap,
        }
    }
}

/// A run that is asked.
pub(crate) struct AskedRun {
    pub(crate) folder: RunFolder,
    pub(crate) info: RunInfo,
    pub(crate) parts: WellParts,
}

impl AskedRun {
    /// Opens a run, once all that it wrote before it trained is proven.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let folder = RunFolder::open(root)?;
        folder.check_seal()?;
        Ok(Self { info: folder.info()?, parts: folder.parts()?, folder })
    }

    /// What a well is to the run.
    pub(crate) fn part(&self, well: &WellId) -> Part {
        self.parts.get(well).map_or(Part::Unseen, |part| part.part())
    }

    /// What of a store's wells the run has never learned, and what of the store is not as it learned it; `found` has the
    /// SHA-256 of its experiments.
    fn warnings(&self, store: &Store, found: &BTreeMap<String, String>, wells: &[&WellId]) -> Result<Vec<String>> {
        let Self { folder, info, parts } = self;
        let run = folder.root().display();
        let mut warnings: Vec<String> = folder.unsealed()?.into_iter().collect();
        let is_other = |(name, sha): &(&String, &String)| found.get(*name).is_some_and(|found| found != *sha);
        if let Some((name, _)) = info.experiments.iter().find(is_other) {
            let what = "of this store has other pixels or labels than when it was trained";
            warnings.push(format!("{run}: experiment {name} {what}"));
        }
        if info.starts_from.as_ref().is_some_and(|start| start.of_unknown_run) {
            warnings.push(format!("{run} began with {}", StartsFrom::UNKNOWN_RUN));
        }
        let mut note = |what: &str, unknown: &BTreeSet<String>| {
            if let Some(first) = unknown.first() {
                let more = if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() };
                warnings.push(format!("{run} was never trained on {what} {first}{more}"));
            }
        };
        let cell_type = |well: &&WellId| well.plate.experiment.cell_type().to_owned();
        let wells_trained = || parts.iter().filter(|(_, part)| part.part() == Part::Train).map(|(well, _)| well);
        let by_name = wells_trained().map(|well| well.plate.experiment.cell_type());
        let trained: BTreeSet<&str> = info.cell_types.values().map(String::as_str).chain(by_name).collect();
        // 0.1.0 did not say which they were.
        if info.is_sealed() {
            note("cell type", &wells.iter().map(cell_type).filter(|name| !trained.contains(name.as_str())).collect());
        }
        // Plates of one number have the same treatments where experiments repeat a layout, plate by plate.
        let all: BTreeSet<&Plate> = store.plates().keys().map(|plate| &plate.plate).collect();
        let numbers: BTreeSet<&Plate> = wells_trained().map(|well| &well.plate.plate).collect();
        if all.len() < store.plates().len() {
            let unknown = wells.iter().map(|well| &well.plate.plate).filter(|number| !numbers.contains(number));
            note("a plate with number", &unknown.map(ToString::to_string).collect());
        }
        let outputs: BTreeSet<u32> = info.classes.iter().map(|row| row.class).collect();
        let treatments = store.classes().rows().iter().filter(|row| !row.population.is_control());
        let others = treatments.filter(|row| !outputs.contains(&row.class));
        note("class", &others.map(|row| format!("{} ({}), which the store has", row.class, row.sirna)).collect());
        let untrained = info.classes.iter().filter(|row| info.untrained.contains(&row.class));
        note(
            "class",
            &untrained.map(|row| format!("{} ({}), which it may answer with", row.class, row.sirna)).collect(),
        );
        Ok(warnings)
    }
}

/// All runs that are asked, and what they are asked.
pub(crate) struct Asked {
    pub(crate) runs: Vec<AskedRun>,
    pub(crate) wells: Vec<WellId>,
    /// Of each well, the runs that answer for it, by their places.
    pub(crate) answering: Vec<Vec<usize>>,
    /// What each well is to those.
    pub(crate) parts: Vec<Part>,
    /// What a user should know.
    pub(crate) warnings: Vec<String>,
}

impl Asked {
    pub(crate) fn new(config: &PredictConfig, store: &Store) -> Result<Self> {
        let runs: Vec<AskedRun> = config.runs.iter().map(|run| AskedRun::open(run)).collect::<Result<_>>()?;
        let first = runs.first().ok_or_else(|| Error::refused("--run", "a run folder", "none"))?;
        same_classes(&first.info.classes(&first.folder.file(INFO).display().to_string())?, store)?;
        let mut wells = choose(&config.wells, store, &runs)?;
        // The store knows its experiments' cell types, a name alone does not.
        let known: BTreeMap<&WellId, &WellId> =
            store.sites().iter().map(|site| (&site.id.well, &site.id.well)).collect();
        for well in &mut wells {
            *well = known.get(well).map_or_else(|| well.clone(), |well| (*well).clone());
        }
        let mut asked = Self { runs, wells, answering: Vec::new(), parts: Vec::new(), warnings: Vec::new() };
        for well in &asked.wells {
            let parts: Vec<Part> = asked.runs.iter().map(|run| run.part(well)).collect();
            let fresh: Vec<usize> = (0..parts.len()).filter(|&i| parts[i] != Part::Train).collect();
            // What all were trained on, all answer for: it is reported apart.
            let answering = if fresh.is_empty() { (0..parts.len()).collect() } else { fresh };
            asked.parts.push(answering.iter().map(|&i| parts[i]).max().unwrap_or(Part::Unseen));
            asked.answering.push(answering);
        }
        let learned = asked.runs.iter().flat_map(|run| run.info.experiments.keys());
        let found = experiments_sha256(store, &learned.map(String::as_str).collect());
        for (i, run) in asked.runs.iter().enumerate() {
            let own: Vec<&WellId> = asked
                .wells
                .iter()
                .zip(&asked.answering)
                .filter(|(_, by)| by.contains(&i))
                .map(|(well, _)| well)
                .collect();
            if own.is_empty() {
                let run = run.folder.root().display();
                asked.warnings.push(format!("{run} answers for none of these wells: it was trained on all of them"));
            }
            asked.warnings.extend(run.warnings(store, &found, &own)?);
        }
        Ok(asked)
    }

    /// The sites of a store that are asked for, as its indices, and of each the place of its well.
    pub(crate) fn sites(&self, store: &Store) -> Result<Vec<(usize, usize)>> {
        let rows: BTreeMap<&WellId, usize> = self.wells.iter().zip(0..).collect();
        let all = store.sites().iter().enumerate();
        let sites: Vec<(usize, usize)> =
            all.filter_map(|(i, site)| rows.get(&site.id.well).map(|&row| (i, row))).collect();
        let there: BTreeSet<usize> = sites.iter().map(|&(_, row)| row).collect();
        if let Some(first) = (0..self.wells.len()).find(|row| !there.contains(row)) {
            let (missing, all) = (self.wells.len() - there.len(), self.wells.len());
            let found = format!("no site of {} ({missing} of {all} wells are not in it)", self.wells[first]);
            return Err(Error::refused(store.root().display(), "every well that is asked for", found));
        }
        Ok(sites)
    }
}

/// The wells that are asked for.
fn choose(wells: &Wells, store: &Store, runs: &[AskedRun]) -> Result<Vec<WellId>> {
    let sites = store.sites().iter();
    let (wells, what): (BTreeSet<WellId>, &str) = match wells {
        Wells::Listed(wells) if wells.is_empty() => {
            return Err(Error::refused("--like", "a well or more", "none"));
        }
        Wells::Listed(wells) => return Ok(wells.clone()),
        Wells::Validation => {
            let validating = |run: &AskedRun| {
                let parts = run.parts.iter().filter(|(_, part)| **part == SplitPart::Validation);
                parts.map(|(well, _)| well.clone()).collect::<Vec<_>>()
            };
            (runs.iter().flat_map(validating).collect(), "validation wells of the runs")
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

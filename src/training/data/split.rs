//! Which wells are trained on and which validate, and which outputs a network has. The split of a run is written into
//! its folder once, and read from there by every later step. Pure, but for that.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::csv_table::{Header, Rows, to_csv};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, WellId};
use crate::store::Store;
use crate::store::format::rows::SiteRow;
use crate::suggest::unknown;
use crate::training::recipe::{Controls, Recipe, SplitBy};

use super::hold_out::{held_out_of_cell_type, n_parts, wells_at_random};
use super::unseen::unseen_classes;

/// The parts of `split.csv`.
const PARTS: &str = "train, validation, control, pretrained or pretrained-validation";

/// A row of `split.csv`.
#[derive(Serialize, Deserialize)]
struct WellRow {
    well_id: WellId,
    /// One of [`PARTS`].
    part: Cow<'static, str>,
}

/// What a well is to a run: what a figure of it says depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Its network never saw it, and nothing was chosen by it.
    Unseen,
    /// It chose the network among those of all epochs.
    Validation,
    /// It was trained on.
    Train,
}

impl Part {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Validation => "validation",
            Self::Train => "train",
        }
    }
}

/// The wells that a run was trained on or validated by; what is not among them is unseen.
pub type WellParts = BTreeMap<WellId, Part>;

/// Sites by their part, as indices of [`Store::sites`], in the store's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// What is trained on: treatments, and the controls that the recipe adds.
    pub train: Vec<usize>,
    /// What validates: treatments only.
    pub validation: Vec<usize>,
    /// What else the network knows that it starts from, where that is one of ours: wells that it was trained on, never
    /// what validates here, and wells that it was chosen by.
    pub pretrained: WellParts,
    /// What a user should know of it.
    pub warnings: Vec<String>,
}

impl Split {
    /// Splits a store's training set as a recipe says. It follows from the store, and from the recipe's
    /// split seed and fold.
    ///
    /// # Errors
    /// If there is nothing to train on, an experiment or a cell type is asked for that is not there, or a fold that holds
    /// out nothing that an earlier one does not.
    pub fn new(store: &Store, recipe: &Recipe) -> Result<Self> {
        let rows = store.sites();
        let wanted = Wanted::new(rows, recipe)?;
        let is_treatment = |row: &SiteRow| {
            row.label.dataset == "train" && row.label.class.is_some() && !row.label.population.is_control()
        };
        let candidates: Vec<usize> =
            (0..rows.len()).filter(|&i| is_treatment(&rows[i]) && wanted.has(&rows[i])).collect();
        if candidates.is_empty() {
            let expected =
                "treatments of the dataset train with a class, among the cell types and experiments asked for";
            return Err(Error::refused(store.root().display(), expected, "none"));
        }
        if recipe.split != SplitBy::Experiment && recipe.fold.k > 1 {
            let expected = format!("1/{}: folds are of experiments, with split = experiment", recipe.fold.n);
            return Err(Error::refused("--fold", expected, recipe.fold));
        }
        let mut warnings = Vec::new();
        let held_out: BTreeSet<&WellId> = match recipe.split {
            SplitBy::None => BTreeSet::new(),
            SplitBy::Well => wells_at_random(rows, &candidates, recipe.split_seed, recipe.validation_share),
            SplitBy::Experiment => {
                let mut held_out = BTreeSet::new();
                let mut by_cell_type: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
                for &i in &candidates {
                    by_cell_type.entry(rows[i].id.well.plate.experiment.cell_type()).or_default().push(i);
                }
                let most = by_cell_type.values().map(|sites| n_parts(rows, sites)).max().unwrap_or(1);
                if recipe.fold.k as usize > most {
                    let expected =
                        format!("1/{0} to {most}/{0}: no cell type has more parts to hold out", recipe.fold.n);
                    return Err(Error::refused("--fold", expected, recipe.fold));
                }
                for (cell_type, sites) in by_cell_type {
                    held_out.extend(held_out_of_cell_type(rows, cell_type, &sites, recipe, &mut warnings));
                }
                held_out
            }
        };
        let (validation, mut train): (Vec<usize>, Vec<usize>) =
            candidates.into_iter().partition(|&i| held_out.contains(&rows[i].id.well));
        if recipe.controls != Controls::None {
            let experiments: BTreeSet<&Experiment> = train.iter().map(|&i| &rows[i].id.well.plate.experiment).collect();
            let joins = |row: &SiteRow| {
                let labelled = row.label.population.is_control() && row.label.class.is_some() && wanted.has(row);
                let experiment = &row.id.well.plate.experiment;
                let joins = recipe.controls == Controls::All || experiments.contains(experiment);
                labelled && row.label.dataset == "train" && joins
            };
            train.extend((0..rows.len()).filter(|&i| joins(&rows[i])));
            train.sort_unstable();
        }
        warnings.extend(unseen_classes(rows, &train, &validation));
        Ok(Self { train, validation, pretrained: WellParts::new(), warnings })
    }

    /// The part of it that `keep` wants, by index of a site.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let part = |sites: &[usize]| sites.iter().copied().filter(|&i| keep(i)).collect();
        let [train, validation] = [&self.train, &self.validation].map(|sites| part(sites));
        Self { train, validation, ..Self::default() }
    }

    /// What each well is to a network that is trained by it.
    #[must_use]
    pub fn well_parts(&self, store: &Store) -> WellParts {
        let of = |sites: &[usize], part: Part| {
            sites.iter().map(|&i| (store.sites()[i].id.well.clone(), part)).collect::<Vec<_>>()
        };
        let own = of(&self.train, Part::Train).into_iter().chain(of(&self.validation, Part::Validation));
        self.pretrained.iter().map(|(well, part)| (well.clone(), *part)).chain(own).collect()
    }

    /// Takes note of what the network knows that it starts from.
    ///
    /// # Errors
    /// If it was trained on what validates; `place` names the network.
    pub fn start_from(&mut self, store: &Store, known_to_it: &WellParts, place: &str) -> Result<()> {
        let well = |&i: &usize| &store.sites()[i].id.well;
        let validation: BTreeSet<&WellId> = self.validation.iter().map(well).collect();
        let trained = known_to_it.iter().filter(|(_, part)| **part == Part::Train).map(|(well, _)| well);
        let known: Vec<&WellId> = trained.filter(|well| validation.contains(well)).collect();
        if let Some(first) = known.first() {
            let found = format!("{} of the {} wells that validate (such as {first})", known.len(), validation.len());
            let expected = "a network that was not trained on what validates (the same --fold and --split-seed)";
            return Err(Error::refused(place, expected, found));
        }
        let own: BTreeSet<&WellId> = self.train.iter().map(well).chain(validation).collect();
        self.pretrained =
            known_to_it.iter().filter(|(well, _)| !own.contains(well)).map(|(w, &p)| (w.clone(), p)).collect();
        Ok(())
    }

    /// The content of `split.csv`, a line a well.
    #[must_use]
    pub fn to_csv(&self, store: &Store) -> String {
        let mut parts: BTreeSet<(usize, &str)> = BTreeSet::new();
        let mut first: BTreeMap<&WellId, usize> = BTreeMap::new();
        for (sites, part) in [(&self.train, "train"), (&self.validation, "validation")] {
            for &i in sites {
                let row = &store.sites()[i];
                let part = if row.label.population.is_control() { "control" } else { part };
                let position = *first.entry(&row.id.well).or_insert(i);
                parts.insert((position, part));
            }
        }
        let row = |(position, part): (usize, &'static str)| {
            let well_id = store.sites()[position].id.well.clone();
            WellRow { well_id, part: part.into() }
        };
        let pretrained = self.pretrained.iter().map(|(well, part)| {
            let part = if *part == Part::Train { "pretrained" } else { "pretrained-validation" };
            WellRow { well_id: well.clone(), part: part.into() }
        });
        to_csv(&parts.into_iter().map(row).chain(pretrained).collect::<Vec<_>>())
    }

    /// What each well of the split of a run is to it, from its `split.csv`, whatever store is at hand.
    ///
    /// # Errors
    /// If it cannot be read, or names a well twice or a part that there is not.
    pub fn parts(path: &Path) -> Result<WellParts> {
        let place = path.display().to_string();
        let mut parts = WellParts::new();
        for row in Rows::open(&files::read_text(path)?, &place, Header::Exact)? {
            let (line, WellRow { well_id, part }) = row?;
            let part = match part.as_ref() {
                "train" | "control" | "pretrained" => Part::Train,
                "validation" | "pretrained-validation" => Part::Validation,
                other => return Err(Error::malformed(format!("{place}:{line}"), PARTS, other)),
            };
            if parts.insert(well_id.clone(), part).is_some() {
                return Err(Error::malformed(format!("{place}:{line}"), "a well of the store, once", well_id));
            }
        }
        Ok(parts)
    }

    /// The experiments that are trained on or validate.
    #[must_use]
    pub fn experiments<'s>(&self, store: &'s Store) -> BTreeSet<&'s str> {
        let sites = self.train.iter().chain(&self.validation);
        sites.map(|&i| store.sites()[i].id.well.plate.experiment.as_str()).collect()
    }

    /// Reads the split of a run, its `split.csv`.
    ///
    /// # Errors
    /// If it names a well that the store has not, or twice, or in a part that its label forbids.
    pub fn read(path: &Path, store: &Store) -> Result<Self> {
        Self::parse(&files::read_text(path)?, &path.display().to_string(), store)
    }

    fn parse(text: &str, place: &str, store: &Store) -> Result<Self> {
        let mut sites: BTreeMap<&WellId, Vec<usize>> = BTreeMap::new();
        for (i, row) in store.sites().iter().enumerate() {
            sites.entry(&row.id.well).or_default().push(i);
        }
        let mut split = Self::default();
        for row in Rows::open(text, place, Header::Exact)? {
            let (line, WellRow { well_id, part }) = row?;
            let found = || format!("{well_id},{part}");
            let malformed = |expected: &str| Error::malformed(format!("{place}:{line}"), expected, found());
            if let Some(part) = [("pretrained", Part::Train), ("pretrained-validation", Part::Validation)]
                .into_iter()
                .find_map(|(name, known)| (part == name).then_some(known))
            {
                split.pretrained.insert(well_id, part);
                continue;
            }
            // Taken out, so that a well that comes twice is not there the second time.
            let sites = sites.remove(&well_id).ok_or_else(|| malformed("a well of the store, once"))?;
            let label = &store.sites()[sites[0]].label;
            let may_train = label.dataset == "train" && label.class.is_some() && !label.population.is_control();
            match part.as_ref() {
                "train" if may_train => split.train.extend(sites),
                "validation" if may_train => split.validation.extend(sites),
                "control" if label.population.is_control() && label.class.is_some() && label.dataset == "train" => {
                    split.train.extend(sites);
                }
                "train" | "validation" => return Err(malformed("a labelled treatment of the dataset train")),
                "control" => return Err(malformed("a labelled control of the dataset train")),
                _ => return Err(malformed(PARTS)),
            }
        }
        split.train.sort_unstable();
        split.validation.sort_unstable();
        Ok(split)
    }
}

/// The cell types and experiments that a recipe asks for; all where it names none.
struct Wanted<'a> {
    cell_types: &'a [String],
    experiments: &'a [String],
}

impl<'a> Wanted<'a> {
    fn new(rows: &[SiteRow], recipe: &'a Recipe) -> Result<Self> {
        let experiments: BTreeSet<&Experiment> = rows.iter().map(|row| &row.id.well.plate.experiment).collect();
        let names: BTreeSet<&str> = experiments.iter().map(|e| e.as_str()).collect();
        let cell_types: BTreeSet<&str> = experiments.iter().map(|e| e.cell_type()).collect();
        for (flag, asked, known) in
            [("experiments", &recipe.experiments, &names), ("cell-type", &recipe.cell_type, &cell_types)]
        {
            if let Some(name) = asked.iter().find(|name| !known.contains(name.as_str())) {
                return Err(unknown(flag, "one of the store's", name, known.iter().copied()));
            }
        }
        Ok(Self { cell_types: &recipe.cell_type, experiments: &recipe.experiments })
    }

    fn has(&self, row: &SiteRow) -> bool {
        let experiment = &row.id.well.plate.experiment;
        let among = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
        among(self.cell_types, experiment.cell_type()) && among(self.experiments, experiment.as_str())
    }
}

#[cfg(test)]
mod tests;

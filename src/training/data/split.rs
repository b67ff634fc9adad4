//! Which wells are trained on and which validate, and which outputs a network has. The split of a run is written into
//! its folder once, and read from there by every later step. Pure, but for that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

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

/// A row of `split.csv`.
#[derive(Serialize, Deserialize)]
struct WellRow {
    well_id: WellId,
    part: SplitPart,
}

/// What `split.csv` says of a well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray, IntoStaticStr)]
#[serde(try_from = "String", into = "&'static str")]
#[strum(serialize_all = "kebab-case")]
pub enum SplitPart {
    /// A treatment that is trained on.
    Train,
    /// A treatment that validates.
    Validation,
    /// A control that is trained on.
    Control,
    /// What the network was trained on before, which this run starts from.
    Pretrained,
    /// What that network was chosen by.
    PretrainedValidation,
}

impl TryFrom<String> for SplitPart {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let part = Self::VARIANTS.iter().copied().find(|part| <&str>::from(*part) == text);
        part.ok_or("train, validation, control, pretrained or pretrained-validation")
    }
}

impl SplitPart {
    /// What the well is to the run's network.
    #[must_use]
    pub fn part(self) -> Part {
        match self {
            Self::Train | Self::Control | Self::Pretrained => Part::Train,
            Self::Validation | Self::PretrainedValidation => Part::Validation,
        }
    }
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

/// What a run's network knows of wells; what is not among them is unseen.
pub type WellParts = BTreeMap<WellId, SplitPart>;

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
        let train = self.train.iter().map(|&i| {
            let SiteRow { id, label, .. } = &store.sites()[i];
            let part = if label.population.is_control() { SplitPart::Control } else { SplitPart::Train };
            (id.well.clone(), part)
        });
        let validation = self.validation.iter().map(|&i| (store.sites()[i].id.well.clone(), SplitPart::Validation));
        self.pretrained.iter().map(|(well, part)| (well.clone(), *part)).chain(train).chain(validation).collect()
    }

    /// Takes note of what the network knows that it starts from.
    ///
    /// # Errors
    /// If it was trained on what validates; `place` names the network.
    pub fn start_from(&mut self, store: &Store, known_to_it: &WellParts, place: &str) -> Result<()> {
        let well = |&i: &usize| &store.sites()[i].id.well;
        let validation: BTreeSet<&WellId> = self.validation.iter().map(well).collect();
        let trained = known_to_it.iter().filter(|(_, part)| part.part() == Part::Train).map(|(well, _)| well);
        let known: Vec<&WellId> = trained.filter(|well| validation.contains(well)).collect();
        if let Some(first) = known.first() {
            let found = format!("{} of the {} wells that validate (such as {first})", known.len(), validation.len());
            let expected = "a network that was not trained on what validates (the same --fold and --split-seed)";
            return Err(Error::refused(place, expected, found));
        }
        let own: BTreeSet<&WellId> = self.train.iter().map(well).chain(validation).collect();
        let others = known_to_it.iter().filter(|(well, _)| !own.contains(well));
        let before = |part: &SplitPart| match part.part() {
            Part::Train => SplitPart::Pretrained,
            Part::Validation | Part::Unseen => SplitPart::PretrainedValidation,
        };
        self.pretrained = others.map(|(well, part)| (well.clone(), before(part))).collect();
        Ok(())
    }

    /// The content of `split.csv`, a line a well: in the order of the store, then what was known before.
    #[must_use]
    pub fn to_csv(&self, store: &Store) -> String {
        let mut first: BTreeMap<&WellId, usize> = BTreeMap::new();
        for (i, row) in store.sites().iter().enumerate() {
            first.entry(&row.id.well).or_insert(i);
        }
        let (pretrained, mut own): (Vec<_>, Vec<_>) =
            self.well_parts(store).into_iter().partition(|(well, _)| self.pretrained.contains_key(well));
        own.sort_by_key(|(well, _)| first.get(well).copied());
        let row = |(well_id, part)| WellRow { well_id, part };
        to_csv(&own.into_iter().chain(pretrained).map(row).collect::<Vec<_>>())
    }

    /// What `split.csv` says of each well, whatever store is at hand.
    ///
    /// # Errors
    /// If it cannot be read, or names a well twice or a part that there is not.
    pub fn parts(path: &Path) -> Result<WellParts> {
        let rows = Self::rows(&files::read_text(path)?, &path.display().to_string())?;
        Ok(rows.into_iter().map(|(_, WellRow { well_id, part })| (well_id, part)).collect())
    }

    /// The rows of a `split.csv`, each with its line.
    fn rows(text: &str, place: &str) -> Result<Vec<(u64, WellRow)>> {
        let mut known = BTreeSet::new();
        let mut rows = Vec::new();
        for row in Rows::<WellRow>::open(text, place, Header::Exact)? {
            let (line, row) = row?;
            if !known.insert(row.well_id.clone()) {
                return Err(Error::malformed(format!("{place}:{line}"), "a well of the store, once", &row.well_id));
            }
            rows.push((line, row));
        }
        Ok(rows)
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
        for (line, WellRow { well_id, part }) in Self::rows(text, place)? {
            let malformed = |expected: &str| Error::malformed(format!("{place}:{line}"), expected, &well_id);
            if matches!(part, SplitPart::Pretrained | SplitPart::PretrainedValidation) {
                split.pretrained.insert(well_id, part);
                continue;
            }
            let sites = sites.remove(&well_id).ok_or_else(|| malformed("a well of the store, once"))?;
            let label = &store.sites()[sites[0]].label;
            let (is_control, is_labelled) = (label.population.is_control(), label.class.is_some());
            if label.dataset != "train" || !is_labelled || is_control != (part == SplitPart::Control) {
                let kind = if part == SplitPart::Control { "control" } else { "treatment" };
                return Err(malformed(&format!("a labelled {kind} of the dataset train")));
            }
            if part == SplitPart::Validation { split.validation.extend(sites) } else { split.train.extend(sites) }
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

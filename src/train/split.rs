//! Which wells are trained on and which validate, and which outputs a network has. The split of a run is written into
//! its folder once, and read from there by every later step. Pure, but for that.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result, read_text};
use crate::feed::mix;
use crate::runs::{RunFolder, SPLIT};
use crate::site::{Experiment, PlateId, Population, WellId};
use crate::store::Store;
use crate::store::rows::SiteRow;

use super::recipe::{Controls, Recipe, SplitBy};
use super::suggest::unknown;

const HEADER: &str = "well_id,part";

/// The outputs of a network: the classes of all treatments in order, then, where controls are trained on, theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    classes: Vec<u32>,
    n_treatments: usize,
}

impl ClassMap {
    /// The outputs that a recipe needs on a store.
    ///
    /// # Errors
    /// If the store has fewer than two classes of treatments.
    pub fn new(store: &Store, recipe: &Recipe) -> Result<Self> {
        let of = |wanted: fn(Population) -> bool| {
            let rows = store.classes().rows().iter().filter(move |row| wanted(row.population));
            rows.map(|row| row.class).collect::<Vec<u32>>()
        };
        let mut classes = of(|population| matches!(population, Population::Treatment | Population::Unknown));
        let n_treatments = classes.len();
        if n_treatments < 2 {
            let expected = "two classes of treatments or more";
            return Err(Error::refused(store.root().display(), expected, n_treatments));
        }
        if recipe.controls != Controls::None {
            classes.extend(of(is_control));
        }
        Ok(Self { classes, n_treatments })
    }

    /// The class of each output.
    #[must_use]
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// How many outputs are treatments; they come first.
    #[must_use]
    pub fn n_treatments(&self) -> usize {
        self.n_treatments
    }

    /// The output of a class.
    #[must_use]
    pub fn output(&self, class: u32) -> Option<usize> {
        let (treatments, controls) = self.classes.split_at(self.n_treatments);
        let control = || controls.binary_search(&class).ok().map(|i| i + self.n_treatments);
        treatments.binary_search(&class).ok().or_else(control)
    }
}

/// Sites by their part, as indices of [`Store::sites`], in the store's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// What is trained on: treatments, and the controls that the recipe adds.
    pub train: Vec<usize>,
    /// What validates: treatments only.
    pub validation: Vec<usize>,
    /// What a user should know of it.
    pub warnings: Vec<String>,
}

impl Split {
    /// Splits a store's training set as a recipe says. It follows from the store, and from the recipe's seed and fold.
    ///
    /// # Errors
    /// If there is nothing to train on, or an experiment or a cell type is asked for that is not there.
    pub fn new(store: &Store, recipe: &Recipe) -> Result<Self> {
        let rows = store.sites();
        let wanted = Wanted::new(rows, recipe)?;
        let is_treatment = |row: &SiteRow| {
            row.label.dataset == "train" && row.label.class.is_some() && !is_control(row.label.population)
        };
        let candidates: Vec<usize> =
            (0..rows.len()).filter(|&i| is_treatment(&rows[i]) && wanted.has(&rows[i])).collect();
        if candidates.is_empty() {
            let expected = "wells of the dataset train with a class (has the store labels?)";
            return Err(Error::refused(store.root().display(), expected, "none"));
        }
        let mut warnings = Vec::new();
        let held_out: BTreeSet<&WellId> = match recipe.split {
            SplitBy::None => BTreeSet::new(),
            SplitBy::Well => wells_at_random(rows, &candidates, recipe.seed, recipe.validation_share),
            SplitBy::Experiment => {
                let mut held_out = BTreeSet::new();
                let mut by_cell_type: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
                for &i in &candidates {
                    by_cell_type.entry(rows[i].id.well.plate.experiment.cell_type()).or_default().push(i);
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
                let labelled = is_control(row.label.population) && row.label.class.is_some() && wanted.has(row);
                let experiment = &row.id.well.plate.experiment;
                let of_train = row.label.dataset == "train" && experiments.contains(experiment);
                labelled && (recipe.controls == Controls::All || of_train)
            };
            train.extend((0..rows.len()).filter(|&i| joins(&rows[i])));
            train.sort_unstable();
        }
        Ok(Self { train, validation, warnings })
    }

    /// The part of it that `keep` wants, by index of a site.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let part = |sites: &[usize]| sites.iter().copied().filter(|&i| keep(i)).collect();
        Self { train: part(&self.train), validation: part(&self.validation), warnings: Vec::new() }
    }

    /// The content of `split.csv`, a line a well.
    #[must_use]
    pub fn to_csv(&self, store: &Store) -> String {
        let mut lines: BTreeSet<(usize, String)> = BTreeSet::new();
        let mut first: BTreeMap<&WellId, usize> = BTreeMap::new();
        for (sites, part) in [(&self.train, "train"), (&self.validation, "validation")] {
            for &i in sites {
                let row = &store.sites()[i];
                let part = if is_control(row.label.population) { "control" } else { part };
                let position = *first.entry(&row.id.well).or_insert(i);
                lines.insert((position, format!("{},{part}\n", row.id.well)));
            }
        }
        lines.into_iter().fold(format!("{HEADER}\n"), |csv, (_, line)| csv + &line)
    }

    /// Reads the split of a run.
    ///
    /// # Errors
    /// If it names a well that the store has not, or twice, or in a part that its label forbids.
    pub fn read(folder: &RunFolder, store: &Store) -> Result<Self> {
        let path = folder.file(SPLIT);
        Self::parse(&read_text(&path)?, &path.display().to_string(), store)
    }

    fn parse(text: &str, place: &str, store: &Store) -> Result<Self> {
        let mut lines = (1..).zip(text.lines());
        if lines.next().map(|(_, line)| line) != Some(HEADER) {
            return Err(Error::malformed(format!("{place}:1"), HEADER, "another header"));
        }
        let mut sites: BTreeMap<&WellId, Vec<usize>> = BTreeMap::new();
        for (i, row) in store.sites().iter().enumerate() {
            sites.entry(&row.id.well).or_default().push(i);
        }
        let mut split = Self::default();
        for (number, line) in lines {
            let malformed = |expected: &str| Error::malformed(format!("{place}:{number}"), expected, line);
            let (well, part) = line.split_once(',').ok_or_else(|| malformed(HEADER))?;
            let well: WellId = well.parse().map_err(|_| malformed("a well"))?;
            // Taken out, so that a well that comes twice is not there the second time.
            let sites = sites.remove(&well).ok_or_else(|| malformed("a well of the store, once"))?;
            let label = &store.sites()[sites[0]].label;
            let may_train = label.dataset == "train" && label.class.is_some() && !is_control(label.population);
            match part {
                "train" if may_train => split.train.extend(sites),
                "validation" if may_train => split.validation.extend(sites),
                "control" if is_control(label.population) && label.class.is_some() => split.train.extend(sites),
                "train" | "validation" => return Err(malformed("a labelled treatment of the dataset train")),
                "control" => return Err(malformed("a labelled control")),
                _ => return Err(malformed("train, validation or control")),
            }
        }
        split.train.sort_unstable();
        split.validation.sort_unstable();
        Ok(split)
    }
}

fn is_control(population: Population) -> bool {
    matches!(population, Population::NegativeControl | Population::PositiveControl)
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

/// What validates of one cell type: experiments where it has two or more, plates of its only one, wells of its only
/// plate.
fn held_out_of_cell_type<'a>(
    rows: &'a [SiteRow],
    cell_type: &str,
    sites: &[usize],
    recipe: &Recipe,
    warnings: &mut Vec<String>,
) -> BTreeSet<&'a WellId> {
    let plate = |i: usize| &rows[i].id.well.plate;
    let experiments: BTreeSet<&Experiment> = sites.iter().map(|&i| &plate(i).experiment).collect();
    let plates: BTreeSet<&PlateId> = sites.iter().map(|&i| plate(i)).collect();
    let wells = |keep: &dyn Fn(usize) -> bool| {
        sites.iter().filter(|&&i| keep(i)).map(|&i| &rows[i].id.well).collect::<BTreeSet<_>>()
    };
    if experiments.len() > 1 {
        let fold = held_out_of(experiments, recipe, cell_type);
        wells(&|i| fold.contains(&&plate(i).experiment))
    } else if plates.len() > 1 {
        let fold = held_out_of(plates, recipe, cell_type);
        let names: Vec<String> = fold.iter().map(ToString::to_string).collect();
        warnings.push(format!(
            "{cell_type} has one experiment to train on: it is validated on {}, which flatters",
            names.join(", "),
        ));
        wells(&|i| fold.contains(&plate(i)))
    } else {
        warnings.push(format!("{cell_type} has one plate to train on: it is validated on wells of it, which flatters"));
        wells_at_random(rows, sites, recipe.seed, 1.0 / f64::from(recipe.fold.n))
    }
}

/// The fold of `items` that validates: shuffled by the seed and dealt out one by one. There are no more folds than
/// items, so that each side gets one.
fn held_out_of<T: Ord>(items: BTreeSet<T>, recipe: &Recipe, salt: &str) -> Vec<T> {
    let salt = u64::from(crc32c::crc32c(salt.as_bytes()));
    let mut items: Vec<(u64, T)> = (0..).zip(items).map(|(i, item)| (mix(mix(recipe.seed ^ salt) ^ i), item)).collect();
    items.sort();
    let n_folds = (recipe.fold.n as usize).min(items.len());
    let k = (recipe.fold.k as usize - 1) % n_folds;
    items.into_iter().enumerate().filter(|(i, _)| i % n_folds == k).map(|(_, (_, item))| item).collect()
}

/// A share of the wells at random, of each class its part, at least one well in all.
fn wells_at_random<'a>(rows: &'a [SiteRow], sites: &[usize], seed: u64, share: f64) -> BTreeSet<&'a WellId> {
    let mut by_class: BTreeMap<Option<u32>, BTreeSet<&WellId>> = BTreeMap::new();
    for &i in sites {
        by_class.entry(rows[i].label.class).or_default().insert(&rows[i].id.well);
    }
    let hash = |well: &WellId| mix(mix(seed) ^ u64::from(crc32c::crc32c(well.to_string().as_bytes())));
    let mut chosen = BTreeSet::new();
    // What a class gets is rounded so that the shares of all add up: the rest is carried on to the next class.
    let mut due = 0.5;
    for wells in by_class.into_values() {
        let mut wells: Vec<&WellId> = wells.into_iter().collect();
        wells.sort_by_key(|well| hash(well));
        due += share * wells.len() as f64;
        let n = (due.floor() as usize).min(wells.len());
        due -= n as f64;
        chosen.extend(wells.into_iter().take(n));
    }
    chosen
}

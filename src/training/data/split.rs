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

use super::hold_out::{held_out_of_cell_type, wells_at_random};
use super::unseen::unseen_classes;

/// A row of `split.csv`.
#[derive(Serialize, Deserialize)]
struct WellRow {
    well_id: WellId,
    /// `train`, `validation` or `control`.
    part: Cow<'static, str>,
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
            row.label.dataset == "train" && row.label.class.is_some() && !row.label.population.is_control()
        };
        let candidates: Vec<usize> =
            (0..rows.len()).filter(|&i| is_treatment(&rows[i]) && wanted.has(&rows[i])).collect();
        if candidates.is_empty() {
            let expected =
                "treatments of the dataset train with a class, among the cell types and experiments asked for";
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
                let labelled = row.label.population.is_control() && row.label.class.is_some() && wanted.has(row);
                let experiment = &row.id.well.plate.experiment;
                let joins = recipe.controls == Controls::All || experiments.contains(experiment);
                labelled && row.label.dataset == "train" && joins
            };
            train.extend((0..rows.len()).filter(|&i| joins(&rows[i])));
            train.sort_unstable();
        }
        warnings.extend(unseen_classes(rows, &train, &validation));
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
        to_csv(&parts.into_iter().map(row).collect::<Vec<_>>())
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
                _ => return Err(malformed("train, validation or control")),
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
mod tests {
    use super::*;
    use crate::site::Population;
    use crate::training::data::ClassMap;
    use crate::training::recipe::Fold;
    use proptest::prelude::*;

    /// A store's tables without its pixels: experiments by name with their dataset, plates, and wells; every plate has
    /// a negative and a positive control, and treatments of classes 0 to 4.
    fn store(dir: &Path, experiments: &[(&str, &str)], n_plates: u16, n_wells: u16) -> Store {
        let mut rows = Vec::new();
        for (experiment, dataset) in experiments {
            for plate in 1..=n_plates {
                for i in 0..2 * n_wells {
                    let well = crate::site::Well::new(1 + i / 2 / 20, 2 + i / 2 % 20).to_string();
                    let id = crate::site::SiteId::new(experiment, plate, &well, 1 + i % 2).unwrap();
                    let (population, class) = match i / 2 {
                        0 => (Population::NegativeControl, 6),
                        1 => (Population::PositiveControl, 5),
                        n => (Population::Treatment, u32::from(n % 5)),
                    };
                    let known = *dataset == "train" || population != Population::Treatment;
                    let label = crate::site::Label {
                        dataset: (*dataset).into(),
                        population,
                        sirna: format!("s{class}").into(),
                        class: known.then_some(class),
                    };
                    rows.push(SiteRow { id, label, row: u32::from(i), crc32c: 0 });
                }
            }
        }
        let mut classes = "class,sirna,well_type\n".to_owned();
        for class in 0..7 {
            let kind = ["treatment", "positive_control", "negative_control"][(class.max(4) - 4) as usize];
            classes += &format!("{class},s{class},{kind}\n");
        }
        std::fs::create_dir_all(dir.join("pixels.zarr")).unwrap();
        let spec = crate::store::format::spec::tests::spec(crate::store::Codec::Raw);
        std::fs::write(dir.join("pixels.zarr/zarr.json"), spec.root_document()).unwrap();
        std::fs::write(dir.join("metadata.csv"), to_csv(&rows)).unwrap();
        std::fs::write(dir.join("classes.csv"), classes).unwrap();
        std::fs::write(dir.join("SHA256SUMS"), "").unwrap();
        Store::open(dir).unwrap()
    }

    const EXPERIMENTS: [(&str, &str); 9] = [
        ("HEPG2-01", "train"),
        ("HEPG2-02", "train"),
        ("HEPG2-03", "train"),
        ("HUVEC-01", "train"),
        ("HUVEC-02", "train"),
        ("HUVEC-03", "test"),
        ("RPE-01", "train"),
        ("RPE-02", "test"),
        ("U2OS-01", "train"),
    ];

    fn names<'a>(store: &'a Store, sites: &[usize]) -> BTreeSet<&'a str> {
        sites.iter().map(|&i| store.sites()[i].id.well.plate.experiment.as_str()).collect()
    }

    #[test]
    fn each_cell_type_has_an_experiment_on_either_side_and_one_with_a_single_one_is_split_by_plate() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), &EXPERIMENTS, 3, 12);
        let split = Split::new(&store, &Recipe::default()).unwrap();
        let (train, validation) = (names(&store, &split.train), names(&store, &split.validation));
        for cell_type in ["HEPG2", "HUVEC", "RPE", "U2OS"] {
            let of = |names: &BTreeSet<&str>| names.iter().filter(|name| name.starts_with(cell_type)).count();
            assert!(of(&train) > 0 && of(&validation) > 0, "{cell_type}");
        }
        let shared: Vec<_> = train.intersection(&validation).copied().collect();
        assert_eq!(shared, ["RPE-01", "U2OS-01"], "split by plate");
        assert_eq!(split.warnings.len(), 2, "{:?}", split.warnings);
        let plates = |sites: &[usize]| sites.iter().map(|&i| &store.sites()[i].id.well.plate).collect::<BTreeSet<_>>();
        assert!(plates(&split.train).is_disjoint(&plates(&split.validation)));
    }

    #[test]
    fn the_folds_together_validate_every_experiment_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), &EXPERIMENTS, 2, 12);
        let mut validated = Vec::new();
        for k in 1..=3 {
            let recipe = Recipe { fold: Fold { k, n: 3 }, cell_type: vec!["HEPG2".into()], ..Recipe::default() };
            validated.extend(names(&store, &Split::new(&store, &recipe).unwrap().validation));
        }
        validated.sort_unstable();
        assert_eq!(validated, ["HEPG2-01", "HEPG2-02", "HEPG2-03"]);
    }

    #[test]
    fn controls_join_training_only_and_never_validate() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), &EXPERIMENTS, 2, 12);
        let of = |controls| {
            let split = Split::new(&store, &Recipe { controls, ..Recipe::default() }).unwrap();
            let is = |&&i: &&usize| store.sites()[i].label.population.is_control();
            assert_eq!(split.validation.iter().filter(is).count(), 0);
            let controls: Vec<usize> = split.train.iter().filter(is).copied().collect();
            (controls.len(), names(&store, &controls).contains("RPE-02"))
        };
        let (none, train, all) = (of(Controls::None), of(Controls::Train), of(Controls::All));
        // Seven experiments of the dataset train, two plates, two wells, two sites; never one of the test set.
        assert_eq!((none, all), ((0, false), (7 * 2 * 2 * 2, false)));
        assert!(train.0 > 0 && train.0 < all.0 && !train.1);
        let classes = |controls| ClassMap::new(&store, &Recipe { controls, ..Recipe::default() }).unwrap();
        assert_eq!(classes(Controls::None).classes(), [0, 1, 2, 3, 4]);
        let with_controls = classes(Controls::All);
        assert_eq!((with_controls.classes(), with_controls.n_treatments()), (&[0, 1, 2, 3, 4, 5, 6][..], 5));
        assert_eq!((with_controls.output(6), with_controls.output(7)), (Some(6), None));
    }

    #[test]
    fn refuses_names_that_are_not_there_and_stores_without_labels() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir.path().join("a"), &EXPERIMENTS, 1, 12);
        let refused = |recipe: Recipe| Split::new(&store, &recipe).unwrap_err().to_string();
        let error = refused(Recipe { cell_type: vec!["HUVECS".into()], ..Recipe::default() });
        assert!(error.contains("nearest: HUVEC"), "{error}");
        let error = refused(Recipe { experiments: vec!["HUVEC-3".into()], ..Recipe::default() });
        assert!(error.contains("nearest: HUVEC-03"), "{error}");
        let error = refused(Recipe { experiments: vec!["HUVEC-03".into()], ..Recipe::default() });
        assert!(error.contains("dataset train"), "{error}");
    }

    #[test]
    fn a_split_is_written_a_line_a_well_in_the_order_of_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), &EXPERIMENTS[..1], 1, 4);
        let split = Split { train: (0..4).chain(6..8).collect(), validation: vec![4, 5], warnings: Vec::new() };
        let text = "well_id,part\nHEPG2-01_1_B02,control\nHEPG2-01_1_B03,control\nHEPG2-01_1_B04,validation\n\
                    HEPG2-01_1_B05,train\n";
        assert_eq!(split.to_csv(&store), text);
        assert_eq!(Split::default().to_csv(&store), "well_id,part\n");
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            assert_eq!(Split::parse(&text, "split.csv", &store).unwrap(), split);
        }
    }

    #[test]
    fn a_split_that_lies_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), &EXPERIMENTS, 1, 12);
        let parse = |text: &str| Split::parse(text, "split.csv", &store).map(|_| ()).map_err(|e| e.to_string());
        assert!(parse("well_id,part\nHEPG2-01_1_B04,train\nHEPG2-01_1_B02,control\n").is_ok());
        for (line, expected) in [
            ("HEPG2-01_1_B04", "well_id,part"),
            ("B04,train", "a well"),
            ("HEPG2-09_1_B04,train", "of the store"),
            ("HUVEC-03_1_B04,train", "dataset train"),
            ("HEPG2-01_1_B02,validation", "labelled treatment"),
            ("HEPG2-01_1_B04,control", "labelled control"),
            ("RPE-02_1_B02,control", "dataset train"),
            ("HEPG2-01_1_B04,test", "train, validation or control"),
            ("HEPG2-01_1_B04,train\nHEPG2-01_1_B04,validation", "once"),
        ] {
            let error = parse(&format!("well_id,part\n{line}\n")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(parse("well,part\n").is_err() && parse("").is_err());
    }

    proptest! {
        #[test]
        fn no_well_is_on_both_sides_and_none_of_the_test_set_on_any(
            seed: u64, k in 1_u32..=4, by in 0..3_usize, n_plates in 1_u16..4, share in 0.05_f64..0.6,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = store(dir.path(), &EXPERIMENTS, n_plates, 14);
            let split = [SplitBy::Experiment, SplitBy::Well, SplitBy::None][by];
            let recipe = Recipe { seed, split, fold: Fold { k, n: 4 }, validation_share: share, controls: Controls::All, ..Recipe::default() };
            let found = Split::new(&store, &recipe).unwrap();
            prop_assert_eq!(&found, &Split::new(&store, &recipe).unwrap());
            let wells = |sites: &[usize]| sites.iter().map(|&i| store.sites()[i].id.well.clone()).collect::<BTreeSet<_>>();
            let (train, validation) = (wells(&found.train), wells(&found.validation));
            prop_assert!(train.is_disjoint(&validation));
            prop_assert_eq!(validation.is_empty(), split == SplitBy::None);
            let row = |&i: &usize| &store.sites()[i];
            prop_assert!(found.train.iter().map(row).all(|r| r.label.class.is_some()));
            prop_assert!(found.validation.iter().map(row).all(|r| r.label.dataset == "train" && !r.label.population.is_control()));
            // All that may be trained on is on one side.
            let n = store.sites().iter().filter(|r| r.label.dataset == "train" && !r.label.population.is_control()).count();
            let treated = found.train.iter().map(row).filter(|r| !r.label.population.is_control()).count();
            prop_assert_eq!(treated + found.validation.len(), n);
            // And it is read back as it was written.
            let read = Split::parse(&found.to_csv(&store), "split.csv", &store).unwrap();
            prop_assert_eq!((read.train, read.validation), (found.train.clone(), found.validation.clone()));
            if split == SplitBy::Well {
                let expected = share * (n / 2) as f64;
                prop_assert!((validation.len() as f64 - expected).abs() <= 1.0, "{} {expected}", validation.len());
            }
        }
    }
}

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
fn a_fold_that_repeats_another_is_told_and_one_that_does_so_for_all_cell_types_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &EXPERIMENTS, 2, 12);
    let fold = |cell_types: &[&str], k| {
        let cell_type = cell_types.iter().map(|name| (*name).to_owned()).collect();
        let recipe = Recipe { fold: Fold { k, n: 5 }, cell_type, ..Recipe::default() };
        Split::new(&store, &recipe).map_err(|e| e.to_string())
    };
    let told =
        |split: &Split| split.warnings.iter().filter(|w| w.contains("holds out what")).cloned().collect::<Vec<_>>();
    // HEPG2 has three experiments of the training set, HUVEC two, U2OS one with two plates.
    let all = ["HEPG2", "HUVEC", "U2OS"];
    let folds: Vec<Split> = (1..=3).map(|k| fold(&all, k).unwrap()).collect();
    assert_eq!((told(&folds[0]), told(&folds[1])), (vec![], vec![]));
    assert_eq!(
        told(&folds[2]),
        ["HUVEC", "U2OS"]
            .map(|name| { format!("{name} has fewer parts to hold out: fold 3/5 holds out what 1/5 does") })
    );
    let of = |split: &Split, name: &str| {
        names(&store, &split.validation).into_iter().filter(|e| e.starts_with(name)).collect::<Vec<_>>()
    };
    assert_eq!(of(&folds[2], "HUVEC"), of(&folds[0], "HUVEC"));
    assert_ne!(of(&folds[1], "HUVEC"), of(&folds[0], "HUVEC"));
    for (cell_types, k, most) in [(&all[..], 4, 3), (&["HUVEC"], 3, 2), (&["U2OS"], 5, 2)] {
        let error = fold(cell_types, k).unwrap_err();
        assert!(error.starts_with(&format!("--fold: expected 1/5 to {most}/5")), "{error}");
    }
    let wells = Recipe { split: SplitBy::Well, fold: Fold { k: 2, n: 5 }, ..Recipe::default() };
    assert!(Split::new(&store, &wells).unwrap_err().to_string().starts_with("--fold: expected 1/5"));
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
    let split = Split { train: (0..4).chain(6..8).collect(), validation: vec![4, 5], ..Split::default() };
    let text = "well_id,part\nHEPG2-01_1_B02,control\nHEPG2-01_1_B03,control\nHEPG2-01_1_B04,validation\n\
                HEPG2-01_1_B05,train\n";
    assert_eq!(split.to_csv(&store), text);
    assert_eq!(Split::default().to_csv(&store), "well_id,part\n");
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        assert_eq!(Split::parse(&text, "split.csv", &store).unwrap(), split);
    }
}

#[test]
fn what_a_network_was_trained_on_that_a_run_starts_from_never_validates() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &EXPERIMENTS[..1], 1, 6);
    let well = |name: &str| format!("HEPG2-01_1_{name}").parse::<WellId>().unwrap();
    let other: WellId = "U2OS-07_1_B09".parse().unwrap();
    let mut split = Split { train: vec![6, 7], validation: vec![4, 5], ..Split::default() };
    let error = split
        .start_from(
            &store,
            &[(well("B04"), SplitPart::Train), (well("B05"), SplitPart::Control)].into(),
            "a.safetensors",
        )
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("a.safetensors: expected a network") && error.contains("1 of the 1 wells"), "{error}");
    // What is trained on anyway is no news; a store need not have what is.
    let [trained, chosen] = [SplitPart::Train, SplitPart::Validation];
    let known = [(well("B04"), chosen), (well("B05"), trained), (well("B06"), trained), (other.clone(), chosen)];
    split.start_from(&store, &known.into(), "a.safetensors").unwrap();
    let text = split.to_csv(&store);
    assert_eq!(
        text,
        "well_id,part\nHEPG2-01_1_B04,validation\nHEPG2-01_1_B05,train\nHEPG2-01_1_B06,pretrained\n\
         U2OS-07_1_B09,pretrained-validation\n"
    );
    let path = dir.path().join("split.csv");
    std::fs::write(&path, text).unwrap();
    assert_eq!(Split::read(&path, &store).unwrap(), split);
    let parts = Split::parts(&path).unwrap();
    let expected = [(well("B04"), chosen), (well("B05"), trained), (well("B06"), SplitPart::Pretrained)];
    assert_eq!(parts, expected.into_iter().chain([(other, SplitPart::PretrainedValidation)]).collect());
    assert_eq!(split.well_parts(&store), parts);
    std::fs::write(&path, "well_id,part\nHEPG2-01_1_B04,test\n").unwrap();
    assert!(Split::parts(&path).unwrap_err().to_string().contains("pretrained"));
    std::fs::write(&path, "well_id,part\nHEPG2-01_1_B04,train\nHEPG2-01_1_B04,validation\n").unwrap();
    assert!(Split::parts(&path).unwrap_err().to_string().contains("once"));
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
        ("HEPG2-01_1_B04,test", "pretrained-validation"),
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
        split_seed: u64, k in 1_u32..=4, by in 0..3_usize, n_plates in 1_u16..4, share in 0.05_f64..0.6,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), &EXPERIMENTS, n_plates, 14);
        let split = [SplitBy::Experiment, SplitBy::Well, SplitBy::None][by];
        let recipe = Recipe { split_seed, split, fold: Fold { k, n: 4 }, validation_share: share, controls: Controls::All, ..Recipe::default() };
        let found = Split::new(&store, &recipe);
        // Three experiments of one cell type, or wells of an only plate; wells at random have no folds.
        let most = match split {
            SplitBy::Experiment if n_plates == 1 => 12,
            SplitBy::Experiment => 3,
            _ => 1,
        };
        if k > most {
            prop_assert!(found.unwrap_err().to_string().starts_with("--fold: expected 1/4"));
            return Ok(());
        }
        let found = found.unwrap();
        let other_seed = Recipe { seed: split_seed ^ 1, ..recipe.clone() };
        prop_assert_eq!(&found, &Split::new(&store, &other_seed).unwrap(), "only split-seed counts");
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

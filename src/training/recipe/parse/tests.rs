use super::*;
use crate::training::recipe::{
    Architecture, BatchBy, Controls, Fold, Normalize, Optimizer, Precision, Schedule, SplitBy, Watch,
};
use proptest::prelude::*;
use strum::VariantArray;

use crate::training::recipe::options::Choice;

#[test]
fn every_field_is_a_key_and_every_key_a_field() {
    let table = Recipe { init_from: Some("x".into()), ..Recipe::default() }.table();
    let fields: Vec<&str> = table.keys().map(String::as_str).collect();
    let mut keys: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    let in_order = keys.clone();
    keys.sort_unstable();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, keys);
    assert_eq!(in_order.len(), fields.len());
}

#[test]
fn the_recipes_that_ship_are_well_formed() {
    for (name, _) in BUNDLED {
        let (found, recipe) = Recipe::named(name).unwrap();
        assert_eq!(found, name);
        assert_eq!(Recipe::parse(&recipe.to_toml(), "x").unwrap(), recipe);
    }
    let report = Recipe::named("base-cnn").unwrap().1;
    assert_eq!((report.model, report.epochs, report.lr), (Architecture::BaseCnn, 2, 3e-4));
    let report = Recipe::named("resnet50").unwrap().1;
    assert_eq!((report.optimizer, report.lr, report.gamma, report.epochs), (Optimizer::Adam, 6e-4, 0.9, 15));
    assert!(Recipe::named("two-step").unwrap().1.two_step);
}

#[test]
fn the_second_step_is_read_back_as_it_is_written_and_has_a_seed_and_a_warm_up_of_its_own() {
    let text = "two-step = true\nwarmup-epochs = 2.0\nepochs = 4\nsecond-epochs = 1\nsecond-lr = 1e-12\nseed = 5";
    let first = Recipe::parse(text, "x").unwrap();
    let second = first.second_step();
    assert_eq!(Recipe::parse(&second.to_toml(), "x").unwrap(), second);
    assert_eq!((second.epochs, second.lr, second.warmup_epochs, second.two_step), (1, 1e-12, 0.0, false));
    assert_eq!(second.split_seed, first.split_seed);
    let seeds = |seed| Recipe { seed, ..first.clone() }.second_step().seed;
    assert!(second.seed != first.seed && seeds(5) == second.seed && seeds(6) != second.seed);
    assert!((0..1000).all(|seed| i64::try_from(seeds(seed)).is_ok()), "TOML has no larger numbers");
}

fn refused(text: &str) -> String {
    Recipe::parse(text, "r.toml").unwrap_err().to_string()
}

#[test]
fn unknown_keys_and_values_are_refused_with_the_nearest_right_one() {
    for (text, expected) in [
        (
            "optimiser = 'adam'",
            "r.toml: optimiser: expected a key of a recipe (nearest: optimizer), found \"optimiser\"",
        ),
        ("model = 'resnet5'", "r.toml: model: expected one of its names (nearest: resnet50), found \"resnet5\""),
        (
            "normalize = 'plate-control'",
            "r.toml: normalize: expected one of its names (nearest: plate-controls), found \"plate-control\"",
        ),
        (
            "schedule = 'step'",
            "r.toml: schedule: expected one of its names (constant, exponential, cosine), found \"step\"",
        ),
        ("epochs = 'ten'", "r.toml: epochs: expected a whole number of at least 0, found \"ten\""),
        ("epochs = 0", "r.toml: epochs: expected 1 to 1000000, found 0"),
        ("batch = -1", "r.toml: batch: expected a whole number of at least 0, found -1"),
        ("lr = 0", "r.toml: lr: expected 0.000000000001 to 1000, found 0"),
        ("lr = nan", "r.toml: lr: expected 0.000000000001 to 1000, found NaN"),
        ("flip = 1", "r.toml: flip: expected true or false, found 1"),
        ("fold = '6/5'", "r.toml: fold: expected a fold such as 1/5, found \"6/5\""),
        (
            "two-step = true\nsecond-lr = 1e-13",
            "r.toml: second-lr: expected 0.000000000001 to 1000, found 0.0000000000001",
        ),
        ("two-step = true\nsecond-epochs = 2000000", "r.toml: second-epochs: expected 1 to 1000000, found 2000000"),
        (
            "two-step = true\nsecond-epochs = 1\nsecond-warmup-epochs = 2.0",
            "r.toml: second-warmup-epochs: expected 0 to 1, found 2",
        ),
        (
            "split = 'none'\nearly-stopping = 'loss'",
            "r.toml: early-stopping: expected none where split is none: there is nothing to watch, found another",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
    let flag = |key: &str, value: &str| Recipe::default().with(&[(key.into(), value.into())]).unwrap_err().to_string();
    assert_eq!(flag("model", "resnet51"), "--model: expected one of its names (nearest: resnet50), found \"resnet51\"");
    assert_eq!(flag("epochs", "1.5"), "--epochs: expected a whole number of at least 0, found \"1.5\"");
    let error = Recipe::named("resnet").unwrap_err().to_string();
    assert!(error.contains("nearest: resnet50"), "{error}");
}

#[test]
fn flags_change_keys_of_every_type() {
    let changes = [
        ("epochs", "3"),
        ("lr", "1e-2"),
        ("robust", "true"),
        ("cell-type", "RPE, HUVEC"),
        ("fold", "2/4"),
        ("init-from", "a.safetensors"),
    ];
    let recipe = Recipe::default().with(&changes.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    assert_eq!((recipe.epochs, recipe.lr, recipe.robust, recipe.fold), (3, 0.01, true, Fold { k: 2, n: 4 }));
    assert_eq!(
        (recipe.cell_type.as_slice(), recipe.init_from.as_deref()),
        (&["RPE".to_owned(), "HUVEC".to_owned()][..], Some("a.safetensors"))
    );
}

proptest! {
    #[test]
    fn a_resolved_recipe_is_read_back(epochs in 1_u32..100, lr in 1e-9_f64..10.0, flip: bool, k in 1_u32..6, noise in 0.0_f64..1.0, name in "[A-Z\\\\\"é]{1,5}") {
        let recipe = Recipe { epochs, lr, flip, noise, fold: Fold { k, n: 6 }, cell_type: vec![name.clone()], init_from: Some(name), ..Recipe::default() };
        prop_assert_eq!(Recipe::parse(&recipe.to_toml(), "x").unwrap(), recipe);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}", key in "[a-z-]{1,8}") {
        let _ = Recipe::parse(&text, "x");
        let _ = Recipe::parse(&format!("{key} = {text}"), "x");
        let _ = Recipe::default().with(&[(key, text)]);
    }
}

#[test]
fn names_that_are_offered_are_names_that_are_taken() {
    fn check<T: Choice + serde::Serialize>(all: &[T]) {
        let names: Vec<String> = all.iter().map(|one| Value::try_from(one).unwrap().as_str().unwrap().into()).collect();
        assert_eq!(names, T::NAMES);
    }
    check(Architecture::VARIANTS);
    check(Normalize::VARIANTS);
    check(SplitBy::VARIANTS);
    check(Controls::VARIANTS);
    check(BatchBy::VARIANTS);
    check(Optimizer::VARIANTS);
    check(Schedule::VARIANTS);
    check(Precision::VARIANTS);
    check(Watch::VARIANTS);
}

#[test]
fn help_is_one_text_without_a_space_before_it() {
    for key in KEYS.iter() {
        assert!(
            !key.help.is_empty() && !key.help.starts_with(' ') && !key.help.contains("  "),
            "{}: {}",
            key.name,
            key.help
        );
    }
}

#[test]
fn names_of_others_are_no_keys_and_lead_to_one() {
    let keys: Vec<&str> = KEYS.iter().map(|key| key.name).chain(["threads", "device", "run"]).collect();
    for (other, own) in crate::suggest::ALIASES {
        assert!(!keys.contains(&other) && keys.contains(&own), "{other} = {own}");
    }
    let error = Recipe::parse("learning_rate = 1e-3", "r.toml").unwrap_err().to_string();
    assert_eq!(error, "r.toml: learning_rate: expected a key of a recipe (nearest: lr), found \"learning_rate\"");
}

//! What a training run is to do, as a table of keys: read from TOML, changed by flags, checked, written back resolved.
//! Pure; the caller reads and writes files.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::files;

use super::options::{
    Architecture, BatchBy, Controls, Fold, Normalize, Optimizer, Precision, Schedule, SplitBy, Watch,
};
use super::schema::{KEYS, find};
use super::suggest::unknown;

/// A whole recipe. Every field is a key of the TOML file, and a flag of `train`; see `KEYS` for what each means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "KEYS describes each, with its unit")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct Recipe {
    pub model: Architecture,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<String>,
    pub seed: u64,
    pub precision: Precision,
    // Data.
    pub cell_type: Vec<String>,
    pub experiments: Vec<String>,
    pub controls: Controls,
    pub split: SplitBy,
    pub fold: Fold,
    pub validation_share: f64,
    pub normalize: Normalize,
    pub robust: bool,
    // Training.
    pub epochs: u32,
    pub batch: u32,
    pub batch_by: BatchBy,
    pub accumulate: u32,
    pub optimizer: Optimizer,
    pub lr: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub schedule: Schedule,
    pub gamma: f64,
    pub warmup_epochs: f64,
    pub label_smoothing: f64,
    pub clip_norm: f64,
    pub early_stopping: Watch,
    pub patience: u32,
    pub two_step: bool,
    pub second_epochs: u32,
    pub second_lr: f64,
    // Augmentation; 0 or false switches one off.
    pub flip: bool,
    pub rotate90: bool,
    pub rotate: f64,
    pub scale: f64,
    pub translate: f64,
    pub perspective: f64,
    pub crop: u32,
    pub resize: u32,
    pub noise: f64,
    pub gain: f64,
    pub offset: f64,
    pub cutmix: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            model: Architecture::ResNet18,
            init_from: None,
            seed: 0,
            cell_type: Vec::new(),
            experiments: Vec::new(),
            controls: Controls::None,
            split: SplitBy::Experiment,
            fold: Fold { k: 1, n: 5 },
            validation_share: 0.2,
            normalize: Normalize::PlateControls,
            robust: false,
            epochs: 15,
            batch: 64,
            batch_by: BatchBy::Any,
            accumulate: 1,
            precision: Precision::Tf32,
            optimizer: Optimizer::Adam,
            lr: 6e-4,
            momentum: 0.9,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            gamma: 0.9,
            warmup_epochs: 0.0,
            label_smoothing: 0.0,
            clip_norm: 0.0,
            early_stopping: Watch::None,
            patience: 3,
            two_step: false,
            second_epochs: 0,
            second_lr: 0.0,
            flip: false,
            rotate90: false,
            rotate: 0.0,
            scale: 0.0,
            translate: 0.0,
            perspective: 0.0,
            crop: 0,
            resize: 0,
            noise: 0.0,
            gain: 0.0,
            offset: 0.0,
            cutmix: 0.0,
        }
    }
}

/// The recipes that ship with the program.
const BUNDLED: [(&str, &str); 4] = [
    ("base-cnn", include_str!("../../../recipes/base-cnn.toml")),
    ("resnet50", include_str!("../../../recipes/resnet50.toml")),
    ("two-step", include_str!("../../../recipes/two-step.toml")),
    ("demo", include_str!("../../../recipes/demo.toml")),
];

impl Recipe {
    /// A recipe that ships with the program, by its name, or one from a file; and the name that its runs get.
    ///
    /// # Errors
    /// If there is no such recipe, or it is not well formed.
    pub fn named(name: &str) -> Result<(String, Self)> {
        if let Some((name, text)) = BUNDLED.iter().find(|(known, _)| *known == name) {
            return Ok(((*name).to_owned(), Self::parse(text, &format!("recipes/{name}.toml"))?));
        }
        let path = Path::new(name);
        if path.extension().is_none() && !files::is_file(path)? {
            let expected = "a file, or a recipe that ships with the program";
            return Err(unknown("--recipe", expected, name, BUNDLED.iter().map(|(name, _)| *name)));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("recipe");
        Ok((stem.to_owned(), Self::parse(&files::read_text(path)?, name)?))
    }

    /// Parses a TOML file; keys that it leaves out have their defaults. `place` names it in errors.
    ///
    /// # Errors
    /// If a key is unknown or a value impossible; the error names the nearest that is right.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let table: Table = text
            .parse()
            .map_err(|e: toml::de::Error| Error::refused(place, "TOML", e.to_string().trim().replace('\n', " ")))?;
        Self::from_table(table, &|key| format!("{place}: {key}"))
    }

    /// The recipe with some keys changed, each given as text, as flags are.
    ///
    /// # Errors
    /// As [`Recipe::parse`].
    pub fn with(&self, changes: &[(String, String)]) -> Result<Self> {
        let mut table = self.table();
        for (key, text) in changes {
            let value = match default_of(key) {
                Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
                Some(Value::Float(_)) => text.parse().ok().map(Value::Float),
                Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
                Some(Value::Array(_)) => {
                    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                    Some(Value::Array(names.map(|name| Value::String(name.to_owned())).collect()))
                }
                _ => None,
            };
            // What is no number is kept as text, so that the error comes from the same place as that of a file.
            table.insert(key.clone(), value.unwrap_or_else(|| Value::String(text.clone())));
        }
        Self::from_table(table, &|key| format!("--{key}"))
    }

    fn from_table(table: Table, place: &dyn Fn(&str) -> String) -> Result<Self> {
        for (key, value) in &table {
            if find(key).is_none() {
                return Err(unknown(&place(key), "a key of a recipe", key, KEYS.iter().map(|key| key.name)));
            }
            check_value(key, value, &place(key))?;
        }
        let recipe: Self = Value::Table(table)
            .try_into()
            .map_err(|e: toml::de::Error| Error::refused(place("recipe"), "a recipe", e.message()))?;
        recipe.check(place)?;
        Ok(recipe)
    }

    /// Every key with its value, and its meaning above it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let table = self.table();
        let mut text = String::new();
        for key in KEYS {
            if let Some(value) = table.get(key.name) {
                text += &format!("# {}\n{} = {value}\n", key.help, key.name);
            }
        }
        text
    }

    /// The value of a key as text; `None` for one that has none.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<String> {
        match self.table().remove(key)? {
            Value::String(text) => Some(text),
            Value::Array(names) if names.is_empty() => None,
            Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
            other => Some(other.to_string()),
        }
    }

    /// The recipe of the second of two steps.
    #[must_use]
    pub fn second_step(&self) -> Self {
        Self {
            epochs: if self.second_epochs > 0 { self.second_epochs } else { self.epochs },
            lr: if self.second_lr > 0.0 { self.second_lr } else { self.lr },
            two_step: false,
            ..self.clone()
        }
    }

    fn table(&self) -> Table {
        Table::try_from(self).expect("a recipe is a table of plain values")
    }

    /// What no type can say: ranges, and keys that contradict each other.
    fn check(&self, place: &dyn Fn(&str) -> String) -> Result<()> {
        let refuse = |key: &str, expected: &str, found: String| Err(Error::refused(place(key), expected, found));
        if self.batch == 1 {
            return refuse("batch", "2 or more: batch norm compares the sites of a batch", "1".into());
        }
        for (key, value) in [
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("patience", self.patience),
        ] {
            if value == 0 || value > 1_000_000 {
                return refuse(key, "1 to 1000000", value.to_string());
            }
        }
        let shares = [
            ("momentum", self.momentum, 0.0, 0.9999),
            ("label-smoothing", self.label_smoothing, 0.0, 0.99),
            ("validation-share", self.validation_share, 0.001, 0.999),
            ("gamma", self.gamma, 1e-6, 1.0),
            ("lr", self.lr, 1e-12, 1e3),
            ("second-lr", self.second_lr, 0.0, 1e3),
            ("weight-decay", self.weight_decay, 0.0, 1e3),
            ("clip-norm", self.clip_norm, 0.0, 1e9),
            ("warmup-epochs", self.warmup_epochs, 0.0, f64::from(self.epochs)),
            ("rotate", self.rotate, 0.0, 180.0),
            ("scale", self.scale, 0.0, 4.0),
            ("translate", self.translate, 0.0, 1.0),
            ("perspective", self.perspective, 0.0, 0.45),
            ("noise", self.noise, 0.0, 1.0),
            ("gain", self.gain, 0.0, 0.99),
            ("offset", self.offset, 0.0, 10.0),
            ("cutmix", self.cutmix, 0.0, 1.0),
        ];
        for (key, value, least, most) in shares {
            if !(least..=most).contains(&value) {
                return refuse(key, &format!("{least} to {most}"), value.to_string());
            }
        }
        for (key, value) in [("crop", self.crop), ("resize", self.resize)] {
            if value != 0 && !(16..=4096).contains(&value) {
                return refuse(key, "0, or 16 to 4096 pixels", value.to_string());
            }
        }
        if self.split == SplitBy::None && self.early_stopping != Watch::None {
            return refuse("early-stopping", "none where split is none: there is nothing to watch", "another".into());
        }
        Ok(())
    }
}

/// The value that a key has by default; a text for those that have none.
fn default_of(key: &str) -> Option<Value> {
    find(key)?;
    Some(Recipe::default().table().remove(key).unwrap_or_else(|| Value::String(String::new())))
}

/// Checks one value by itself, by a recipe in which all else is as usual, so that the error can name its key.
fn check_value(key: &str, value: &Value, place: &str) -> Result<()> {
    let mut alone = Recipe::default().table();
    // A whole number is a number, too.
    let default = default_of(key);
    let (expected, fits) = match (&default, value) {
        (Some(Value::Float(_)), Value::Float(_) | Value::Integer(_)) => ("a number", true),
        (Some(Value::Float(_)), _) => ("a number", false),
        (Some(Value::Integer(_)), Value::Integer(n)) => ("a whole number of at least 0", *n >= 0),
        (Some(Value::Integer(_)), _) => ("a whole number of at least 0", false),
        (Some(Value::Boolean(_)), _) => ("true or false", value.is_bool()),
        (Some(Value::Array(_)), _) => ("a list of names", value.is_array()),
        _ => ("a text", value.is_str()),
    };
    let found = || value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
    if !fits {
        return Err(Error::refused(place, expected, found()));
    }
    alone.insert(key.to_owned(), value.clone());
    let parsed: Result<Recipe, _> = Value::Table(alone).try_into();
    match (parsed, value) {
        (Ok(_), _) => Ok(()),
        (Err(e), Value::String(text)) => {
            // The names that the type takes are in the error; of a free text there are none.
            let message = e.message().to_owned();
            let (_, names) = message.split_once("expected").unwrap_or_default();
            let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
            if names.is_empty() {
                Err(Error::refused(place, message, found()))
            } else {
                Err(unknown(place, "one of its names", text, names))
            }
        }
        (Err(e), _) => Err(Error::refused(place, e.message(), found())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
                "split = 'none'\nearly-stopping = 'loss'",
                "r.toml: early-stopping: expected none where split is none: there is nothing to watch, found another",
            ),
        ] {
            assert_eq!(refused(text), expected);
        }
        let flag =
            |key: &str, value: &str| Recipe::default().with(&[(key.into(), value.into())]).unwrap_err().to_string();
        assert_eq!(
            flag("model", "resnet51"),
            "--model: expected one of its names (nearest: resnet50), found \"resnet51\""
        );
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
}

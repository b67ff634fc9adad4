//! A recipe read from TOML, changed by flags, and written back resolved: every key that is not known, and every value
//! that cannot be, is refused with the nearest that can.

#[cfg(test)]
mod tests;

use std::path::Path;

use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::files;
use crate::suggest::unknown;

use super::recipe::{KEYS, Recipe};
use super::schema::Key;

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
        for key in KEYS.iter() {
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

    fn table(&self) -> Table {
        Table::try_from(self).expect("a recipe is a table of plain values")
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
    if let (Some(text), Some(key)) = (value.as_str(), find(key))
        && !key.choices.is_empty()
        && !key.choices.contains(&text)
    {
        return Err(unknown(place, "one of its names", text, key.choices.iter().copied()));
    }
    alone.insert(key.to_owned(), value.clone());
    let parsed: Result<Recipe, _> = Value::Table(alone).try_into();
    parsed.map(drop).map_err(|e| Error::refused(place, e.message(), found()))
}

/// The key of this name.
fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

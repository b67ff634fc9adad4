//! docs/json.md as a table of keys, and whether what a program prints is what it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const PAGE: &str = include_str!("../../docs/json.md");

/// The keys that some reports together have printed, held against those of sections of the page.
pub struct JsonPage {
    keys: BTreeMap<String, String>,
    printed: BTreeSet<String>,
}

impl JsonPage {
    /// The keys of these sections, and of every report.
    pub fn of(sections: &[&str]) -> Self {
        let mut keys = BTreeMap::new();
        for section in ["every report"].iter().chain(sections) {
            let heading = format!("\n## {section}\n");
            let (_, text) = PAGE.split_once(&heading).unwrap_or_else(|| panic!("{section} in docs/json.md"));
            let text = text.split("\n## ").next().unwrap();
            for line in text.lines().filter(|line| line.starts_with("| `")) {
                let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
                keys.insert(cells[0].trim_matches('`').to_owned(), cells[1].to_owned());
            }
        }
        Self { keys, printed: BTreeSet::new() }
    }

    /// Holds a report against the page.
    pub fn check(&mut self, text: &str) -> Value {
        let report: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        self.walk(&report, "");
        report
    }

    /// That every key of the page has been printed by some report.
    pub fn check_all_were_printed(&self) {
        let never: Vec<&String> = self.keys.keys().filter(|key| !self.printed.contains(*key)).collect();
        assert!(never.is_empty(), "in docs/json.md and never printed: {never:?}");
    }

    fn walk(&mut self, value: &Value, path: &str) {
        let documented = self.keys.get(path).cloned();
        if let Some(kind) = &documented {
            let is_names = |list: &Vec<Value>| list.iter().all(Value::is_string);
            let fits = kind.split(" or ").any(|kind| match kind {
                "text" => value.is_string(),
                "number" => value.is_number(),
                "flag" => value.is_boolean(),
                "null" => value.is_null(),
                "names" => value.as_array().is_some_and(is_names),
                other => panic!("{path}: type {other:?}"),
            });
            assert!(fits, "{path}: {value} is no {kind}");
            self.printed.insert(path.to_owned());
            return;
        }
        let is_above = |key: &String| key.starts_with(&format!("{path}.")) || key.starts_with(&format!("{path}[]"));
        assert!(path.is_empty() || self.keys.keys().any(is_above), "{path} is printed and not in docs/json.md");
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let named = format!("{path}.*");
                    let below = format!("{named}.");
                    let is_named = self.keys.keys().any(|key| *key == named || key.starts_with(&below));
                    let next = if is_named { named } else { format!("{path}.{key}") };
                    self.walk(value, next.trim_start_matches('.'));
                }
            }
            Value::Array(list) => list.iter().for_each(|value| self.walk(value, &format!("{path}[]"))),
            // What is not there at all, such as the list that was not written.
            Value::Null => {}
            other => panic!("{path}: {other} is printed and not in docs/json.md"),
        }
    }
}

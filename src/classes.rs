//! The classes of a data set: which number stands for which siRNA. Pure; the caller reads and writes `classes.csv`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::csv_table::{from_csv, to_csv};
use crate::error::{Error, Result};
use crate::site::{Label, Population, natural_cmp};

/// One class: a row of `classes.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its number.
    pub class: u32,
    /// The siRNA as the source names it: `911`, `sirna_826`, `UNTREATED`.
    pub sirna: String,
    /// What wells of this class are.
    #[serde(rename = "well_type", with = "well_type")]
    pub population: Population,
}

/// All classes of a data set, by number; numbers and siRNAs are unique.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    rows: Vec<Class>,
    by_sirna: HashMap<String, u32>,
}

impl Classes {
    /// Collects classes whose numbers the source gives; `place` names the source in errors.
    ///
    /// # Errors
    /// If a number stands for two siRNAs, or a siRNA for two numbers. A siRNA of several populations takes the first
    /// of treatment, positive control, negative control.
    pub fn numbered(classes: impl IntoIterator<Item = Class>, place: &str) -> Result<Self> {
        let mut by_class: BTreeMap<u32, Class> = BTreeMap::new();
        let mut by_sirna: HashMap<String, u32> = HashMap::new();
        for class in classes {
            let number = *by_sirna.entry(class.sirna.clone()).or_insert(class.class);
            if number != class.class {
                let expected = format!("one class for siRNA {:?}", class.sirna);
                return Err(Error::malformed(place, expected, format!("{number} and {}", class.class)));
            }
            let first = by_class.entry(class.class).or_insert_with(|| class.clone());
            if first.sirna != class.sirna {
                let expected = format!("one siRNA for class {}", class.class);
                return Err(Error::malformed(place, expected, format!("{:?} and {:?}", first.sirna, class.sirna)));
            }
            if rank(class.population) < rank(first.population) {
                first.population = class.population;
            }
        }
        Ok(Self { rows: by_class.into_values().collect(), by_sirna })
    }

    /// Numbers siRNAs that have only names: treatments in natural order, then positive controls, then untreated.
    ///
    /// # Panics
    /// If there are more than 2^32 of them.
    #[must_use]
    pub fn in_natural_order(sirnas: impl IntoIterator<Item = (String, Population)>) -> Self {
        Self::default().and_named(sirnas).expect("as many numbers as siRNAs")
    }

    /// These classes, and siRNAs that have only names and are none of them, numbered behind the last: treatments in
    /// natural order, then positive controls, then untreated.
    ///
    /// # Errors
    /// If no number is left for them.
    pub fn and_named(mut self, sirnas: impl IntoIterator<Item = (String, Population)>) -> Result<Self> {
        let mut populations: HashMap<String, Population> = HashMap::new();
        for (sirna, population) in sirnas {
            if self.by_sirna.contains_key(&sirna) {
                continue;
            }
            let known = populations.entry(sirna).or_insert(population);
            if rank(population) < rank(*known) {
                *known = population;
            }
        }
        let mut ordered: Vec<(String, Population)> = populations.into_iter().collect();
        ordered.sort_by(|(a, p), (b, q)| rank(*p).cmp(&rank(*q)).then_with(|| natural_cmp(a, b)));
        let mut next = self.rows.last().map_or(Some(0), |last| last.class.checked_add(1));
        for (sirna, population) in ordered {
            let class = next.ok_or_else(|| Error::malformed("classes", "numbers below 2^32", "more"))?;
            next = class.checked_add(1);
            self.by_sirna.insert(sirna.clone(), class);
            self.rows.push(Class { class, sirna, population });
        }
        Ok(self)
    }

    /// Parses a `classes.csv`; `place` names the file in errors.
    ///
    /// # Errors
    /// If a line is not well formed, or numbers or siRNAs are not unique.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let rows = from_csv::<Class>(text, place)?;
        let n_rows = rows.len();
        let classes = Self::numbered(rows, place)?;
        if classes.rows.len() != n_rows {
            return Err(Error::malformed(place, format!("{} classes", classes.rows.len()), format!("{n_rows} rows")));
        }
        Ok(classes)
    }

    /// The content of `classes.csv`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        to_csv(&self.rows)
    }

    /// The classes by number.
    #[must_use]
    pub fn rows(&self) -> &[Class] {
        &self.rows
    }

    /// The classes by number.
    #[must_use]
    pub fn into_rows(self) -> Vec<Class> {
        self.rows
    }

    /// The number of a siRNA.
    #[must_use]
    pub fn class_of(&self, sirna: &str) -> Option<u32> {
        self.by_sirna.get(sirna).copied()
    }

    /// Whether every class of `others` is one of these, with its number and siRNA.
    #[must_use]
    pub fn has_all_of(&self, others: &Self) -> bool {
        others.rows.iter().all(|row| self.class_of(&row.sirna) == Some(row.class))
    }

    /// The siRNA of a number.
    #[must_use]
    pub fn sirna_of(&self, class: u32) -> Option<&str> {
        let position = self.rows.binary_search_by_key(&class, |row| row.class).ok()?;
        Some(&self.rows[position].sirna)
    }

    /// Whether a label has a class that its siRNA has not.
    #[must_use]
    pub fn contradict(&self, label: &Label) -> bool {
        label.class.is_some_and(|class| self.class_of(&label.sirna) != Some(class))
    }

    /// Whether a number is that of a class.
    #[must_use]
    pub fn contains(&self, class: u32) -> bool {
        self.rows.binary_search_by_key(&class, |row| row.class).is_ok()
    }
}

/// A population as it stands in CSVs: empty where unknown.
#[must_use]
pub fn population_field(population: Population) -> &'static str {
    match population {
        Population::Unknown => "",
        known => known.name(),
    }
}

/// A population as a cell of the column `well_type` of a CSV.
pub(crate) mod well_type {
    use serde::de::{Deserialize, Deserializer, Error, Unexpected};
    use serde::ser::Serializer;

    use super::population_field;
    use crate::site::{ParseError, Population};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
    pub(crate) fn serialize<S: Serializer>(population: &Population, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(population_field(*population))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Population, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        text.parse().map_err(|e: ParseError| Error::invalid_value(Unexpected::Str(text), &e.expected))
    }
}

fn rank(population: Population) -> u8 {
    match population {
        Population::Treatment => 0,
        Population::PositiveControl => 1,
        Population::NegativeControl => 2,
        Population::Unknown => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(class: u32, sirna: &str, population: Population) -> Class {
        let sirna = sirna.to_owned();
        Class { class, sirna, population }
    }

    #[test]
    fn named_sirnas_are_numbered_treatments_first_and_untreated_last() {
        use Population::{NegativeControl, PositiveControl, Treatment};
        let named = |sirna: &str, p| (sirna.to_owned(), p);
        let classes = Classes::in_natural_order([
            named("UNTREATED", NegativeControl),
            named("sirna_3", PositiveControl),
            named("sirna_10", Treatment),
            named("sirna_9", Treatment),
            named("sirna_9", Treatment),
        ]);
        let order: Vec<&str> = classes.rows().iter().map(|row| row.sirna.as_str()).collect();
        assert_eq!(order, ["sirna_9", "sirna_10", "sirna_3", "UNTREATED"]);
        assert_eq!(classes.class_of("UNTREATED"), Some(3));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let classes = Classes::numbered(
            [class(7, "a,\"b\"", Population::Treatment), class(1138, "UNTREATED", Population::NegativeControl)],
            "test",
        );
        let classes = classes.unwrap();
        assert_eq!(Classes::parse(&classes.to_csv(), "classes.csv").unwrap(), classes);
    }

    #[test]
    fn refuses_a_number_with_two_sirnas_and_a_sirna_with_two_numbers() {
        let two = [class(1, "a", Population::Treatment), class(1, "b", Population::Treatment)];
        assert!(Classes::numbered(two, "x").is_err());
        let two = [class(1, "a", Population::Treatment), class(2, "a", Population::Treatment)];
        assert!(Classes::numbered(two, "x").is_err());
    }

    #[test]
    fn refuses_files_that_are_not_class_lists() {
        for text in [
            "",
            "class,sirna\n",
            "class,sirna,well_type\n,a,treatment\n",
            "class,sirna,well_type\n1,a,x\n",
            "class,sirna,well_type\n1,a,treatment\n1,a,treatment\n",
            "class,sirna,well_type\n-1,a,treatment\n",
        ] {
            assert!(Classes::parse(text, "classes.csv").is_err(), "{text:?}");
        }
    }
}

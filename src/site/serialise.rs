//! The words of the field in whatever serde writes and reads: each is its text, parsed by its own rules.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::id::{Experiment, PlateId, Well, WellId};
use super::label::Population;
use super::plate::Plate;
use super::text::ParseError;

/// Reads a text as what a parser makes of it.
struct Parsed<T>(fn(&str) -> Result<T, ParseError>);

impl<T> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(|e| E::invalid_value(Unexpected::Str(text), &e.expected))
    }
}

macro_rules! is_its_text {
    ($($word:ty: $parse:expr,)*) => {$(
        impl Serialize for $word {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $word {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Parsed($parse))
            }
        }
    )*};
}

is_its_text! {
    Experiment: str::parse,
    PlateId: str::parse,
    Plate: str::parse,
    Well: str::parse,
    WellId: str::parse,
    // Where a table leaves the cell empty for `unknown`, that is for the table to say.
    Population: |text| {
        let known = Population::ALL.into_iter().find(|population| population.name() == text);
        known.ok_or_else(|| ParseError::new("a population", text))
    },
}

//! The name of a plate within its experiment: a number, as RxRx1 has them, or a barcode.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::text::{Name, Names, ParseError, is_folder_name, natural_cmp, parse_number};

/// What a folder of a plate begins with that has a number.
const WORD: &str = "Plate";

/// The name of a plate within its experiment: a number from RxRx1's `1` to `65535`, or a text such as `BR00121482`
/// (letters, digits, `-`, `_`, `.`, not first; at most 64). Ordered as people number things.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Plate(Name);

impl Plate {
    /// The name as it is in tables.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number; `None` where it is a text. Digits that begin with a zero are a text, as a barcode is.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        let is_plain = self.0 == "0" || !self.0.starts_with('0');
        parse_number(&self.0).filter(|_| is_plain)
    }

    /// The name of its folder: `Plate1`, `BR00121482`.
    #[must_use]
    pub fn folder(&self) -> String {
        let word = if self.number().is_some() { WORD } else { "" };
        format!("{word}{}", self.0)
    }

    /// The plate that a name stands for, written as people write it: `plate_2`, `Plate 2` and `PLATE-02` are 2.
    ///
    /// # Errors
    /// If it can be no name of a plate.
    pub fn as_written(name: &str) -> Result<Self, ParseError> {
        Self::number_as_written(name).map_or_else(|| name.parse(), |number| Ok(number.into()))
    }

    /// The number of a plate that is called by the word and its number, as people write it.
    #[must_use]
    pub fn number_as_written(name: &str) -> Option<u16> {
        let (word, number) = (name.get(..WORD.len())?, name.get(WORD.len()..)?);
        let number = number.strip_prefix(['_', '-', ' ']).unwrap_or(number);
        parse_number(number).filter(|_| word.eq_ignore_ascii_case(WORD) && !number.is_empty())
    }

    /// Shares the name with equal ones.
    pub fn share(&mut self, names: &mut Names) {
        names.share(&mut self.0);
    }
}

impl From<u16> for Plate {
    fn from(number: u16) -> Self {
        Self(number.to_string().into())
    }
}

impl FromStr for Plate {
    type Err = ParseError;

    /// Parses the name, or that of its folder: `Plate1` is 1.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = "a plate's name (letters, digits, '-', '_', '.'; at most 64; not 'zarr.json')";
        let digits = text.strip_prefix(WORD).filter(|digits| !digits.is_empty());
        if let Some(number) = digits.and_then(parse_number::<u16>) {
            return Ok(number.into());
        }
        if !is_folder_name(text) || text == "zarr.json" {
            return Err(ParseError::new(expected, text));
        }
        Ok(Self(text.into()))
    }
}

impl Ord for Plate {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_cmp(&self.0, &other.0)
    }
}

impl PartialOrd for Plate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_has_a_folder_of_its_own_and_a_barcode_is_its_folder() {
        for (text, name, folder) in [
            ("1", "1", "Plate1"),
            ("Plate12", "12", "Plate12"),
            ("0", "0", "Plate0"),
            ("BR00121482", "BR00121482", "BR00121482"),
            ("00121482", "00121482", "00121482"),
            ("1086293059", "1086293059", "1086293059"),
            ("PlateA", "PlateA", "PlateA"),
            ("Plate", "Plate", "Plate"),
        ] {
            let plate: Plate = text.parse().unwrap();
            assert_eq!((plate.as_str(), plate.folder().as_str()), (name, folder), "{text}");
        }
        for text in ["", ".", "..", "a/b", "a b", "zarr.json", "\u{e9}", &"x".repeat(65)] {
            assert!(text.parse::<Plate>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_plate_is_known_by_its_name_and_by_its_folder(text in "[A-Za-z0-9_-]{1,12}|Plate[0-9]{1,6}|[0-9]{1,6}") {
            let plate: Plate = text.parse().unwrap();
            prop_assert_eq!(&plate.folder().parse::<Plate>().unwrap(), &plate);
            prop_assert_eq!(&plate.as_str().parse::<Plate>().unwrap(), &plate);
        }
    }
}

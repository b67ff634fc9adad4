//! What the texts of a name mean: a well, numbers, names; and what is wrong with those that mean nothing.

use std::fmt;

use crate::site::{Well, parse_number};

use super::field::Field;

/// What a path tells of an image. What a pattern has no field for is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fields<'a> {
    /// The experiment, as it is spelled.
    pub experiment: Option<&'a str>,
    /// The plate, as it is spelled.
    pub plate: Option<&'a str>,
    /// The well, which every pattern tells.
    pub well: Well,
    /// The number of the field of view; most count from 1, some from 0.
    pub site: Option<u16>,
    /// The channel: a number without zeros before it, or a name as it is spelled.
    pub channel: Option<&'a str>,
    /// The number of the plane.
    pub z: Option<u16>,
    /// The number of the time point.
    pub t: Option<u16>,
}

/// Why a path that has the shape of a pattern tells nothing all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    /// The field that cannot be what the path says.
    pub field: Field,
    /// What would have been right.
    pub expected: &'static str,
    /// What the path has.
    pub found: String,
}

impl Misread {
    pub(super) fn new(field: Field, expected: &'static str, found: &str) -> Self {
        Self { field, expected, found: found.chars().take(80).collect() }
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {:?}", self.field, self.expected, self.found)
    }
}

impl std::error::Error for Misread {}

/// The text of each field that a pattern has, as a path spells it.
#[derive(Default)]
pub(super) struct Texts<'a>([Option<&'a str>; Field::ALL.len()]);

impl<'a> Texts<'a> {
    /// Takes in the text of a field, which must be what it was where the field is there a second time.
    pub(super) fn tell(&mut self, field: Field, text: &'a str) -> Result<(), Misread> {
        match self.0[field as usize].replace(text) {
            Some(before) if before != text => {
                let found = format!("{before} and {text}");
                Err(Misread::new(field, "the same text in every place", &found))
            }
            _ => Ok(()),
        }
    }

    /// What the texts mean.
    pub(super) fn fields(&self) -> Result<Fields<'a>, Misread> {
        Ok(Fields {
            experiment: self.of(Field::Experiment),
            plate: self.of(Field::Plate),
            well: self.well()?,
            site: self.number(Field::Site)?,
            channel: self.channel()?,
            z: self.number(Field::Z)?,
            t: self.number(Field::T)?,
        })
    }

    fn of(&self, field: Field) -> Option<&'a str> {
        self.0[field as usize]
    }

    fn well(&self) -> Result<Well, Misread> {
        let Some(spelled) = self.of(Field::Well) else {
            let (row, column) = (self.of(Field::Row).unwrap_or(""), self.of(Field::Column).unwrap_or(""));
            let no_row = || Misread::new(Field::Row, "a row from A to ZZ or from 1 to 702", row);
            let no_column = || Misread::new(Field::Column, "a column from 1 to 99", column);
            return Ok(Well::new(row_index(row).ok_or_else(no_row)?, column_number(column).ok_or_else(no_column)?));
        };
        well_named(spelled).ok_or_else(|| Misread::new(Field::Well, "a well from A01 to ZZ99", spelled))
    }

    fn number(&self, field: Field) -> Result<Option<u16>, Misread> {
        let number = |text| parse_number(text).ok_or_else(|| Misread::new(field, "a number up to 65535", text));
        self.of(field).map(number).transpose()
    }

    /// The channel: `01` is channel `1`, as all that count write it one way or the other.
    fn channel(&self) -> Result<Option<&'a str>, Misread> {
        let Some(text) = self.of(Field::Channel) else { return Ok(None) };
        if ends_with_guid(text) {
            // Every file would be of a channel of its own.
            return Err(Misread::new(Field::Channel, "a channel; a GUID behind it is {channel}{guid}", text));
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Some(text));
        }
        self.number(Field::Channel)?;
        let zeros = text.bytes().take_while(|&b| b == b'0').count();
        Ok(Some(&text[zeros.min(text.len() - 1)..]))
    }
}

/// The well that a text spells, as labs write it: `A1`, `a01`, `A001`.
pub(crate) fn well_named(text: &str) -> Option<Well> {
    let (row, column) = text.split_at(text.bytes().take_while(u8::is_ascii_alphabetic).count());
    let row = row_index(row).filter(|_| !row.is_empty())?;
    column_number(column).filter(|_| !column.is_empty()).map(|column| Well::new(row, column))
}

/// The index of a row, from 0, by its letters or by its number from 1.
fn row_index(text: &str) -> Option<u16> {
    match text.as_bytes() {
        letters @ ([_] | [_, _]) if letters.iter().all(u8::is_ascii_alphabetic) => {
            let value = |b: &u8| u16::from(b.to_ascii_uppercase() - b'A') + 1;
            Some(letters.iter().fold(0, |row, letter| row * 26 + value(letter)) - 1)
        }
        _ => parse_number::<u16>(text).filter(|row| (1..=26 * 27).contains(row)).map(|row| row - 1),
    }
}

fn column_number(text: &str) -> Option<u16> {
    parse_number(text).filter(|column| (1..=99).contains(column))
}

/// Whether a text is a GUID or ends in one: 8, 4, 4, 4 and 12 hexadecimal digits.
pub(super) fn ends_with_guid(text: &str) -> bool {
    let guid = text.len().checked_sub(36).and_then(|at| text.get(at..));
    let is_right = |(i, b): (usize, u8)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() };
    guid.is_some_and(|guid| guid.bytes().enumerate().all(is_right))
}

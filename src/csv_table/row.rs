//! How serde reads a row: cell by cell into a struct, each error with its column, and the names of a struct's fields.
//! Stricter than the crate csv, which takes `0x1f` and `+1` for numbers and does not say in which column a type refused
//! its text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Expected, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// What a row should have held.
#[derive(Debug)]
pub(super) struct RowError {
    expected: String,
    /// The column; `None` where cells contradict each other.
    column: Option<&'static str>,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "{} in column {column}", self.expected),
            None => f.write_str(&self.expected),
        }
    }
}

impl std::error::Error for RowError {}

impl Error for RowError {
    fn custom<T: fmt::Display>(expected: T) -> Self {
        Self { expected: expected.to_string(), column: None }
    }

    // What was found is shown with the whole row.
    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(expected)
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(expected)
    }
}

/// The cells of a row that a struct is made of.
pub(super) struct RowCells<'de> {
    cells: &'de csv::StringRecord,
    columns: std::iter::Zip<std::slice::Iter<'static, &'static str>, std::slice::Iter<'de, Option<usize>>>,
}

impl<'de> RowCells<'de> {
    /// The cells at `positions`, one a column; empty where there is none.
    pub(super) fn new(
        cells: &'de csv::StringRecord,
        columns: &'static [&'static str],
        positions: &'de [Option<usize>],
    ) -> Self {
        Self { cells, columns: columns.iter().zip(positions) }
    }
}

impl<'de> Deserializer<'de> for RowCells<'de> {
    type Error = RowError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_seq(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for RowCells<'de> {
    type Error = RowError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, RowError> {
        let Some((column, position)) = self.columns.next() else { return Ok(None) };
        let value = seed.deserialize(Cell(position.map_or("", |position| &self.cells[position])));
        value.map(Some).map_err(|error| RowError { column: Some(column), ..error })
    }
}

/// One cell: a text, a number that is written in digits alone, a number with decimals, or, where it is empty, nothing.
struct Cell<'de>(&'de str);

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $number:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            let is_plain = self.0.bytes().all(|b| b.is_ascii_digit());
            match self.0.parse::<$number>() {
                Ok(number) if is_plain => visitor.$visit(number),
                _ => Err(RowError::custom(format_args!("a whole number of at most {}", <$number>::MAX))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Cell<'de> {
    type Error = RowError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_borrowed_str(self.0)
    }

    whole_numbers! {
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_f64(self.0.parse().map_err(|_| RowError::custom("a number"))?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        enum identifier ignored_any
    }
}

/// Takes the names that a struct gives its fields, and reads nothing.
pub(super) struct FieldNames(pub(super) &'static [&'static str]);

impl<'de> Deserializer<'de> for &mut FieldNames {
    type Error = RowError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, RowError> {
        Err(RowError::custom("nothing"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

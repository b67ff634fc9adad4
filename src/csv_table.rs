//! Tables as CSV: a row is a struct that serde derives, and a column is named by its field and nowhere else. Pure: text
//! in, rows out, and back. Knows no table; what a cell may hold is for the types of the fields to say.

mod quotes;
mod row;

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::Path;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use quotes::{Quotes, Unmatched};
use row::{FieldNames, RowCells};

/// The most characters of a row that an error shows.
const MAX_SHOWN: usize = 160;
/// The most bytes of a row that is read piece by piece: a file that never ends one would fill the memory.
const LARGEST_ROW: usize = 1 << 20;
/// What a table is, with the way there from a spreadsheet.
const UTF_8: &str = "UTF-8 text (save it as CSV UTF-8)";

/// A number with decimals, as short as it is read back exactly, and without them where it is whole: 1, not 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Figure(pub f64);

impl Serialize for Figure {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The columns of a table: the names of its row's fields, as serde knows them.
///
/// # Panics
/// If a row is not a struct with fields.
#[must_use]
pub fn columns<'r, R: Deserialize<'r>>() -> &'static [&'static str] {
    let names = field_names::<R>();
    assert!(!names.is_empty(), "a row is a struct with fields");
    names
}

fn field_names<'r, R: Deserialize<'r>>() -> &'static [&'static str] {
    let mut names = FieldNames(&[]);
    // Asking for the names is all that this does: it ends in an error before any value is asked for.
    let _ = R::deserialize(&mut names);
    names.0
}

/// A row of a table of which no column is known before it is read: [`Rows::cell`] has its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct AnyRow {}

/// A table as text: its header, and a line a row. A cell is quoted only where it must be (RFC 4180).
///
/// # Panics
/// If a row is not a struct whose fields are single cells.
#[must_use]
pub fn to_csv<'r, R: Serialize + Deserialize<'r>>(rows: &[R]) -> String {
    written(Some(columns::<R>()), |writer| rows.iter().try_for_each(|row| writer.serialize(row)))
}

/// Rows as the lines that they are in [`to_csv`], without a header: what a table grows by.
///
/// # Panics
/// As [`to_csv`].
#[must_use]
pub fn to_lines<R: Serialize>(rows: &[R]) -> String {
    written(None, |writer| rows.iter().try_for_each(|row| writer.serialize(row)))
}

fn written(header: Option<&[&str]>, write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> Result<(), csv::Error>) -> String {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let header = header.map_or(Ok(()), |names| writer.write_record(names));
    header.and_then(|()| write(&mut writer)).expect("a row is a struct whose fields are single cells");
    let bytes = writer.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("cells are texts")
}

/// Parses a table that has the columns of its rows and no others; `place` names it in errors.
///
/// # Errors
/// If the header or a row is not what [`to_csv`] would write.
pub fn from_csv<R: DeserializeOwned>(text: &str, place: &str) -> Result<Vec<R>> {
    Rows::open(text, place, Header::Exact)?.map(|row| Ok(row?.1)).collect()
}

/// What a table keeps of its rows, as they stand, under its header. A line that is no row, as one that was cut short
/// by a crash, is not kept.
///
/// # Errors
/// If the header is another.
pub fn kept<R: DeserializeOwned>(text: &str, place: &str, keep: impl Fn(&R) -> bool) -> Result<String> {
    let mut rows = Rows::<R>::open(text, place, Header::Exact)?;
    Ok(written(Some(rows.columns), |writer| {
        while let Some(row) = rows.next() {
            if row.is_ok_and(|(_, row)| keep(&row)) {
                writer.write_record(&rows.cells)?;
            }
        }
        Ok(())
    }))
}

/// The names of a table's columns as they stand, whatever its rows are; `place` names the table in errors.
///
/// # Errors
/// If it cannot be read, or is empty.
pub fn header(source: impl Read, place: &str) -> Result<Vec<String>> {
    let source = Metered::new(Box::new(source), LARGEST_ROW);
    let mut cells = csv::StringRecord::new();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(source);
    if !reader.read_record(&mut cells).map_err(|e| not_csv(place, e))? {
        return Err(Error::malformed(place, "a table with a header", "an empty file"));
    }
    check_separators(&cells, place)?;
    Ok(cells.iter().map(str::to_owned).collect())
}

/// Refuses a header of a table whose cells other characters than commas separate, or that is no text in UTF-8.
fn check_separators(cells: &csv::StringRecord, place: &str) -> Result<()> {
    let count = |c: char| cells.iter().map(|cell| cell.matches(c).count()).sum::<usize>();
    if count('\0') > 0 {
        return Err(Error::malformed(place, UTF_8, "bytes of zero"));
    }
    for (separator, name) in [(';', "semicolons"), ('\t', "tabs")] {
        if count(separator) >= cells.len() {
            let expected = "commas between cells (save it with commas)";
            return Err(Error::malformed(format!("{place}:1"), expected, format!("{name}: {}", shown(cells))));
        }
    }
    Ok(())
}

/// Texts between commas, as a line of a table has them: one with a comma is quoted. `None` where quotes do not match.
#[must_use]
pub fn cells(text: &str) -> Option<Vec<String>> {
    let mut quotes = Quotes::default();
    quotes.pass(text.as_bytes());
    quotes.pass(&[]);
    let mut cells = csv::StringRecord::new();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let is_line = quotes.unmatched().is_none() && reader.read_record(&mut cells).is_ok_and(|is_there| is_there);
    is_line.then(|| cells.iter().map(str::to_owned).collect())
}

/// The line that [`cells`] reads.
#[must_use]
pub fn joined(cells: &[String]) -> String {
    written(None, |writer| writer.write_record(cells)).trim_end_matches('\n').to_owned()
}

/// Which header a table must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The columns of the rows, in order.
    Exact,
    /// The columns of the rows, among others and in any order. Of these, those that the table lacks count as empty.
    AmongOthers {
        /// Columns that the table may lack.
        optional: &'static [&'static str],
        /// Of these, columns whose names may be only like them: somebody else looks for them.
        alike: &'static [&'static str],
    },
}

/// The rows of a table, each with the line of the file that it starts at.
pub struct Rows<'t, R> {
    place: &'t str,
    reader: csv::Reader<Metered<'t>>,
    /// What passed on the way to the parser.
    passed: Rc<Passed>,
    /// Whether a person may have written it: with rows of empty cells at its end, and quotes that do not match.
    is_of_others: bool,
    /// The header, as errors show it.
    header: String,
    columns: &'static [&'static str],
    /// Where each of the columns stands among the cells, if it does.
    positions: Vec<Option<usize>>,
    n_cells: usize,
    /// The cells of the row read last.
    cells: csv::StringRecord,
    row: PhantomData<R>,
}

impl<'t, R: DeserializeOwned> Rows<'t, R> {
    /// Reads a table's header; `place` names the table in errors.
    ///
    /// # Errors
    /// If it is not what the rows need.
    pub fn open(text: &'t str, place: &'t str, header: Header) -> Result<Self> {
        Self::of(Box::new(text.as_bytes()), usize::MAX, place, header)
    }

    /// The same of a file that is read piece by piece, as one that is too large to be in memory whole.
    ///
    /// # Errors
    /// As [`Rows::open`], or if it cannot be read.
    pub fn read(source: impl Read + 't, place: &'t str, header: Header) -> Result<Self> {
        Self::of(Box::new(source), LARGEST_ROW, place, header)
    }

    fn of(source: Box<dyn Read + 't>, largest_row: usize, place: &'t str, header: Header) -> Result<Self> {
        let columns = field_names::<R>();
        let source = Metered::new(source, largest_row);
        let passed = Rc::clone(&source.passed);
        // A row of another length is told below, with what it should have been.
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source);
        let mut cells = csv::StringRecord::new();
        if !reader.read_record(&mut cells).map_err(|e| not_csv(place, e))? {
            return Err(Error::malformed(place, columns.join(","), "an empty file"));
        }
        let is_of_others = header != Header::Exact;
        if is_of_others {
            check_separators(&cells, place)?;
        }
        let malformed = |expected: String| Error::malformed(format!("{place}:1"), expected, shown(&cells));
        let positions = match header {
            Header::Exact if cells == *columns => (0..columns.len()).map(Some).collect(),
            Header::Exact => return Err(malformed(columns.join(","))),
            Header::AmongOthers { optional, alike } => {
                let position = |name: &&str| {
                    let is_it = |cell: &str| is_like(cell, name);
                    let mut like_it = cells.iter().enumerate().filter(|(_, cell)| is_it(cell));
                    match (like_it.next(), like_it.next()) {
                        (Some((position, cell)), None) if cell == *name => Ok(Some(position)),
                        (None, _) if optional.contains(name) => Ok(None),
                        _ if alike.contains(name) => Ok(cells.iter().position(|cell| cell == *name)),
                        (None, _) => Err(malformed(format!("a column {name:?}"))),
                        (Some(_), None) => Err(malformed(format!("a column named exactly {name:?}"))),
                        (Some(_), Some(_)) => Err(malformed(format!("one column {name:?}"))),
                    }
                };
                columns.iter().map(position).collect::<Result<_>>()?
            }
        };
        let (header, n_cells) = (shown(&cells), cells.len());
        Ok(Self { place, reader, passed, is_of_others, header, columns, positions, n_cells, cells, row: PhantomData })
    }

    /// A cell of the row read last, by its place among all columns of the table: for those whose names are not known
    /// before the table is.
    #[must_use]
    pub fn cell(&self, position: usize) -> &str {
        self.cells.get(position).unwrap_or_default()
    }

    /// Whether the table has a column of the rows.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        let place = self.columns.iter().position(|name| *name == column);
        place.is_some_and(|place| self.positions[place].is_some())
    }

    /// Refuses a row behind whose end a quote does not match: what it makes of the cells is not what was meant.
    fn check_quotes(&self) -> Result<()> {
        let (line, expected, found) = match self.passed.quotes.borrow().unmatched() {
            Some(Unmatched::Within(line)) => (line, "a quote within a quoted cell to be doubled (\"\")", "one alone"),
            Some(Unmatched::Open(line)) => (line, "the end of a quoted cell", "that of the file"),
            None => return Ok(()),
        };
        if line > self.reader.position().line() {
            return Ok(());
        }
        Err(Error::malformed(format!("{}:{line}", self.place), expected, found))
    }

    fn parse(&self) -> Result<(u64, R)> {
        let line = self.cells.position().map_or(0, csv::Position::line);
        let malformed =
            |expected: String| Error::malformed(format!("{}:{line}", self.place), expected, shown(&self.cells));
        if self.cells.len() != self.n_cells {
            return Err(malformed(format!("the {} cells of {}", self.n_cells, self.header)));
        }
        let row = RowCells::new(&self.cells, self.columns, &self.positions);
        let row = R::deserialize(row).map_err(|error| malformed(error.to_string()))?;
        Ok((line, row))
    }
}

impl<R: DeserializeOwned> Iterator for Rows<'_, R> {
    type Item = Result<(u64, R)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut empty_line = None;
        loop {
            self.passed.since_row.set(0);
            match self.reader.read_record(&mut self.cells) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(e) => return Some(Err(not_csv(self.place, e))),
            }
            if !self.is_of_others {
                return Some(self.parse());
            }
            if let Err(error) = self.check_quotes() {
                return Some(Err(error));
            }
            if self.cells.len() > 1 && self.cells.iter().all(|cell| cell.trim().is_empty()) {
                let line = self.cells.position().map_or(0, csv::Position::line);
                empty_line.get_or_insert((line, shown(&self.cells)));
                continue;
            }
            return Some(match empty_line {
                None => self.parse(),
                Some((line, cells)) => {
                    let expected = "a row, or empty ones at the end of the table only";
                    Err(Error::malformed(format!("{}:{line}", self.place), expected, cells))
                }
            });
        }
    }
}

/// A text on its way to the parser, with a limit to what may pass before a row ends.
struct Metered<'t> {
    source: Box<dyn Read + 't>,
    largest_row: usize,
    passed: Rc<Passed>,
}

/// What of a text passed on its way to the parser, which is behind it.
#[derive(Default)]
struct Passed {
    /// Bytes since the last row ended.
    since_row: Cell<usize>,
    quotes: RefCell<Quotes>,
}

impl<'t> Metered<'t> {
    fn new(source: Box<dyn Read + 't>, largest_row: usize) -> Self {
        Self { source, largest_row, passed: Rc::default() }
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        let since_row = self.passed.since_row.get().saturating_add(n);
        self.passed.since_row.set(since_row);
        self.passed.quotes.borrow_mut().pass(&buffer[..n]);
        if since_row > self.largest_row {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a row of more than 1 MiB"));
        }
        Ok(n)
    }
}

/// Whether two names of columns are the same but for what people write in many ways: `Cell type` and `cell_type`.
#[must_use]
pub fn is_like(name: &str, other: &str) -> bool {
    plain(name) == plain(other)
}

/// A name but for what people write in many ways.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// That the system cannot read a table says nothing of the table.
fn not_csv(place: &str, error: csv::Error) -> Error {
    let is_of_the_system = matches!(error.kind(), csv::ErrorKind::Io(error) if error.raw_os_error().is_some());
    match error.into_kind() {
        csv::ErrorKind::Io(error) if is_of_the_system => Error::io(Path::new(place), "read")(error),
        csv::ErrorKind::Io(error) => Error::malformed(place, "CSV", error),
        csv::ErrorKind::Utf8 { pos, err } => {
            let place = pos.map_or_else(|| place.to_owned(), |at| format!("{place}:{}", at.line()));
            Error::malformed(place, UTF_8, err)
        }
        kind => Error::malformed(place, "CSV", format!("{kind:?}")),
    }
}

fn shown(cells: &csv::StringRecord) -> String {
    shortened(&cells.iter().collect::<Vec<_>>().join(","))
}

pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

/// The error of a table whose columns are not what is needed.
#[must_use]
pub fn unfit_header(place: &str, expected: impl ToString, header: &[String]) -> Error {
    Error::malformed(format!("{place}:1"), expected, shortened(&header.join(",")))
}

#[cfg(test)]
mod tests;

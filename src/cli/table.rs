//! Plain text tables for people, as wide as there is room for. Machines get `--json` or `--csv`.

use std::fmt;

use textwrap::core::display_width;

use super::screen::{lines, width};

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// What stands between columns.
const GAP: usize = 2;
/// Texts of the last column are broken between words where it has this room, and no other text is made shorter.
const TEXT: usize = 16;

/// A table with a header line, columns as wide as they need to be, two spaces apart. Where stdout is a terminal that is
/// too narrow, columns are left out, which is said below it, and then texts are broken or made shorter.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
    least: &'static [&'static str],
    all: &'static str,
}

impl Table {
    /// A table with these columns and no rows.
    #[must_use]
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        let columns = columns.into_iter().map(|(name, align)| (name.into(), align)).collect();
        Self { columns, rows: Vec::new(), least: &[], all: "" }
    }

    /// The same, of which these columns are left out, one after the other, where there is no room; `all` names the flags
    /// that show all, such as `--csv`.
    #[must_use]
    pub fn without(self, least: &'static [&'static str], all: &'static str) -> Self {
        Self { least, all, ..self }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not as many cells as the table has columns.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.columns.len(), "one cell a column");
        self.rows.push(cells);
    }

    /// The table in so many columns of a terminal.
    fn within(mut self, room: Option<usize>) -> String {
        let Some(room) = room else { return self.text() };
        let mut left_out = Vec::new();
        for &name in self.least {
            if self.width() <= room {
                break;
            }
            let Some(i) = self.columns.iter().position(|(column, _)| column == name) else { continue };
            self.columns.remove(i);
            for row in &mut self.rows {
                row.remove(i);
            }
            left_out.push(name);
        }
        self.break_last(room);
        self.shorten(room);
        let mut text = self.text();
        if !left_out.is_empty() {
            let all = format!("no room for {}: {} and a wider terminal show all", left_out.join(", "), self.all);
            text += &format!("\n{}\n", lines(&all, room, "").join("\n"));
        }
        text
    }

    /// How wide each column is.
    fn widths(&self) -> Vec<usize> {
        let width = |i: usize| {
            let cells = self.rows.iter().map(|row| display_width(&row[i]));
            cells.chain([display_width(&self.columns[i].0)]).max().unwrap_or(0)
        };
        (0..self.columns.len()).map(width).collect()
    }

    fn width(&self) -> usize {
        self.widths().iter().sum::<usize>() + GAP * self.columns.len().saturating_sub(1)
    }

    /// Breaks the texts of the last column between words, into rows that have nothing else.
    fn break_last(&mut self, room: usize) {
        let widths = self.widths();
        let Some((last, before)) = widths.split_last() else { return };
        let begins = before.iter().sum::<usize>() + GAP * before.len();
        let room = room.saturating_sub(begins);
        if *last <= room || room < TEXT || self.columns.last().is_none_or(|(_, align)| *align == Align::Right) {
            return;
        }
        let n = before.len();
        let broken = |row: Vec<String>| {
            let parts: Vec<String> = lines(&row[n], room, "").into_iter().map(Into::into).collect();
            let mut cells = row;
            parts.into_iter().map(move |part| {
                cells[n] = part;
                std::mem::replace(&mut cells, vec![String::new(); n + 1])
            })
        };
        self.rows = std::mem::take(&mut self.rows).into_iter().flat_map(broken).collect();
    }

    /// Makes the widest texts shorter, until it fits or they are short.
    fn shorten(&mut self, room: usize) {
        loop {
            let (widths, too_wide) = (self.widths(), self.width().saturating_sub(room));
            let texts = (0..widths.len()).filter(|&i| self.columns[i].1 == Align::Left && widths[i] > TEXT);
            let Some(widest) = texts.max_by_key(|&i| widths[i]).filter(|_| too_wide > 0) else { return };
            let others = (0..widths.len()).filter(|&i| i != widest && self.columns[i].1 == Align::Left);
            let next = others.map(|i| widths[i]).max().unwrap_or(0).max(TEXT).min(widths[widest] - 1);
            let to = widths[widest].saturating_sub(too_wide).max(next);
            self.rows.iter_mut().for_each(|row| row[widest] = shortened(&row[widest], to));
            self.columns[widest].0 = shortened(&self.columns[widest].0, to);
        }
    }

    fn text(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let widths = self.widths();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, &(_, align)), &width) in row.iter().zip(&self.columns).zip(&widths) {
                let space = " ".repeat(width - display_width(cell));
                match align {
                    Align::Left => line += &format!("{cell}{space}  "),
                    Align::Right => line += &format!("{space}{cell}  "),
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// A text of at most this width, which ends in `…` where it is not whole.
fn shortened(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if display_width(&short) + display_width(c.encode_utf8(&mut [0; 4])) >= width {
            break;
        }
        short.push(c);
    }
    short + "…"
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.clone().within(width()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("plate", Align::Left), ("n", Align::Right)]);
        table.row(["HEPG2-08/Plate1", "7"]);
        table.row(["細胞", "12"]);
        assert_eq!(table.within(None), "plate             n\nHEPG2-08/Plate1   7\n細胞             12\n");
    }

    #[test]
    fn where_there_is_no_room_columns_are_left_out_and_named() {
        let mut table = Table::new([("group", Align::Left), ("mean", Align::Right), ("p99", Align::Right)]);
        table.row(["HEPG2-08/Plate1", "16.90", "1,108.0"]);
        let table = table.without(&["p99", "mean"], "--csv, --json");
        assert_eq!(
            table.clone().within(Some(31)),
            "group             mean      p99\nHEPG2-08/Plate1  16.90  1,108.0\n"
        );
        let expected = "group             mean\nHEPG2-08/Plate1  16.90\n\n\
                        no room for p99: --csv, --json\nand a wider terminal show all\n";
        assert_eq!(table.within(Some(30)), expected);
    }

    #[test]
    fn texts_are_broken_between_words_or_shortened_and_numbers_never() {
        let mut table = Table::new([("part", Align::Left), ("MB/s", Align::Right), ("", Align::Left)]);
        table.row(["cold feed", "-", "not measured: the page cache cannot be dropped"]);
        table.row(["warm feed", "1,108", ""]);
        let expected = "part        MB/s\n\
                        cold feed      -  not measured: the\n\
                        \u{20}                 page cache cannot\n\
                        \u{20}                 be dropped\n\
                        warm feed  1,108\n";
        assert_eq!(table.within(Some(36)), expected);
        let mut table = Table::new([("group", Align::Left), ("channel", Align::Left), ("mean", Align::Right)]);
        table.row(["EXPERIMENT-OF-A-LAB-01/Plate-of-March", "endoplasmic reticulum", "1,108.00"]);
        let shown = table.within(Some(44));
        assert_eq!(shown.lines().nth(1), Some("EXPERIMENT-OF-A…  endoplasmic ret…  1,108.00"), "{shown}");
    }
}

//! Some lines at the bottom of a terminal that are drawn again and again. Not by `indicatif`: it fills its lines to the
//! terminal's width and remembers how many rows they took, so that a terminal that is made narrower or wider is left with
//! pieces of them. No cursor is hidden, and it always stands below the lines: whatever ends the process leaves a terminal
//! that is as it was.

use std::io::{self, Write};

/// The lines, and where they are.
#[derive(Debug, Default)]
pub(crate) struct Area {
    /// Columns that each line took which is on the screen.
    drawn: Vec<usize>,
    /// How many the terminal had.
    columns: u16,
}

impl Area {
    /// Draws lines in place of those that are there, on a terminal of so many rows and columns. All is written at once,
    /// and over what is there, so that nothing flickers.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn draw(
        &mut self,
        out: &mut impl Write,
        lines: &[String],
        (rows, columns): (u16, u16),
    ) -> io::Result<()> {
        let rows_before = self.rows(columns);
        // A row that a longer line was broken into stays a part of that line to a terminal, as long as it is there.
        let mut text = if columns == self.columns { up(rows_before) } else { away(rows_before) };
        self.columns = columns;
        // The last row is the cursor's; the last column stays free, as terminals differ in what becomes of a full line.
        let lines = &lines[..lines.len().min(usize::from(rows).saturating_sub(1))];
        self.drawn.clear();
        for line in lines {
            let line: String = line.chars().take(usize::from(columns).saturating_sub(1)).collect();
            self.drawn.push(line.chars().count());
            text += &format!("{line}\x1b[K\n");
        }
        text += "\x1b[J";
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Takes them off the screen.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn clear(&mut self, out: &mut impl Write, columns: u16) -> io::Result<()> {
        if self.drawn.is_empty() {
            return Ok(());
        }
        let text = away(self.rows(columns));
        self.drawn.clear();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Rows that they take by now: a line that is longer than the terminal is wide has become several.
    fn rows(&self, columns: u16) -> usize {
        let columns = usize::from(columns).max(1);
        self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum()
    }
}

/// Moves the cursor up to the begin of a row.
fn up(rows: usize) -> String {
    if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
}

/// Moves the cursor up and takes all rows from there away. Not by erasing the screen, which at its top has some terminals
/// keep in their history what was there.
fn away(rows: usize) -> String {
    if rows == 0 { up(0) } else { format!("{}\x1b[{rows}M", up(rows)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(area: &mut Area, lines: &[&str], size: (u16, u16)) -> String {
        let mut out = Vec::new();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        area.draw(&mut out, &lines, size).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_written_over_and_found_again_when_the_terminal_has_another_size() {
        let mut area = Area::default();
        assert_eq!(drawn(&mut area, &["one", "two"], (24, 80)), "\rone\x1b[K\ntwo\x1b[K\n\x1b[J");
        assert_eq!(drawn(&mut area, &["12345678", ""], (24, 80)), "\r\x1b[2A12345678\x1b[K\n\x1b[K\n\x1b[J");
        // Narrower: the first line takes three rows; what is drawn now fits.
        assert_eq!(drawn(&mut area, &["12345678"], (24, 3)), "\r\x1b[4A\x1b[4M12\x1b[K\n\x1b[J");
        // Low: what has no row is not drawn.
        assert_eq!(drawn(&mut area, &["a", "b", "c"], (2, 80)), "\r\x1b[1A\x1b[1Ma\x1b[K\n\x1b[J");
        let mut out = Vec::new();
        for _ in 0..2 {
            area.clear(&mut out, 80).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), "\r\x1b[1A\x1b[1M");
        assert_eq!(drawn(&mut area, &["a"], (24, 80)), "\ra\x1b[K\n\x1b[J");
    }
}

//! Stdout as a screen: how wide it is, and lines of a report broken between words where it is a terminal. What goes into
//! a file or a pipe is never broken.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Stdout, Write, stdout};

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, wrap};

/// What stands before the text of a line of a report: a word such as `source`, and spaces.
const LABEL: usize = 11;
/// No narrower: a word a line helps nobody.
const NARROWEST: usize = 30;

/// The columns of the terminal that stdout is; nothing where it is none.
#[must_use]
pub(crate) fn width() -> Option<usize> {
    if !stdout().is_terminal() {
        return None;
    }
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let found = || terminal_size::terminal_size_of(stdout()).map(|(width, _)| usize::from(width.0));
    asked.or_else(found).filter(|&width| width > 0).map(|width: usize| width.max(NARROWEST))
}

/// Stdout, where every line of a report is broken to the terminal's width.
#[must_use]
pub fn screen() -> Screen<Stdout> {
    Screen { out: stdout(), width: width(), line: Vec::new() }
}

/// A writer that breaks lines. What follows a break stands below the text of its line.
#[derive(Debug)]
pub struct Screen<W: Write> {
    out: W,
    width: Option<usize>,
    /// What was written of a line that is not complete.
    line: Vec<u8>,
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(width) = self.width else { return self.out.write(bytes) };
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend(part);
            if let Some(line) = self.line.strip_suffix(b"\n") {
                let text = broken(&String::from_utf8_lossy(line), width);
                self.line.clear();
                writeln!(self.out, "{text}")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A line of a report, broken between words.
fn broken(line: &str, width: usize) -> String {
    let spaces = line.len() - line.trim_start().len();
    let is_labelled = spaces == 0 && line.get(LABEL - 1..=LABEL).is_some_and(|at| at.starts_with(' ') && at != "  ");
    let indent = " ".repeat(if is_labelled { LABEL } else { spaces });
    lines(line, width, &indent).join("\n")
}

/// A text as lines of at most this width, but for words that are longer; all but the first begin with `indent`.
pub(super) fn lines<'a>(text: &'a str, width: usize, indent: &str) -> Vec<Cow<'a, str>> {
    let options = Options::new(width)
        .subsequent_indent(indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    wrap(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, width: Option<usize>) -> String {
        let mut screen = Screen { out: Vec::new(), width, line: Vec::new() };
        // As `write!` hands it over: in pieces.
        for piece in text.as_bytes().chunks(7) {
            screen.write_all(piece).unwrap();
        }
        String::from_utf8(screen.out).unwrap()
    }

    #[test]
    fn lines_are_broken_between_words_and_stand_below_their_text() {
        let text = "ignored    2 files that are no images: plate/notes-on-it.txt, other.txt\n\
                    \u{20}          B02_s1_w1.png: expected 1,108 bytes, found 12\n\
                    result     whole\n";
        let expected = "ignored    2 files that are no\n\
                        \u{20}          images:\n\
                        \u{20}          plate/notes-on-it.txt,\n\
                        \u{20}          other.txt\n\
                        \u{20}          B02_s1_w1.png: expected\n\
                        \u{20}          1,108 bytes, found 12\n\
                        result     whole\n";
        assert_eq!(shown(text, Some(34)), expected);
        assert_eq!(shown(text, None), text);
        // Two columns of a terminal each.
        assert_eq!(shown("細胞細胞細胞細胞 細胞細胞細胞細胞\n", Some(30)), "細胞細胞細胞細胞\n細胞細胞細胞細胞\n");
        assert_eq!(
            shown("/a/path/that/is/longer/than/the/screen\n", Some(30)),
            "/a/path/that/is/longer/than/the/screen\n"
        );
    }
}

//! Where quotes of a CSV do not match. The parser takes any text for some cells, as it must not stop at one; who wrote
//! `"5"-AMP"` meant another cell than it makes of that. Pure: bytes in, the first such line out.

/// Looks at the bytes of a text as they pass.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    state: State,
    /// Lines that ended so far.
    n_lines: u64,
    /// The line at which the last quoted cell began.
    opened: u64,
    unmatched: Option<Unmatched>,
}

/// A quote that does not match, with its line, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmatched {
    /// It stands alone within a quoted cell.
    Within(u64),
    /// It opens a cell that never ends.
    Open(u64),
}

/// Where in a text a byte stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// At its begin, where a mark of the order of bytes may be.
    #[default]
    Mark,
    /// At the begin of a cell.
    Begin,
    /// In a cell without quotes around it, in which a quote is a character.
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two.
    Closed,
}

impl Quotes {
    /// Looks at what comes next; no bytes are the end of the text.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if bytes.is_empty() && self.state == State::Quoted {
            self.note(Unmatched::Open(self.opened));
        }
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Mark, 0xef | 0xbb | 0xbf) => State::Mark,
                (State::Mark | State::Begin, b'"') => {
                    self.opened = self.n_lines + 1;
                    State::Quoted
                }
                (State::Quoted, b'"') => State::Closed,
                (State::Closed, b'"') | (State::Quoted, _) => State::Quoted,
                (_, b',' | b'\n' | b'\r') => State::Begin,
                (State::Closed, _) => {
                    self.note(Unmatched::Within(self.n_lines + 1));
                    State::Plain
                }
                (State::Mark | State::Begin | State::Plain, _) => State::Plain,
            };
            self.n_lines += u64::from(byte == b'\n');
        }
    }

    /// The first quote that does not match, of what has passed.
    pub(super) fn unmatched(&self) -> Option<Unmatched> {
        self.unmatched
    }

    fn note(&mut self, unmatched: Unmatched) {
        self.unmatched.get_or_insert(unmatched);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_match_or_are_told_with_their_line() {
        let check = |text: &str, expected: Option<Unmatched>| {
            // However it is cut.
            for n in [1, 2, 3, 1000] {
                let mut quotes = Quotes::default();
                text.as_bytes().chunks(n).for_each(|bytes| quotes.pass(bytes));
                quotes.pass(&[]);
                assert_eq!(quotes.unmatched(), expected, "{text:?}");
            }
        };
        for text in
            ["", "\"\"", "a,\"b\"", "a\"b,\"\"\"\"\n", "\u{feff}\"a\",\"\"\"\"", "\"a\nb\"\r\nc\r\n", "a,\"b\"\r\"c\""]
        {
            check(text, None);
        }
        check("a\n\"5\"-AMP\"\n", Some(Unmatched::Within(2)));
        check("a\n\"b\" ,c\n\"d", Some(Unmatched::Within(2)));
        check("a\nb,\"c\nd\n", Some(Unmatched::Open(2)));
    }
}

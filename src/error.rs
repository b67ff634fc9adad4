//! The one error type of the library. It names what failed, what was expected and what was found; the exit code
//! follows from its kind. It prints nothing and ends nothing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong. Callers branch on the kind: [`Error::is_data_fault`] tells faults of the data (exit code 1)
/// from everything that kept the program from running (exit code 2).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a read, a write or a rename.
    #[error("{}: cannot {action}", shown_path(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as an infinitive: `read`, `create`.
        action: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Data that is there but is not what it must be.
    #[error("{}: expected {}, found {}", shown(place), Lines(expected), Lines(found))]
    Malformed {
        /// File, and line or site where known.
        place: String,
        /// What would have been right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A request that contradicts what is there, or itself; nothing was changed.
    #[error("{}: expected {}, found {}", shown(what), Lines(expected), Lines(found))]
    Refused {
        /// The flag or folder in question.
        what: String,
        /// What would be accepted.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// A store without its `SHA256SUMS`: packing has not finished, or the upload has not.
    #[error(
        "{}: expected a finished store, found no SHA256SUMS (run pack again, or verify to see what is missing)",
        shown_path(path)
    )]
    Unfinished {
        /// The folder of the store.
        path: PathBuf,
    },
    /// A question for a site that the store does not hold.
    #[error("{}: no site {} in this store", shown_path(path), shown(site))]
    NoSuchSite {
        /// The folder of the store.
        path: PathBuf,
        /// The site that was asked for.
        site: String,
    },
}

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[expect(clippy::needless_pass_by_value, reason = "a place, a number or a text is handed over as it is at hand")]
impl Error {
    /// Whether the data is at fault (exit code 1), as opposed to the request or the machine (exit code 2).
    #[must_use]
    pub fn is_data_fault(&self) -> bool {
        matches!(self, Self::Malformed { .. } | Self::Unfinished { .. })
    }

    /// Whether the system could not tell, so that nothing is known of the data: any error of it but "not there".
    #[must_use]
    pub fn is_of_the_system(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Self::Io { source, .. }
            if source.raw_os_error().is_some() && !matches!(source.kind(), NotFound | NotADirectory))
    }

    /// An [`Error::Io`] builder for `map_err`.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }

    /// An [`Error::Malformed`].
    pub fn malformed(place: impl ToString, expected: impl ToString, found: impl ToString) -> Self {
        Self::Malformed { place: place.to_string(), expected: expected.to_string(), found: found.to_string() }
    }

    /// An [`Error::Refused`].
    pub fn refused(what: impl ToString, expected: impl ToString, found: impl ToString) -> Self {
        Self::Refused { what: what.to_string(), expected: expected.to_string(), found: found.to_string() }
    }
}

/// The one door by which a name or a path is shown to people: as it is, but for characters that a terminal would obey or
/// not show (escape, line breaks, turns of direction), which are written out as in `\u{1b}`.
#[must_use]
pub fn shown(text: &str) -> impl fmt::Display + '_ {
    Shown { text, line_breaks: false }
}

/// A path as [`shown`].
#[must_use]
pub fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy()).to_string()
}

/// Whether a terminal would obey a character, or show nothing for it.
#[must_use]
pub fn is_unshowable(c: char) -> bool {
    let turns_or_hides =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    c.is_control() || turns_or_hides
}

struct Shown<'a> {
    text: &'a str,
    line_breaks: bool,
}

/// A text as [`shown`], but with its line breaks: what was found in a recipe is several lines.
struct Lines<'a>(&'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { text: self.0, line_breaks: true }.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.text.split_inclusive(is_unshowable) {
            let (plain, last) = match part.char_indices().next_back() {
                Some((at, c)) if is_unshowable(c) && !(self.line_breaks && c == '\n') => (&part[..at], Some(c)),
                _ => (part, None),
            };
            f.write_str(plain)?;
            if let Some(c) = last {
                match c {
                    '\n' | '\r' | '\t' => write!(f, "{}", c.escape_debug())?,
                    _ => write!(f, "{}", c.escape_unicode())?,
                }
            }
        }
        Ok(())
    }
}

/// What was read of data that may be damaged or missing: `None` where it is.
///
/// # Errors
/// If the system could not tell: an error is never "not there".
pub fn unless_damaged<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_of_the_system() => Err(error),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, expected) in [
            ("train/ä b\\c.png", "train/ä b\\c.png"),
            ("a\u{1b}[2J\u{7}b", "a\\u{1b}[2J\\u{7}b"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{202e}gnp.a\u{9b}", "\\u{202e}gnp.a\\u{9b}"),
            ("", ""),
        ] {
            assert_eq!(shown(text).to_string(), expected);
            assert_eq!(shown_path(Path::new(text)), expected);
        }
        let error = Error::malformed("a\u{1b}\n:1", "x\ny", "\u{1b}z");
        assert_eq!(error.to_string(), "a\\u{1b}\\n:1: expected x\ny, found \\u{1b}z");
        let error = Error::io(Path::new("a\n\u{1b}"), "read")(io::ErrorKind::NotFound.into());
        assert_eq!(error.to_string(), "a\\n\\u{1b}: cannot read");
    }
}

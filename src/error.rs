//! The one error type of the library. It names what failed, what was expected and what was found; the exit code
//! follows from its kind. It prints nothing and ends nothing.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong. Callers branch on the kind: [`Error::is_data_fault`] tells faults of the data (exit code 1)
/// from everything that kept the program from running (exit code 2).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a read, a write or a rename.
    #[error("{}: cannot {action}", path.display())]
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
    #[error("{place}: expected {expected}, found {found}")]
    Malformed {
        /// File, and line or site where known.
        place: String,
        /// What would have been right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A request that contradicts what is there, or itself; nothing was changed.
    #[error("{what}: expected {expected}, found {found}")]
    Refused {
        /// The flag or folder in question.
        what: String,
        /// What would be accepted.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// A store without its `SHA256SUMS`: packing has not finished, or the upload has not.
    #[error("{}: expected a finished store, found no SHA256SUMS (run pack again, or verify to see what is missing)", path.display())]
    Unfinished {
        /// The folder of the store.
        path: PathBuf,
    },
    /// A question for a site that the store does not hold.
    #[error("{}: no site {site} in this store", path.display())]
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

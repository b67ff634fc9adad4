//! The one error type of the library. It names what failed, what was expected and what was found; the exit code
//! follows from its kind. It prints nothing and ends nothing.

use std::fs::{self, File};
use std::io::{self, Read};
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

/// The largest list or CSV that is read into memory: the metadata of two million sites.
const LARGEST_TEXT: u64 = 256 << 20;

/// Reads a whole file, naming it if that fails. Anything but a regular file of at most 256 MiB is refused.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    read_limited(path, LARGEST_TEXT).map_err(Error::io(path, "read"))
}

/// Reads a regular file of at most `limit` bytes.
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for someone to write into it.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("expected a regular file, found something else"));
    }
    if metadata.len() > limit {
        return Err(io::Error::other(format!("expected at most {limit} bytes, found {}", metadata.len())));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole text file, naming it if that fails or if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_file(path)?).map_err(|e| {
        Error::malformed(
            path.display(),
            "UTF-8 text",
            format!("a byte that is not, at offset {}", e.utf8_error().valid_up_to()),
        )
    })
}

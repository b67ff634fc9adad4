//! Files compared with what must be in them, and what is found.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;
use crate::store::format::checksum::{HashingWriter, Sha};

use super::report::{Finding, Kind, describe};

/// Where what a merge writes comes from.
pub(super) const LISTINGS: &str = "the listings of the plates";

/// Compares files with what must be in them, and gathers what is found.
pub(super) struct Comparison<'a> {
    pub(super) root: &'a Path,
    /// Files of which something is known to be wrong: nothing more is said of them.
    pub(super) bad: BTreeMap<String, Kind>,
    pub(super) new: Vec<Finding>,
}

impl Comparison<'_> {
    /// Compares a file with a content, of which `expected` hands over the pieces; `source` is what that follows from.
    pub(super) fn content(
        &mut self,
        path: &str,
        source: &str,
        expected: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) {
        if self.bad.contains_key(path) {
            return;
        }
        let mut hashing = HashingWriter::new(io::sink());
        // A sink takes everything.
        let mut write = |bytes: &[u8]| hashing.write_all(bytes).map_err(Error::io(Path::new(path), "hash"));
        if let Err(e) = expected(&mut write) {
            return self.new.push(Finding::new(Kind::Contradiction, path, describe(&e)));
        }
        let (_, expected, _) = hashing.finish();
        let full = self.root.join(path);
        let found = match files::exists(&full) {
            Ok(false) => return self.missing(path, source),
            Ok(true) => Sha::of_file(&full, &|_| {}),
            Err(e) => Err(e),
        };
        match found {
            Ok((found, _)) if found == expected => {}
            Ok(_) => self.contradicts(path, source),
            Err(e) => self.new.push(Finding::new(Kind::Unreadable, path, describe(&e))),
        }
    }

    pub(super) fn contradicts(&mut self, path: &str, source: &str) {
        let detail = format!("expected what follows from {source}, found another content");
        self.new.push(Finding::new(Kind::Contradiction, path, detail));
    }

    pub(super) fn missing(&mut self, path: &str, source: &str) {
        self.new.push(Finding::new(Kind::Missing, path, format!("follows from {source}, not found")));
    }
}

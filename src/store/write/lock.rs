//! The lock of a store: a file, not the folder, as network file systems know locks of files only, and only of those
//! that are open for writing. It is there while a process works, and the last one takes it away.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;
use crate::store::format::names::LOCK;

/// Holds the lock of a store until dropped.
pub(super) struct Lock {
    /// Closing it gives the lock back.
    _file: File,
    /// False on a file system that knows no locks: then it is up to the user to run one process at a time.
    pub(super) is_held: bool,
}

impl Lock {
    pub(super) fn take(root: &Path) -> Result<Self> {
        let path = root.join(LOCK);
        loop {
            let file = files::open_for_lock(&path, true).map_err(Error::io(&path, "open"))?;
            let is_held = match file.lock() {
                Ok(()) => true,
                Err(e) if e.kind() == io::ErrorKind::Unsupported => false,
                Err(e) => return Err(Error::io(&path, "lock")(e)),
            };
            // The process that held it may have taken the file away: then another file is the lock now.
            let own = file.metadata().map_err(Error::io(&path, "look at"))?;
            let is_same = |found: Metadata| (found.dev(), found.ino()) == (own.dev(), own.ino());
            if !is_held || files::look_at(&path)?.is_some_and(is_same) {
                return Ok(Self { _file: file, is_held });
            }
        }
    }
}

//! One process at work on a store: its lock and its temporary folder. Knows nothing of what is in a store.
//!
//! The lock is a file, not the folder: network file systems know locks of files only, and only of those that are open for
//! writing. It is there while a process works, and the last one takes it away.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Whatever is temporary in a store begins like this.
pub const TEMPORARY: &str = ".cellshard-";
const LOCK: &str = ".cellshard-lock";

pub(super) fn create_dirs(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io(path, "create the folder"))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(to, "rename into place"))
}

/// Makes renames in `dir` outlive a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir, "sync"))
}

/// Opens a file that is to be locked: for writing, made if it is not there.
fn open_for_lock(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Holds the lock of a store until dropped.
pub(super) struct Lock {
    /// Closing it gives the lock back.
    _file: File,
    /// False on a file system that knows no locks: then it is up to the user to run one process at a time.
    is_held: bool,
}

impl Lock {
    pub(super) fn take(root: &Path) -> Result<Self> {
        let path = root.join(LOCK);
        loop {
            let file = open_for_lock(&path).map_err(Error::io(&path, "open"))?;
            let is_held = match file.lock() {
                Ok(()) => true,
                Err(e) if e.kind() == io::ErrorKind::Unsupported => false,
                Err(e) => return Err(Error::io(&path, "lock")(e)),
            };
            // The process that held it may have taken the file away: then another file is the lock now.
            let own = file.metadata().map_err(Error::io(&path, "look at"))?;
            let is_same = |found: fs::Metadata| (found.dev(), found.ino()) == (own.dev(), own.ino());
            if !is_held || fs::metadata(&path).is_ok_and(is_same) {
                return Ok(Self { _file: file, is_held });
            }
        }
    }
}

/// This process's part in a store: a temporary folder on the store's own file system.
pub(super) struct Session {
    root: PathBuf,
    temporary: PathBuf,
    /// Locked as long as this process lives, so that others know its folder from one left by a killed process.
    alive: Option<File>,
}

impl Session {
    /// Makes the store's folder if it is not there, takes away what killed processes left in it, and makes a folder for
    /// this one.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let lock = Self::enter(root)?;
        if lock.is_held {
            remove_leftovers(root)?;
        }
        let made = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(root);
        let temporary = made.map_err(Error::io(root, "create a folder in"))?.keep();
        let path = temporary.join("lock");
        let alive = open_for_lock(&path).map_err(Error::io(&path, "create"))?;
        match alive.try_lock() {
            Err(TryLockError::Error(e)) if e.kind() != io::ErrorKind::Unsupported => Err(Error::io(&path, "lock")(e)),
            _ => Ok(Self { root: root.to_owned(), temporary, alive: Some(alive) }),
        }
    }

    /// Takes the lock of a store, whose folder may not be there yet, or be taken away by a process that put nothing into it
    /// just before the lock is in it.
    fn enter(root: &Path) -> Result<Lock> {
        let mut tries = 0;
        loop {
            create_dirs(root)?;
            tries += 1;
            match Lock::take(root) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && tries < 10 => {}
                result => return result,
            }
        }
    }

    /// The folder for unfinished things.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Errors here have nobody to go to; the next process takes away what is left.
        let Ok(_lock) = Lock::take(&self.root) else { return };
        // Network file systems keep a file that is open, and with it the folder.
        self.alive = None;
        let _ = remove_temporary(&self.temporary);
        if temporaries(&self.root).is_ok_and(|others| others.is_empty()) {
            let _ = fs::remove_file(self.root.join(LOCK));
            // Removes the store's folder only if nothing was put into it.
            let _ = fs::remove_dir(&self.root);
        }
    }
}

/// The temporary folders in a store.
fn temporaries(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(root).map_err(Error::io(root, "list"))? {
        let entry = entry.map_err(Error::io(root, "list"))?;
        let name = entry.file_name();
        if name != LOCK && name.to_string_lossy().starts_with(TEMPORARY) {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Removes a temporary folder, its lock file last: killed half way, it is still known as ours.
fn remove_temporary(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == "lock" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(folder.join("lock"))?;
    fs::remove_dir(folder)
}

/// Removes the temporary folders of processes that are no more. The caller holds the store's lock, under which such a
/// folder and the file in it are made. Only who gets the lock of that file knows that nobody else has it: any error means
/// that its process may live. A folder without that file is ours only if it is empty. What cannot be removed is left.
fn remove_leftovers(root: &Path) -> Result<()> {
    for folder in temporaries(root)? {
        match File::options().read(true).write(true).open(folder.join("lock")) {
            Ok(lock) if lock.try_lock().is_ok() => {
                drop(lock);
                let _ = remove_temporary(&folder);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let _ = fs::remove_dir(&folder);
            }
            _ => {}
        }
    }
    Ok(())
}

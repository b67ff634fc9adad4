//! One process at work on a store: its temporary folder. Knows nothing of what is in a store.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, Links};
use crate::store::format::names::{LOCK, TEMPORARY};

use super::lock::Lock;

/// The file by which a temporary folder is known as that of a process that lives.
pub(super) const ALIVE: &str = "lock";

/// Looks after a folder that a killed process left, and says whether nothing in it is needed any more.
pub(super) type Settle = dyn Fn(&Path) -> Result<bool> + Send + Sync;

/// This process's part in a store: a temporary folder on the store's own file system.
pub(super) struct Session {
    root: PathBuf,
    temporary: PathBuf,
    /// Locked as long as this process lives, so that others know its folder from one left by a killed process.
    alive: Option<File>,
    is_closed: bool,
    /// Whether the store's folder was made for it: then it goes again if nothing is put into it.
    made_root: bool,
    settle: Box<Settle>,
}

impl Session {
    /// Makes the store's folder if it is not there, takes away what killed processes left in it, and makes a folder for
    /// this one. `settle` is shown each folder that was left, saves what is worth it, and says whether the rest may go.
    pub(super) fn open(root: &Path, settle: Box<Settle>) -> Result<Self> {
        let made_root = !files::exists(root)?;
        let lock = Self::enter(root)?;
        for (folder, alive) in left_behind(root, None)? {
            if settle(&folder)? && lock.is_held && alive.is_some() {
                drop(alive);
                // What cannot be removed is left.
                let _ = remove_temporary(&folder);
            }
        }
        let temporary = create_temporary(root)?;
        let path = temporary.join(ALIVE);
        let alive = files::open_for_lock(&path, true).map_err(Error::io(&path, "create"))?;
        match alive.try_lock() {
            Err(TryLockError::Error(e)) if e.kind() != io::ErrorKind::Unsupported => Err(Error::io(&path, "lock")(e)),
            _ => {
                let root = root.to_owned();
                Ok(Self { root, temporary, alive: Some(alive), is_closed: false, made_root, settle })
            }
        }
    }

    /// Shows `settle` what processes left that were killed since this one began. The caller holds the store's lock.
    pub(super) fn settle_others(&self, settle: &dyn Fn(&Path) -> Result<bool>) -> Result<()> {
        for (folder, _alive) in left_behind(&self.root, Some(&self.temporary))? {
            settle(&folder)?;
        }
        Ok(())
    }

    /// Takes the lock of a store, whose folder may not be there yet, or be taken away by a process that put nothing
    /// into it just before the lock is in it.
    fn enter(root: &Path) -> Result<Lock> {
        let mut tries = 0;
        loop {
            files::create_dirs(root)?;
            tries += 1;
            match Lock::take(root) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && tries < 10 => {}
                result => return result,
            }
        }
    }

    /// Takes the folder away, and the lock with it if no other process is at work; and the store's folder, if it was made
    /// for this and nothing was put into it.
    pub(super) fn close(&mut self) -> Result<()> {
        self.is_closed = true;
        let _lock = Lock::take(&self.root)?;
        // After an error, as after a kill, half of a plate may be in its place and half still here.
        let may_go = (self.settle)(&self.temporary)?;
        // Network file systems keep a file that is open, and with it the folder.
        self.alive = None;
        if may_go {
            remove_temporary(&self.temporary)?;
        }
        if temporaries(&self.root)?.is_empty() {
            files::remove_file(&self.root.join(LOCK))?;
            if self.made_root && files::is_empty_dir(&self.root)? {
                files::remove_dir(&self.root)?;
            }
        }
        Ok(())
    }

    /// The folder for unfinished things.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_closed {
            // Errors here have nobody to go to; the next process takes away what is left.
            let _ = self.close();
        }
    }
}

/// Makes a temporary folder under the first number that is free. The caller holds the store's lock.
fn create_temporary(root: &Path) -> Result<PathBuf> {
    for number in 1_u64.. {
        let path = root.join(format!("{TEMPORARY}{number}"));
        match files::create_dir(&path) {
            Ok(()) => {
                files::sync_dir(root)?;
                return Ok(path);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(root, "create a folder in")(e)),
        }
    }
    unreachable!("there are fewer folders than numbers")
}

/// Whether a folder's name is one that a process gives its temporary folder: a number, or, as 0.1.0 did, six characters.
fn is_temporary(name: &str) -> bool {
    let Some(end) = name.strip_prefix(TEMPORARY).filter(|_| name != LOCK) else { return false };
    let is_number = !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit());
    is_number || (end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The temporary folders in a store. A link is none of ours, wherever it leads.
fn temporaries(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for found in files::walk(root, 1..=1, Links::Keep) {
        let found = found?;
        if found.is_dir() && found.name().is_some_and(is_temporary) {
            folders.push(found.path);
        }
    }
    Ok(folders)
}

/// Removes a temporary folder, its lock file last: killed half way, it is still known as ours.
fn remove_temporary(folder: &Path) -> Result<()> {
    for found in files::walk(folder, 1..=1, Links::Keep) {
        let found = found?;
        if found.name() == Some(ALIVE) {
            continue;
        }
        if found.is_dir() {
            files::remove_dir_all(&found.path)?;
        } else {
            files::remove_file(&found.path)?;
        }
    }
    files::remove_file(&folder.join(ALIVE))?;
    files::remove_dir(folder).map(drop)
}

/// The temporary folders of processes that are no more, but `own`, each with the lock of the file in it, or with none
/// on a file system that knows no locks. The caller holds the store's lock, under which such a folder and the file in it
/// are made. Only who gets the lock of that file knows that nobody else has it: any error means that its process may
/// live. A folder without that file is ours only if it is empty, and then it goes.
fn left_behind(root: &Path, own: Option<&Path>) -> Result<Vec<(PathBuf, Option<File>)>> {
    let mut left = Vec::new();
    for folder in temporaries(root)?.into_iter().filter(|folder| own != Some(folder.as_path())) {
        match files::open_for_lock(&folder.join(ALIVE), false) {
            Ok(alive) => match alive.try_lock() {
                Ok(()) => left.push((folder, Some(alive))),
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => left.push((folder, None)),
                Err(_) => {}
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let _ = files::remove_dir(&folder);
            }
            Err(_) => {}
        }
    }
    Ok(left)
}

//! What a run says while it trains: every line into its log, and to whoever watches.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

use super::folder::{LOG, RunFolder};

/// Who watches a run.
pub trait Observer {
    /// A line of the log.
    fn line(&mut self, text: &str);
    /// A step is done: epoch from 1, steps done in it, steps of an epoch.
    fn step(&mut self, _epoch: u32, _step: u64, _steps: u64) {}
    /// These sites, as indices of the store, are trained on now.
    fn fed(&mut self, _sites: &[usize]) {}
}

/// Watches nothing.
impl Observer for () {
    fn line(&mut self, _: &str) {}
}

/// The log of one run folder, which nobody else trains in as long as it is open.
pub struct RunLog<'a> {
    file: File,
    folder: RunFolder,
    observer: &'a mut dyn Observer,
    skipped: BTreeSet<usize>,
}

impl<'a> RunLog<'a> {
    /// Opens the log of a run folder to append to.
    ///
    /// # Errors
    /// If another process trains there, or it cannot be opened.
    pub fn open(folder: &RunFolder, observer: &'a mut dyn Observer) -> Result<Self> {
        Ok(Self { file: folder.open_log()?, folder: folder.clone(), observer, skipped: BTreeSet::new() })
    }

    /// Writes a line to the log, with the time, and shows it.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.note(text)?;
        self.observer.line(text);
        Ok(())
    }

    /// Writes a line to the log, with the time, that nobody has to be shown.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn note(&mut self, text: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = humantime::format_rfc3339_seconds(UNIX_EPOCH + now);
        let path = self.folder.file(LOG);
        writeln!(self.file, "{stamp} {}", text.replace('\n', " ")).map_err(Error::io(&path, "write"))
    }

    /// Tells which sites are trained on; nothing is logged.
    pub fn fed(&mut self, sites: &[usize]) {
        self.observer.fed(sites);
    }

    /// Logs a damaged site that was left out, the first time that this process meets it.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn skipped(&mut self, site: usize, error: &Error) -> Result<()> {
        if self.skipped.insert(site) { self.line(&format!("left out   {error}")) } else { Ok(()) }
    }

    /// Tells of a step; nothing is logged.
    pub fn step(&mut self, epoch: u32, step: u64, steps: u64) {
        self.observer.step(epoch, step, steps);
    }
}

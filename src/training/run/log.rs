//! What a run says while it trains: every line into its log, and to whoever watches.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::training::evaluate::metrics::EpochMetrics;

use super::folder::{LOG, RunFolder};
use super::watch::Standing;

/// Who watches a run.
pub trait Observer {
    /// A line of the log.
    fn line(&mut self, text: &str);
    /// Where the run stands: after every step, and after every batch that is judged.
    fn stands(&mut self, _at: &Standing<'_>) {}
    /// A line of the log of once a minute, for whom is not shown where the run stands.
    fn beat(&mut self, _text: &str) {}
    /// An epoch is trained and judged.
    fn epoch(&mut self, _metrics: &EpochMetrics) {}
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
    /// When it last said where the run stands.
    said: Instant,
    every: Duration,
}

impl<'a> RunLog<'a> {
    /// Opens the log of a run folder to append to.
    ///
    /// # Errors
    /// If another process trains there, or it cannot be opened.
    pub fn open(folder: &RunFolder, observer: &'a mut dyn Observer) -> Result<Self> {
        let (file, folder, skipped) = (folder.open_log()?, folder.clone(), BTreeSet::new());
        Ok(Self { file, folder, observer, skipped, said: Instant::now(), every: Duration::from_mins(1) })
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

    /// Tells where the run stands, and logs it once a minute, so that a log that grows is a run that lives.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn stands(&mut self, at: &Standing<'_>) -> Result<()> {
        self.observer.stands(at);
        if self.said.elapsed() >= self.every {
            self.said = Instant::now();
            let line = at.line();
            self.note(&line)?;
            self.observer.beat(&line);
        }
        Ok(())
    }

    /// Tells of an epoch that is trained and judged; nothing is logged.
    pub fn epoch(&mut self, metrics: &EpochMetrics) {
        self.observer.epoch(metrics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::run::watch::tests::{seconds, standing};
    use crate::training::run::{Doing, Pace};

    /// Notes what it is told.
    #[derive(Default)]
    struct Told {
        stands: usize,
        beats: Vec<String>,
    }

    impl Observer for Told {
        fn line(&mut self, _: &str) {}

        fn stands(&mut self, _: &Standing<'_>) {
            self.stands += 1;
        }

        fn beat(&mut self, text: &str) {
            self.beats.push(text.to_owned());
        }
    }

    #[test]
    fn where_a_run_stands_is_logged_when_it_is_due_and_told_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(dir.path());
        let mut pace = Pace::default();
        pace.add(Doing::Training, 10, seconds(1), seconds(0));
        let at = standing(pace);
        let mut told = Told::default();
        for (every, beats) in [(Duration::MAX, 0), (Duration::ZERO, 2)] {
            let mut log = RunLog { every, ..RunLog::open(&folder, &mut told).unwrap() };
            (0..2).for_each(|_| log.stands(&at).unwrap());
            drop(log);
            assert_eq!(told.beats, vec![at.line(); beats]);
        }
        assert_eq!(told.stands, 4);
        let text = std::fs::read_to_string(folder.file(LOG)).unwrap();
        assert!(text.lines().count() == 2 && text.lines().all(|line| line.ends_with(&at.line())), "{text}");
    }
}

//! Progress on stderr: a bar where it is a terminal, and a line now and then where it is a log.

use std::fmt::Write as _;
use std::io::{Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::interrupt;
use super::numbers::{BYTES, bytes, rate, time};
use crate::words::count;

/// Seconds between lines of a log, where whoever reads it wants others than those that grow.
pub(super) const EVERY: &str = "CELLSHARD_PROGRESS";
/// When the first line of a log comes; the next comes when twice the time has passed.
const FIRST: Duration = Duration::from_secs(10);
/// But no later than this after the last.
const LONGEST: Duration = Duration::from_mins(10);

/// Progress of one long step, on the screen until it is dropped, in units of the caller's choice.
pub struct Progress {
    bar: ProgressBar,
    unit: &'static str,
    begun: Arc<Mutex<Begun>>,
    log: Option<(Sender<()>, JoinHandle<()>)>,
}

/// When counting began; until there is a total, what is done instead.
struct Begun {
    at: Instant,
    doing: &'static str,
}

impl Progress {
    /// Starts to show the step `what`, which counts `unit` (such as `sites`; `bytes` are shown as MB and so on). Its
    /// total comes with [`Progress::set_total`].
    #[must_use]
    pub fn new(what: &'static str, unit: &'static str) -> Self {
        let begun = Arc::new(Mutex::new(Begun { at: Instant::now(), doing: "" }));
        let bar = ProgressBar::no_length().with_style(spinner(unit)).with_prefix(what);
        let log = if bar.is_hidden() { log(what, unit, bar.clone(), begun.clone()) } else { None };
        // It draws by a thread of its own, and panics where there is none to be had.
        if !bar.is_hidden() && thread::Builder::new().spawn(|| ()).is_ok() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        interrupt::shows(Some(bar.clone()));
        Self { bar, unit, begun, log }
    }

    /// Tells what is done until there is a total, such as `looking for images`.
    pub fn doing(&self, what: &'static str) {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).doing = what;
        self.bar.set_message(what);
    }

    /// Sets what there is to count; it is counted from now on.
    pub fn set_total(&self, total: u64) {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).at = Instant::now();
        self.bar.set_length(total);
        self.bar.reset_eta();
        self.bar.set_style(style(self.unit));
    }

    /// Shows what it is told.
    pub fn see(&self, progress: crate::progress::Progress) {
        match progress {
            crate::progress::Progress::Planned(n) => self.set_total(n),
            crate::progress::Progress::Done(n) => self.add(n),
        }
    }

    /// Counts `n` more as done.
    pub fn add(&self, n: u64) {
        self.bar.inc(n);
    }
}

impl Drop for Progress {
    /// Takes the bar off the screen, so that a report or an error stands alone.
    fn drop(&mut self) {
        interrupt::shows(None);
        self.bar.finish_and_clear();
        if let Some((stop, thread)) = self.log.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// What is done until there is a total, and how much of it.
fn spinner(unit: &'static str) -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix:>9} {spinner} {msg} {so_far}");
    let so_far = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        if state.pos() > 0 {
            let _ = out.write_str(&facts(unit, state.pos(), None, state.per_sec()));
        }
    };
    style.expect("the template is constant and valid").with_key("so_far", so_far)
}

/// A bar with the facts behind it.
fn style(unit: &'static str) -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix:>9} {wide_bar:.cyan/dim} {facts}");
    let facts = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = out.write_str(&facts(unit, state.pos(), state.len(), state.per_sec()));
    };
    style.expect("the template is constant and valid").with_key("facts", facts).progress_chars("━╸─")
}

/// How far it is: `1,234 of 125,510 sites, 7,079 sites/s, 18 s left`. Of a rate and a time nothing is said before there
/// is one.
fn facts(unit: &str, done: u64, total: Option<u64>, per_s: f64) -> String {
    let of_unit = |n: u64| if unit == BYTES { bytes(n) } else { count(n) };
    let mut text = of_unit(done);
    if let Some(total) = total {
        let _ = write!(text, " of {}", of_unit(total));
    }
    if unit != BYTES {
        let _ = write!(text, " {unit}");
    }
    if done > 0 && per_s > 0.0 && per_s.is_finite() {
        let _ = write!(text, ", {}", rate(per_s, unit));
        let left = total.map(|total| total.saturating_sub(done) as f64 / per_s);
        if let Some(left) = left.and_then(|left| Duration::try_from_secs_f64(left).ok()) {
            let _ = write!(text, ", {} left", time(left));
        }
    }
    text
}

/// A line of a log about the same.
fn line(what: &str, unit: &str, (done, total): (u64, Option<u64>), doing: &str, elapsed: Duration) -> String {
    if total.is_none() && done == 0 {
        let doing = if doing.is_empty() { "" } else { &format!("{doing}, ") };
        return format!("{what:<10} {doing}{} so far", time(elapsed));
    }
    format!("{what:<10} {}", facts(unit, done, total, done as f64 / elapsed.as_secs_f64()))
}

/// How long after `elapsed` the next line of a log comes.
fn pause(elapsed: Duration, every: Option<Duration>) -> Duration {
    every.unwrap_or_else(|| elapsed.clamp(FIRST, LONGEST))
}

/// Starts to write such lines; they end when the sender is dropped. Nothing where there is no thread to be had.
fn log(
    what: &'static str,
    unit: &'static str,
    bar: ProgressBar,
    begun: Arc<Mutex<Begun>>,
) -> Option<(Sender<()>, JoinHandle<()>)> {
    let every = std::env::var(EVERY).ok().and_then(|text| text.parse().ok());
    let every = every.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if every.is_some_and(|every| every.is_zero()) {
        return None;
    }
    let (stop, stopped) = channel();
    let write = move || {
        let start = Instant::now();
        while stopped.recv_timeout(pause(start.elapsed(), every)) == Err(RecvTimeoutError::Timeout) {
            let text = {
                let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
                line(what, unit, (bar.position(), bar.length()), begun.doing, begun.at.elapsed())
            };
            // A log that cannot be written is no reason to end.
            let _ = writeln!(stderr(), "{text}");
        }
    };
    let thread = thread::Builder::new().name("progress".to_owned()).spawn(write).ok()?;
    Some((stop, thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_rounded_and_told_as_far_as_they_are_known() {
        for (unit, done, total, per_s, expected) in [
            ("sites", 1234, Some(125_510), 7078.6029, "1,234 of 125,510 sites, 7,079 sites/s, 18 s left"),
            ("sites", 0, Some(48), 0.0, "0 of 48 sites"),
            ("sites", 0, Some(48), f64::NAN, "0 of 48 sites"),
            ("sites", 48, Some(48), 96.0, "48 of 48 sites, 96 sites/s, 0 s left"),
            ("sites", 50, Some(48), 96.0, "50 of 48 sites, 96 sites/s, 0 s left"),
            ("sites", 1, Some(u64::MAX), 1e-300, "1 of 18,446,744,073,709,551,615 sites, 0.0 sites/s"),
            ("files", 12, None, 3.25, "12 files, 3.2 files/s"),
            ("bytes", 1_200_000_000, Some(3_400_000_000), 8.12e8, "1.2 GB of 3.4 GB, 812 MB/s, 3 s left"),
        ] {
            assert_eq!(facts(unit, done, total, per_s), expected);
        }
    }

    #[test]
    fn a_line_of_a_log_tells_what_is_done_before_there_is_a_total() {
        let s = Duration::from_secs;
        assert_eq!(
            line("pack", "sites", (0, None), "looking for images", s(10)),
            "pack       looking for images, 10 s so far"
        );
        assert_eq!(line("pack", "sites", (0, None), "", s(10)), "pack       10 s so far");
        assert_eq!(
            line("pack", "sites", (20, Some(48)), "", s(10)),
            "pack       20 of 48 sites, 2.0 sites/s, 14 s left"
        );
    }

    #[test]
    fn lines_of_a_log_become_rarer() {
        let s = Duration::from_secs;
        let mut at = vec![s(0)];
        while at.len() < 10 {
            let last = at[at.len() - 1];
            at.push(last + pause(last, None));
        }
        assert_eq!(at[1..], [10, 20, 40, 80, 160, 320, 640, 1240, 1840].map(s));
        assert_eq!(pause(s(640), Some(s(30))), s(30));
    }
}

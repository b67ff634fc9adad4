//! A progress bar on stderr, drawn only on a terminal; a log file gets nothing from it.

use std::fmt::Write;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Progress of one long step, on the screen until it is dropped, in units of the caller's choice.
pub struct Progress(ProgressBar);

impl Progress {
    /// Starts a bar named `what` that counts `unit` (such as `sites`); its total comes with [`Progress::set_total`].
    ///
    /// # Panics
    /// Never: the template is constant and valid.
    #[must_use]
    pub fn new(what: &'static str, unit: &'static str) -> Self {
        let template = format!("{{prefix:>9}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{rate}}, {{eta}} left");
        let rate = |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        };
        let style = ProgressStyle::with_template(&template).expect("the template is constant and valid");
        let style = style.with_key("rate", rate);
        let bar = ProgressBar::new(0).with_style(style).with_prefix(what);
        // It draws by a thread of its own, and panics where there is none to be had.
        if !bar.is_hidden() && thread::Builder::new().spawn(|| ()).is_ok() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self(bar)
    }

    /// Sets what there is to count.
    pub fn set_total(&self, total: u64) {
        self.0.set_length(total);
    }

    /// Counts `n` more as done.
    pub fn add(&self, n: u64) {
        self.0.inc(n);
    }
}

impl Drop for Progress {
    /// Takes the bar off the screen, so that a report or an error stands alone.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

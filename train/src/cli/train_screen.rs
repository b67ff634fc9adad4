//! What `train` shows: the lines of its log, and a bar of steps where stderr is a terminal.

use std::io::{Write, stderr, stdout};

use indicatif::{ProgressBar, ProgressStyle};

use cellshard::training::run::Observer;

/// Lines, and a bar on stderr.
pub(super) struct TrainScreen {
    bar: ProgressBar,
    stdout_is_for_json: bool,
}

impl TrainScreen {
    /// An empty screen. Lines go to stdout, or to stderr where JSON is asked for.
    ///
    /// # Panics
    /// Never: the template is constant and valid.
    #[must_use]
    pub(super) fn new(json: bool) -> Self {
        let template = "{prefix:>9} {wide_bar} {human_pos}/{human_len} steps {per_sec:.1}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is constant and valid");
        Self { bar: ProgressBar::new(0).with_style(style), stdout_is_for_json: json }
    }
}

impl Observer for TrainScreen {
    fn line(&mut self, text: &str) {
        // A reader that went away (`| head`) is no reason to end training; the log has every line.
        let _ = self.bar.suspend(|| {
            if self.stdout_is_for_json { writeln!(stderr(), "{text}") } else { writeln!(stdout(), "{text}") }
        });
    }

    fn step(&mut self, epoch: u32, step: u64, steps: u64) {
        if self.bar.length() != Some(steps) || self.bar.position() >= step {
            self.bar.reset();
            self.bar.set_length(steps);
            self.bar.set_prefix(format!("epoch {epoch}"));
        }
        self.bar.set_position(step);
    }
}

impl Drop for TrainScreen {
    /// Takes the bar off the screen.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! What `train` shows: the lines of its log, and where it stands: on a terminal below them, drawn again and again, and
//! elsewhere as a line a minute.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use console::Term;

use cellshard::cli::screen;
use cellshard::training::evaluate::metrics::EpochMetrics;
use cellshard::training::run::{Observer, Standing};

use super::live::{Area, View};

/// How often the screen is drawn at most.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Lines, and what is drawn below them on stderr where that is a terminal.
pub(super) struct TrainScreen {
    live: Option<Live>,
    stdout_is_for_json: bool,
}

/// What is drawn.
struct Live {
    area: Area,
    view: View,
    /// What is on the screen.
    lines: Vec<String>,
    drawn: Option<Instant>,
}

impl TrainScreen {
    /// An empty screen. Lines go to stdout, or to stderr where JSON is asked for.
    #[must_use]
    pub(super) fn new(json: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = Live { area: Area::default(), view: View::default(), lines: Vec::new(), drawn: None };
        Self { live: (stderr().is_terminal() && !is_dumb).then_some(live), stdout_is_for_json: json }
    }
}

impl Observer for TrainScreen {
    fn line(&mut self, text: &str) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
        // A reader that went away (`| head`) is no reason to end training; the log has every line.
        let _ = if self.stdout_is_for_json { writeln!(stderr(), "{text}") } else { writeln!(screen(), "{text}") };
        if let Some(live) = &mut self.live {
            live.draw();
        }
    }

    fn stands(&mut self, at: &Standing<'_>) {
        let Some(live) = &mut self.live else { return };
        live.view.see(at);
        if live.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY) {
            live.lines = live.view.lines(at, size().1);
            live.draw();
        }
    }

    fn beat(&mut self, text: &str) {
        if self.live.is_none() {
            let _ = writeln!(stderr(), "{text}");
        }
    }

    fn epoch(&mut self, metrics: &EpochMetrics) {
        if let Some(live) = &mut self.live {
            live.view.epoch(metrics);
        }
    }
}

impl Live {
    fn draw(&mut self) {
        // A terminal that went away is no reason to end training.
        let _ = self.area.draw(&mut stderr(), &self.lines, size());
        self.drawn = Some(Instant::now());
    }

    fn clear(&mut self) {
        let _ = self.area.clear(&mut stderr(), size().1);
    }
}

impl Drop for TrainScreen {
    /// Takes what is drawn off the screen.
    fn drop(&mut self) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
    }
}

/// Rows and columns of the terminal.
fn size() -> (u16, u16) {
    Term::stderr().size()
}

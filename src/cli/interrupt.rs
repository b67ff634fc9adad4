//! Ctrl-C and SIGTERM, answered at once: one line says what is kept and what to run to go on, and the process ends by the
//! signal, so that a shell sees 130 or 143 and ends its own loop. `train` saves first, and has its own answer.

use std::io::{Write, stderr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::shown;
use crate::files;
use crate::words::quoted;

/// The bar that is on the screen.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Notes which bar is on the screen, to be taken off it.
pub(super) fn shows(bar: Option<ProgressBar>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Has Ctrl-C and SIGTERM from now on end this process with a line that begins with `interrupted: ` and goes on with
/// this. Where there is no thread to be had, they end it without.
pub fn when_interrupted(kept: impl Into<String>) {
    let kept = kept.into();
    let wait = move || {
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
        if let Some(signal) = signals.forever().next() {
            ends_by_the_next();
            files::remove_unfinished();
            if let Some(bar) = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take() {
                bar.finish_and_clear();
            }
            let _ = writeln!(stderr(), "interrupted: {kept}");
            end_by(signal);
        }
    };
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

/// How long after a signal the next one counts as another: some send it to a process and to its group at once.
pub(super) const ANOTHER: Duration = Duration::from_secs(1);

/// Has the next signal end this process at once, where the answer to the first is waiting for something.
fn ends_by_the_next() {
    let wait = || {
        thread::sleep(ANOTHER);
        let armed = Arc::new(AtomicBool::new(true));
        for signal in [SIGINT, SIGTERM] {
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, armed.clone());
        }
    };
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

/// Ends this process by a signal. The first process of a container cannot, and exits as a shell would tell it.
fn end_by(signal: i32) {
    if !rustix::process::getpid().is_init() {
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    std::process::exit(128 + signal);
}

/// The command that this process was started by, for a shell.
#[must_use]
pub fn command_line() -> String {
    let mut arguments = super::arguments().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    // `cellshard pack`, as `cellshard` names what it runs, is two words.
    let program = if program.starts_with("cellshard ") { program } else { quoted([program.as_str()]) };
    shown(&format!("{program} {}", quoted(arguments.iter().map(String::as_str)))).to_string()
}

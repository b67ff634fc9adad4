//! Exit codes: 0 success, 1 the data has faults, 2 could not run, 75 stopped in time (`EX_TEMPFAIL` of sysexits).

use std::io::{self, Write, stderr};
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use rustix::process::Signal;

use crate::error::{Error, shown};
use crate::{files, memory};

use super::arguments::arguments;
use super::report::print_error;

/// What each exit code means, below the `--help` of every program but `train`.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  done, and what was looked at is whole
    1  the data has faults: they are reported, and what is whole is kept
    2  could not run: a flag, a folder, a disk, a device
  130  ended by Ctrl-C, of train by a second one (by SIGTERM: 143)";

/// The same below that of `train`.
pub const EXIT_CODES_OF_TRAIN: &str = "\
Exit codes:
    0  done, and what was looked at is whole
    1  the data has faults: they are reported, and what is whole is kept
    2  could not run: a flag, a folder, a disk, a device
   75  stopped in time, and saved where it goes on: run again with --resume --run DIR
  130  ended by Ctrl-C, of train by a second one (by SIGTERM: 143)";

/// How a program ends when nothing kept it from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well: 0.
    Success,
    /// The data has faults, and they were reported: 1.
    Faults,
    /// It was told to stop in time, and saved where it goes on: 75.
    Stopped,
}

/// How a program ended: its exit code.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u8);

impl Termination for Code {
    fn report(self) -> ExitCode {
        ExitCode::from(self.0)
    }
}

/// Runs a program's body and turns what comes of it into an exit code. An error is printed once, with its causes, to
/// stderr, and with `--json` as an object to stdout, too. A reader that closed our stdout early (`| head`) is no error.
pub fn run(tool: &str, body: impl FnOnce() -> anyhow::Result<Exit>) -> Code {
    if !memory::is_enough_to_begin() {
        // Words that are there: there may be no memory to make any.
        let _ = writeln!(stderr(), "error: memory: expected 32 MiB to begin with, found less (ulimit -v?)");
        return Code(2);
    }
    files::raise_open_files();
    // A file that grows beyond what the shell allows (`ulimit -f`) is an error of the write, and does not kill.
    let _ = signal_hook::flag::register(Signal::XFSZ.as_raw(), Arc::default());
    Code(match body() {
        Ok(Exit::Success) => 0,
        Ok(Exit::Faults) => 1,
        Ok(Exit::Stopped) => 75,
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => tell(tool, &error),
    })
}

/// Tells an error, and which exit code it is.
fn tell(tool: &str, error: &anyhow::Error) -> u8 {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        // A reader that went away has read enough.
        let _ = usage.print();
        if !usage.use_stderr() {
            return 0;
        }
    } else {
        // Line by line, as what was found in a recipe has several; an error of ours has escaped its names already.
        let text = format!("{error:#}");
        let lines: Vec<String> = text.lines().map(|line| shown(line).to_string()).collect();
        // Somebody who no longer looks is told by the exit code.
        let _ = writeln!(stderr(), "error: {}", lines.join("\n"));
    }
    let code = if error.downcast_ref::<Error>().is_some_and(Error::is_data_fault) { 1 } else { 2 };
    // Asked for by the flag itself, as the flags may be what is wrong.
    if arguments().any(|argument| argument == "--json") {
        let _ = print_error(tool, error, code);
    }
    code
}

/// Takes the result of printing: that nobody reads on (`| head`) is no error, and does not change the exit code.
///
/// # Errors
/// Any other error.
pub fn show(printed: anyhow::Result<()>) -> anyhow::Result<()> {
    printed.or_else(|error| if is_broken_pipe(&error) { Ok(()) } else { Err(error) })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

//! Exit codes: 0 success, 1 the data has faults, 2 could not run, 75 stopped in time (`EX_TEMPFAIL` of sysexits).

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::Signal;

use crate::error::Error;

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

/// Runs a program's body and turns what comes of it into an exit code. An error is printed once, with its causes,
/// to stderr. A reader that closed our stdout early (`| head`) is no error.
pub fn run(body: impl FnOnce() -> anyhow::Result<Exit>) -> ExitCode {
    // A file that grows beyond what the shell allows (`ulimit -f`) is an error of the write, and does not kill.
    let _ = signal_hook::flag::register(Signal::XFSZ.as_raw(), Arc::default());
    match body() {
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Faults) => ExitCode::from(1),
        Ok(Exit::Stopped) => ExitCode::from(75),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let data_fault = error.downcast_ref::<Error>().is_some_and(Error::is_data_fault);
            ExitCode::from(if data_fault { 1 } else { 2 })
        }
    }
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

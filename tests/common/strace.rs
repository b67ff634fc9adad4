//! Running a program with calls of the system that fail, or that end it, by strace's injection. Where there is no strace
//! that may trace, such a test says so and is passed over.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a program with these options of strace; `None` where nothing can be traced.
pub fn strace(options: &[String], program: &Command, log: &Path) -> Option<Output> {
    if !Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("passed over: no strace that may trace");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(log).args(options).arg(program.get_program()).args(program.get_args());
    Some(command.output().unwrap())
}

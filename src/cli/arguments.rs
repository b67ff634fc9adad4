//! The arguments of this process: those of the system, or what it was told where another language called the program.

use std::env;
use std::ffi::OsString;
use std::sync::OnceLock;

static TOLD: OnceLock<Vec<OsString>> = OnceLock::new();

/// Has these be the arguments from now on, the first of them the program's name; the first who says so is heard.
pub(crate) fn tell_arguments(arguments: Vec<OsString>) {
    let _ = TOLD.set(arguments);
}

/// The program's name, and its arguments.
pub fn arguments() -> impl Iterator<Item = OsString> {
    let told = TOLD.get().map_or(&[][..], Vec::as_slice);
    let own = TOLD.get().is_none().then(env::args_os);
    told.iter().cloned().chain(own.into_iter().flatten())
}

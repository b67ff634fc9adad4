//! The machine that is measured.

use std::path::Path;

use crate::files;

/// The processor and how many cores of it this process may use, for a report.
#[must_use]
pub fn machine() -> String {
    let text = files::read_text(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}

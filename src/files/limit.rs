//! How many files and maps the system lets this process have at once.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::read::read_at_most;

/// Files that a process has open beside those that it keeps open: its own, and one or two a thread.
const OTHER_FILES: u64 = 256;
/// Linux's own limit of maps.
const USUAL_MAPS: usize = 65_530;

/// Has the system allow as many open files as this process may ask for: many systems start one with 1,024 and allow it
/// far more. Where it is not granted, what [`most_kept_open`] says is less.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some() && limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// How many files this process may have open.
#[must_use]
pub fn most_open() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How many files may be kept open, with room for all others.
#[must_use]
pub fn most_kept_open() -> usize {
    let limit = most_open() as u64;
    (limit - OTHER_FILES.min(limit * 3 / 5)).clamp(1, u32::MAX.into()) as usize
}

/// How many files may be kept mapped: half of the maps that the system allows, as libraries and threads have some, too.
#[must_use]
pub fn most_kept_mapped() -> usize {
    let text = read_at_most(Path::new("/proc/sys/vm/max_map_count"), 64).ok();
    let allowed = text.and_then(|text| String::from_utf8(text).ok()?.trim().parse::<usize>().ok());
    (allowed.unwrap_or(USUAL_MAPS) / 2).max(1)
}

//! A wish to stop, by a signal: SIGINT, SIGTERM, and SIGHUP of a terminal that goes away. One of the places with `unsafe`:
//! what a handler does is done in the midst of anything else.
#![allow(unsafe_code)]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

use crate::files;

use super::interrupt::ANOTHER;

/// A flag that the first signal sets. One that comes a second later or after that ends the process at once; what comes
/// sooner is the same wish, which some tell a process and its group. There is no thread, which would take of the memory
/// that training needs. Who had SIGHUP ignored (`nohup`) has it ignored.
///
/// # Errors
/// If the system takes no handler.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let since = Arc::new(AtomicU64::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && is_hangup_ignored() {
            continue;
        }
        let (asked, since) = (Arc::clone(&asked), Arc::clone(&since));
        let told = move || {
            // 0 is nobody yet.
            let now = milliseconds().max(1);
            let first = since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
            if first.is_err_and(|first| now.saturating_sub(first) >= ANOTHER.as_millis() as u64) {
                low_level::exit(128 + signal);
            }
            asked.store(true, Ordering::Relaxed);
        };
        // SAFETY: the handler looks at a clock, at atomics that it keeps alive, and ends the process by `_exit`: nothing
        // that takes a lock, allocates or panics.
        unsafe { low_level::register(signal, told)? };
    }
    Ok(asked)
}

/// Time that only goes on.
fn milliseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Whether this process was started with SIGHUP ignored.
fn is_hangup_ignored() -> bool {
    let status = files::read_text(Path::new("/proc/self/status")).unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 << (SIGHUP - 1) != 0)
}

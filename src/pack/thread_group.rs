//! Threads that stop together: each has a name, the first error is kept for the caller, and a panic goes on in the
//! caller.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};

use crate::error::{Error, Result};

/// What the threads of one run share to stop together.
#[derive(Debug, Default)]
pub(super) struct ThreadGroup {
    error: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

impl ThreadGroup {
    /// Starts a named thread whose error, if any, is kept. If it panics, all stop, and the panic goes on in the caller.
    pub(super) fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: String,
        body: impl FnOnce() -> Result<()> + Send + 'scope,
    ) -> Result<()> {
        struct StopOnPanic<'a>(&'a AtomicBool);
        impl Drop for StopOnPanic<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let run = move || {
            let _guard = StopOnPanic(&self.stopped);
            self.note(body());
        };
        match thread::Builder::new().name(name).spawn_scoped(scope, run) {
            Ok(_) => Ok(()),
            Err(e) => {
                self.stopped.store(true, Ordering::Relaxed);
                Err(Error::refused("--threads", "a number of threads that can be started", e))
            }
        }
    }

    /// Keeps the first error and has everyone stop.
    pub(super) fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.stopped.store(true, Ordering::Relaxed);
            self.error.lock().expect("no thread panics while it holds the error").get_or_insert(error);
        }
    }

    /// Whether everyone is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The first error, once all threads are gone.
    pub(super) fn into_result(self) -> Result<()> {
        self.error.into_inner().expect("no thread panicked").map_or(Ok(()), Err)
    }
}

/// Does work with as many threads as are asked for.
pub(super) fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::refused("--threads", "a number of threads that can be started", e))?;
    Ok(pool.install(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_stops_all_and_reaches_the_caller() {
        let group = ThreadGroup::default();
        thread::scope(|scope| {
            let fail = || Err(Error::malformed("here", "this", "that"));
            group.spawn(scope, "fails".to_owned(), fail).unwrap();
            let wait = || {
                while !group.is_stopped() {
                    thread::yield_now();
                }
                Ok(())
            };
            group.spawn(scope, "waits".to_owned(), wait).unwrap();
        });
        assert_eq!(group.into_result().unwrap_err().to_string(), "here: expected this, found that");
    }

    #[test]
    fn a_panic_stops_all_and_goes_on_in_the_caller() {
        let group = ThreadGroup::default();
        let run = || {
            thread::scope(|scope| {
                group.spawn(scope, "panics".to_owned(), || panic!("on purpose")).unwrap();
            });
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        assert!(group.is_stopped());
    }
}

//! The feed of a loader, from epoch to epoch.

use std::sync::Arc;
use std::time::Duration;

use cellshard::feed::{Io, Next, Reader, Verify};
use pyo3::prelude::*;

use crate::errors::{BatchesHeldError, ForkedError, OrRaise, RefusedError};
use crate::lent::Lent;
use crate::memory::Memory;
use crate::order::Order;
use crate::pool::Pool;
use crate::store::Store;

/// How long Python waits for a batch before it looks whether Ctrl-C was pressed.
const PATIENCE: Duration = Duration::from_millis(50);
/// How many times that it waits for somebody to let go of one, where all are held.
const HELD: u32 = 10;

/// Threads that read batches ahead into some memory.
#[pyclass(frozen, module = "cellshard._cellshard")]
pub(crate) struct Feed {
    pool: Arc<Pool>,
    reader: Arc<Reader>,
    n_threads: usize,
}

#[pymethods]
impl Feed {
    /// A feed of a store's sites; each of `buffers` takes the largest batch, and is the feed's from here on.
    #[new]
    fn new(
        store: &Store,
        buffers: Vec<Bound<'_, PyAny>>,
        threads: Option<usize>,
        io: &str,
        verify: &str,
    ) -> PyResult<Self> {
        let io = match io {
            "mmap" => Io::Mmap,
            "pread" => Io::Pread,
            _ => return Err(RefusedError::new_err(format!("io: expected mmap or pread, found {io:?}"))),
        };
        let verify = match verify {
            "first" => Verify::First,
            "always" => Verify::Always,
            "never" => Verify::Never,
            _ => {
                return Err(RefusedError::new_err(format!(
                    "verify: expected first, always or never, found {verify:?}"
                )));
            }
        };
        let buffers = buffers.iter().map(Memory::of).collect::<PyResult<_>>()?;
        let n_threads = cellshard::cli::threads(threads).or_raise()?;
        let reader = Arc::new(Reader::new(store.reader.store().clone(), io, verify));
        Ok(Self { pool: Arc::new(Pool::new(buffers)), reader, n_threads })
    }

    /// Begins at a batch of an epoch, and goes on with the epochs after it; what is under way ends.
    fn start(&self, py: Python<'_>, order: &Order, epoch: u64, from_batch: usize) -> PyResult<()> {
        self.is_here()?;
        py.detach(|| self.pool.start(&self.reader, self.n_threads, order.0.clone(), epoch, from_batch)).or_raise()
    }

    /// The next batch; nothing where it was stopped meanwhile.
    fn next_batch(&self, py: Python<'_>) -> PyResult<Option<Lent>> {
        self.is_here()?;
        let mut n_held = 0;
        loop {
            match py.detach(|| self.pool.next(PATIENCE)).or_raise()? {
                Next::Batch(batch) => {
                    return Ok(Some(Lent::new(self.pool.clone(), batch, self.reader.site_bytes())));
                }
                Next::NotYet => n_held = 0,
                // Another thread may be about to let go of one.
                Next::AllLent if n_held < HELD => n_held += 1,
                Next::AllLent => {
                    return Err(BatchesHeldError::new_err(
                        "every batch that this loader has room for is still in use: keep copies \
                         (batch[\"pixels\"].clone(), or .copy() of an array), or give it room for more by prefetch=",
                    ));
                }
                Next::End => return Ok(None),
            }
            py.check_signals()?;
        }
    }

    /// Ends the threads; the memory stays for the next epoch.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.is_here()?;
        py.detach(|| self.pool.stop());
        Ok(())
    }

    /// Whether its threads are in another process than this one.
    #[getter]
    fn is_forked(&self) -> bool {
        self.pool.is_forked()
    }
}

impl Feed {
    fn is_here(&self) -> PyResult<()> {
        if self.pool.is_forked() {
            return Err(ForkedError::new_err(
                "this loader was made before the process was forked, and its threads stayed behind: use it in the process \
                 that made it (num_workers=0: it reads ahead by threads of its own), or make one here",
            ));
        }
        Ok(())
    }
}

impl Drop for Feed {
    /// Ends its threads, also where batches of it live on.
    fn drop(&mut self) {
        if !self.pool.is_forked() {
            self.pool.stop();
        }
    }
}

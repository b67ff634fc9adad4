//! A batch as steps take it, and what they take it from. Knows neither stores nor memory.

use tch::Tensor;

use cellshard::error::Result;

/// One batch on the device. Its tensors are views of the staging ring's memory: what is to be computed from them must
/// be asked for before the next batch is.
pub struct DeviceBatch {
    /// `[N, C, H, W] u8`.
    pub raw: Tensor,
    /// `[N] i64`, positions in [`super::loader::plates`].
    pub plates: Tensor,
    /// `[N] i64`, outputs of the network; -1 where unknown.
    pub labels: Tensor,
    /// The sites' indices in the store, on the host.
    pub sites: Vec<usize>,
}

/// Where the batches of steps come from.
pub trait Source {
    /// The next batch; `None` after the last.
    ///
    /// # Errors
    /// If it cannot be read, or the device fails.
    fn next(&mut self) -> Result<Option<DeviceBatch>>;

    /// Takes the memory of the last batch back: all that is computed from it has been asked for.
    ///
    /// # Errors
    /// If the device fails.
    fn release(&mut self) -> Result<()>;
}

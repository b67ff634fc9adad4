//! What is found in a source of Zarr.

use crate::source::tree::Scan;

/// What is found.
pub(crate) struct ZarrScan {
    pub(crate) scan: Scan,
    /// The channels, in the order of the arrays.
    pub(crate) channels: Vec<String>,
    pub(crate) unusual: Vec<String>,
}

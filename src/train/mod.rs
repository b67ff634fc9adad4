//! Training and prediction on shards. What needs libtorch is behind the feature `torch`; recipes, splits and metrics
//! are not.

#[cfg(feature = "torch")]
pub mod models;
pub mod recipe;

#[cfg(feature = "torch")]
pub mod device;
#[cfg(feature = "torch")]
pub mod optimizer;
#[cfg(feature = "torch")]
pub mod shim;
#[cfg(feature = "torch")]
pub mod weights;

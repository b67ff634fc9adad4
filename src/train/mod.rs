//! Training and prediction on shards. What needs libtorch is behind the feature `torch`; recipes, splits, and metrics
//! are not.

pub mod events;
pub mod figures;
pub mod keys;
pub mod metrics;
pub mod options;
pub mod order;
pub mod progress;
pub mod recipe;
pub mod schedule;
pub mod split;
pub mod stop;
pub mod submission;
mod suggest;

#[cfg(feature = "torch")]
pub mod augment;
#[cfg(feature = "torch")]
pub mod batches;
#[cfg(feature = "torch")]
pub mod bench;
#[cfg(feature = "torch")]
mod checkpoint;
#[cfg(feature = "torch")]
pub mod choices;
#[cfg(feature = "torch")]
pub mod device;
#[cfg(feature = "torch")]
mod infer;
#[cfg(feature = "torch")]
pub mod journal;
#[cfg(feature = "torch")]
mod losses;
#[cfg(feature = "torch")]
pub mod matrix;
#[cfg(feature = "torch")]
pub mod models;
#[cfg(feature = "torch")]
pub mod optimizer;
#[cfg(feature = "torch")]
pub mod pipeline;
#[cfg(feature = "torch")]
pub mod predict;
#[cfg(feature = "torch")]
pub mod ring;
#[cfg(feature = "torch")]
mod shim;
#[cfg(feature = "torch")]
mod stage;
#[cfg(feature = "torch")]
mod step;
#[cfg(feature = "torch")]
pub mod trainer;
#[cfg(feature = "torch")]
mod transfer;
#[cfg(feature = "torch")]
pub mod weights;

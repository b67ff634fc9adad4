//! How parameters are updated.

pub mod optimizer;

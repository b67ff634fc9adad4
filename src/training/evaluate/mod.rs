//! How good a network is: probabilities in, figures and submissions out.

pub mod metrics;
pub mod submission;

//! How good a network is: probabilities in, figures and submissions out.

pub mod epoch_row;
pub mod metrics;
pub mod submission;

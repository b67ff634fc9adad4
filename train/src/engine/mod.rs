//! The loop: steps, epochs, evaluation, checkpoints, and when to stop.

pub(crate) mod checkpoint;
pub(crate) mod fit;
pub(crate) mod predictor;
pub(crate) mod step;
pub(crate) mod step_losses;
pub mod stop;
pub(crate) mod watch;

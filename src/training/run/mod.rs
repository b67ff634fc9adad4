//! What a run folder holds, and where: read and written without libtorch.

mod folder;
mod log;
pub mod metrics_csv;
mod progress;
mod tensorboard;

pub use folder::{
    BEST_ACCURACY, BEST_LOSS, INFO, LAST, LOG, RECIPE, RESUME, RunClass, RunFolder, RunInfo, SEAL, SPLIT, SUMMARY,
};
pub use log::{Observer, RunLog};
pub use progress::Progress;
pub use tensorboard::EventWriter;

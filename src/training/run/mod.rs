//! What a run folder holds, and where: read and written without libtorch.

mod answers_csv;
mod event_proto;
mod folder;
mod info;
mod log;
pub mod metrics_csv;
mod progress;
mod seal;
mod tensorboard;
mod watch;

pub use answers_csv::AnswerRow;
pub use folder::{BEST_ACCURACY, BEST_LOSS, INFO, LAST, LOG, RECIPE, REPORT, RESUME, RunFolder, SEAL, SPLIT, SUMMARY};
pub use info::{Environment, RunClass, RunInfo, StartsFrom};
pub use log::{Observer, RunLog};
pub use progress::{Progress, Told};
pub use tensorboard::EventWriter;
pub use watch::{Doing, Pace, Standing, Work, in_words, left_in_words};

//! All of training that needs no tensor: recipes, what is trained and validated on, schedules, measures, and what a run
//! folder holds. Reports and other languages read it without libtorch.

pub mod data;
pub mod early_stopping;
pub mod evaluate;
pub mod recipe;
pub mod run;
pub mod schedule;

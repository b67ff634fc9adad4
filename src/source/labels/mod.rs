//! What CSVs say of wells: Kaggle's two dialects, and the tables by columns of RxRx1 and its relatives.

mod cell_types;
mod data_set;
mod find;
mod kaggle;
mod options;
mod read;
mod rows;
mod rules;
mod rxrx1;
mod summary;
mod table;
mod wells;

pub use data_set::DataSet;
pub(super) use find::{has_kaggle_csv, table_in};
pub use options::{ControlValue, LabelOptions};
pub use read::{Fixed, read};
pub use summary::{ControlSummary, LabelsSummary};
pub use wells::{Labels, WellLabel};

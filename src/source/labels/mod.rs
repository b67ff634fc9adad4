//! What CSVs say of wells: Kaggle's two dialects, and the tables by columns of RxRx1 and its relatives.

mod cell_types;
mod data_set;
mod find;
mod kaggle;
mod keys;
mod options;
mod read;
mod rows;
mod rules;
mod rxrx1;
mod summary;
mod table;
mod tables;
mod wells;

pub use data_set::DataSet;
pub(super) use find::{has_kaggle_csv, table_in};
pub use keys::On;
pub(super) use keys::{Keys, RowKey, SiteCounter};
pub use options::{Columns, ControlValue, ControlValues, LabelOptions};
pub use read::{Fixed, read};
pub(super) use rows::At;
pub use summary::{ControlSummary, LabelsSummary};
pub use tables::Tables;
pub use wells::{Labels, WellLabel};

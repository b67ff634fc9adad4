//! From a raw tree to a plan: which sites there should be, what is known of each, and where its images lie; and the
//! images themselves, decoded under limits. Knows nothing of the store.

mod cell_types;
mod config;
pub mod image;
mod images;
mod label_rows;
pub mod labels;
mod layout;
pub mod names;
mod open;
mod plan;
mod recognise;
pub mod tree;

pub use config::SourceConfig;
pub use images::Image;
pub use layout::Layout;
pub use open::{Source, read_labels};
pub use plan::{PlatePlan, SitePlan};

//! From a raw tree to a plan: which sites there should be, what is known of each, and where its images lie; and the
//! images themselves, decoded under limits. Knows nothing of the store.

mod channels;
mod config;
mod described;
pub mod image;
mod image_table;
mod images;
mod kind;
pub mod labels;
mod layout;
mod listed;
pub mod names;
mod open;
pub mod pattern;
mod plan;
mod recognise;
mod site_rows;
pub mod tree;
mod zarr;

pub use config::SourceConfig;
pub use images::{Image, SiteReader, sample};
pub use layout::Layout;
pub use listed::Plane;
pub use open::{Source, read_labels};
pub use plan::{Absent, PlatePlan, SitePlan};

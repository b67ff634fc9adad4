//! Pictures and pages of stores and run folders, for people who look before they trust.

pub mod drawing;
pub mod measure;
pub(crate) mod page;
pub mod plate_map;
pub mod run_page;
pub mod schemes;
pub mod sheet;
pub mod site_picture;
pub mod store_page;
pub mod summary;

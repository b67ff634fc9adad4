//! Pictures and pages of stores and run folders, for people who look before they trust.

pub mod document;
pub mod map;
pub mod map_picture;
pub mod map_text;
pub mod measure;
pub mod packed;
pub mod palette;
pub mod picture;
pub mod places;
pub mod render;
pub mod schemes;
pub mod sheet;
pub mod site_picture;
pub mod store_page;
pub mod summary;

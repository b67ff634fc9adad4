//! Pictures of pixels and letters. Knows no plate.

pub mod palette;
pub mod picture;
pub mod render;

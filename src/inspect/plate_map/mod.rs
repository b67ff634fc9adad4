//! Plates as maps of their wells.

mod maps;
mod picture;
mod shape;
mod text;

pub use maps::{Category, Cell, Key, MapBy, Maps, PlateMap, Value};
pub use picture::maps_picture;
pub use shape::Shape;
pub use text::maps_text;

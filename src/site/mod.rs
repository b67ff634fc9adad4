//! The words of the field as types, each parsed once at the edge: experiment, plate, well, site, population, label.
//! No I/O happens here.

mod id;
mod image;
mod label;
mod plate;
mod serialise;
mod text;

pub use id::{Experiment, PlateId, SiteId, Well, WellId};
pub use image::{Dtype, ImageSize};
pub use label::{Label, Population};
pub use plate::Plate;
pub use text::{Name, Names, ParseError, natural_cmp, parse_number};

//! One image file: what its first bytes say it is, what its header says, and its pixels, decoded under limits. A file is
//! known by its content and never by its name. Nothing here panics on any bytes, or asks for memory by the word of a
//! file.

mod adam7;
mod bands;
mod bmp;
mod by_crate;
mod decoder;
mod fault;
mod format;
mod header;
mod inflate;
mod netpbm;
mod png;
#[cfg(test)]
mod tests;
mod tiff;
mod unfilter;

pub use decoder::SiteDecoder;
pub use fault::ImageFault;
pub use format::read_header;
pub(super) use header::check_sides;
pub use header::{Bands, Colour, Header, largest_file};

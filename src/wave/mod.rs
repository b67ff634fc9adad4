//! The codec `wave`: lossless, for pixels of 8 bits of several channels of one place, about half of what zstd makes of
//! them. docs/format.md specifies the stream. A pixel is predicted from those around it and from what other channels were
//! mispredicted by at it (least squares), and what is left is coded by how much is left around it (rANS), or, faster and, but
//! for small images, an eighth larger, as if nothing were known of that.

mod decode;
mod encode;
mod fit;
mod geometry;
mod mode;
mod model;
mod rows;
mod stream;
mod tables;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;
pub use geometry::Shape;
pub use mode::Mode;

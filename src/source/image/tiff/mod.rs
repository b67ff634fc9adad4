//! TIFFs of 8 and 16 bits, grey and RGB: strips and tiles, raw, LZW, deflate and `PackBits`, either byte order, `BigTIFF`.
//! A file is one image, so that no plane of a stack is passed over: several pages are a fault that counts them (`pages`),
//! whether directories are them or a text tells of them (`planes`, `ome`); and so is what is as large as the image and
//! named by no directory (`open`).
//!
//! TIFF has no checksum. A changed bit in raw samples cannot be noticed, one in LZW or `PackBits` mostly cannot; deflate
//! has its Adler-32, which is checked. What ends early, in the file or in a strip, always is a fault.
//!
//! Why not the crate `tiff`, with which the tests compare: it reads the first directory before limits can be set, a tag
//! of which may claim 256 MB; it takes no notice of the Adler-32, nor of the pages of a stack that has one directory;
//! and its LZW (`weezl`) takes 2.7 times as long as `lzw.rs`, which is most of the time of packing such a plate.

mod account;
mod directory;
mod lzw;
mod ome;
mod open;
mod packbits;
mod page;
mod pages;
mod planes;
mod segments;
#[cfg(test)]
mod stack_tests;
#[cfg(test)]
mod tests;

pub(super) use directory::SIGNATURES;
pub(super) use page::Page;
pub(super) use segments::Unpacker;

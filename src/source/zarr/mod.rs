//! Images that are planes of arrays of Zarr, as others write it: plates of OME-Zarr, an array a site, an array of all
//! sites. What is in an array is decoded by zarrs, of bytes that were read here.

#[cfg(feature = "zarr")]
mod array;
mod beside;
#[cfg(feature = "zarr")]
mod bounds;
mod document;
mod found;
mod group;
mod images;
mod pixels;
mod plate;
mod scan;
pub(super) mod site;
mod table;
mod tree;
#[cfg(not(feature = "zarr"))]
mod without;

pub(super) use found::ZarrScan;
pub(super) use group::Node;
pub(super) use images::{decode, read_head, site_files};
pub(super) use scan::scan;

//! Where the images of a site are in an array of Zarr: which of its axes is what. Pure.

use std::sync::Arc;

/// Which version of Zarr wrote an array: what its documents are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V2,
    V3,
}

impl Version {
    /// The name of an array's document.
    pub(crate) fn of_array(self) -> &'static str {
        match self {
            Self::V2 => ".zarray",
            Self::V3 => "zarr.json",
        }
    }

    /// The name of the document with a group's attributes.
    pub(crate) fn of_group(self) -> &'static str {
        match self {
            Self::V2 => ".zattrs",
            Self::V3 => "zarr.json",
        }
    }
}

/// What one axis of an array is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    Channel,
    Y,
    X,
    /// The sites of a plate, of which each has its place.
    Site,
    /// One plane, or one time, of several.
    At(u64),
}

/// The images of a site: planes of one array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArraySite {
    /// The folder of the array, relative to the root, with `/`; empty for the root itself.
    pub(crate) dir: Box<str>,
    /// The document of the image that the array is a level of, where it is one.
    pub(crate) image: Option<Box<str>>,
    pub(crate) version: Version,
    pub(crate) axes: Arc<[Axis]>,
    /// Its place where one axis is that of sites.
    pub(crate) at: u64,
}

impl ArraySite {
    /// The path of the array's document, relative to the root.
    pub(crate) fn document(&self) -> String {
        below(&self.dir, self.version.of_array())
    }
}

/// The path of what lies in a folder, relative to the root.
pub(crate) fn below(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

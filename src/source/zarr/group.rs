//! What the documents of groups say of a plate, a well and an image, as OME-Zarr 0.4 (Zarr v2) and 0.5 (Zarr v3) have
//! them.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::{Error, Result, shown_path};
use crate::files;
use crate::site;

use super::site::{Version, below};

/// The most bytes of a document of a group, in which zarr-python may repeat all documents below it.
const LARGEST: u64 = 64 << 20;

/// What a group says of itself.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Group {
    pub(super) plate: Option<Plate>,
    pub(super) well: Option<Well>,
    pub(super) multiscales: Option<Vec<Multiscale>>,
    pub(super) omero: Option<Omero>,
    /// A store of ours says so.
    cellshard: Option<IgnoredAny>,
}

/// A plate: where its wells are.
#[derive(Debug, Deserialize)]
pub(super) struct Plate {
    pub(super) name: Option<String>,
    pub(super) wells: Vec<Place>,
}

/// A well: where its images are, in their order.
#[derive(Debug, Deserialize)]
pub(super) struct Well {
    pub(super) images: Vec<WellImage>,
}

/// An image of a well: where it is below it, and of which acquisition.
#[derive(Debug, Deserialize)]
pub(super) struct WellImage {
    pub(super) path: String,
    pub(super) acquisition: Option<Value>,
}

/// Where a well, an image or a level is, below the group that names it.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub(super) path: String,
}

/// An image: its axes, and its levels from the largest.
#[derive(Debug, Deserialize)]
pub(super) struct Multiscale {
    axes: Option<Vec<AxisName>>,
    pub(super) datasets: Vec<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AxisName {
    Plain(String),
    Described { name: String },
}

/// How an image is shown, and what its channels are called.
#[derive(Debug, Deserialize)]
pub(super) struct Omero {
    #[serde(default)]
    pub(super) channels: Vec<OmeroChannel>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OmeroChannel {
    pub(super) label: Option<String>,
}

/// The document of a group in Zarr v3.
#[derive(Debug, Default, Deserialize)]
struct DocumentV3 {
    node_type: Option<String>,
    #[serde(default)]
    attributes: AttributesV3,
}

#[derive(Debug, Default, Deserialize)]
struct AttributesV3 {
    ome: Option<Group>,
    cellshard: Option<IgnoredAny>,
}

impl Multiscale {
    /// The names of its axes: those of OME-Zarr 0.2 and before, which told none, are always the same.
    pub(super) fn axes(&self) -> Vec<&str> {
        match &self.axes {
            None => vec!["t", "c", "z", "y", "x"],
            Some(axes) => axes.iter().map(AxisName::as_str).collect(),
        }
    }
}

impl AxisName {
    fn as_str(&self) -> &str {
        match self {
            Self::Plain(name) | Self::Described { name } => name,
        }
    }
}

/// What a folder is in Zarr.
#[derive(Debug)]
pub(crate) enum Node {
    /// A plate of OME-Zarr.
    Plate(Version),
    /// A well or an image of one.
    PartOfPlate,
    /// An array.
    Array(Version),
    /// What is in a store of ours.
    OurStore,
    /// A group that says nothing of images.
    Group,
}

impl Node {
    /// What a folder is; `None` where it is nothing of Zarr.
    ///
    /// # Errors
    /// If its document is there and cannot be read.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>> {
        if files::is_file(&dir.join(Version::V3.of_array()))? {
            let document: DocumentV3 = parse(&dir.join(Version::V3.of_array()))?;
            if document.node_type.as_deref() == Some("array") {
                return Ok(Some(Self::Array(Version::V3)));
            }
            let ours = document.attributes.cellshard.is_some();
            let group = document.attributes.ome.unwrap_or_default();
            return Ok(Some(if ours { Self::OurStore } else { Self::of_group(&group, Version::V3) }));
        }
        if files::is_file(&dir.join(Version::V2.of_array()))? {
            return Ok(Some(Self::Array(Version::V2)));
        }
        if files::is_file(&dir.join(Version::V2.of_group()))? {
            let group: Group = parse(&dir.join(Version::V2.of_group()))?;
            return Ok(Some(Self::of_group(&group, Version::V2)));
        }
        Ok(files::is_file(&dir.join(".zgroup"))?.then_some(Self::Group))
    }

    /// What it is, in words.
    pub(crate) fn shown(found: Option<&Self>) -> &'static str {
        match found {
            None => "no document of Zarr",
            Some(Self::Plate(_)) => "a plate of OME-Zarr",
            Some(Self::PartOfPlate) => "a well or an image of OME-Zarr (--src is the plate that it is of)",
            Some(Self::Array(_)) => "an array of Zarr (--table FILE.csv tells its sites, --layout zarr)",
            Some(Self::OurStore) => "what is in a store (--src is the folder that holds pixels.zarr)",
            Some(Self::Group) => "a group of Zarr that names no plate (--layout rxrx1-zarr has an array a site)",
        }
    }

    fn of_group(group: &Group, version: Version) -> Self {
        match group {
            Group { plate: Some(_), .. } => Self::Plate(version),
            Group { cellshard: Some(_), .. } => Self::OurStore,
            Group { well: Some(_), .. } | Group { multiscales: Some(_), .. } => Self::PartOfPlate,
            _ => Self::Group,
        }
    }
}

/// Reads the document of a group below `root`.
///
/// # Errors
/// If it is not there, or is none.
pub(super) fn read(root: &Path, dir: &str, version: Version) -> Result<Group> {
    let path = root.join(below(dir, version.of_group()));
    match version {
        Version::V2 => parse(&path),
        Version::V3 => Ok(parse::<DocumentV3>(&path)?.attributes.ome.unwrap_or_default()),
    }
}

fn parse<T: for<'d> Deserialize<'d>>(path: &Path) -> Result<T> {
    let text = files::read_at_most(path, LARGEST).map_err(Error::io(path, "read"))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::malformed(path.display(), "the document of a group of OME-Zarr", e))
}

/// The plate's name: what its document says, where that can be one, or that of the folder; and a phrase where they
/// differ, or neither is what it says.
///
/// # Errors
/// If nothing can be made of either.
pub(super) fn plate_name(root: &Path, told: Option<&str>) -> Result<(site::Plate, Option<String>)> {
    let real = files::resolve(root)?;
    let real = real.as_deref().unwrap_or(root);
    let folder = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = [".ome.zarr", ".zarr"].iter().find_map(|end| folder.strip_suffix(end)).unwrap_or(folder);
    let by_folder = site::Plate::as_written(folder);
    let shown = real.file_name().map(|folder| shown_path(Path::new(folder))).unwrap_or_default();
    let told = told.map(str::trim).filter(|told| !told.is_empty());
    let refused = match told.map(site::Plate::as_written) {
        Some(Ok(name)) if by_folder.as_ref().is_ok_and(|folder| *folder == name) => return Ok((name, None)),
        Some(Ok(name)) => {
            let note = format!("the plate is called {name}, as its document says; its folder is {shown}");
            return Ok((name, Some(note)));
        }
        Some(Err(error)) => Some(error.found),
        None => None,
    };
    let is_of_folder = by_folder.is_ok();
    let name = by_folder.or_else(|error| site::Plate::as_written(&plain(folder)).map_err(|_| error));
    let name = name.map_err(|e| Error::refused(root.display(), format!("as its folder {}", e.expected), e.found))?;
    let note = match (&refused, is_of_folder) {
        (None, true) => None,
        (None, false) => Some(format!("the plate is called {name}, as a plate cannot be called as its folder {shown}")),
        (Some(told), _) => {
            let told = format!("its document says {:?}, which no plate can be called", shown_path(Path::new(told)));
            Some(format!("the plate is called {name}, after its folder {shown}; {told}"))
        }
    };
    Ok((name, note))
}

/// A name in which what no plate's has is `_`.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain: String = name.trim().chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    plain.trim_start_matches('.').chars().take(64).collect()
}

//! What the documents of groups say of a plate, a well and an image, as OME-Zarr 0.4 (Zarr v2) and 0.5 (Zarr v3) have
//! them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result, shown_path};
use crate::files;
use crate::site::{self, ParseError};
use crate::source::names::plate_named;

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
    pub(super) images: Vec<Place>,
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
/// differ.
///
/// # Errors
/// If neither can be one. If the name is only the document's, and a plate beside this one has the same: in one store the
/// second would take the place of the first.
pub(super) fn plate_name(root: &Path, told: Option<&str>) -> Result<(site::Plate, Option<String>)> {
    let real = files::resolve(root)?;
    let real = real.as_deref().unwrap_or(root);
    let by_folder = of_folder(real);
    let Some(name) = told.and_then(|name| plate_named(name.trim()).ok()) else {
        let by_folder =
            by_folder.map_err(|e| Error::refused(root.display(), format!("as its folder {}", e.expected), e.found));
        return Ok((by_folder?, None));
    };
    if by_folder.is_ok_and(|folder| folder == name) {
        return Ok((name, None));
    }
    if let Some(other) = beside(real).find(|other| of_other(other).as_ref() == Some(&name)) {
        let expected =
            format!("a name of its own in the document of each plate (or its folder elsewhere), not {name} of");
        let expected = format!("{expected} {}, too", other.display());
        return Err(Error::malformed(real.display(), expected, "the same name"));
    }
    let folder = real.file_name().map(|folder| shown_path(Path::new(folder))).unwrap_or_default();
    Ok((name.clone(), Some(format!("the plate is called {name}, as its document says; its folder is {folder}"))))
}

/// The name by a folder, without `.zarr` or `.ome.zarr`.
fn of_folder(dir: &Path) -> Result<site::Plate, ParseError> {
    let folder = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    plate_named([".ome.zarr", ".zarr"].iter().find_map(|end| folder.strip_suffix(end)).unwrap_or(folder))
}

/// Other folders of Zarr where this one is, as far as that can be looked at.
fn beside(real: &Path) -> impl Iterator<Item = PathBuf> {
    let is_zarr = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zarr"));
    let found = real.parent().into_iter().flat_map(|parent| files::walk(parent, 1..=1, files::Links::Keep));
    let own = real.to_owned();
    found
        .flatten()
        .filter(move |found| found.is_dir() && is_zarr(&found.path) && found.path != own)
        .map(|found| found.path)
}

/// What another plate is called; `None` where it is none, or cannot be read.
fn of_other(dir: &Path) -> Option<site::Plate> {
    let is_v3 = files::is_file(&dir.join(Version::V3.of_group())).ok()?;
    let plate = read(dir, "", if is_v3 { Version::V3 } else { Version::V2 }).ok()?.plate?;
    let told = plate.name.and_then(|name| plate_named(name.trim()).ok());
    told.or_else(|| of_folder(dir).ok())
}

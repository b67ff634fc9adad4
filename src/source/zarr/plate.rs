//! Plates of OME-Zarr: which wells and fields there are, and which planes of which arrays they are. Looks at documents,
//! and at no chunk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Error, Result, is_unshowable};
use crate::files;
use crate::site::{PlateId, Well, parse_number};
use crate::source::config::SourceConfig;
use crate::source::listed::Plane;
use crate::source::names::plate_named;
use crate::source::pattern::well_named;
use crate::source::tree::{PlateFiles, Scan, Unplaced};

use super::document::ArrayDocument;
use super::found::ZarrScan;
use super::group::{self, Multiscale, Omero};
use super::site::{ArraySite, Axis, Version, below};

/// A field of a well.
struct Field {
    well: Well,
    /// Its name, and its place in the well's list, from 0.
    name: String,
    place: usize,
    site: ArraySite,
    n_channels: usize,
    labels: Option<Vec<String>>,
}

/// What is looked for.
struct Search<'a> {
    root: &'a Path,
    version: Version,
    plane: Plane,
    level: usize,
}

/// Finds the wells and fields of the plate at the root.
///
/// # Errors
/// If the root's document cannot be read, nothing can be the plate's name, an image has several planes or times of which
/// none is chosen, or not the level that is, or images tell different channels.
pub(crate) fn scan(config: &SourceConfig, version: Version) -> Result<ZarrScan> {
    let root = config.root.as_path();
    let document = root.join(version.of_group());
    let plate = group::read(root, "", version)?.plate;
    let plate = plate.ok_or_else(|| Error::malformed(document.display(), "a plate", "none"))?;
    let id = PlateId { experiment: config.experiment(), plate: plate_name(root, plate.name.as_deref())? };
    let level = usize::from(config.level.unwrap_or(0));
    let search = Search { root, version, plane: config.plane, level };
    let found: Vec<(Vec<Field>, Vec<Unplaced>)> =
        plate.wells.par_iter().map(|well| search.well(&well.path)).collect::<Result<_>>()?;
    let mut scan = Scan::default();
    let mut fields = Vec::new();
    for (of_well, unplaced) in found {
        fields.extend(of_well);
        scan.unplaced.extend(unplaced.into_iter().map(|image| Unplaced { plate: Some(id.clone()), ..image }));
    }
    let channels = channel_names(&fields, root)?;
    let mut files = PlateFiles::default();
    // Others number fields from 0, and we sites from 1.
    let number = |field: &Field| parse_number::<u16>(&field.name)?.checked_add(1);
    let are_numbered = fields.iter().all(|field| number(field).is_some());
    for field in fields {
        let place = u16::try_from(field.place + 1).ok();
        let site = if are_numbered { number(&field) } else { place };
        let path = field.site.dir.to_string();
        let Some(site) = site else {
            scan.unplaced.push(unplaced(&path, "at most 65535 fields of a well", &field.place));
            continue;
        };
        let key = (field.well, site);
        if let Some(first) = files.arrays.get(&key) {
            let expected = format!("one image of {id}, well {}, site {site}: {}", field.well, first.dir);
            scan.unplaced.push(unplaced(&path, &expected, &path));
            continue;
        }
        files.sites.insert(key, u64::MAX >> (64 - field.n_channels));
        files.arrays.insert(key, field.site);
    }
    let unusual = unnamed_wells(root, &plate.wells, version).into_iter().collect();
    scan.unplaced.sort_unstable();
    scan.plates.extend((!files.sites.is_empty()).then_some((id, files)));
    Ok(ZarrScan { scan, channels, unusual })
}

/// The plate's name: what the document says, where that can be one, or that of the folder.
fn plate_name(root: &Path, name: Option<&str>) -> Result<crate::site::Plate> {
    if let Some(Ok(plate)) = name.map(plate_named) {
        return Ok(plate);
    }
    let real = files::resolve(root)?;
    let folder = real.as_deref().and_then(|root| root.file_name()?.to_str()).unwrap_or_default();
    let stem = [".ome.zarr", ".zarr"].iter().find_map(|end| folder.strip_suffix(end)).unwrap_or(folder);
    plate_named(stem).map_err(|e| Error::refused(root.display(), format!("as its folder {}", e.expected), e.found))
}

fn unplaced(path: &str, expected: &str, found: &dyn std::fmt::Display) -> Unplaced {
    Unplaced { path: path.to_owned(), plate: None, expected: expected.to_owned(), found: found.to_string() }
}

/// Whether what a document names is below it.
fn is_below(path: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\n', '\r']);
    path.split('/').all(is_plain)
}

impl Search<'_> {
    /// The fields of a well, and what is none.
    fn well(&self, path: &str) -> Result<(Vec<Field>, Vec<Unplaced>)> {
        let none = |expected: &str, found: &dyn std::fmt::Display| {
            let document = below(path, self.version.of_group());
            Ok((Vec::new(), vec![unplaced(&document, expected, found)]))
        };
        let well = path.split_once('/').and_then(|(row, column)| well_named(&format!("{row}{column}")));
        let Some(well) = well.filter(|_| is_below(path)) else {
            return none("a well as ROW/COLUMN, such as B/2", &format!("{path:?}"));
        };
        let images = match group::read(self.root, path, self.version) {
            Ok(group) => group.well.map(|well| well.images),
            Err(error) => return none("the document of a well", &why(&error)),
        };
        let Some(images) = images else { return none("a well", &"none") };
        let (mut fields, mut wrong) = (Vec::new(), Vec::new());
        for (place, image) in images.into_iter().enumerate() {
            match self.field(well, path, (place, image.path))? {
                Ok(field) => fields.push(field),
                Err(found) => wrong.push(found),
            }
        }
        Ok((fields, wrong))
    }

    fn field(&self, well: Well, of: &str, (place, name): (usize, String)) -> Result<Result<Field, Unplaced>> {
        let dir = below(of, &name);
        let document = below(&dir, self.version.of_group());
        let none = |expected: &str, found: &dyn std::fmt::Display| Ok(Err(unplaced(&document, expected, found)));
        if !is_below(&name) {
            return none("an image below its well", &format!("{name:?}"));
        }
        let image = match group::read(self.root, &dir, self.version) {
            Ok(image) => image,
            Err(error) => return none("the document of an image", &why(&error)),
        };
        let Some(multiscale) = image.multiscales.as_ref().and_then(|scales| scales.first()) else {
            return none("an image with multiscales", &"none");
        };
        let Some(level) = multiscale.datasets.get(self.level) else {
            let expected = format!("a level of {document}, 0 to {}", multiscale.datasets.len().saturating_sub(1));
            return Err(Error::refused("--level", expected, self.level));
        };
        if !is_below(&level.path) {
            return none("a level below its image", &format!("{:?}", level.path));
        }
        let array = below(&dir, &level.path);
        let path = below(&array, self.version.of_array());
        let full = self.root.join(&path);
        let text = match files::read_at_most(&full, files::LARGEST_DOCUMENT) {
            Ok(text) => text,
            Err(error) => return Ok(Err(unplaced(&path, "the document of an array", &error))),
        };
        let document_of = match ArrayDocument::parse(&text, self.version) {
            Ok(found) => found,
            Err(fault) => {
                let found = format!("another: {}", fault.detail);
                return Ok(Err(unplaced(&path, "an array of images", &found)));
            }
        };
        let Some((axes, n_channels)) = self.axes(multiscale, &document_of.shape, &array)? else {
            let found = format!("{} of {:?}", multiscale.axes().join(", "), document_of.shape);
            return none("axes y and x, and t, c and z once at most, each as long as it is", &found);
        };
        let (image_document, labels) = (Some(document.into()), labels(image.omero.as_ref(), n_channels));
        let (dir, version) = (array.into(), self.version);
        let site = ArraySite { dir, image: image_document, version, axes, at: 0 };
        Ok(Ok(Field { well, name, place, site, n_channels, labels }))
    }

    /// What each axis is, and how many channels there are; `None` where these are no axes of images.
    fn axes(&self, multiscale: &Multiscale, shape: &[u64], example: &str) -> Result<Option<(Arc<[Axis]>, usize)>> {
        let names = multiscale.axes();
        let length = |wanted: &str| names.iter().position(|name| *name == wanted).map(|at| shape[at]);
        let distinct: BTreeSet<&&str> = names.iter().collect();
        if names.len() != shape.len() || distinct.len() != names.len() {
            return Ok(None);
        }
        if length("y").is_none() || length("x").is_none() {
            return Ok(None);
        }
        let z = self.plane.place("z", length("z"), example)?;
        let t = self.plane.place("t", length("t"), example)?;
        let n_channels = length("c").unwrap_or(1);
        if n_channels > 64 {
            return Err(Error::refused(example, "at most 64 channels", n_channels));
        }
        let axis = |name: &&str| match *name {
            "c" => Some(Axis::Channel),
            "y" => Some(Axis::Y),
            "x" => Some(Axis::X),
            "z" => Some(Axis::At(z)),
            "t" => Some(Axis::At(t)),
            _ => None,
        };
        let axes: Option<Vec<Axis>> = names.iter().map(axis).collect();
        Ok(axes.map(|axes| (axes.into(), n_channels as usize)))
    }
}

/// Why a document was not read, without its path.
fn why(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        Error::Malformed { found, .. } => found.clone(),
        error => error.to_string(),
    }
}

/// The labels of channels, where each has one that tells it from the others.
fn labels(omero: Option<&Omero>, n_channels: usize) -> Option<Vec<String>> {
    let channels = &omero?.channels;
    let is_plain = |label: &String| (1..=256).contains(&label.len()) && !label.contains(is_unshowable);
    let labels: Vec<String> =
        channels.iter().map(|channel| channel.label.clone().filter(is_plain)).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = labels.iter().collect();
    (labels.len() == n_channels && distinct.len() == n_channels).then_some(labels)
}

/// What channels are called: as all images say that have most of them, or `c0`, `c1`.
fn channel_names(fields: &[Field], root: &Path) -> Result<Vec<String>> {
    let most = fields.iter().map(|field| field.n_channels).max().unwrap_or_default();
    let mut told: BTreeMap<&[String], &Field> = BTreeMap::new();
    for field in fields {
        if let Some(labels) = &field.labels {
            told.entry(labels).or_insert(field);
        }
    }
    let longest = told.keys().max_by_key(|labels| labels.len()).copied();
    if let Some(other) = longest.and_then(|longest| told.keys().find(|labels| !longest.starts_with(labels))) {
        let shown: Vec<String> =
            [longest.unwrap_or_default(), other].iter().map(|labels| format!("{labels:?}")).collect();
        let place = told.get(other).map_or_else(String::new, |field| field.site.dir.to_string());
        let expected = format!("the channels of other images, {}", shown[0]);
        return Err(Error::malformed(root.join(place).display(), expected, &shown[1]));
    }
    let named = longest.filter(|labels| labels.len() == most).map(<[String]>::to_vec);
    Ok(named.unwrap_or_else(|| (0..most).map(|channel| format!("c{channel}")).collect()))
}

/// Says which wells there are that the plate does not name.
fn unnamed_wells(root: &Path, named: &[group::Place], version: Version) -> Option<String> {
    let named: BTreeSet<&str> = named.iter().map(|well| well.path.as_str()).collect();
    let found = files::walk(root, 2..=2, files::Links::Follow).flatten().filter(files::Found::is_dir);
    let mut unnamed: Vec<String> = found
        .filter(|found| files::is_file(&found.path.join(version.of_group())).unwrap_or(true))
        .filter_map(|found| Some(found.path.strip_prefix(root).ok()?.to_str()?.to_owned()))
        .filter(|path| !named.contains(path.as_str()) && !path.starts_with("OME"))
        .collect();
    unnamed.sort_unstable();
    let first = unnamed.first()?;
    Some(format!("{} folders of wells that the plate's document does not name, such as {first}", unnamed.len()))
}

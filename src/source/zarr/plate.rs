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
use crate::source::pattern::well_named;
use crate::source::tree::{PlateFiles, Scan, Unplaced};

use super::beside::{Beside, Listed};
use super::document::ArrayDocument;
use super::found::{ZarrScan, usual_channels};
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
    /// Whether its group has other images, too.
    has_more: bool,
}

/// An image that is none of the plate.
enum Odd {
    /// Whatever is asked for.
    Unplaced(Unplaced),
    /// As it has not what is asked for, or more of it: its document, and why.
    Refused(String, Error),
}

/// What a well is found to be.
#[derive(Default)]
struct FoundWell {
    fields: Vec<Field>,
    odd: Vec<Odd>,
    /// The names of all of its images, the odd ones, too.
    names: Vec<String>,
    /// The acquisitions that they are of.
    acquisitions: BTreeSet<String>,
    beside: Beside,
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
/// If the root's document cannot be read, or nothing can be the plate's name; if images have several planes or times of which none is chosen, or not the one or the level that is, and as many as those that
/// have; if images tell different channels, and no more of them the same ones.
pub(crate) fn scan(config: &SourceConfig, version: Version) -> Result<ZarrScan> {
    let root = config.root.as_path();
    let document = root.join(version.of_group());
    let plate = group::read(root, "", version)?.plate;
    let plate = plate.ok_or_else(|| Error::malformed(document.display(), "a plate", "none"))?;
    let (name, note) = group::plate_name(root, plate.name.as_deref())?;
    let id = PlateId { experiment: config.experiment(), plate: name };
    let level = usize::from(config.level.unwrap_or(0));
    let search = Search { root, version, plane: config.plane, level };
    let mut found: Vec<FoundWell> = plate.wells.par_iter().map(|well| search.well(&well.path)).collect();
    let beside = search.unnamed_wells(&plate.wells);
    found.push(FoundWell { beside, ..FoundWell::default() });
    let mut scan = Scan::default();
    let (mut fields, mut odd, mut names, mut groups) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut acquisitions = BTreeSet::new();
    for well in found {
        fields.extend(well.fields);
        odd.extend(well.odd);
        names.extend(well.names);
        acquisitions.extend(well.acquisitions);
        scan.unplaced.extend(well.beside.unplaced);
        scan.unreadable.extend(well.beside.unreadable);
        groups.extend(well.beside.groups);
    }
    scan.unplaced.extend(told(odd, fields.len())?);
    let channels = channel_names(&mut fields, &mut scan.unplaced, root)?;
    let mut unusual: Vec<String> = note.into_iter().collect();
    let n_more = fields.iter().filter(|field| field.has_more).count();
    if n_more > 0 {
        unusual.push(format!("{n_more} images have several multiscales, of which the first are packed"));
    }
    if let Some(first) = groups.iter().min() {
        let n = groups.len();
        unusual.push(format!("{n} groups of Zarr that say nothing of images are left alone, such as {first}"));
    }
    let mut files = PlateFiles::default();
    // Others number fields from 0, and we sites from 1.
    let number = |name: &str| parse_number::<u16>(name).filter(|_| !name.is_empty())?.checked_add(1);
    let unnumbered = names.iter().filter(|name| number(name).is_none()).min();
    let are_numbered = unnumbered.is_none();
    if acquisitions.len() > 1 {
        unusual.push(format!("{} acquisitions: their fields are sites of one well", acquisitions.len()));
    }
    unusual.extend(unnumbered.map(|name| {
        format!("sites are the places of fields in the lists of their wells, as a name such as {name:?} is no number")
    }));
    for field in fields {
        let place = u16::try_from(field.place + 1).ok();
        let site = if are_numbered { number(&field.name) } else { place };
        let path = field.site.dir.to_string();
        let Some(site) = site else {
            scan.unplaced.push(unplaced(&path, "at most 65535 fields of a well", &field.place));
            continue;
        };
        let key = (field.well, site);
        if let Some(first) = files.arrays.get(&key) {
            let expected = format!("one image of {}: {}", id.site(field.well, site), first.dir);
            scan.unplaced.push(unplaced(&path, &expected, &path));
            continue;
        }
        files.sites.insert(key, u64::MAX >> (64 - field.n_channels));
        files.arrays.insert(key, field.site);
    }
    scan.unplaced.iter_mut().for_each(|image| image.plate = Some(id.clone()));
    scan.unplaced.sort_unstable();
    scan.unreadable.sort_unstable();
    scan.plates.extend((!files.sites.is_empty()).then_some((id, files)));
    Ok(ZarrScan { scan, channels, unusual })
}

/// The images that are none of the plate. What is chosen and few images lack is their fault; what as many lack as have it
/// is for the user to choose otherwise.
///
/// # Errors
/// The first of these, if there are as many as images that are right.
fn told(odd: Vec<Odd>, n_right: usize) -> Result<Vec<Unplaced>> {
    let n_refused = odd.iter().filter(|odd| matches!(odd, Odd::Refused(..))).count();
    let mut images = Vec::new();
    for odd in odd {
        images.push(match odd {
            Odd::Unplaced(image) => image,
            Odd::Refused(_, error) if n_refused >= n_right => return Err(error),
            Odd::Refused(document, Error::Refused { expected, found, .. }) => unplaced(&document, &expected, &found),
            Odd::Refused(document, error) => unplaced(&document, "an image of the plate", &error),
        });
    }
    Ok(images)
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
    fn well(&self, path: &str) -> FoundWell {
        let none = |expected: &str, found: &dyn std::fmt::Display| {
            let document = below(path, self.version.of_group());
            FoundWell { odd: vec![Odd::Unplaced(unplaced(&document, expected, found))], ..FoundWell::default() }
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
        let acquisitions =
            images.iter().filter_map(|image| image.acquisition.as_ref()).map(ToString::to_string).collect();
        let names: Vec<String> = images.into_iter().map(|image| image.path).collect();
        let mut found = if names.is_empty() { none("images of the well", &"none") } else { FoundWell::default() };
        found.beside = Beside::of(&Listed {
            root: self.root,
            dir: path,
            depth: 1,
            named: names.iter().map(String::as_str).collect(),
            expected: "an image that the document of its well names",
            is_such: |name| name.bytes().all(|b| b.is_ascii_digit()),
        });
        let mut seen = BTreeSet::new();
        for (place, name) in names.iter().enumerate() {
            if !seen.insert(name) {
                let image = below(path, name);
                found.odd.push(Odd::Unplaced(unplaced(&image, "each image of a well once", &"it again")));
                continue;
            }
            match self.field(well, path, (place, name)) {
                Ok(field) => found.fields.push(field),
                Err(odd) => found.odd.push(odd),
            }
        }
        found.names = names;
        found.acquisitions = acquisitions;
        found
    }

    /// The wells on disk that the plate's document does not name.
    fn unnamed_wells(&self, named: &[group::Place]) -> Beside {
        let mut beside = Beside::of(&Listed {
            root: self.root,
            dir: "",
            depth: 2,
            named: named.iter().map(|well| well.path.as_str()).collect(),
            expected: "a well that the document of its plate names",
            is_such: |name| well_named(&name.replace('/', "")).is_some(),
        });
        // What is told of the plate as a whole.
        beside.unplaced.retain(|image| !image.path.starts_with("OME/"));
        beside.groups.retain(|path| !path.starts_with("OME/"));
        beside
    }

    fn field(&self, well: Well, of: &str, (place, name): (usize, &str)) -> Result<Field, Odd> {
        let dir = below(of, name);
        let document = below(&dir, self.version.of_group());
        let none =
            |expected: &str, found: &dyn std::fmt::Display| Err(Odd::Unplaced(unplaced(&document, expected, found)));
        if !is_below(name) {
            return none("an image below its well", &format!("{name:?}"));
        }
        let image = match group::read(self.root, &dir, self.version) {
            Ok(image) => image,
            Err(error) => return none("the document of an image", &why(&error)),
        };
        let multiscales = image.multiscales.unwrap_or_default();
        let Some(multiscale) = multiscales.first() else {
            return none("an image with multiscales", &"none");
        };
        let Some(level) = multiscale.datasets.get(self.level) else {
            let expected = format!("a level of {document}, 0 to {}", multiscale.datasets.len().saturating_sub(1));
            return Err(Odd::Refused(document, Error::refused("--level", expected, self.level)));
        };
        if !is_below(&level.path) {
            return none("a level below its image", &format!("{:?}", level.path));
        }
        let array = below(&dir, &level.path);
        let path = below(&array, self.version.of_array());
        let no_array = |expected: &str, found: &dyn std::fmt::Display| Odd::Unplaced(unplaced(&path, expected, found));
        let text = files::read_at_most(&self.root.join(&path), files::LARGEST_DOCUMENT);
        let text = text.map_err(|error| no_array("the document of an array", &error))?;
        let parsed = ArrayDocument::parse(&text, self.version);
        let parsed = parsed.map_err(|fault| no_array("an array of images", &format!("another: {}", fault.detail)))?;
        let axes = self.axes(multiscale, &parsed.shape, &array);
        let Some((axes, n_channels)) = axes.map_err(|error| Odd::Refused(document.clone(), error))? else {
            let found = format!("{} of {:?}", multiscale.axes().join(", "), parsed.shape);
            return none("axes y and x, and t, c and z once at most, each as long as it is", &found);
        };
        if n_channels > 64 {
            return Err(no_array("at most 64 channels", &n_channels));
        }
        let labels = labels(image.omero.as_ref(), n_channels);
        let (dir, image, version) = (array.into(), Some(document.into()), self.version);
        let site = ArraySite { dir, image, version, axes, at: 0 };
        let has_more = multiscales.len() > 1;
        Ok(Field { well, name: name.to_owned(), place, site, n_channels, labels, has_more })
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
        let axis = |name: &&str| match *name {
            "c" => Some(Axis::Channel),
            "y" => Some(Axis::Y),
            "x" => Some(Axis::X),
            "z" => Some(Axis::At(z)),
            "t" => Some(Axis::At(t)),
            _ => None,
        };
        let axes: Option<Vec<Axis>> = names.iter().map(axis).collect();
        Ok(axes.map(|axes| (axes.into(), usize::try_from(n_channels).unwrap_or(usize::MAX))))
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

/// What channels are called: as the images say that have as many as most, or `c0`, `c1`. What others say is not asked
/// for: their channels are faults by their number. An image that names others than most is none of the plate.
///
/// # Errors
/// If no more images name the same channels than others.
fn channel_names(fields: &mut Vec<Field>, odd: &mut Vec<Unplaced>, root: &Path) -> Result<Vec<String>> {
    let usual = usual_channels(fields.iter().map(|field| field.n_channels));
    let mut told: BTreeMap<Vec<String>, (usize, String)> = BTreeMap::new();
    for field in fields.iter().filter(|field| field.n_channels == usual) {
        if let Some(labels) = &field.labels {
            told.entry(labels.clone()).or_insert_with(|| (0, field.site.dir.to_string())).0 += 1;
        }
    }
    let mut most: Vec<(&Vec<String>, &(usize, String))> = told.iter().collect();
    most.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    let Some((names, (n, _))) = most.first() else {
        return Ok((0..usual).map(|channel| format!("c{channel}")).collect());
    };
    let expected = format!("the channels of other images, {names:?}");
    if let Some((other, (_, place))) = most.get(1).filter(|(_, (of_other, _))| of_other == n) {
        return Err(Error::malformed(root.join(place).display(), expected, format!("{other:?}")));
    }
    fields.retain(|field| match &field.labels {
        Some(labels) if field.n_channels == usual && labels != *names => {
            odd.push(unplaced(&field.site.dir, &expected, &format!("{labels:?}")));
            false
        }
        _ => true,
    });
    Ok((*names).clone())
}

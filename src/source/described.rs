//! Trees whose names a pattern describes: every image is read by it, or is a fault with its path.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use crate::error::{Error, Result, shown_path};
use crate::files;
use crate::site::{Experiment, Names, Plate, PlateId};

use super::channels::WHOLE;
use super::layout::Layout;
use super::listed::ListedImage;
use super::names::{is_hidden_path, is_image, is_of_store, is_of_system};
use super::pattern::{Fields, Misread, Pattern, Preset};
use super::tree::{Scan, Unplaced};

/// What images lack whose names tell no plate.
const ABOVE: &str = "a folder of its plate above it";

/// How names of images are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Description<'a> {
    Preset(&'static Preset),
    Pattern(&'a Pattern),
}

impl<'a> Description<'a> {
    /// That of a layout, if it has one.
    pub(super) fn of(layout: Layout, pattern: Option<&'a Pattern>) -> Option<Self> {
        match layout {
            Layout::Preset(preset) => Some(Self::Preset(preset)),
            Layout::Pattern => pattern.map(Self::Pattern),
            _ => None,
        }
    }

    fn read(self, path: &str) -> Result<Option<Fields<'_>>, Misread> {
        match self {
            Self::Preset(preset) => preset.read(path),
            Self::Pattern(pattern) => pattern.read(path),
        }
    }

    fn place_of_plate(self, path: &str) -> Option<String> {
        match self {
            Self::Preset(preset) => preset.place_of_plate(path),
            Self::Pattern(pattern) => pattern.place_of_plate(path),
        }
    }

    fn is_beside(self, path: &str) -> bool {
        matches!(self, Self::Preset(preset) if preset.is_beside(path))
    }

    /// What a name is expected to be.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Preset(preset) => format!("a name as {} has them", preset.about()),
            Self::Pattern(pattern) => format!("a name such as {pattern}"),
        }
    }

    /// The name of a channel, as a store has it.
    pub(super) fn channel_name(self, channel: &str) -> String {
        match self {
            _ if channel.is_empty() => WHOLE.to_owned(),
            Self::Preset(preset) => preset.channel_name(channel).into_owned(),
            Self::Pattern(_) if channel.bytes().all(|b| b.is_ascii_digit()) => format!("w{channel}"),
            Self::Pattern(_) => channel.to_owned(),
        }
    }
}

/// Finds the images of a tree. What names do not tell is `experiment`, and the folder `root` itself for a plate.
///
/// # Errors
/// If the root cannot be read.
pub(super) fn scan(
    root: &Path,
    description: Description<'_>,
    experiment: &Experiment,
) -> Result<(Vec<ListedImage>, BTreeSet<String>, Scan)> {
    let (mut scan, mut images, mut names) = (Scan::default(), Vec::new(), Names::default());
    let mut places: HashSet<Rc<str>> = HashSet::new();
    // The root itself may be the folder of a plate.
    let real = files::resolve(root)?;
    let own = real.as_deref().and_then(|root| root.file_name()?.to_str()).unwrap_or_default().to_owned();
    let enter = |dir: &files::Found| !is_of_system(dir) && !is_of_store(dir);
    for found in files::walk_into(root, 1..=usize::MAX, files::Links::Follow, enter) {
        let Some(found) = scan.note(root, found)? else { continue };
        if found.is_dir() {
            continue;
        }
        let below = found.path.strip_prefix(root).unwrap_or(&found.path);
        let path = below.to_str();
        if !is_image(&found) || path.is_some_and(|path| description.is_beside(path)) {
            scan.other_files.push(below.to_string_lossy().into_owned());
            continue;
        }
        let full = path.map(|path| format!("{own}/{path}"));
        let is_hidden = is_hidden_path(below);
        let placed = match (path, full.as_deref()) {
            (Some(path), Some(full)) => read(description, path, full, &own, experiment),
            _ => Err(Some(("a path in UTF-8".to_owned(), None))),
        };
        match placed {
            Ok((mut image, place)) if !is_hidden => {
                image.plate.share(&mut names);
                let place = match places.get(place.as_str()) {
                    Some(known) => Rc::clone(known),
                    None => Rc::from(place),
                };
                places.insert(Rc::clone(&place));
                images.push((image, place));
            }
            Ok(_) => scan
                .unplaced
                .push(Unplaced { plate: None, ..Unplaced::in_folder(root, &found, "a folder that is not hidden") }),
            // What is hidden and of no plate is nobody's.
            Err(None) if is_hidden => {}
            Err(None) => {
                scan.unplaced.push(Unplaced { plate: None, ..Unplaced::named(root, &found, &description.expected()) });
            }
            Err(Some((expected, text))) => {
                let unplaced = Unplaced::named(root, &found, &expected);
                let found = text.map_or(unplaced.found, |text| format!("{text:?}"));
                scan.unplaced.push(Unplaced { found, plate: None, ..unplaced });
            }
        }
    }
    let channels = images.iter().map(|(image, _)| image.channel.clone()).collect();
    let images = of_one_place(images, &mut scan.unplaced);
    scan.other_files.sort_unstable();
    scan.unplaced.sort_unstable();
    scan.unreadable.sort_unstable();
    Ok((images, channels, scan))
}

/// Leaves the images of each plate that are in its first place, as those of another may be another plate's: two runs of a
/// lab may name their plates alike.
fn of_one_place(images: Vec<(ListedImage, Rc<str>)>, unplaced: &mut Vec<Unplaced>) -> Vec<ListedImage> {
    let mut first: HashMap<PlateId, Rc<str>> = HashMap::new();
    for (image, place) in &images {
        match first.get_mut(&image.plate) {
            Some(first) if *first <= *place => {}
            Some(first) => *first = Rc::clone(place),
            None => drop(first.insert(image.plate.clone(), Rc::clone(place))),
        }
    }
    let mut of_one = Vec::with_capacity(images.len());
    for (image, place) in images {
        let ListedImage { plate, path, .. } = &image;
        let first = &first[plate];
        if *first == place {
            of_one.push(image);
        } else {
            let advice = "if it is one plate, --pattern with what its folders tell, as '{well}/...', or --table; if these are \
                          several, '{experiment}/...'";
            let expected = format!("images of plate {plate} in one place, {first:?} ({advice})");
            unplaced.push(Unplaced {
                path: path.clone(),
                plate: Some(plate.clone()),
                expected,
                found: format!("{place:?}"),
            });
        }
    }
    of_one
}

/// What is expected in the place of what.
type Why = Option<(String, Option<String>)>;

/// Reads the path of an image, and where its plate is; why it is none of a plate, where it is not.
fn read(
    description: Description<'_>,
    path: &str,
    full: &str,
    own: &str,
    experiment: &Experiment,
) -> Result<(ListedImage, String), Why> {
    let misread =
        |misread: Misread| Some((format!("{} in {{{}}}", misread.expected, misread.field.name()), Some(misread.found)));
    // Below the root first: what stands above it tells only what nothing else does.
    let (fields, whole) = match description.read(path).map_err(misread)? {
        Some(fields) if fields.plate.is_some() => (Some(fields), path),
        short => match description.read(full).map_err(misread)? {
            Some(fields) => (Some(fields), full),
            None => (short, path),
        },
    };
    let Fields { experiment: named, plate, well, site, channel, z, t } = fields.ok_or(None)?;
    let experiment = match named {
        Some(name) => {
            name.parse().map_err(|e: crate::site::ParseError| Some((e.expected.to_owned(), Some(e.found))))?
        }
        None => experiment.clone(),
    };
    let plate = match (plate, description) {
        (Some(plate), _) => plate,
        (None, Description::Pattern(_)) => own,
        (None, Description::Preset(_)) => return Err(Some((ABOVE.to_owned(), None))),
    };
    let plate = Plate::as_written(plate).map_err(|e| Some((e.expected.to_owned(), Some(e.found))))?;
    let (plate, channel) = (PlateId { experiment, plate }, channel.unwrap_or_default().to_owned());
    let image = ListedImage { plate, well, site: site.unwrap_or(1), channel, z, t, path: path.to_owned() };
    Ok((image, description.place_of_plate(whole).unwrap_or_default()))
}

/// The error of a tree in which nothing is an image of a plate: what was looked for, and what is there instead.
pub(super) fn nothing_found(root: &Path, scan: &Scan, expected: &str) -> Error {
    let paths: Vec<&str> = scan.unplaced.iter().map(|image| image.path.as_str()).collect();
    let Some(first) = paths.first() else {
        let is_parquet =
            |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        let mut files = files::walk(root, 1..=usize::MAX, files::Links::Follow).flatten();
        let parquet = files.find(|found| !found.is_dir() && is_parquet(&found.path));
        let found = match parquet.map(|found| shown_path(found.path.strip_prefix(root).unwrap_or(&found.path))) {
            Some(path) => format!("{path}: images in Parquet (docs/data-sets.md tells how to unpack them)"),
            None => "no image".to_owned(),
        };
        return Error::refused(root.display(), expected, found);
    };
    let extension = |path: &str| path.rsplit_once('.').map_or("", |(_, extension)| extension).to_owned();
    let n = paths.iter().filter(|path| extension(path) == extension(first)).count();
    let name = first.rsplit('/').next().unwrap_or(first);
    let advice = match super::pattern::suggest(&paths) {
        Some(_) if scan.unplaced.iter().all(|image| image.expected == ABOVE) => {
            "--src with the folder above that of the plate".to_owned()
        }
        Some(preset) => format!("try --layout {preset}"),
        None => "--pattern describes names, as in '{plate}/{well}_s{site}_w{channel}.tif'".to_owned(),
    };
    Error::malformed(root.display(), expected, format!("{n} .{}, such as {name}; {advice}", extension(first)))
}

//! Trees whose images a table names: a row a site, a column a channel, as `CellProfiler`'s `load_data.csv`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path};
use std::rc::Rc;

use crate::csv_table::{AnyRow, Header, Rows, header};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Names, PlateId};

use super::labels::{At, Keys, On};
use super::listed::ListedImage;
use super::names::{is_image, is_image_name};
use super::tree::{Scan, Unplaced};

/// Columns of file names, each with that of the folder that belongs to it.
const PAIRS: [(&str, &str); 2] = [("FileName_", "PathName_"), ("Image_FileName_", "Image_PathName_")];

/// Where a table tells the image of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ChannelColumn {
    name: String,
    file: usize,
    /// The column of its folder; `None` where the path is one text.
    folder: Option<usize>,
}

/// What a table tells.
#[derive(Debug)]
pub(super) struct TableScan {
    pub(super) images: Vec<ListedImage>,
    /// The channels, in the order of their columns.
    pub(super) channels: Vec<String>,
    pub(super) scan: Scan,
    /// What is no fault but worth a look.
    pub(super) unusual: Vec<String>,
}

/// Reads a table and looks for the images that it names, below `root`.
///
/// # Errors
/// If it cannot be read, names no images or no wells, or names a site twice.
pub(super) fn scan(root: &Path, table: &Path, on: Option<&On>, experiment: &Experiment) -> Result<TableScan> {
    let place = table.display().to_string();
    let header = header(files::open(table)?, &place)?;
    let open = || Rows::<AnyRow>::read(files::open(table)?, &place, Header::AmongOthers { optional: &[] });
    let first: Vec<String> = {
        let mut rows = open()?;
        let there = rows.next().transpose()?.is_some();
        if there { (0..header.len()).map(|i| rows.cell(i).trim().to_owned()).collect() } else { Vec::new() }
    };
    let columns = channel_columns(&header, &first);
    if columns.is_empty() {
        let found: String = header.join(",").chars().take(160).collect();
        let expected = "a row, and columns FileName_CHANNEL and PathName_CHANNEL, or a path of an image a column";
        return Err(Error::malformed(format!("{place}:1"), expected, found));
    }
    let channels: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let keys = Keys::find(&header, on, &channels, &place)?;
    let mut folders = Folders { root, known: HashMap::new() };
    let (mut images, mut scan, mut names) = (Vec::new(), Scan::default(), Names::default());
    let mut seen: BTreeMap<(PlateId, crate::site::Well, u16), u64> = BTreeMap::new();
    let mut counted: HashMap<(PlateId, crate::site::Well), u16> = HashMap::new();
    let file: Rc<str> = place.as_str().into();
    let mut rows = open()?;
    while let Some(row) = rows.next() {
        let (line, AnyRow {}) = row?;
        let at = At { file: Rc::clone(&file), line };
        let key = keys.read(|i| rows.cell(i), &at)?;
        let mut plate = PlateId { experiment: key.experiment.unwrap_or_else(|| experiment.clone()), plate: key.plate };
        plate.share(&mut names);
        let site = match key.site {
            Some(site) => site,
            // Where no column tells them, the rows of a well are its sites, in their order.
            None => {
                let n = counted.entry((plate.clone(), key.well)).or_default();
                *n += 1;
                *n
            }
        };
        if let Some(before) = seen.insert((plate.clone(), key.well, site), line) {
            let again = format!("{plate}, well {}, site {site} again, as in line {before}", key.well);
            return Err(at.malformed("each site once", again));
        }
        for column in &columns {
            let told = rows.cell(column.file).trim();
            if told.is_empty() {
                continue;
            }
            let told = match column.folder {
                Some(folder) => format!("{}/{told}", rows.cell(folder).trim().trim_end_matches('/')),
                None => told.to_owned(),
            };
            let told = told.replace('\\', "/");
            let (plate, well, channel) = (plate.clone(), key.well, column.name.clone());
            match folders.find(&told)? {
                Some(path) => images.push(ListedImage { plate, well, site, channel, z: None, t: None, path }),
                None => scan.unplaced.push(Unplaced {
                    expected: format!("the file that {place}:{line} names below {}", root.display()),
                    found: "none".to_owned(),
                    path: told,
                    plate: Some(plate),
                }),
            }
        }
    }
    let mut unusual = Vec::new();
    if keys.site.is_none() {
        unusual.push(format!("{place} has no column of the site: the rows of a well are counted"));
    }
    let unnamed = folders.beside(&images);
    if let Some(first) = unnamed.first() {
        unusual.push(format!("{} images beside those that {place} names, such as {first}", unnamed.len()));
    }
    Ok(TableScan { images, channels, scan, unusual })
}

/// The columns that tell images, by their names, or by what the first row has in them.
fn channel_columns(header: &[String], first: &[String]) -> Vec<ChannelColumn> {
    let column = |name: &str| header.iter().position(|column| column == name);
    let is_told = |i: usize| first.get(i).is_some_and(|cell| is_image_name(cell));
    let mut columns = Vec::new();
    for (i, name) in header.iter().enumerate() {
        // Pictures by which others are corrected are arrays of NumPy, and no images of wells.
        let pair = PAIRS.iter().find_map(|(file, folder)| {
            let channel = name.strip_prefix(file).filter(|channel| !channel.is_empty())?;
            Some((channel.to_owned(), column(&format!("{folder}{channel}"))))
        });
        if let Some((name, folder)) = pair.filter(|_| is_told(i)) {
            columns.push(ChannelColumn { name, file: i, folder });
        }
    }
    if columns.is_empty() {
        let paths = header.iter().enumerate().filter(|(i, _)| is_told(*i));
        columns.extend(paths.map(|(file, name)| ChannelColumn { name: name.clone(), file, folder: None }));
    }
    columns
}

/// The folders that a table names, as they lie below the root: a table that was made elsewhere has paths of there.
struct Folders<'r> {
    root: &'r Path,
    /// Of each folder as it is told: where it is, and the names of its files; `None` where it is not.
    known: HashMap<String, Option<Folder>>,
}

struct Folder {
    /// Relative to the root, with `/` behind it unless it is the root itself.
    path: String,
    files: BTreeSet<String>,
}

impl Folders<'_> {
    /// The path of a file, relative to the root.
    fn find(&mut self, told: &str) -> Result<Option<String>> {
        let (folder, name) = told.rsplit_once('/').unwrap_or(("", told));
        if !self.known.contains_key(folder) {
            let found = self.folder(folder)?;
            self.known.insert(folder.to_owned(), found);
        }
        let found = self.known[folder].as_ref();
        Ok(found.filter(|folder| folder.files.contains(name)).map(|folder| format!("{}{name}", folder.path)))
    }

    /// A folder by the longest end of its path that there is below the root.
    fn folder(&self, told: &str) -> Result<Option<Folder>> {
        let plain = |part| if let Component::Normal(part) = part { part.to_str() } else { None };
        let parts: Vec<&str> = Path::new(told).components().filter_map(plain).collect();
        for start in 0..=parts.len() {
            let path = parts[start..].join("/");
            let full = self.root.join(&path);
            if files::is_dir(&full)? {
                let found = files::walk(&full, 1..=1, files::Links::Follow).flatten();
                let names = found.filter(|found| !found.is_dir() && is_image(found));
                let files = names.filter_map(|found| Some(found.name()?.to_owned())).collect();
                let path = if path.is_empty() { path } else { format!("{path}/") };
                return Ok(Some(Folder { path, files }));
            }
        }
        Ok(None)
    }

    /// The images of these folders that are not among those that the table names.
    fn beside(&self, named: &[ListedImage]) -> Vec<String> {
        let named: BTreeSet<&str> = named.iter().map(|image| image.path.as_str()).collect();
        let paths = self
            .known
            .values()
            .flatten()
            .flat_map(|folder| folder.files.iter().map(|name| format!("{}{name}", folder.path)));
        let beside: BTreeSet<String> = paths.filter(|path| !named.contains(path.as_str())).collect();
        beside.into_iter().collect()
    }
}

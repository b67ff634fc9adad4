//! Trees whose images a table names: a row a site, a column a channel, as `CellProfiler`'s `load_data.csv`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path};

use crate::csv_table::{AnyRow, Header, Rows, header, unfit_header};
use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Plate, PlateId, Well};
use crate::words::{agree, count, plural};

use super::labels::{Keys, On};
use super::listed::ListedImage;
use super::names::{is_image, is_image_name, is_of_store, is_of_system};
use super::site_rows::{SiteRow, SiteRows};
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
    let keys = Keys::find(&header, on, &place);
    let Told { tells, is_one_plate } = look_through(table, &place, header.len(), keys.as_ref().ok())?;
    let columns = channel_columns(&header, &tells);
    if columns.is_empty() {
        let expected = "a row, and columns FileName_CHANNEL and PathName_CHANNEL, or a path of an image a column";
        return Err(unfit_header(&place, expected, &header));
    }
    let channels: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut folders = Folders { root, is_one_plate, known: HashMap::new(), by_name: None, n_by_name: 0 };
    let mut lines: HashMap<String, u64> = HashMap::new();
    let (mut images, mut scan) = (Vec::new(), Scan::default());
    let mut seen: BTreeMap<(PlateId, Well, u16), u64> = BTreeMap::new();
    let mut rows = SiteRows::open(table, &place, keys?, experiment.clone())?;
    while let Some(row) = rows.next_site() {
        let SiteRow { at, plate, well, site } = row?;
        let line = at.line;
        if let Some(before) = seen.insert((plate.clone(), well, site), line) {
            let again = format!("{} again, as in line {before}", plate.site(well, site));
            return Err(at.malformed("each site once", again));
        }
        if columns.iter().all(|column| rows.cell(column.file).is_empty()) {
            return Err(at.malformed(format!("an image in {}", channels.join(" or ")), "empty cells"));
        }
        for column in &columns {
            let told = rows.cell(column.file);
            if told.is_empty() {
                continue;
            }
            let told = match column.folder {
                Some(folder) => format!("{}/{told}", rows.cell(folder).trim_end_matches('/')),
                None => told.to_owned(),
            };
            let told = told.replace('\\', "/");
            let (plate, channel) = (plate.clone(), column.name.clone());
            match folders.find(&told, &plate.plate)? {
                Some(path) => {
                    if let Some(before) = lines.insert(path.clone(), line) {
                        return Err(
                            at.malformed("each image in one place", format!("{path} again, as in line {before}"))
                        );
                    }
                    images.push(ListedImage { plate, well, site, channel, z: None, t: None, path });
                }
                None => scan.unplaced.push(Unplaced {
                    expected: format!("the file that {place}:{line} names below {}", root.display()),
                    found: "none".to_owned(),
                    path: told,
                    plate: Some(plate),
                }),
            }
        }
    }
    let mut unusual: Vec<String> = rows.unusual().into_iter().collect();
    if folders.n_by_name > 0 {
        let n = folders.n_by_name as u64;
        unusual.push(format!(
            "{} in other folders than {place} names: known by {}",
            agree(n, "1 image lies", &format!("{} images lie", count(n))),
            agree(n, "its own name", "their own names")
        ));
    }
    let unnamed = folders.beside(&images);
    if let Some(first) = unnamed.first() {
        unusual.push(format!(
            "{} beside those that {place} names, such as {first}",
            plural(unnamed.len() as u64, "image")
        ));
    }
    Ok(TableScan { images, channels, scan, unusual })
}

/// What all rows of a table tell together.
struct Told {
    /// Of each column, whether some row has an image in it.
    tells: Vec<bool>,
    /// Whether all rows are of one plate: then there is no other to take an image for.
    is_one_plate: bool,
}

fn look_through(table: &Path, place: &str, n_columns: usize, keys: Option<&Keys>) -> Result<Told> {
    let mut tells = vec![false; n_columns];
    let mut plates: BTreeSet<Option<Plate>> = BTreeSet::new();
    let mut rows = Rows::<AnyRow>::read(files::open(table)?, place, Header::AmongOthers { optional: &[], alike: &[] })?;
    while let Some(row) = rows.next() {
        row?;
        for (i, tells) in tells.iter_mut().enumerate() {
            *tells = *tells || is_image_name(rows.cell(i).trim());
        }
        // Two are as good as more.
        if plates.len() < 2 {
            plates.insert(keys.and_then(|keys| keys.plate(|i| rows.cell(i)).ok()));
        }
    }
    Ok(Told { tells, is_one_plate: plates.len() < 2 })
}

/// Whether a folder's name is that of a plate, or begins with it and goes on with what is no letter and no digit.
fn is_named_for(folder: &str, plate: &Plate) -> bool {
    let rest = folder.strip_prefix(plate.as_str());
    let begins = rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    begins || Plate::as_written(folder).is_ok_and(|named| named == *plate)
}

/// The columns that tell images, by their names, or by what rows have in them.
fn channel_columns(header: &[String], tells: &[bool]) -> Vec<ChannelColumn> {
    let column = |name: &str| header.iter().position(|column| column == name);
    let is_told = |i: usize| tells[i];
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
    is_one_plate: bool,
    /// Of each folder as it is told: where it is, and the names of its files; `None` where it is not.
    known: HashMap<String, Option<Folder>>,
    /// The paths of all images by their names, once they are asked for.
    by_name: Option<HashMap<String, Vec<String>>>,
    n_by_name: usize,
}

struct Folder {
    /// What stands before it in the path that is told.
    dropped: Vec<String>,
    /// Relative to the root, with `/` behind it unless it is the root itself.
    path: String,
    files: BTreeSet<String>,
}

impl Folders<'_> {
    /// The path of a file of a plate, relative to the root: in the folder that is told, or, where that is not there, the
    /// only file of its name in a folder that is named for the plate. Where all rows are of one plate, no name of a folder
    /// has to tell it; where they are of several, an image is never taken from what may be another's folder.
    fn find(&mut self, told: &str, plate: &Plate) -> Result<Option<String>> {
        let (folder, name) = told.rsplit_once('/').unwrap_or(("", told));
        if !self.known.contains_key(folder) {
            let found = self.folder(folder)?;
            self.known.insert(folder.to_owned(), found);
        }
        let found = self.known[folder].as_ref().filter(|folder| folder.files.contains(name));
        let is_for = |path: &str| path.split('/').any(|part| is_named_for(part, plate));
        if let Some(folder) = found {
            let is_lost = folder.dropped.iter().any(|part| is_named_for(part, plate)) && !is_for(&folder.path);
            return Ok((self.is_one_plate || !is_lost).then(|| format!("{}{name}", folder.path)));
        }
        if self.known[folder].as_ref().is_some_and(|folder| !folder.path.is_empty()) {
            return Ok(None);
        }
        let by_name = match &mut self.by_name {
            Some(by_name) => by_name,
            None => self.by_name.insert(by_name(self.root)?),
        };
        let found = by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut of_plate = found.iter().filter(|path| is_for(path));
        let only = match (found, of_plate.next(), of_plate.next()) {
            (_, Some(only), None) => Some(only),
            ([only], ..) if self.is_one_plate => Some(only),
            _ => None,
        };
        self.n_by_name += usize::from(only.is_some());
        Ok(only.cloned())
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
                let dropped = parts[..start].iter().map(|part| (*part).to_owned()).collect();
                return Ok(Some(Folder { dropped, path, files }));
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

/// The paths of all images of a tree, by their names.
fn by_name(root: &Path) -> Result<HashMap<String, Vec<String>>> {
    let mut paths: HashMap<String, Vec<String>> = HashMap::new();
    let enter = |dir: &files::Found| !is_of_system(dir) && !is_of_store(dir);
    for found in files::walk_into(root, 1..=usize::MAX, files::Links::Follow, enter) {
        let found = match found {
            // What cannot be looked at holds nothing that is found.
            Err(Error::Io { path, .. }) if path != root => continue,
            found => found?,
        };
        let below = found.path.strip_prefix(root).unwrap_or(&found.path);
        if is_image(&found)
            && let (Some(name), Some(path)) = (found.name(), below.to_str())
        {
            paths.entry(name.to_owned()).or_default().push(path.to_owned());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tree with these files, and a table of this text.
    fn tree(files: &[&str], table: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join("data").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        let path = dir.path().join("load_data.csv");
        fs::write(&path, table).unwrap();
        (dir, path)
    }

    fn scanned(files: &[&str], table: &str) -> Result<TableScan> {
        let (dir, path) = tree(files, table);
        scan(&dir.path().join("data"), &path, None, &"e".parse().unwrap())
    }

    fn paths(scan: &TableScan) -> Vec<(String, u16, &str, &str)> {
        let of = |image: &'_ ListedImage| format!("{} {}", image.plate, image.well);
        scan.images.iter().map(|image| (of(image), image.site, &*image.channel, &*image.path)).collect()
    }

    const PAIRS: &str =
        "FileName_DNA,PathName_DNA,FileName_IllumDNA,PathName_IllumDNA,Metadata_Plate,Metadata_Well,Metadata_Site\n";

    #[test]
    fn a_folder_of_another_machine_is_known_by_the_end_of_its_path() {
        let table = format!(
            "{PAIRS}a.tif,/home/ubuntu/bucket/P1/Images/,i.npy,/x,P1,A1,2\na.tif,P2\\Images,i.npy,/x,P2,b02,1\n"
        );
        let found = scanned(&["P1/Images/a.tif", "P2/Images/a.tif", "P2/Images/more.tif"], &table).unwrap();
        assert_eq!(found.channels, ["DNA"], "illumination is no image");
        let expected = [
            ("e/P1 A01".to_owned(), 2, "DNA", "P1/Images/a.tif"),
            ("e/P2 B02".to_owned(), 1, "DNA", "P2/Images/a.tif"),
        ];
        assert_eq!(paths(&found), expected);
        assert_eq!(found.unusual.len(), 1, "{:?}", found.unusual);
        assert!(found.unusual[0].contains("P2/Images/more.tif"));
    }

    #[test]
    fn images_of_folders_that_are_not_there_are_known_by_their_names_where_one_has_it() {
        let table = |path: &str| format!("{PAIRS}a.tif,{path},,,P1,A01,1\n");
        let found = scanned(&["P1__x/Images/a.tif", "P2__x/Images/a.tif"], &table("tests/data")).unwrap();
        assert_eq!(paths(&found)[0].3, "P1__x/Images/a.tif", "of the plate's folder");
        let found = scanned(&["u/a.tif"], &table("tests/data")).unwrap();
        assert_eq!((paths(&found)[0].3, found.unusual.len()), ("u/a.tif", 1));
        let found = scanned(&["u/a.tif", "v/a.tif"], &table("tests/data")).unwrap();
        assert_eq!((found.images.len(), found.scan.unplaced.len()), (0, 1), "it may be either");
        let found = scanned(&["tests/data/b.tif", "v/a.tif"], &table("tests/data")).unwrap();
        assert_eq!(found.images.len(), 0, "its folder is there, and it is not in it");
    }

    #[test]
    fn a_plate_that_is_not_there_never_gets_the_images_of_another() {
        let rows = "a.tif,P1__x/Images,,,P1,A01,1\na.tif,P10__x/Images,,,P10,A01,1\n";
        let table = format!("{PAIRS}{rows}");
        for (there, is_told) in [("P10__x/Images/a.tif", 1), ("P1__x/Images/a.tif", 1), ("Images/a.tif", 2)] {
            let found = scanned(&[there], &table).unwrap();
            let lost: Vec<&str> = found.scan.unplaced.iter().map(|image| image.path.as_str()).collect();
            assert_eq!((found.images.len(), lost.len()), (2 - is_told, is_told), "{there}: {lost:?}");
        }
        let twice = format!("{PAIRS}a.tif,u,,,P1,A01,1\na.tif,u,,,P1,A02,1\n");
        let error = scanned(&["u/a.tif"], &twice).unwrap_err().to_string();
        assert!(error.contains(":3: expected each image in one place, found u/a.tif again, as in line 2"), "{error}");
    }

    #[test]
    fn a_channel_that_the_first_row_lacks_is_one_and_a_row_without_images_is_an_error() {
        let table = "plate,well,DNA,Actin\nP,A01,x/1.tif,\nP,A02,x/2.tif,x/3.tif\n";
        let found = scanned(&["x/1.tif", "x/2.tif", "x/3.tif"], table).unwrap();
        assert_eq!((found.channels.len(), found.images.len()), (2, 3));
        let error = scanned(&["x/1.tif"], "plate,well,DNA\nP,A01,x/1.tif\nP,A02,\n").unwrap_err().to_string();
        assert!(error.contains(":3: expected an image in DNA, found empty cells"), "{error}");
    }

    #[test]
    fn paths_may_be_one_text_a_column_and_sites_are_counted_where_nothing_tells_them() {
        let table = "plate,well,DAPI,Actin,compound\nP,A01,x/1.tif,x/2.tif,c\nP,A01,x/3.tif,,c\n";
        let found = scanned(&["x/1.tif", "x/2.tif", "x/3.tif"], table).unwrap();
        assert_eq!(found.channels, ["DAPI", "Actin"]);
        let places: Vec<_> = found.images.iter().map(|image| (image.site, &*image.channel)).collect();
        assert_eq!(places, [(1, "DAPI"), (1, "Actin"), (2, "DAPI")]);
        assert!(found.unusual[0].contains("rows of a well are counted"));
    }

    #[test]
    fn what_a_table_lacks_or_says_twice_is_named_with_its_line() {
        let says = |table: &str, part: &str| {
            let error = scanned(&["a.tif"], table).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        says("plate,well\nP,A01\n", "load_data.csv:1: expected a row, and columns FileName_CHANNEL");
        says("well,DAPI\nA01,a.tif\n", "a column of the plate");
        says("plate,well,site,DAPI\nP,A01,1,a.tif\nP,A01,1,a.tif\n", ":3: expected each site once");
        says("plate,well,site,DAPI\nP,A01,1\n", ":2: expected the 4 cells of plate,well,site,DAPI");
        says("plate,well,site,DAPI\nP,A01,x,a.tif\n", ":2: expected a site");
        says("plate,well,site,DAPI\nP,A0,1,a.tif\n", ":2: expected a well");
    }
}

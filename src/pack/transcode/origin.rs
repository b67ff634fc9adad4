//! A store as a source: what of it its lists prove. Reads lists and listings, and no pixels.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::classes::Classes;
use crate::csv_table::from_csv;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::site::{PlateId, Well};
use crate::store::format::listing::{ListingFiles, check_names};
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{CSVS, FILES, PIXELS, PLATES, REJECTED, SITES, SOURCES, ZARR_JSON, listing_path};
use crate::store::format::rows::{Rejected, SiteRow};
use crate::store::{CLASSES, SHA256SUMS, Shard, StoreSpec, is_store, shard_path};

/// A finished store whose root's documents are proven.
pub(super) struct Origin {
    pub(super) root: PathBuf,
    pub(super) spec: StoreSpec,
    pub(super) classes: Classes,
    /// The plates, each with its list of files as `SHA256SUMS` knows it.
    pub(super) plates: BTreeMap<PlateId, Entry>,
}

/// A plate whose listing is proven. Small, as all plates of a run are held at once.
pub(super) struct Plate {
    pub(super) id: PlateId,
    /// In the order of the array.
    pub(super) sites: Vec<Site>,
    pub(super) n_rejected: u64,
    /// The time of the list of sources, by which `pack` knows the images again.
    pub(super) stamp: SystemTime,
    /// All files of the plate but their list.
    files: Vec<Entry>,
}

/// One site of a plate.
pub(super) struct Site {
    pub(super) well: Well,
    pub(super) number: u16,
    /// Of its raw pixels.
    pub(super) crc32c: u32,
}

impl Origin {
    /// Opens a store that is finished.
    pub(super) fn open(root: &Path) -> Result<Self> {
        if !is_store(root)? {
            return Err(Error::refused(root.display(), format!("a store (a folder with {PIXELS})"), "none"));
        }
        let path = root.join(SHA256SUMS);
        if !files::is_file(&path)? {
            return Err(Error::Unfinished { path: root.to_owned() });
        }
        let list = path.display().to_string();
        let sums: BTreeMap<String, Entry> = manifest::parse(&files::read_text(&path)?, &list)?
            .into_iter()
            .map(|file| (file.path.clone(), file))
            .collect();
        let proven = |name: &str| {
            let file = sums.get(name).ok_or_else(|| Error::malformed(&list, format!("a line of {name}"), "none"))?;
            let place = root.join(name).display().to_string();
            Ok::<_, Error>((read(root, file)?, place))
        };
        let (document, place) = proven(&format!("{PIXELS}/{ZARR_JSON}"))?;
        let spec = StoreSpec::parse_root(&document, &place)?;
        let (classes, place) = proven(CLASSES)?;
        let classes = Classes::parse(&text(classes, &place)?, &place)?;
        let plate = |file: Entry| {
            let name = file.path.strip_prefix(PLATES)?.strip_prefix('/')?.strip_suffix(FILES)?.strip_suffix('/')?;
            let id: PlateId = name.parse().ok()?;
            (id.to_string() == name).then_some((id, file))
        };
        let plates = sums.into_values().filter_map(plate).collect();
        Ok(Self { root: root.to_owned(), spec, classes, plates })
    }

    /// Reads and proves the listing of a plate, or says what is wrong with each file of it.
    pub(super) fn plate(&self, id: &PlateId) -> Result<(Plate, ListingFiles), Vec<Fault>> {
        let path = |name: &str| format!("{}/{name}", listing_path(id));
        let own = path(FILES);
        let fault = |file: &str, error: &Error| fault_of_listing(id, file.to_owned(), describe(error));
        let one = |file: String| move |error: Error| vec![fault(&file, &error)];
        let files = self.plates.get(id).ok_or_else(|| Error::malformed(SHA256SUMS, format!("a line of {own}"), "none"));
        let files = files.and_then(|file| manifest::parse(&text(read(&self.root, file)?, &own)?, &own));
        let files = files.map_err(one(own.clone()))?;

        let (mut contents, mut damaged) = (BTreeMap::new(), Vec::new());
        for name in CSVS.into_iter().chain([SOURCES]) {
            let path = path(name);
            let file = files.iter().find(|file| file.path == path);
            let file = file.ok_or_else(|| Error::malformed(&own, format!("a line of {path}"), "none"));
            match file.and_then(|file| text(read(&self.root, file)?, &path)) {
                Ok(text) => drop(contents.insert(name, text)),
                Err(error) => damaged.push(fault(&path, &error)),
            }
        }
        if !damaged.is_empty() {
            return Err(damaged);
        }
        let (sites_csv, rejected_csv, sources) = (path(SITES), path(REJECTED), path(SOURCES));
        let rows = from_csv::<SiteRow>(&contents[SITES], &sites_csv);
        let sites = rows.and_then(|rows| self.sites(id, &rows, &sites_csv)).map_err(one(sites_csv.clone()))?;
        let rejected = from_csv::<Rejected>(&contents[REJECTED], &rejected_csv);
        let rejected = rejected.map_err(one(rejected_csv))?;
        let full = self.root.join(&sources);
        let stamp = files::modified(&full);
        let plate = Plate {
            id: id.clone(),
            sites,
            n_rejected: rejected.len() as u64,
            stamp: stamp.map_err(one(sources))?,
            files,
        };
        check_names(&plate.files, id, &self.spec, plate.sites.len()).map_err(one(own.clone()))?;
        let listing = ListingFiles { plate: id.clone(), n_sites: plate.sites.len(), contents };
        Ok((plate, listing))
    }

    /// The rows of a plate, of which each has to be the next one.
    fn sites(&self, id: &PlateId, rows: &[SiteRow], path: &str) -> Result<Vec<Site>> {
        let mut sites: Vec<Site> = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            let wrong =
                |expected: String, found: String| Error::malformed(format!("{path}:{}", i + 2), expected, found);
            let (well, site) = (row.id.well.well, row.id.site);
            if row.id.well.plate != *id || row.row as usize != i {
                let found = format!("row {} of {}", row.row, row.id.well.plate);
                return Err(wrong(format!("row {i} of {id}"), found));
            }
            if sites.last().is_some_and(|last| (last.well, last.number) >= (well, site)) {
                return Err(wrong("sites in the order of the plate, each once".to_owned(), row.id.shown()));
            }
            if let Some(class) = row.label.class.filter(|&class| !self.classes.contains(class)) {
                return Err(wrong(format!("a class of {CLASSES}"), class.to_string()));
            }
            sites.push(Site { well, number: site, crc32c: row.crc32c });
        }
        Ok(sites)
    }

    /// Opens a shard of a plate.
    pub(super) fn shard(&self, plate: &Plate, shard: usize) -> Result<Shard> {
        let path = shard_path(&plate.id, shard);
        // A list is sorted by its paths, and may have as many shards as the plate has sites.
        let listed = plate.files.binary_search_by(|file| file.path.as_str().cmp(&path)).ok();
        let size = listed.and_then(|at| plate.files[at].size);
        let found = files::look_at(&self.root.join(&path))?.map(|found| found.len());
        match (size, found) {
            (_, None) => Err(Error::malformed(path, "the file that the list names", "none")),
            (Some(size), Some(found)) if size != found => {
                Err(Error::malformed(path, format!("a shard of {size} bytes"), found))
            }
            _ => Shard::open(&self.root, &self.spec, &plate.id, shard, plate.sites.len()),
        }
    }
}

impl Plate {
    /// The files of the listing but their list.
    pub(super) fn listing_files(&self) -> impl Iterator<Item = &Entry> {
        let prefix = format!("{}/", listing_path(&self.id));
        self.files.iter().filter(move |file| file.path.starts_with(&prefix))
    }

    /// A fault of the listing, which is one of the whole plate.
    pub(super) fn fault(&self, file: String, detail: String) -> Fault {
        fault_of_listing(&self.id, file, detail)
    }

    /// A fault of the site in row `row`, which shard `shard` holds.
    pub(super) fn fault_of_site(&self, row: usize, shard: usize, detail: &str) -> Fault {
        let Site { well, number, .. } = self.sites[row];
        Fault {
            plate: Some(self.id.clone()),
            well: Some(well),
            site: Some(number),
            kind: FaultKind::DamagedSite,
            file: shard_path(&self.id, shard),
            detail: format!("site {}: {detail}", self.id.site(well, number)),
        }
    }

    /// Bytes of the shards.
    pub(super) fn shard_bytes(&self, spec: &StoreSpec) -> u64 {
        let shards: BTreeSet<String> =
            (0..spec.n_shards(self.sites.len())).map(|shard| shard_path(&self.id, shard)).collect();
        self.files.iter().filter(|file| shards.contains(&file.path)).filter_map(|file| file.size).sum()
    }
}

/// Reads a file of a list whole, proven; an error names it as the list does.
fn read(root: &Path, file: &Entry) -> Result<Vec<u8>> {
    file.read(root).map_err(|damage| damage.into_error(file))
}

fn fault_of_listing(plate: &PlateId, file: String, detail: String) -> Fault {
    Fault { plate: Some(plate.clone()), well: None, site: None, kind: FaultKind::DamagedListing, file, detail }
}

/// What was expected and found, for a fault that names the place itself.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Malformed { expected, found, .. } => format!("expected {expected}, found {found}"),
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            "expected the file that the list names, found none".to_owned()
        }
        Error::Io { source, .. } => format!("expected a file that can be read, found {source}"),
        other => other.to_string(),
    }
}

fn text(bytes: Vec<u8>, place: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| Error::malformed(place, "UTF-8 text", e.utf8_error()))
}

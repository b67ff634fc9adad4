//! The files at the store's root: a pure merge of the plates' listings, written once every planned plate has one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::PoisonError;

use serde_json::json;

use crate::error::{Error, Result, read_file, read_text};
use crate::site::{PlateId, Population};

use super::checksum::Sha;
use super::listing::{FILES, channel_index, has_size, listed_plates, plate_folders, read_list, read_rows};
use super::manifest::{self, Entry};
use super::rows::{ComomentRow, HistogramRow, Rejected, SiteRow, from_csv, to_csv};
use super::session::Lock;
use super::spec::{PIXELS, PLATES, StoreSpec, ZARR_JSON, array_document, group_document, listing_path};
use super::write::{CLASSES, SHA256SUMS, StoreWriter};

/// All sites of the store.
pub const METADATA: &str = "metadata.csv";
/// All that was left out.
pub const REJECTED: &str = "rejected.csv";

/// Whether to merge a store that is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anew {
    /// Only if a file of it is gone.
    IfNeeded,
    /// In any case: a file of it may be damaged.
    Always,
}

/// Whether a store could be finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// It is finished now, or was before.
    Finished,
    /// These planned plates have no listing yet; another process packs them.
    Waiting(Vec<PlateId>),
}

impl StoreWriter {
    /// Finishes the store if every plate in `planned`, and every one that the store ever had, has its listing and the
    /// files that it names: merges all listings into the root's files and writes `SHA256SUMS` last. So a plate that was
    /// lost is never forgotten: until it is packed or sent again, the files that tell of it stay as they are. A store that is finished is left alone unless `anew`.
    ///
    /// # Errors
    /// If a listing is not well formed or a file cannot be written.
    pub fn merge(&self, planned: &[PlateId], anew: Anew) -> Result<Merge> {
        let _alone = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = Lock::take(&self.root)?;
        let plates = listed_plates(&self.root)?;
        let is_there = |plate: &PlateId| {
            read_list(&self.root, plate, FILES).is_ok_and(|files| files.iter().all(|file| has_size(&self.root, file)))
        };
        let known = known_plates(&self.root)?;
        let expected: BTreeSet<&PlateId> = planned.iter().chain(&plates).chain(&known).collect();
        let missing: Vec<PlateId> = expected.into_iter().filter(|plate| !is_there(plate)).cloned().collect();
        if !missing.is_empty() {
            return Ok(Merge::Waiting(missing));
        }
        if anew == Anew::IfNeeded && is_whole(&self.root) {
            return Ok(Merge::Finished);
        }
        for plate in &plates {
            self.write_headers(plate)?;
        }
        let rejected = rejected(&self.root, &plates)?;
        let mut root_files = root_files(&self.root, &self.spec, &plates, &rejected)?;
        for (path, bytes) in &root_files {
            self.write_root_file(path, bytes)?;
        }
        let stale = self.root.join(REJECTED);
        if rejected.is_empty() && stale.exists() {
            fs::remove_file(&stale).map_err(Error::io(&stale, "remove"))?;
        }
        for path in headers(&plates) {
            let full = self.root.join(&path);
            if full.exists() {
                root_files.insert(path, read_file(&full)?);
            }
        }
        let sums = sums(&self.root, &plates, &root_files)?;
        self.write_root_file(SHA256SUMS, sums.as_bytes())?;
        Ok(Merge::Finished)
    }
}

/// The plates that a store has or had: those that its root's files name, and those that have a folder. A file that is
/// damaged could name a plate that never was, so it counts only if it proves itself.
///
/// # Errors
/// If a folder cannot be read.
pub fn known_plates(store: &Path) -> Result<BTreeSet<PlateId>> {
    let mut known = BTreeSet::new();
    let parse = |path: &str| {
        let (experiment, plate) = path.split_once('/')?;
        let id = format!("{experiment}/{}", plate.split('/').next()?);
        id.parse().ok().filter(|plate: &PlateId| plate.to_string() == id)
    };
    let metadata = read_text(&store.join(METADATA)).and_then(|text| from_csv::<SiteRow>(&text, METADATA));
    if let Ok(rows) = metadata {
        known.extend(rows.into_iter().map(|row| row.id.well.plate));
    }
    let sums = read_text(&store.join(SHA256SUMS)).and_then(|text| manifest::parse(&text, SHA256SUMS));
    let prefix = format!("{PLATES}/");
    if let Ok(entries) = sums {
        known.extend(entries.iter().filter_map(|entry| parse(entry.path.strip_prefix(&prefix)?)));
    }
    if known.is_empty() {
        let attributes = read_file(&store.join(PIXELS).join("statistics").join(ZARR_JSON)).unwrap_or_default();
        let document: serde_json::Value = serde_json::from_slice(&attributes).unwrap_or_default();
        let names = document["attributes"]["plates"].as_array().cloned().unwrap_or_default();
        known.extend(names.iter().filter_map(|name| parse(name.as_str()?)));
    }
    for root in [PIXELS, PLATES] {
        known.extend(plate_folders(&store.join(root))?);
    }
    Ok(known)
}

/// Whether the store is finished and no file of it is gone. Whether each is unharmed is for `verify` to say.
fn is_whole(store: &Path) -> bool {
    let sums = fs::read_to_string(store.join(SHA256SUMS));
    let files = sums.ok().and_then(|text| manifest::parse(&text, SHA256SUMS).ok());
    files.is_some_and(|files| files.iter().all(|file| store.join(&file.path).is_file()))
}

/// The documents that are written with the first plate.
fn headers(plates: &[PlateId]) -> BTreeSet<String> {
    let groups = plates.iter().map(|plate| format!("{PIXELS}/{}/{ZARR_JSON}", plate.experiment));
    groups.chain([CLASSES.to_owned(), format!("{PIXELS}/{ZARR_JSON}")]).collect()
}

fn rejected(store: &Path, plates: &[PlateId]) -> Result<Vec<Rejected>> {
    let mut rows = Vec::new();
    for plate in plates {
        rows.extend(read_rows::<Rejected>(store, plate, "rejected.csv")?);
    }
    Ok(rows)
}

/// What a merge of the listings writes: path and content. `verify` compares it with what is there.
///
/// # Errors
/// If a listing is not well formed.
pub fn merged_files(store: &Path, spec: &StoreSpec, plates: &[PlateId]) -> Result<BTreeMap<String, Vec<u8>>> {
    root_files(store, spec, plates, &rejected(store, plates)?)
}

fn root_files(
    store: &Path,
    spec: &StoreSpec,
    plates: &[PlateId],
    rejected: &[Rejected],
) -> Result<BTreeMap<String, Vec<u8>>> {
    let n_channels = spec.channels.len();
    let mut sites: Vec<SiteRow> = Vec::new();
    let mut histogram = Cube::new(plates.len(), n_channels, 256);
    let mut comoments = Cube::new(plates.len(), n_channels, n_channels);
    for (i, plate) in plates.iter().enumerate() {
        sites.extend(read_rows::<SiteRow>(store, plate, "sites.csv")?);
        let check = |channel| channel_index(channel, n_channels, plate);
        for row in read_rows::<HistogramRow>(store, plate, "histogram.csv")? {
            *histogram.at(i, row.population, check(row.channel)?, row.level.into()) = row.count;
        }
        for row in read_rows::<ComomentRow>(store, plate, "comoments.csv")? {
            let (a, b) = (check(row.channel_a)?, check(row.channel_b)?);
            *comoments.at(i, row.population, a, b) = row.sum_of_products;
            *comoments.at(i, row.population, b, a) = row.sum_of_products;
        }
    }
    let names: Vec<String> = plates.iter().map(ToString::to_string).collect();
    let attributes = json!({
        "plates": names,
        "populations": Population::ALL.map(Population::name),
        "channels": spec.channels.iter().map(|channel| &channel.name).collect::<Vec<_>>(),
    });
    let statistics = format!("{PIXELS}/statistics");
    let mut files = BTreeMap::new();
    files.insert(METADATA.to_owned(), to_csv(&sites).into_bytes());
    if !rejected.is_empty() {
        files.insert(REJECTED.to_owned(), to_csv(rejected).into_bytes());
    }
    files.insert(format!("{statistics}/{ZARR_JSON}"), group_document(&attributes));
    for (name, cube, last) in [("histogram", histogram, "level"), ("comoments", comoments, "other channel")] {
        let names = ["plate", "population", "channel", last];
        let path = format!("{statistics}/{name}");
        files.insert(format!("{path}/{ZARR_JSON}"), cube.document(&names, &attributes));
        files.insert(format!("{path}/c/0/0/0/0"), cube.chunk()?);
    }
    Ok(files)
}

/// The content of `SHA256SUMS`.
fn sums(store: &Path, plates: &[PlateId], root_files: &BTreeMap<String, Vec<u8>>) -> Result<String> {
    let entry = |path: String, bytes: &[u8]| Entry { path, sha: Sha::of(bytes), size: None };
    let mut entries: Vec<Entry> = root_files.iter().map(|(path, bytes)| entry(path.clone(), bytes)).collect();
    for plate in plates {
        let files = read_list(store, plate, FILES)?;
        entries.extend(files.into_iter().map(|file| Entry { size: None, ..file }));
        let own = format!("{}/{FILES}", listing_path(plate));
        let bytes = read_file(&store.join(&own))?;
        entries.push(entry(own, &bytes));
    }
    Ok(manifest::format(&entries))
}

/// A small Zarr array `[plate, population, channel, last] u64`, one chunk.
struct Cube {
    shape: [usize; 4],
    values: Vec<u64>,
}

impl Cube {
    fn new(n_plates: usize, n_channels: usize, last: usize) -> Self {
        let shape = [n_plates, Population::ALL.len(), n_channels, last];
        Self { shape, values: vec![0; shape.iter().product()] }
    }

    fn at(&mut self, plate: usize, population: Population, channel: usize, last: usize) -> &mut u64 {
        let [_, populations, channels, width] = self.shape;
        &mut self.values[((plate * populations + population.index()) * channels + channel) * width + last]
    }

    fn document(&self, names: &[&str], attributes: &serde_json::Value) -> Vec<u8> {
        let shape = self.shape.map(|n| n as u64);
        let codecs = json!([
            { "name": "bytes", "configuration": { "endian": "little" } },
            { "name": "zstd", "configuration": { "level": 3, "checksum": false } },
            { "name": "crc32c" },
        ]);
        array_document(&shape, "uint64", &shape, &codecs, names, attributes)
    }

    fn chunk(&self) -> Result<Vec<u8>> {
        let mut bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut chunk = Vec::new();
        super::chunk::Encoder::new(super::spec::Codec::Zstd(3))?.encode(&mut bytes, &mut chunk)?;
        Ok(chunk)
    }
}

//! The files at the store's root: a pure merge of the plates' listings, written once every planned plate has one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::PoisonError;

use crate::csv_table::{from_csv, to_csv};
use crate::error::{Error, Result, unless_damaged};
use crate::files;
use crate::site::{PlateId, Population};
use crate::store::format::checksum::Sha;
use crate::store::format::listing::channel_index;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{
    CLASSES, COMOMENTS, FILES, HISTOGRAM, METADATA, PIXELS, PLATES, REJECTED, SHA256SUMS, SITES, STATISTICS,
    STATISTICS_ARRAYS, STATISTICS_CHUNK, ZARR_JSON, array_document_path, group_path, listing_file,
};
use crate::store::format::rows::{ComomentRow, HistogramRow, Rejected, SiteRow};
use crate::store::format::spec::{Codec, StoreSpec};
use crate::store::format::statistics::{STATISTICS_LEVEL, StatisticsAttributes};
use crate::store::read::listing::{listed_plates, plate_folders, read_list, read_rows};
use crate::store::read::proof::{Depth, are_whole};
use crate::store::read::store::Store;

use super::commit::StoreWriter;
use super::encode::Encoder;
use super::lock::Lock;

/// Whether to merge a store that is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrite {
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
    /// lost is never forgotten: until it is packed or sent again, the files that tell of it stay as they are. A store
    /// that is finished is left alone unless `rewrite` says otherwise.
    ///
    /// # Errors
    /// If a listing is not well formed or a file cannot be written.
    pub fn merge(&self, planned: &[PlateId], rewrite: Rewrite) -> Result<Merge> {
        let _alone = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = Lock::take(&self.root)?;
        self.settle_others(None)?;
        let plates = listed_plates(&self.root)?;
        let known = known_plates(&self.root, &mut Err)?;
        let expected: BTreeSet<&PlateId> = planned.iter().chain(&plates).chain(&known).collect();
        let mut missing = Vec::new();
        for plate in expected {
            let files = unless_damaged(read_list(&self.root, plate, FILES))?;
            if !files.map_or(Ok(false), |files| are_whole(&self.root, &files, Depth::Size))? {
                missing.push(plate.clone());
            }
        }
        if !missing.is_empty() {
            return Ok(Merge::Waiting(missing));
        }
        if rewrite == Rewrite::IfNeeded && is_whole(&self.root)? {
            return Ok(Merge::Finished);
        }
        for plate in &plates {
            self.check_belongs(plate)?;
            self.write_headers(plate)?;
        }
        let rejected = rejected(&self.root, &plates)?;
        let mut root_files = root_files(&self.root, &self.spec, &plates, &rejected)?;
        for (path, bytes) in &root_files {
            self.write_root_file(path, bytes)?;
        }
        let stale = self.root.join(REJECTED);
        if rejected.is_empty() {
            files::remove_file(&stale)?;
        }
        for path in headers(&plates) {
            let full = self.root.join(&path);
            if let Some(bytes) = files::read_if_there(&full)? {
                root_files.insert(path, bytes);
            }
        }
        let sums = sums(&self.root, &plates, &root_files)?;
        self.write_root_file(SHA256SUMS, sums.as_bytes())?;
        // Finished is what readers can open.
        if let Err(error) = Store::open(&self.root) {
            files::remove_file(&self.root.join(SHA256SUMS))?;
            return Err(error);
        }
        Ok(Merge::Finished)
    }

    /// Refuses a plate that was put here from another store, of other images: readers could open none.
    fn check_belongs(&self, plate: &PlateId) -> Result<()> {
        let n_sites = read_rows::<SiteRow>(&self.root, plate, SITES)?.len();
        let path = self.root.join(array_document_path(plate));
        if n_sites > 0 && files::read(&path)? != self.spec.plate_document(n_sites) {
            let expected = format!("the document of a plate of this store with {n_sites} sites");
            return Err(Error::malformed(path.display(), expected, "another"));
        }
        Ok(())
    }
}

/// The plates that a store has or had: those that its root's files name, and those that have a folder. A file that is
/// damaged could name a plate that never was, so it counts only if it proves itself. `unreadable` decides what to do
/// about one that the system cannot read.
///
/// # Errors
/// If a folder cannot be read, or `unreadable` says so.
pub fn known_plates(store: &Path, unreadable: &mut dyn FnMut(Error) -> Result<()>) -> Result<BTreeSet<PlateId>> {
    let mut known = BTreeSet::new();
    let parse = |path: &str| {
        let (experiment, plate) = path.split_once('/')?;
        let id = format!("{experiment}/{}", plate.split('/').next()?);
        id.parse().ok().filter(|plate: &PlateId| plate.to_string() == id)
    };
    let metadata = files::read_text(&store.join(METADATA)).and_then(|text| from_csv::<SiteRow>(&text, METADATA));
    if let Some(rows) = unless_damaged(metadata).or_else(|error| unreadable(error).map(|()| None))? {
        known.extend(rows.into_iter().map(|row| row.id.well.plate));
    }
    let sums = files::read_text(&store.join(SHA256SUMS)).and_then(|text| manifest::parse(&text, SHA256SUMS));
    let prefix = format!("{PLATES}/");
    if let Some(entries) = unless_damaged(sums).or_else(|error| unreadable(error).map(|()| None))? {
        known.extend(entries.iter().filter_map(|entry| parse(entry.path.strip_prefix(&prefix)?)));
    }
    if known.is_empty() {
        let attributes = unless_damaged(files::read(&store.join(PIXELS).join(STATISTICS).join(ZARR_JSON)));
        let attributes = attributes.or_else(|error| unreadable(error).map(|()| None))?.unwrap_or_default();
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
fn is_whole(store: &Path) -> Result<bool> {
    let sums = files::read_text(&store.join(SHA256SUMS)).and_then(|text| manifest::parse(&text, SHA256SUMS));
    unless_damaged(sums)?.map_or(Ok(false), |files| are_whole(store, &files, Depth::Size))
}

/// The documents that are written with the first plate.
fn headers(plates: &[PlateId]) -> BTreeSet<String> {
    let groups = plates.iter().map(group_path);
    groups.chain([CLASSES.to_owned(), format!("{PIXELS}/{ZARR_JSON}")]).collect()
}

fn rejected(store: &Path, plates: &[PlateId]) -> Result<Vec<Rejected>> {
    let mut rows = Vec::new();
    for plate in plates {
        rows.extend(read_rows::<Rejected>(store, plate, REJECTED)?);
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
    let mut histogram = CountArray::new(plates.len(), n_channels, 256);
    let mut comoments = CountArray::new(plates.len(), n_channels, n_channels);
    for (i, plate) in plates.iter().enumerate() {
        sites.extend(read_rows::<SiteRow>(store, plate, SITES)?);
        let check = |channel| channel_index(channel, n_channels, plate);
        for row in read_rows::<HistogramRow>(store, plate, HISTOGRAM)? {
            *histogram.at(i, row.population, check(row.channel)?, row.level.into()) = row.count;
        }
        for row in read_rows::<ComomentRow>(store, plate, COMOMENTS)? {
            let (a, b) = (check(row.channel_a)?, check(row.channel_b)?);
            *comoments.at(i, row.population, a, b) = row.sum_of_products;
            *comoments.at(i, row.population, b, a) = row.sum_of_products;
        }
    }
    let attributes = StatisticsAttributes::new(plates, &spec.channels);
    let statistics = format!("{PIXELS}/{STATISTICS}");
    let mut files = BTreeMap::new();
    files.insert(METADATA.to_owned(), to_csv(&sites).into_bytes());
    if !rejected.is_empty() {
        files.insert(REJECTED.to_owned(), to_csv(rejected).into_bytes());
    }
    files.insert(format!("{statistics}/{ZARR_JSON}"), attributes.group_document());
    let arrays = [(histogram, "level"), (comoments, "other channel")];
    for (name, (array, last)) in STATISTICS_ARRAYS.into_iter().zip(arrays) {
        let path = format!("{statistics}/{name}");
        files.insert(format!("{path}/{ZARR_JSON}"), attributes.array_document(array.shape.map(|n| n as u64), last));
        files.insert(format!("{path}/{STATISTICS_CHUNK}"), array.chunk()?);
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
        let own = listing_file(plate, FILES);
        let bytes = files::read(&store.join(&own))?;
        entries.push(entry(own, &bytes));
    }
    Ok(manifest::format(&entries))
}

/// A small Zarr array `[plate, population, channel, last] u64`, one chunk.
struct CountArray {
    shape: [usize; 4],
    values: Vec<u64>,
}

impl CountArray {
    fn new(n_plates: usize, n_channels: usize, last: usize) -> Self {
        let shape = [n_plates, Population::ALL.len(), n_channels, last];
        Self { shape, values: vec![0; shape.iter().product()] }
    }

    fn at(&mut self, plate: usize, population: Population, channel: usize, last: usize) -> &mut u64 {
        let [_, populations, channels, width] = self.shape;
        &mut self.values[((plate * populations + population.index()) * channels + channel) * width + last]
    }

    fn chunk(&self) -> Result<Vec<u8>> {
        let mut bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut chunk = Vec::new();
        Encoder::new(Codec::Zstd(STATISTICS_LEVEL))?.encode(&mut bytes, &mut chunk)?;
        Ok(chunk)
    }
}

//! The files at the store's root: a pure merge of the plates' listings, written once every planned plate has one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::sync::PoisonError;

use crate::error::{Error, Result, unless_damaged};
use crate::files;
use crate::site::{Experiment, PlateId, parse_number};
use crate::store::format::checksum::HashingWriter;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{
    CHUNKS, CLASSES, FILES, PIXELS, PLATES, REJECTED, SHA256SUMS, SITES, STATISTICS, ZARR_JSON, group_path,
    listing_file, listing_path, statistics_chunk_path, statistics_path,
};
use crate::store::format::statistics::Counts;
use crate::store::read::belongs::{check_plate, refuse_foreign};
use crate::store::read::listing::{each_site, listed_plates, plate_folders_or, read_list, read_sums};
use crate::store::read::proof::{Depth, are_whole};
use crate::store::read::store::Store;

use super::commit::{StoreWriter, make_way};
use super::leftovers::ROOT_FILE;
use super::lock::Lock;
use super::merged::{Merged, MergedFile};
use super::swap::mark_unfinished;

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
    /// that is finished is left alone unless `rewrite` says otherwise. Finished is what could be opened: every plate is
    /// proven to be one of this store before anything is written, and all tables are read again before `SHA256SUMS` is.
    ///
    /// # Errors
    /// If a listing is not well formed or of another store, a file cannot be written, or the store could not be opened.
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
        if rewrite == Rewrite::IfNeeded && self.is_finished(&plates)? {
            return Ok(Merge::Finished);
        }
        // What its own list does not prove is not merged.
        for plate in &plates {
            let prefix = format!("{}/", listing_path(plate));
            let list = read_list(&self.root, plate, FILES)?;
            let own: Vec<&Entry> = list.iter().filter(|file| file.path.starts_with(&prefix)).collect();
            if !are_whole(&self.root, own, Depth::Content)? {
                missing.push(plate.clone());
            }
        }
        if !missing.is_empty() {
            return Ok(Merge::Waiting(missing));
        }
        let mut experiments: BTreeSet<Experiment> = BTreeSet::new();
        for plate in &plates {
            let Some(experiment) = check_plate(&self.root, &self.spec, &self.classes, plate)? else { continue };
            if let Some(known) = experiments.replace(experiment.clone())
                && known.cell_type() != experiment.cell_type()
            {
                let expected = format!("cell type {:?} of {known}, as plates before say", known.cell_type());
                return Err(Error::malformed(listing_file(plate, SITES), expected, experiment.cell_type()));
            }
        }
        let merged = Merged::new(&self.root, &self.spec, &plates)?;
        // A list is never there beside files that it does not mean.
        if !self.mend_root()? {
            mark_unfinished(&self.root)?;
        }
        for plate in &plates {
            self.write_headers(plate)?;
        }
        let mut entries = Vec::new();
        for file in merged.tables().into_iter().chain(merged.statistics()) {
            entries.push(self.write_merged(&merged, file)?);
        }
        self.remove_stale(&merged)?;
        for path in headers(&plates) {
            if let Some(bytes) = files::read_if_there(&self.root.join(&path))? {
                entries.push(Entry { size: None, ..Entry::of(path, &bytes) });
            }
        }
        let sums = sums(&self.root, &plates, entries)?;
        if sums.len() as u64 > files::LARGEST_TEXT {
            let expected = format!("a list of at most {} bytes (with more --sites-per-shard)", files::LARGEST_TEXT);
            return Err(Error::refused(SHA256SUMS, expected, sums.len()));
        }
        // Finished is what readers can open.
        Store::read(&self.root)?;
        self.write_root_file(SHA256SUMS, sums.as_bytes())?;
        Ok(Merge::Finished)
    }

    /// Refuses a store with a plate of another one in it: it could never be finished. Asked before anything is changed;
    /// of the plates that are about to be packed anew, `to_pack`, and of those that the list of a finished store names,
    /// which were asked then, it is not.
    ///
    /// # Errors
    /// If there is one, or the system cannot tell.
    pub fn refuse_foreign(&self, to_pack: &BTreeSet<&PlateId>) -> Result<()> {
        let sums = read_sums(&self.root);
        let named: HashMap<String, Entry> =
            unless_damaged(sums)?.unwrap_or_default().into_iter().map(|file| (file.path.clone(), file)).collect();
        for plate in listed_plates(&self.root)?.iter().filter(|plate| !to_pack.contains(plate)) {
            let own = named.get(&listing_file(plate, FILES));
            if !own.map_or(Ok(false), |own| own.is_whole(&self.root, Depth::Content))? {
                refuse_foreign(&self.root, &self.spec, &self.classes, plate)?;
            }
        }
        Ok(())
    }

    /// Whether the store is finished: no file of it is gone, none of its plates was added since, and it can be opened.
    /// Whether each file is unharmed is for `verify` to say.
    fn is_finished(&self, plates: &[PlateId]) -> Result<bool> {
        let sums = read_sums(&self.root);
        let Some(files) = unless_damaged(sums)? else { return Ok(false) };
        let names: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        Ok(plates.iter().all(|plate| names.contains(listing_file(plate, FILES).as_str()))
            && are_whole(&self.root, &files, Depth::Size)?
            && unless_damaged(Store::open(&self.root))?.is_some())
    }

    /// Writes a merged file by way of the temporary folder, unless it is there with that very content.
    fn write_merged(&self, merged: &Merged<'_>, file: MergedFile) -> Result<Entry> {
        let (path, built) = (file.path(), self.session.temporary().join(ROOT_FILE));
        files::remove_file(&built)?;
        let fail = |e| Error::io(&built, "write")(e);
        let mut written = HashingWriter::new(files::create_new(&built).map_err(Error::io(&built, "create"))?);
        merged.content(file, &mut |bytes| written.write_all(bytes).map_err(fail))?;
        let (written, sha, size) = written.finish();
        let entry = Entry { path, sha, size: Some(size) };
        // What cannot be read is another content, to be replaced.
        if entry.is_whole(&self.root, Depth::Content)? {
            files::remove_file(&built)?;
        } else {
            written.sync_all().map_err(Error::io(&built, "sync"))?;
            make_way(&self.root.join(&entry.path))?;
            // From here on the list of a store that was finished is not right any more.
            mark_unfinished(&self.root)?;
            self.install(&built, &self.root.join(&entry.path))?;
        }
        Ok(Entry { size: None, ..entry })
    }

    /// Removes what an earlier merge wrote and this one did not: a list of rejections where there are none any more, and
    /// chunks of statistics past those of the plates.
    fn remove_stale(&self, merged: &Merged<'_>) -> Result<()> {
        if !merged.tables().contains(&MergedFile::Rejected) {
            files::remove_file(&self.root.join(REJECTED))?;
        }
        for counts in Counts::ALL {
            let chunks = self.root.join(statistics_path(counts.name())).join(CHUNKS);
            for found in files::list(&chunks)? {
                let number = found.name().and_then(parse_number::<usize>);
                let Some(number) = number.filter(|&number| number >= merged.n_plates()) else { continue };
                let chunk = self.root.join(statistics_chunk_path(counts.name(), number));
                files::remove_file(&chunk)?;
                // Its folders go with it, unless somebody else put something there.
                for folder in chunk.ancestors().skip(1).take_while(|folder| **folder != *chunks) {
                    if files::is_empty_dir(folder)? {
                        files::remove_dir(folder)?;
                    }
                }
            }
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
    let mut with_sites = BTreeSet::new();
    let metadata = each_site(store, &mut |_, row| {
        if !with_sites.contains(&row.id.well.plate) {
            with_sites.insert(row.id.well.plate);
        }
        Ok(())
    });
    if unless_damaged(metadata).or_else(|error| unreadable(error).map(|()| None))?.is_some() {
        known.extend(with_sites);
    }
    let sums = read_sums(store);
    let prefix = format!("{PLATES}/");
    if let Some(entries) = unless_damaged(sums).or_else(|error| unreadable(error).map(|()| None))? {
        known.extend(entries.iter().filter_map(|entry| parse(entry.path.strip_prefix(&prefix)?)));
    }
    if known.is_empty() {
        let attributes = unless_damaged(files::read_document(&store.join(PIXELS).join(STATISTICS).join(ZARR_JSON)));
        let attributes = attributes.or_else(|error| unreadable(error).map(|()| None))?.unwrap_or_default();
        let document: serde_json::Value = serde_json::from_slice(&attributes).unwrap_or_default();
        let names = document["attributes"]["plates"].as_array().cloned().unwrap_or_default();
        known.extend(names.iter().filter_map(|name| parse(name.as_str()?)));
    }
    for root in [PIXELS, PLATES] {
        known.extend(plate_folders_or(&store.join(root), unreadable)?);
    }
    Ok(known)
}

/// The documents that are written with the first plate.
fn headers(plates: &[PlateId]) -> BTreeSet<String> {
    let groups = plates.iter().map(group_path);
    groups.chain([CLASSES.to_owned(), format!("{PIXELS}/{ZARR_JSON}")]).collect()
}

/// The content of `SHA256SUMS`: `entries`, and the files of all plates.
fn sums(store: &Path, plates: &[PlateId], mut entries: Vec<Entry>) -> Result<String> {
    for plate in plates {
        let files = read_list(store, plate, FILES)?;
        entries.extend(files.into_iter().map(|file| Entry { size: None, ..file }));
        let own = listing_file(plate, FILES);
        let bytes = files::read(&store.join(&own))?;
        entries.push(Entry { size: None, ..Entry::of(own, &bytes) });
    }
    Ok(manifest::format(&entries))
}

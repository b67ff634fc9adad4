//! Writing into a store. Everything is built in a temporary folder beside its place, synced, and renamed; a plate's
//! listing is renamed last. Whoever writes holds a lock on the store's folder while it renames.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use crate::classes::Classes;
use crate::error::{Error, Result, read_file, read_text};
use crate::site::PlateId;

use super::checksum::HashingWriter;
use super::listing::{Listing, SOURCES};
use super::manifest::Entry;
use super::spec::{
    ALIGNMENT, ChunkPlace, Codec, PIXELS, PLATES, StoreSpec, ZARR_JSON, array_path, encode_index, group_document,
    listing_path, shard_path,
};

/// The file that finishes a store.
pub const SHA256SUMS: &str = "SHA256SUMS";
/// The list of classes.
pub const CLASSES: &str = "classes.csv";
/// Temporary folders in a store begin like this.
pub const TEMPORARY: &str = ".cellshard-";

/// Writes a file and makes sure that it is on the disk.
pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(Error::io(path, "create"))?;
    file.write_all(bytes).map_err(Error::io(path, "write"))?;
    file.sync_all().map_err(Error::io(path, "sync"))
}

fn create_dirs(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io(path, "create the folder"))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(to, "rename into place"))
}

/// Makes renames in `dir` outlive a power cut.
fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io(dir, "sync"))
}

/// Holds the lock of a store until dropped. File systems that know no locks are written to without: then it is up to
/// the user to run one process at a time.
pub(super) struct Lock(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

impl Lock {
    pub(super) fn take(root: &Path) -> Result<Self> {
        let dir = File::open(root).map_err(Error::io(root, "open"))?;
        match dir.lock() {
            Err(e) if e.kind() != std::io::ErrorKind::Unsupported => Err(Error::io(root, "lock")(e)),
            _ => Ok(Self(dir)),
        }
    }
}

/// A store that is being written by this process.
pub struct StoreWriter {
    pub(super) root: PathBuf,
    pub(super) spec: StoreSpec,
    classes: Classes,
    /// This process's folder for unfinished things, on the store's own file system.
    temporary: PathBuf,
    /// Locked as long as this process lives, so that others know its folder from one left by a killed process.
    _alive: File,
}

impl StoreWriter {
    /// Opens `root` for writing: a new or empty folder, or a store of the same `spec` and `classes`. Takes away what
    /// killed processes left behind; changes nothing else yet.
    ///
    /// # Errors
    /// If the folder holds something else, or a store that was packed with other settings.
    pub fn open(root: &Path, spec: StoreSpec, classes: Classes) -> Result<Self> {
        check_destination(root, &spec, &classes)?;
        create_dirs(root)?;
        let _lock = Lock::take(root)?;
        remove_leftovers(root)?;
        let made = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(root);
        let temporary = made.map_err(Error::io(root, "create a folder in"))?.keep();
        let lock_path = temporary.join("lock");
        let alive = File::create(&lock_path).map_err(Error::io(&lock_path, "create"))?;
        match alive.try_lock() {
            Err(TryLockError::Error(e)) if e.kind() != std::io::ErrorKind::Unsupported => {
                Err(Error::io(&lock_path, "lock")(e))
            }
            _ => Ok(Self {
                root: root.to_owned(),
                spec,
                classes,
                temporary,
                _alive: alive,
            }),
        }
    }

    /// A new empty folder in which to build a plate.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn plate_builder(&self, plate: &PlateId) -> Result<PlateBuilder> {
        let dir = self.temporary.join(plate.to_string());
        let _ = fs::remove_dir_all(&dir);
        create_dirs(&dir)?;
        Ok(PlateBuilder {
            plate: plate.clone(),
            dir,
            spec: self.spec.clone(),
        })
    }

    /// Puts a finished plate into the store, in place of any earlier one; a source that is newer than `started` will
    /// count as changed. From here until [`StoreWriter::merge`] the
    /// store counts as unfinished.
    ///
    /// # Errors
    /// If a file cannot be written or renamed; the store then has the plate without a listing, or not at all.
    pub fn commit(
        &self,
        builder: &PlateBuilder,
        listing: &Listing,
        mut shards: Vec<Entry>,
        started: SystemTime,
    ) -> Result<()> {
        let plate = &builder.plate;
        let built_array = builder.dir.join("array");
        let built_listing = builder.dir.join("listing");
        create_dirs(&built_listing)?;
        if !listing.sites.is_empty() {
            let document = self.spec.plate_document(listing.sites.len());
            write_synced(&built_array.join(ZARR_JSON), &document)?;
            shards.push(Entry::of(format!("{}/{ZARR_JSON}", array_path(plate)), &document));
        }
        listing.write(&built_listing, shards)?;
        let sources = built_listing.join(SOURCES);
        let stamped = File::options()
            .write(true)
            .open(&sources)
            .and_then(|file| file.set_modified(started));
        stamped.map_err(Error::io(&sources, "set the time of"))?;
        sync_dir(&built_listing)?;

        let lock = Lock::take(&self.root)?;
        // Another process may have begun the store with other settings since this one looked.
        check_destination(&self.root, &self.spec, &self.classes)?;
        let sums = self.root.join(SHA256SUMS);
        if sums.exists() {
            fs::remove_file(&sums).map_err(Error::io(&sums, "remove"))?;
        }
        self.write_headers(plate)?;
        let (array, listing) = (self.root.join(array_path(plate)), self.root.join(listing_path(plate)));
        self.retire(&listing, &builder.dir.join("old-listing"))?;
        self.retire(&array, &builder.dir.join("old-array"))?;
        if built_array.exists() {
            self.install(&built_array, &array)?;
        }
        self.install(&built_listing, &listing)?;
        drop(lock);
        // What is left is the folder of things retired.
        fs::remove_dir_all(&builder.dir).map_err(Error::io(&builder.dir, "remove"))
    }

    /// Writes the documents that every store has, where they are not there yet.
    pub(super) fn write_headers(&self, plate: &PlateId) -> Result<()> {
        let experiment = self.root.join(PIXELS).join(plate.experiment.as_str());
        create_dirs(&experiment)?;
        create_dirs(&self.root.join(PLATES).join(plate.experiment.as_str()))?;
        self.write_root_file(CLASSES, self.classes.to_csv().as_bytes())?;
        self.write_root_file(&format!("{PIXELS}/{ZARR_JSON}"), &self.spec.root_document())?;
        let group = format!("{PIXELS}/{}/{ZARR_JSON}", plate.experiment);
        self.write_root_file(&group, &group_document(&json!({})))
    }

    /// Writes a file of the store, by way of the temporary folder, unless it is there with that very content.
    pub(super) fn write_root_file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let target = self.root.join(path);
        if fs::read(&target).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        let built = self.temporary.join("file");
        write_synced(&built, bytes)?;
        self.install(&built, &target)
    }

    fn install(&self, from: &Path, to: &Path) -> Result<()> {
        let parent = to.parent().unwrap_or(&self.root);
        create_dirs(parent)?;
        rename(from, to)?;
        sync_dir(parent)
    }

    fn retire(&self, path: &Path, to: &Path) -> Result<()> {
        if path.exists() {
            rename(path, to)?;
            sync_dir(path.parent().unwrap_or(&self.root))?;
        }
        Ok(())
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        // Errors here have nobody to go to; the next process takes away what is left.
        let _ = fs::remove_dir_all(&self.temporary);
        // Removes the store's folder only if nothing was put into it.
        let _ = fs::remove_dir(&self.root);
    }
}

/// Refuses a destination that holds something else than a store with these settings.
///
/// # Errors
/// If it does; the error names the setting.
pub fn check_destination(root: &Path, spec: &StoreSpec, classes: &Classes) -> Result<()> {
    let document = root.join(PIXELS).join(ZARR_JSON);
    if document.exists() {
        let place = document.display().to_string();
        let found = StoreSpec::parse_root(&read_file(&document)?, &place)?;
        let refuse = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            let what = format!("{}: {what} of the store that is there already", root.display());
            Err(Error::refused(what, expected, found))
        };
        if found.codec != spec.codec {
            return refuse("--codec", &found.codec, &spec.codec);
        }
        if found.sites_per_shard != spec.sites_per_shard {
            return refuse("--sites-per-shard", &found.sites_per_shard, &spec.sites_per_shard);
        }
        if found.channels.len() != spec.channels.len() || found.size != spec.size {
            let shape = |s: &StoreSpec| format!("{} x {} x {}", s.channels.len(), s.size.height, s.size.width);
            return refuse("shape of a site", &shape(&found), &shape(spec));
        }
        if found != *spec {
            return refuse("channels", &"the same names and colours", &"others");
        }
    } else if let Ok(mut entries) = fs::read_dir(root) {
        let foreign = entries.find_map(|entry| {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            let ours = name.starts_with(TEMPORARY) || [PIXELS, PLATES, CLASSES].contains(&name.as_str());
            (!ours).then_some(name)
        });
        if let Some(name) = foreign {
            return Err(Error::refused(
                root.display(),
                "a store, or a new or empty folder",
                format!("{name:?} in it"),
            ));
        }
    }
    let path = root.join(CLASSES);
    if path.exists() {
        let found = Classes::parse(&read_text(&path)?, &path.display().to_string())?;
        if found != *classes {
            let what = format!("{}: classes of the source", root.display());
            let expected = format!("those of the store (--classes {} keeps to them)", path.display());
            return Err(Error::refused(what, expected, "others"));
        }
    }
    Ok(())
}

/// Removes the temporary folders of processes that are no more. The caller holds the store's lock.
fn remove_leftovers(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).map_err(Error::io(root, "list"))? {
        let entry = entry.map_err(Error::io(root, "list"))?;
        if !entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            continue;
        }
        let path = entry.path();
        let abandoned = match File::open(path.join("lock")) {
            Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => true,
        };
        if abandoned {
            fs::remove_dir_all(&path).map_err(Error::io(&path, "remove"))?;
        }
    }
    Ok(())
}

/// A plate under construction, in a temporary folder.
pub struct PlateBuilder {
    plate: PlateId,
    dir: PathBuf,
    spec: StoreSpec,
}

impl PlateBuilder {
    /// Starts shard `shard` of the plate's array. Several can be written at a time.
    ///
    /// # Errors
    /// If its file cannot be made.
    pub fn shard(&self, shard: usize) -> Result<ShardWriter> {
        self.shard_in("array", shard)
    }

    /// Starts a shard in one of the builder's folders.
    fn shard_in(&self, folder: &str, shard: usize) -> Result<ShardWriter> {
        let path = self.dir.join(folder).join(format!("c/{shard}/0/0/0"));
        create_dirs(path.parent().unwrap_or(&self.dir))?;
        let file = File::create_new(&path).map_err(Error::io(&path, "create"))?;
        Ok(ShardWriter {
            path,
            name: shard_path(&self.plate, shard),
            file: HashingWriter::new(file),
            places: Vec::new(),
            spec: self.spec.clone(),
        })
    }

    /// Takes the plate's folder away again.
    pub fn discard(&self) {
        // What cannot be removed now goes with the whole temporary folder.
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Packs the chunks of finished shards anew, leaving out those for which `keep` (a flag a chunk, shard after shard)
    /// is false: rows of the array must be without gaps. Replaces the shards; returns the new ones.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn close_gaps(&self, shards: &[FinishedShard], keep: &[bool]) -> Result<Vec<FinishedShard>> {
        let mut chunk = Vec::new();
        let mut finished = Vec::new();
        let mut open: Option<ShardWriter> = None;
        let mut keep = keep.iter();
        for shard in shards {
            let path = &shard.path;
            let file = File::open(path).map_err(Error::io(path, "open"))?;
            let mut places = shard.places.iter();
            for _ in 0..shard.slots {
                if !keep.next().copied().unwrap_or(false) {
                    continue;
                }
                let place = places
                    .next()
                    .ok_or_else(|| Error::malformed(path.display(), "a chunk for every site that is kept", "fewer"))?;
                chunk.resize(place.length as usize, 0);
                std::os::unix::fs::FileExt::read_exact_at(&file, &mut chunk, place.offset)
                    .map_err(Error::io(path, "read back"))?;
                if open.as_ref().is_some_and(ShardWriter::is_full) {
                    finished.extend(open.take().map(|shard| shard.finish(0)).transpose()?);
                }
                let writer = match &mut open {
                    Some(writer) => writer,
                    None => open.insert(self.shard_in("closed", finished.len())?),
                };
                writer.append(&chunk)?;
            }
        }
        finished.extend(open.map(|shard| shard.finish(0)).transpose()?);
        let (array, closed) = (self.dir.join("array"), self.dir.join("closed"));
        fs::remove_dir_all(&array).map_err(Error::io(&array, "remove"))?;
        if closed.exists() {
            rename(&closed, &array)?;
        }
        Ok(finished)
    }
}

/// A shard that is being written: chunks one after the other, then the index.
pub struct ShardWriter {
    path: PathBuf,
    name: String,
    file: HashingWriter<File>,
    places: Vec<ChunkPlace>,
    spec: StoreSpec,
}

/// A shard that is written and synced.
#[derive(Debug, Clone)]
pub struct FinishedShard {
    /// Its name in the store, checksum and size.
    pub entry: Entry,
    path: PathBuf,
    places: Vec<ChunkPlace>,
    /// Sites it was meant to hold.
    slots: usize,
}

impl ShardWriter {
    /// Appends the next chunk: what [`encode_chunk`](super::chunk::encode) made of a site.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// # Panics
    /// If the shard is full.
    pub fn append(&mut self, chunk: &[u8]) -> Result<()> {
        assert!(!self.is_full(), "a shard holds at most its sites");
        let end = self.file.size();
        let offset = match self.spec.codec {
            Codec::Raw => end.next_multiple_of(ALIGNMENT),
            Codec::Zstd(_) => end,
        };
        let padding = [0; ALIGNMENT as usize];
        self.write(&padding[..(offset - end) as usize])?;
        self.write(chunk)?;
        self.places.push(ChunkPlace {
            offset,
            length: chunk.len() as u64,
        });
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.places.len() == self.spec.sites_per_shard as usize
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.path, "write"))
    }

    /// Writes the index and makes sure that the shard is on the disk. `slots` is how many sites it was meant to hold.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self, slots: usize) -> Result<FinishedShard> {
        let index = encode_index(&self.places, self.spec.sites_per_shard);
        self.write(&index)?;
        let (file, sha, size) = self.file.finish();
        file.sync_all().map_err(Error::io(&self.path, "sync"))?;
        let entry = Entry {
            path: self.name,
            sha,
            size: Some(size),
        };
        Ok(FinishedShard {
            entry,
            path: self.path,
            places: self.places,
            slots,
        })
    }
}

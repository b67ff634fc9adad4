//! Writing into a store. Everything is built in a temporary folder beside its place, synced, and renamed; a plate's
//! listing is renamed last. Whoever writes holds a lock on the store's folder while it renames.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::classes::Classes;
use crate::error::{Error, Result, unless_damaged};
use crate::files::{self, Links};
use crate::site::{PlateId, parse_number};
use crate::store::format::listing::ListingFiles;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{
    CLASSES, CSVS, FILES, PIXELS, SHA256SUMS, SOURCES, ZARR_JSON, array_document_path, array_path, group_path,
    listing_file, listing_path,
};
use crate::store::format::spec::{StoreSpec, experiment_document};

use super::destination::{Growth, check_destination};
use super::lock::Lock;
use super::plate::PlateBuilder;
use super::session::Session;

/// A store that is being written by this process.
pub struct StoreWriter {
    pub(super) root: PathBuf,
    pub(super) spec: StoreSpec,
    pub(super) classes: Classes,
    growth: Growth,
    pub(super) session: Session,
    /// Held with the store's lock, which on some file systems is none: threads of this process never meet there.
    pub(super) one_at_a_time: Mutex<()>,
}

impl StoreWriter {
    /// Opens `root` for writing: a new or empty folder, or a store of the same `spec` and `classes`. Takes away what
    /// killed processes left behind; changes nothing else yet.
    ///
    /// # Errors
    /// If the folder holds something else, or a store that was packed with other settings.
    pub fn open(root: &Path, spec: StoreSpec, classes: Classes, growth: Growth) -> Result<Self> {
        check_destination(root, &spec, &classes, growth)?;
        let session = Session::open(root)?;
        Ok(Self { root: root.to_owned(), spec, classes, growth, session, one_at_a_time: Mutex::new(()) })
    }

    /// A new empty folder in which to build a plate.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn plate_builder(&self, plate: &PlateId) -> Result<PlateBuilder> {
        PlateBuilder::new(plate, self.session.temporary().join(plate.to_string()), self.spec.clone())
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
        listing: &ListingFiles,
        mut shards: Vec<Entry>,
        started: SystemTime,
    ) -> Result<()> {
        let plate = builder.plate();
        builder.check(&shards)?;
        let [built_array, built_listing] = ["array", "listing"].map(|name| builder.dir().join(name));
        files::create_dirs(&built_listing)?;
        if listing.n_sites > 0 {
            let document = self.spec.plate_document(listing.n_sites);
            files::write_synced(&built_array.join(ZARR_JSON), &document)?;
            shards.push(Entry::of(array_document_path(plate), &document));
        }
        write_listing(listing, &built_listing, shards)?;
        let sources = built_listing.join(SOURCES);
        files::set_modified(&sources, started)?;
        files::sync_dir(&built_listing)?;
        if listing.n_sites > 0 {
            files::sync_dir(&built_array)?;
        }

        let alone = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Lock::take(&self.root)?;
        // Another process may have begun the store with other settings since this one looked.
        check_destination(&self.root, &self.spec, &self.classes, self.growth)?;
        let sums = self.root.join(SHA256SUMS);
        let (array, listing) = (self.root.join(array_path(plate)), self.root.join(listing_path(plate)));
        check_ours(&listing, &|name| CSVS.contains(&name) || [FILES, SOURCES].contains(&name))?;
        check_ours(&array, &is_of_array)?;
        if files::remove_file(&sums)? {
            files::sync_dir(&self.root)?;
        }
        self.write_headers(plate)?;
        self.retire(&listing, &builder.dir().join("old-listing"))?;
        self.retire(&array, &builder.dir().join("old-array"))?;
        if files::exists(&built_array)? {
            self.install(&built_array, &array)?;
        }
        self.install(&built_listing, &listing)?;
        drop((lock, alone));
        // What is left is the folder of things retired.
        files::remove_dir_all(builder.dir()).map(drop)
    }

    /// Writes the documents that every store has, where they are not there yet.
    pub(super) fn write_headers(&self, plate: &PlateId) -> Result<()> {
        // First, as it marks the folder as a store.
        self.write_root_file(&format!("{PIXELS}/{ZARR_JSON}"), &self.spec.root_document())?;
        self.write_root_file(CLASSES, self.classes.to_csv().as_bytes())?;
        self.write_root_file(&group_path(plate), &experiment_document())
    }

    /// Writes a file of the store, by way of the temporary folder, unless it is there with that very content.
    pub(super) fn write_root_file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let target = self.root.join(path);
        // What is no file of ours (a pipe, a giant) is another content, to be replaced.
        if unless_damaged(files::read(&target))?.is_some_and(|found| found == bytes) {
            return Ok(());
        }
        let built = self.session.temporary().join("file");
        files::write_synced(&built, bytes)?;
        self.install(&built, &target)
    }

    pub(super) fn install(&self, from: &Path, to: &Path) -> Result<()> {
        let parent = to.parent().unwrap_or(&self.root);
        files::create_dirs(parent)?;
        files::rename(from, to)?;
        files::sync_dir(parent)
    }

    fn retire(&self, path: &Path, to: &Path) -> Result<()> {
        if files::exists(path)? {
            files::rename(path, to)?;
            files::sync_dir(path.parent().unwrap_or(&self.root))?;
        }
        Ok(())
    }
}

/// Writes a listing's seven files into `dir`, an empty folder. `array_files` are the files of the plate's array,
/// relative to the store's root.
///
/// # Errors
/// If a file cannot be written.
pub fn write_listing(listing: &ListingFiles, dir: &Path, array_files: Vec<Entry>) -> Result<()> {
    let mut files = array_files;
    for (name, text) in &listing.contents {
        files.push(Entry::of(listing_file(&listing.plate, name), text.as_bytes()));
        files::write_synced(&dir.join(name), text.as_bytes())?;
    }
    files::write_synced(&dir.join(FILES), manifest::format(&files).as_bytes())
}

/// Refuses to replace a folder that holds anything that no store puts there: it is somebody's, not ours.
fn check_ours(dir: &Path, is_ours: &dyn Fn(&str) -> bool) -> Result<()> {
    if !files::exists(dir)? {
        return Ok(());
    }
    for found in files::walk(dir, 1..=usize::MAX, Links::Keep) {
        let found = found?;
        let name = found.path.strip_prefix(dir).unwrap_or(&found.path).to_string_lossy();
        if !found.is_dir() && !is_ours(&name) {
            return Err(Error::refused(dir.display(), "only files of a store", format!("{name:?}")));
        }
    }
    Ok(())
}

/// Whether a file of a plate's array is one that a store puts there: its document, or a shard `c/I/0/0/0`.
fn is_of_array(name: &str) -> bool {
    let shard = name.strip_prefix("c/").and_then(|name| name.strip_suffix("/0/0/0"));
    name == ZARR_JSON || shard.is_some_and(|shard| parse_number::<u32>(shard).is_some())
}

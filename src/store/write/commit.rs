//! Writing into a store. Everything is built in a temporary folder beside its place, synced, and renamed; a plate's
//! listing is renamed last. Whoever writes holds a lock on the store's folder while it renames. What the store holds
//! whole is never replaced by less, but for sites of which the writer is told that they may go.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::classes::Classes;
use crate::error::{Error, Result, unless_damaged};
use crate::files::{self, LARGEST_TEXT, Links};
use crate::site::PlateId;
use crate::store::format::checksum::Sha;
use crate::store::format::listing::ListingFiles;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{
    CLASSES, FILES, PIXELS, SOURCES, ZARR_JSON, array_document_path, array_path, group_path, listing_file, listing_path,
};
use crate::store::format::spec::{StoreSpec, experiment_document};

use super::destination::{Changes, check_destination, own_list};
use super::held::{Lost, lost_by};
use super::leftovers::{ROOT_FILE, is_of_array, is_of_listing, settle};
use super::lock::Lock;
use super::plate::PlateBuilder;
use super::session::Session;
use super::swap::{ARRAY, LISTING, Swap, UNLISTED, mark_unfinished};

/// A store that is being written by this process.
pub struct StoreWriter {
    pub(super) root: PathBuf,
    pub(super) spec: StoreSpec,
    pub(super) classes: Classes,
    changes: Changes,
    pub(super) session: Session,
    /// Held with the store's lock, which on some file systems is none: threads of this process never meet there.
    pub(super) one_at_a_time: Mutex<()>,
}

/// What came of putting a plate into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is there; this is gone.
    Done {
        /// Nothing, but of what may go.
        removed: Lost,
    },
    /// The store's plate stays as it is, since it would lose this.
    Kept(Lost),
}

/// What the store may lose of a plate.
#[derive(Debug, Clone, Copy)]
pub enum MayGo<'a> {
    /// Nothing.
    Nothing,
    /// This, and all of another plate of the same name.
    This {
        /// Sites and labels.
        lost: &'a Lost,
        /// Whether another plate may go.
        others: bool,
    },
    /// Whatever the new plate lacks.
    All,
}

impl MayGo<'_> {
    fn has(self, lost: &Lost) -> bool {
        match self {
            Self::Nothing => lost.is_empty(),
            Self::This { lost: this, others } => (others || lost.others.is_empty()) && lost.of_plate_is_within(this),
            Self::All => true,
        }
    }
}

impl StoreWriter {
    /// Opens `root` for writing: a new or empty folder, or a store of the same `spec` and `classes`. Takes away what
    /// killed processes left behind; changes nothing else yet.
    ///
    /// # Errors
    /// If the folder holds something else, or a store that was packed with other settings.
    pub fn open(root: &Path, spec: StoreSpec, classes: Classes, changes: Changes) -> Result<Self> {
        check_destination(root, &spec, &classes, changes)?;
        let store = root.to_owned();
        let session = Session::open(root, Box::new(move |folder| settle(&store, folder, None, files::exchange)))?;
        Ok(Self { root: root.to_owned(), spec, classes, changes, session, one_at_a_time: Mutex::default() })
    }

    /// Ends the work on the store: takes away what was temporary, as dropping the writer does, but says if it cannot.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn close(mut self) -> Result<()> {
        self.session.close()
    }

    /// A new empty folder in which to build a plate.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn plate_builder(&self, plate: &PlateId) -> Result<PlateBuilder> {
        PlateBuilder::new(plate, self.session.temporary().join(plate.to_string()), self.spec.clone())
    }

    /// Puts a finished plate into the store, in place of any earlier one, unless sites would be lost by that that may not
    /// go. `stamp` becomes the time of the list of its sources. From here until [`StoreWriter::merge`] the store counts as
    /// unfinished.
    ///
    /// # Errors
    /// If a file cannot be written or renamed; the store then has the old plate or the new one, or who opens it next
    /// goes on from here.
    pub fn commit(
        &self,
        builder: &PlateBuilder,
        listing: &ListingFiles,
        shards: Vec<Entry>,
        stamp: SystemTime,
        may_go: MayGo<'_>,
    ) -> Result<Committed> {
        let plate = builder.plate();
        builder.check(&shards)?;
        let _alone = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = Lock::take(&self.root)?;
        self.settle_others(Some(plate))?;
        // Another process may have begun the store with other settings since this one looked.
        check_destination(&self.root, &self.spec, &self.classes, self.changes)?;
        let lost = lost_by(&self.root, &self.spec, listing)?;
        if !may_go.has(&lost) {
            builder.discard();
            return Ok(Committed::Kept(lost));
        }
        check_ours(&self.root.join(listing_path(plate)), &is_of_listing)?;
        check_ours(&self.root.join(array_path(plate)), &is_of_array)?;
        for place in [listing_path(plate), array_path(plate)].map(|path| self.root.join(path)) {
            let folder = place.parent().unwrap_or(&self.root);
            if files::exists(folder)? && !files::is_on_same_device(folder, builder.dir())? {
                let expected = "a folder on the file system of the store (move it back)";
                return Err(Error::refused(folder.display(), expected, "one on another"));
            }
        }
        self.complete(builder, listing, shards, stamp)?;
        self.mend_root()?;
        mark_unfinished(&self.root)?;
        self.write_headers(plate)?;
        // From here on whoever finds the plate puts it in its place.
        files::rename(&builder.dir().join(UNLISTED), &builder.dir().join(LISTING))?;
        files::sync_dir(builder.dir())?;
        Swap { root: &self.root, plate, built: builder.dir(), exchange: files::exchange }.install()?;
        // What is left is the folder of what was replaced.
        files::remove_dir_all(builder.dir())?;
        Ok(Committed::Done { removed: lost })
    }

    /// Writes what is left of a plate to be written, and syncs all of it; its listing has yet to get its name.
    fn complete(
        &self,
        builder: &PlateBuilder,
        listing: &ListingFiles,
        mut shards: Vec<Entry>,
        stamp: SystemTime,
    ) -> Result<()> {
        let [array, unlisted] = [ARRAY, UNLISTED].map(|name| builder.dir().join(name));
        if listing.n_sites > 0 {
            let document = self.spec.plate_document(listing.n_sites);
            files::write_synced(&array.join(ZARR_JSON), &document)?;
            files::sync_dir(&array)?;
            shards.push(Entry::of(array_document_path(builder.plate()), &document));
        }
        files::create_dirs(&unlisted)?;
        write_listing(listing, &unlisted, shards, stamp)?;
        files::sync_dir(&unlisted)?;
        files::sync_up_to(&self.root, builder.dir())
    }

    /// Saves what processes left, of one plate or of all, that were killed since this one began. The caller holds the
    /// store's lock.
    pub(super) fn settle_others(&self, plate: Option<&PlateId>) -> Result<()> {
        self.session.settle_others(&|folder| settle(&self.root, folder, plate, files::exchange))
    }

    /// The files of the root that follow from what this process packs with; first the one that marks a folder as a store.
    fn root_headers(&self) -> [(String, Vec<u8>); 2] {
        let classes = self.classes.to_csv().into_bytes();
        [(format!("{PIXELS}/{ZARR_JSON}"), self.spec.root_document()), (CLASSES.to_owned(), classes)]
    }

    /// Writes files of the root anew that the list of all names as they are written: while the list stands, it proves
    /// them. Whether all of them are in the store then, as they are to be.
    pub(super) fn mend_root(&self) -> Result<bool> {
        let listed = own_list(&self.root)?;
        let mut are_there = true;
        for (path, bytes) in self.root_headers() {
            if listed.get(&path).is_some_and(|listed| listed.sha == Sha::of(&bytes)) {
                self.write_root_file(&path, &bytes)?;
            } else {
                are_there &= unless_damaged(files::read(&self.root.join(path)))?.is_some_and(|found| found == bytes);
            }
        }
        Ok(are_there)
    }

    /// Writes the documents that every store has, where they are not there yet.
    pub(super) fn write_headers(&self, plate: &PlateId) -> Result<()> {
        for (path, bytes) in self.root_headers() {
            self.write_root_file(&path, &bytes)?;
        }
        self.write_root_file(&group_path(plate), &experiment_document())
    }

    /// Writes a file of the store, by way of the temporary folder, unless it is there with that very content.
    pub(super) fn write_root_file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let target = self.root.join(path);
        if bytes.len() as u64 > LARGEST_TEXT {
            let expected = format!("at most {LARGEST_TEXT} bytes, as no reader takes more (make two stores of it)");
            return Err(Error::refused(target.display(), expected, bytes.len()));
        }
        // What is no file of ours (a pipe, a giant) is another content, to be replaced.
        if unless_damaged(files::read(&target))?.is_some_and(|found| found == bytes) {
            return Ok(());
        }
        make_way(&target)?;
        let built = self.session.temporary().join(ROOT_FILE);
        files::write_synced(&built, bytes)?;
        self.install(&built, &target)
    }

    /// Gives a synced file its place in the store.
    pub(super) fn install(&self, built: &Path, target: &Path) -> Result<()> {
        let parent = target.parent().unwrap_or(&self.root);
        files::create_dirs(parent)?;
        files::rename(built, target)?;
        files::sync_up_to(&self.root, parent)
    }
}

/// Takes an empty folder out of the way of a file of the store; one with something in it is somebody's.
pub(super) fn make_way(place: &Path) -> Result<()> {
    if !files::is_dir(place)? || files::is_link(place)? {
        return Ok(());
    }
    if !files::is_empty_dir(place)? {
        let expected = "a file of the store, or nothing";
        return Err(Error::refused(place.display(), expected, "a folder with something in it (move it away)"));
    }
    files::remove_dir(place).map(drop)
}

/// Writes a listing's seven files into `dir`, an empty folder, the list of files last. `array_files` are the files of the
/// plate's array, relative to the store's root; `stamp` becomes the time of the list of sources.
///
/// # Errors
/// If a file cannot be written.
pub fn write_listing(listing: &ListingFiles, dir: &Path, array_files: Vec<Entry>, stamp: SystemTime) -> Result<()> {
    let mut files = array_files;
    for (name, text) in &listing.contents {
        files.push(Entry::of(listing_file(&listing.plate, name), text.as_bytes()));
        files::write_synced(&dir.join(name), text.as_bytes())?;
    }
    files::set_modified(&dir.join(SOURCES), stamp)?;
    files::write_synced(&dir.join(FILES), manifest::format(&files).as_bytes())
}

/// Refuses to replace a folder that holds anything that no store puts there: it is somebody's, not ours.
fn check_ours(dir: &Path, is_ours: &dyn Fn(&str) -> bool) -> Result<()> {
    if !files::exists(dir)? {
        return Ok(());
    }
    for found in files::walk(dir, 1..=usize::MAX, Links::Keep) {
        let found = found?;
        let name = found.path.strip_prefix(dir).unwrap_or(&found.path);
        // A name that is no text is none of ours, whatever it looks like.
        if !name.to_str().is_some_and(|name| found.is_dir() || is_ours(name)) {
            return Err(Error::refused(
                dir.display(),
                "only files of a store",
                format!("{:?}", name.to_string_lossy()),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Dtype, ImageSize};
    use crate::store::format::names::METADATA;
    use crate::store::format::spec::{Codec, Format, channels};

    #[test]
    fn refuses_to_write_what_no_reader_would_read() {
        let dir = tempfile::tempdir().unwrap();
        let size = ImageSize { height: 10, width: 12 };
        let (format, dtype) = (Format::LATEST, Dtype::Uint8);
        let spec = StoreSpec {
            present_only: false,
            format,
            channels: channels(2),
            size,
            dtype,
            codec: Codec::Raw,
            sites_per_shard: 5,
        };
        let writer =
            StoreWriter::open(&dir.path().join("store"), spec, Classes::default(), Changes::default()).unwrap();
        let error = writer.write_root_file(METADATA, &vec![0; LARGEST_TEXT as usize + 1]).unwrap_err();
        assert!(error.to_string().contains("as no reader takes more"), "{error}");
        assert!(!dir.path().join("store").join(METADATA).exists());
    }
}

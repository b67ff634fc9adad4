//! A plate's two folders, array and listing, put in the place of those that are there, so that a kill between any two
//! renames loses neither. The listing that was built is the journal: it gets its name last, when all else is synced, and
//! names every file of the plate with its SHA-256. So whoever finds it later can tell what is whole, and goes on.

use std::path::{Path, PathBuf};

use crate::error::{Result, unless_damaged};
use crate::files;
use crate::site::PlateId;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{FILES, SHA256SUMS, array_path, listing_path};
use crate::store::read::proof::{Depth, are_whole};

/// What is built in a plate's temporary folder, and what was in its place, where the two cannot be exchanged at once.
pub(super) const ARRAY: &str = "array";
pub(super) const LISTING: &str = "listing";
/// A listing that is still being written.
pub(super) const UNLISTED: &str = "unlisted";
pub(super) const OLD_ARRAY: &str = "old-array";
pub(super) const OLD_LISTING: &str = "old-listing";

/// Takes the list of all files away, before anything that it names is changed: without it a store counts as unfinished.
pub(super) fn mark_unfinished(root: &Path) -> Result<()> {
    if files::remove_file(&root.join(SHA256SUMS))? {
        files::sync_dir(root)?;
    }
    Ok(())
}

/// Exchanges two folders; false where the file system cannot. [`files::exchange`], but for tests.
pub(super) type Exchange = fn(&Path, &Path) -> Result<bool>;

/// One plate, and where it is built.
pub(super) struct Swap<'a> {
    pub(super) root: &'a Path,
    pub(super) plate: &'a PlateId,
    /// The temporary folder of the plate.
    pub(super) built: &'a Path,
    pub(super) exchange: Exchange,
}

impl Swap<'_> {
    fn array(&self) -> PathBuf {
        self.root.join(array_path(self.plate))
    }

    fn listing(&self) -> PathBuf {
        self.root.join(listing_path(self.plate))
    }

    /// Puts what was built, which is whole and synced, in its place. What was there lies in the temporary folder then.
    pub(super) fn install(&self) -> Result<()> {
        let [array, listing] = [ARRAY, LISTING].map(|name| self.built.join(name));
        if files::exists(&array)? {
            self.put(&array, &self.array(), OLD_ARRAY)?;
        } else {
            self.retire(&self.array(), OLD_ARRAY)?;
        }
        self.put(&listing, &self.listing(), OLD_LISTING)?;
        self.forget()
    }

    /// Takes the names from the listings that were replaced: from here on nothing brings them back.
    fn forget(&self) -> Result<()> {
        for (n, name) in [LISTING, OLD_LISTING].into_iter().enumerate() {
            let replaced = self.built.join(name);
            if files::exists(&replaced)? {
                files::rename(&replaced, &self.built.join(format!("{UNLISTED}-{}", n + 2)))?;
            }
        }
        files::sync_dir(self.built)
    }

    /// Goes on where a killed process ended: whether nothing in its folder is needed any more. If the store's plate is
    /// not whole, what is whole here takes its place, the new before the old. A folder that the process was still
    /// filling holds nothing that the store lacks.
    pub(super) fn settle(&self) -> Result<bool> {
        let built = |name: &str| self.built.join(name);
        let mut has_list = false;
        for name in [LISTING, OLD_LISTING] {
            has_list |= files::exists(&built(name).join(FILES))?;
        }
        if !has_list || self.is_whole(&self.listing(), &self.array())? {
            return Ok(true);
        }
        for listing in [built(LISTING), self.listing(), built(OLD_LISTING)] {
            for array in [self.array(), built(ARRAY), built(OLD_ARRAY)] {
                if self.is_whole(&listing, &array)? {
                    self.restore(&listing, &array)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether two folders are, byte by byte, the listing and the array of one plate.
    fn is_whole(&self, listing: &Path, array: &Path) -> Result<bool> {
        let path = listing.join(FILES);
        let list = files::read_text(&path).and_then(|text| manifest::parse(&text, &path.display().to_string()));
        let Some(entries) = unless_damaged(list)? else { return Ok(false) };
        let (in_listing, in_array) = (format!("{}/", listing_path(self.plate)), format!("{}/", array_path(self.plate)));
        let below = |prefix: &str| -> Vec<Entry> {
            let moved = |file: &Entry| Some(Entry { path: file.path.strip_prefix(prefix)?.to_owned(), ..file.clone() });
            entries.iter().filter_map(moved).collect()
        };
        let (of_listing, of_array) = (below(&in_listing), below(&in_array));
        Ok(of_listing.len() + of_array.len() == entries.len()
            && are_whole(listing, &of_listing, Depth::Content)?
            && are_whole(array, &of_array, Depth::Content)?
            && (!of_array.is_empty() || !files::exists(array)?))
    }

    fn restore(&self, listing: &Path, array: &Path) -> Result<()> {
        mark_unfinished(self.root)?;
        if !files::exists(array)? {
            self.retire(&self.array(), OLD_ARRAY)?;
        } else if array != self.array() {
            self.put(array, &self.array(), OLD_ARRAY)?;
        }
        if listing != self.listing() {
            self.put(listing, &self.listing(), OLD_LISTING)?;
        }
        // Killed before it was synced, what is in place already may not be.
        for place in [self.array(), self.listing()] {
            files::sync_up_to(self.root, place.parent().unwrap_or(self.root))?;
        }
        Ok(())
    }

    /// Puts a folder in its place.
    fn put(&self, new: &Path, place: &Path, aside: &str) -> Result<()> {
        let parent = place.parent().unwrap_or(self.root);
        files::create_dirs(parent)?;
        if !files::is_taken(place)? {
            files::rename(new, place)?;
        } else if !(self.exchange)(new, place)? {
            self.retire(place, aside)?;
            files::rename(new, place)?;
        }
        files::sync_up_to(self.root, parent)?;
        files::sync_dir(self.built)
    }

    /// Moves what is at a place, if anything is, into the temporary folder.
    fn retire(&self, place: &Path, aside: &str) -> Result<()> {
        if !files::is_taken(place)? {
            return Ok(());
        }
        let mut to = self.built.join(aside);
        let mut n = 1;
        while files::is_taken(&to)? {
            n += 1;
            to = self.built.join(format!("{aside}-{n}"));
        }
        files::rename(place, &to)?;
        files::sync_dir(self.built)?;
        files::sync_dir(place.parent().unwrap_or(self.root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;
    use std::fs;

    use crate::store::format::names::SITES;

    const PLATE: &str = "RPE-02/Plate1";

    /// Writes a plate of two files into `listing` and `array`.
    fn write_plate(listing: &Path, array: &Path, content: &str) {
        let plate: PlateId = PLATE.parse().unwrap();
        let files = [
            (listing, SITES, format!("{}/{SITES}", listing_path(&plate))),
            (array, "c/0/0/0/0", format!("{}/c/0/0/0/0", array_path(&plate))),
        ];
        let mut entries = Vec::new();
        for (dir, name, path) in files {
            let file = dir.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            entries.push(Entry::of(path, content.as_bytes()));
        }
        fs::write(listing.join(FILES), manifest::format(&entries)).unwrap();
    }

    /// Every file below a folder with its content.
    fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files::walk(dir, 1..=9, files::Links::Keep).map(|found| found.unwrap()).filter(|f| !f.is_dir());
        files.map(|file| (file.path.strip_prefix(dir).unwrap().to_owned(), fs::read(&file.path).unwrap())).collect()
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands for one that can fail")]
    fn cannot(_: &Path, _: &Path) -> Result<bool> {
        Ok(false)
    }

    /// Exchanges the first of two pairs, as a file system that gives up half way would.
    fn only_arrays(a: &Path, b: &Path) -> Result<bool> {
        if a.ends_with(ARRAY) { files::exchange(a, b) } else { Ok(false) }
    }

    /// Installs a new plate over an old one and ends at the `n`th change of the folders, as a kill would; whether there
    /// was so many.
    fn interrupt(exchange: Exchange, n: usize, old: Option<&str>, new: &str, root: &Path) -> bool {
        let plate: PlateId = PLATE.parse().unwrap();
        let built = root.join(".cellshard-1").join(PLATE);
        let swap = Swap { root, plate: &plate, built: &built, exchange };
        if let Some(old) = old {
            write_plate(&swap.listing(), &swap.array(), old);
        }
        write_plate(&built.join(LISTING), &built.join(ARRAY), new);
        // The steps of `install`, one by one: what is exchanged is one, what is renamed away and into place are two.
        let mut left = n;
        for (name, place, aside) in [(ARRAY, swap.array(), OLD_ARRAY), (LISTING, swap.listing(), OLD_LISTING)] {
            let from = built.join(name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            if left == 0 {
                return true;
            }
            left -= 1;
            if place.exists() && !exchange(&from, &place).unwrap() {
                fs::rename(&place, built.join(aside)).unwrap();
                if left == 0 {
                    return true;
                }
                left -= 1;
            }
            if !built.join(aside).exists() && old.is_some() {
                continue;
            }
            fs::rename(&from, &place).unwrap();
        }
        false
    }

    #[test]
    fn killed_between_any_two_renames_the_next_process_goes_on_from_there() {
        for exchange in [files::exchange as Exchange, cannot, only_arrays] {
            for old in [None, Some("old"), Some("n3w"), Some("new")] {
                for n in 0.. {
                    let dir = tempfile::tempdir().unwrap();
                    let is_killed = interrupt(exchange, n, old, "new", dir.path());
                    let plate: PlateId = PLATE.parse().unwrap();
                    let built = dir.path().join(".cellshard-1").join(PLATE);
                    let swap = Swap { root: dir.path(), plate: &plate, built: &built, exchange };
                    assert!(swap.settle().unwrap(), "{old:?} {n}");
                    fs::remove_dir_all(dir.path().join(".cellshard-1")).unwrap();
                    let found = contents(dir.path());
                    let expected = tempfile::tempdir().unwrap();
                    // Killed before the first rename, an old plate that is whole stays.
                    let content = if n == 0 { old.unwrap_or("new") } else { "new" };
                    let whole = Swap { root: expected.path(), plate: &plate, built: &built, exchange };
                    write_plate(&whole.listing(), &whole.array(), content);
                    assert_eq!(found, contents(expected.path()), "{old:?} {n}");
                    if !is_killed {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn a_plate_is_replaced_whether_its_folders_can_be_exchanged_or_not() {
        for exchange in [files::exchange as Exchange, cannot, only_arrays] {
            for old in [None, Some("old")] {
                let dir = tempfile::tempdir().unwrap();
                let plate: PlateId = PLATE.parse().unwrap();
                let built = dir.path().join(".cellshard-1").join(PLATE);
                let swap = Swap { root: dir.path(), plate: &plate, built: &built, exchange };
                if let Some(old) = old {
                    write_plate(&swap.listing(), &swap.array(), old);
                }
                write_plate(&built.join(LISTING), &built.join(ARRAY), "new");
                swap.install().unwrap();
                assert_eq!(fs::read_to_string(swap.listing().join(SITES)).unwrap(), "new");
                assert_eq!(fs::read_to_string(swap.array().join("c/0/0/0/0")).unwrap(), "new");
                assert!(swap.settle().unwrap());
            }
        }
    }

    #[test]
    fn an_old_version_that_was_killed_after_it_had_moved_the_old_plate_away_loses_neither() {
        let dir = tempfile::tempdir().unwrap();
        let plate: PlateId = PLATE.parse().unwrap();
        let built = dir.path().join(".cellshard-x").join(PLATE);
        let swap = Swap { root: dir.path(), plate: &plate, built: &built, exchange: files::exchange };
        write_plate(&built.join(OLD_LISTING), &built.join(OLD_ARRAY), "old");
        assert!(swap.settle().unwrap());
        assert_eq!(fs::read_to_string(swap.listing().join(SITES)).unwrap(), "old");
        // And where the new one is whole too, it is the new one.
        let other = tempfile::tempdir().unwrap();
        let built = other.path().join(".cellshard-x").join(PLATE);
        let swap = Swap { root: other.path(), plate: &plate, built: &built, exchange: files::exchange };
        write_plate(&built.join(OLD_LISTING), &built.join(OLD_ARRAY), "old");
        write_plate(&built.join(LISTING), &built.join(ARRAY), "new");
        assert!(swap.settle().unwrap());
        assert_eq!(fs::read_to_string(swap.array().join("c/0/0/0/0")).unwrap(), "new");
    }

    #[test]
    fn what_the_store_lacks_and_is_not_whole_here_either_may_not_go() {
        let dir = tempfile::tempdir().unwrap();
        let plate: PlateId = PLATE.parse().unwrap();
        let built = dir.path().join(".cellshard-1").join(PLATE);
        let swap = Swap { root: dir.path(), plate: &plate, built: &built, exchange: files::exchange };
        write_plate(&built.join(LISTING), &built.join(ARRAY), "new");
        fs::write(built.join("array/c/0/0/0/0"), "n_w").unwrap();
        assert!(!swap.settle().unwrap());
        assert!(built.join(LISTING).exists() && !swap.listing().exists());
        // A plate that was still being built is nothing that is lacked.
        fs::remove_file(built.join(LISTING).join(FILES)).unwrap();
        assert!(swap.settle().unwrap());
    }
}

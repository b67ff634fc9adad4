//! Where a store is to lie: apart from its source, and with room for it; and that it is not too large to be read.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::site::PlateId;
use crate::store::StoreSpec;

/// The most bytes of a line of a store's list of all files.
const LINE_OF_FILE: usize = 235;
/// The most bytes of a row of a plate's `pixel_stats.csv`, of which each image has one, and of a line of its list of
/// sources beside the plate's folder.
const ROW_OF_IMAGE: usize = 230;
const LINE_OF_IMAGE: usize = 120;
/// Files of a plate beside its shards: its listing, the documents of array and group, and its statistics.
const FILES_BESIDE_SHARDS: usize = 11;

/// Refuses plates that the store's format has no name for, and such as could be written and not be read again: a store's list of all files, and the lists and tables of
/// a plate, are read into memory. `plates` gives of each its sites, and the folder in a tree that it is packed from.
pub(super) fn check_counts<'a>(
    spec: &StoreSpec,
    plates: impl Iterator<Item = (&'a PlateId, usize, Option<&'a str>)>,
) -> Result<()> {
    let largest = files::LARGEST_TEXT as usize;
    let mut n_files = 0;
    for (plate, n_sites, folder) in plates {
        spec.check_plate(plate)?;
        let n_images = n_sites * spec.channels.len();
        let line = folder.map_or(0, |folder| ROW_OF_IMAGE.max(LINE_OF_IMAGE + folder.len()));
        if n_images * line > largest {
            let expected = format!("at most {} images on a plate", largest / line);
            return Err(Error::refused(plate, expected, n_images));
        }
        n_files += spec.n_shards(n_sites) + FILES_BESIDE_SHARDS;
    }
    let most = largest / LINE_OF_FILE;
    if n_files > most {
        return Err(Error::refused("--sites-per-shard", format!("at most {most} files in a store"), n_files));
    }
    Ok(())
}

/// Where a path really leads, links followed; what is not there yet will lie in the last folder of it that is.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let mut rest = Vec::new();
    for folder in path.ancestors() {
        let folder_or_here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match files::resolve(folder_or_here)? {
            Some(real) => return Ok(rest.iter().rev().fold(real, |path: PathBuf, name| path.join(name))),
            None => rest.extend(folder.components().next_back()),
        }
    }
    Ok(path.to_owned())
}

pub(super) fn check_free_space(dst: &Path, needed: u64) -> Result<()> {
    let mut path = Path::new(".");
    for folder in dst.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
        if files::exists(folder)? {
            path = folder;
            break;
        }
    }
    let stat = rustix::fs::statvfs(path).map_err(|e| Error::io(path, "ask for free space of")(e.into()))?;
    let free = stat.f_bavail * stat.f_frsize;
    if free < needed {
        let (needed, free) = told_apart(needed, free);
        return Err(Error::refused(dst.display(), format!("{needed} of free space"), free));
    }
    Ok(())
}

/// Two numbers of bytes that differ, in MB where that tells them apart.
fn told_apart(a: u64, b: u64) -> (String, String) {
    let mega = |bytes: u64| format!("{} MB", bytes.div_ceil(1_000_000));
    if mega(a) == mega(b) { (format!("{a} bytes"), format!("{b} bytes")) } else { (mega(a), mega(b)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Dtype, ImageSize};
    use crate::store::format::spec::channels;
    use crate::store::{Codec, Format};

    #[test]
    fn what_could_be_written_and_not_be_read_again_is_refused() {
        let plate: PlateId = "HUVEC-01/Plate1".parse().unwrap();
        let size = ImageSize { height: 8, width: 8 };
        let spec = |sites_per_shard| StoreSpec {
            present_only: false,
            format: Format::V1,
            channels: channels(2),
            size,
            dtype: Dtype::Uint8,
            codec: Codec::Raw,
            sites_per_shard,
        };
        let check = |n_plates, n_sites, per_shard| {
            let plates = vec![(&plate, n_sites, Some("train/HUVEC-01/Plate1")); n_plates];
            check_counts(&spec(per_shard), plates.into_iter()).map_err(|error| error.to_string())
        };
        // Ten million sites in shards of the usual size, and a tenth of them in shards of one.
        check(10_000, 1000, 77).unwrap();
        check(1000, 1000, 1).unwrap();
        let expected = "--sites-per-shard: expected at most 1142278 files in a store, found 2022000";
        assert_eq!(check(2000, 1000, 1).unwrap_err(), expected);
        check(1, 580_000, 77).unwrap();
        let expected = "HUVEC-01/Plate1: expected at most 1167110 images on a plate, found 1600000";
        assert_eq!(check(1, 800_000, 77).unwrap_err(), expected);
    }

    #[test]
    fn two_sizes_that_differ_are_never_told_by_the_same_words() {
        assert_eq!(told_apart(200_000_001, 7_000_000), ("201 MB".to_owned(), "7 MB".to_owned()));
        assert_eq!(told_apart(983_040, 900_000), ("983040 bytes".to_owned(), "900000 bytes".to_owned()));
    }
}

//! What a killed process left in its temporary folder: what of it the store lacks is put in its place, and what is not
//! ours is never removed.

use std::path::Path;

use crate::error::Result;
use crate::files::{self, FoundKind, Links};
use crate::site::{PlateId, parse_number};
use crate::store::format::names::{CSVS, FILES, SOURCES, ZARR_JSON};
use crate::store::read::listing::plate_folders;

use super::plate::CLOSED;
use super::session::ALIVE;
use super::swap::{ARRAY, Exchange, LISTING, OLD_ARRAY, OLD_LISTING, Swap, UNLISTED};

/// The name under which a root's file is written before it is renamed.
pub(super) const ROOT_FILE: &str = "file";

/// Saves what the store at `root` lacks from `folder`, of one plate or of all; whether the rest may be removed.
pub(super) fn settle(root: &Path, folder: &Path, only: Option<&PlateId>, exchange: Exchange) -> Result<bool> {
    if !is_all_ours(folder)? {
        return Ok(false);
    }
    let mut may_go = only.is_none();
    for plate in plate_folders(folder)?.into_iter().filter(|plate| only.is_none_or(|only| only == plate)) {
        let built = folder.join(plate.to_string());
        may_go &= Swap { root, plate: &plate, built: &built, exchange }.settle()?;
    }
    Ok(may_go)
}

/// Whether a temporary folder holds nothing but what a process puts into it.
fn is_all_ours(folder: &Path) -> Result<bool> {
    for found in files::walk(folder, 1..=usize::MAX, Links::Keep) {
        let found = found?;
        let name = found.path.strip_prefix(folder).unwrap_or(&found.path).to_str();
        let is_ours = match found.kind {
            FoundKind::Dir => name.is_some(),
            FoundKind::File => name.is_some_and(is_of_process),
            // A plate's folder that was a link, and was replaced.
            FoundKind::Other => name.is_some_and(is_plate_folder) && files::is_link(&found.path)?,
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a file is one that a process puts into its temporary folder.
fn is_of_process(name: &str) -> bool {
    let in_plate = |name: &str| {
        let end = name.match_indices('/').nth(2)?.0;
        let (folder, file) = (plate_folder(&name[..end])?, &name[end + 1..]);
        Some(match folder {
            Folder::Array => is_of_array(file),
            Folder::Listing => is_of_listing(file),
        })
    };
    [ALIVE, ROOT_FILE].contains(&name) || in_plate(name).unwrap_or(false)
}

fn is_plate_folder(name: &str) -> bool {
    plate_folder(name).is_some()
}

/// What a folder holds that a process makes for a plate.
enum Folder {
    Array,
    Listing,
}

/// `EXPERIMENT/PLATE/array` and the like; `old-array-2` lies there where `old-array` was in the way.
fn plate_folder(name: &str) -> Option<Folder> {
    let (plate, folder) = name.rsplit_once('/')?;
    plate.parse::<PlateId>().ok()?;
    match folder.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-') {
        ARRAY | OLD_ARRAY | CLOSED => Some(Folder::Array),
        LISTING | OLD_LISTING | UNLISTED => Some(Folder::Listing),
        _ => None,
    }
}

/// Whether a file of a plate's listing is one that a store puts there.
pub(super) fn is_of_listing(name: &str) -> bool {
    CSVS.contains(&name) || [FILES, SOURCES].contains(&name)
}

/// Whether a file of a plate's array is one that a store puts there: its document, or a shard `c/I/0/0/0`.
pub(super) fn is_of_array(name: &str) -> bool {
    let shard = name.strip_prefix("c/").and_then(|name| name.strip_suffix("/0/0/0"));
    name == ZARR_JSON || shard.is_some_and(|shard| parse_number::<u32>(shard).is_some())
}

//! Mapping shards into memory. One of the places with `unsafe`: a map is only as safe as the file under it.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::PathBuf;

use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::store::format::index::ChunkPlace;

use super::ahead::read_ahead;

/// A shard in memory, read as pages are touched.
///
/// The file must not shrink while it is mapped: touching a page past its new end kills the process with SIGBUS.
/// Shards are renamed into place whole and never written again, so only an outside hand could do that; where one might,
/// read with [`crate::store::Shard`] instead.
pub struct MappedShard {
    path: PathBuf,
    file: File,
    map: Mmap,
    places: Vec<ChunkPlace>,
}

impl MappedShard {
    pub(super) fn new(file: File, path: PathBuf, places: Vec<ChunkPlace>) -> Result<Self> {
        // SAFETY: the map is read-only and private to this process, and the bytes have no invariants: whatever another
        // process wrote into the file would be seen as other pixels. That it must not shrink is the caller's part, as
        // the type says.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(&path, "map"))?;
        let needed = places.iter().map(|place| place.offset + place.length).max().unwrap_or(0);
        if (map.len() as u64) < needed {
            return Err(Error::malformed(path.display(), format!("{needed} bytes or more"), map.len()));
        }
        Ok(Self { path, file, map, places })
    }

    /// The stored bytes of chunk `slot`. For the codec `raw` that is the site's tensor, `[C, H, W]`.
    ///
    /// # Panics
    /// If the shard has no such chunk.
    #[must_use]
    pub fn chunk(&self, slot: usize) -> &[u8] {
        let ChunkPlace { offset, length } = self.places[slot];
        &self.map[offset as usize..][..length as usize]
    }

    /// Looks whether the file is still as long as the map. It may be cut short right after; see above.
    ///
    /// # Errors
    /// If it is shorter.
    pub fn check_length(&self) -> Result<()> {
        let length = self.file.metadata().map_err(Error::io(&self.path, "look at"))?.len();
        if length < self.map.len() as u64 {
            return Err(Error::malformed(self.path.display(), format!("{} bytes", self.map.len()), length));
        }
        Ok(())
    }

    /// Has the system begin to read chunk `slot`, unless it is in memory; waits for nothing.
    ///
    /// # Panics
    /// If the shard has no such chunk.
    pub fn read_ahead(&self, slot: usize) {
        read_ahead(&self.file, self.places[slot]);
    }

    /// How many chunks there are.
    #[must_use]
    pub fn n_chunks(&self) -> usize {
        self.places.len()
    }
}

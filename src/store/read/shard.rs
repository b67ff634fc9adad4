//! One shard, read chunk by chunk. A file that shrinks meanwhile ends in an error.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{Error, Result};
use crate::files;
use crate::site::PlateId;
use crate::store::format::index::{ChunkPlace, decode_index, index_bytes};
use crate::store::format::names::shard_path;
use crate::store::format::spec::{Codec, StoreSpec};

use super::ahead::{is_in_memory, read_ahead};
use super::decode::Decoder;
use super::map::MappedShard;

/// One shard, read chunk by chunk: a file that shrinks meanwhile ends in an error.
#[derive(Debug)]
pub struct Shard {
    pub(super) path: PathBuf,
    file: File,
    spec: StoreSpec,
    places: Vec<ChunkPlace>,
}

impl Shard {
    /// Opens shard `shard` of a plate of `n_sites` sites in the store at `root`, and checks its index.
    ///
    /// # Errors
    /// If there is no such file, or its index is damaged or lies.
    pub fn open(root: &Path, spec: &StoreSpec, plate: &PlateId, shard: usize, n_sites: usize) -> Result<Self> {
        let path = root.join(shard_path(plate, shard));
        let file = open_shard(&path, OFlags::empty())?;
        let size = file.metadata().map_err(Error::io(&path, "look at"))?.len();
        let index = index_bytes(spec.sites_per_shard);
        let Some(data_bytes) = size.checked_sub(index as u64) else {
            let expected = format!("an index of {index} bytes at its end");
            return Err(Error::malformed(path.display(), expected, format!("a file of {size} bytes")));
        };
        let mut bytes = vec![0; index];
        file.read_exact_at(&mut bytes, data_bytes).map_err(Error::io(&path, "read the index of"))?;
        let per_shard = spec.sites_per_shard as usize;
        let n_chunks = n_sites.saturating_sub(shard * per_shard).min(per_shard);
        let places = decode_index(&bytes, spec, n_chunks, data_bytes, &path.display().to_string())?;
        Ok(Self { path, file, spec: spec.clone(), places })
    }

    /// Reads chunk `slot` into `pixels`, `[C, H, W]`. `scratch` holds the stored bytes where they are not the
    /// pixels; it and `decoder` may be kept from one call to the next.
    ///
    /// # Errors
    /// If the file cannot be read that far, or the chunk is damaged. The site's own crc32c is the caller's to compare.
    ///
    /// # Panics
    /// If the shard has no chunk `slot`, or `pixels` is not of the size of a site.
    pub fn read(&self, slot: usize, decoder: &mut Decoder, scratch: &mut Vec<u8>, pixels: &mut [u8]) -> Result<()> {
        assert_eq!(pixels.len(), self.spec.site_bytes(), "[C, H, W] bytes");
        let ChunkPlace { offset, .. } = self.places[slot];
        // The index was refused unless a raw chunk is as long as a site, so nothing is left to decode.
        if self.spec.codec == Codec::Raw {
            return self.read_at(pixels, offset);
        }
        self.read_stored(slot, scratch)?;
        decoder.decode(&self.spec, scratch, pixels, &|| format!("{}: chunk {slot}", self.path.display()))
    }

    /// Reads the stored bytes of chunk `slot` into `chunk`, which is made as long as they are.
    ///
    /// # Errors
    /// If the file cannot be read that far.
    ///
    /// # Panics
    /// If the shard has no chunk `slot`.
    pub fn read_stored(&self, slot: usize, chunk: &mut Vec<u8>) -> Result<()> {
        let ChunkPlace { offset, length } = self.places[slot];
        chunk.resize(length as usize, 0);
        self.read_at(chunk, offset)
    }

    /// A file that ends too early is a fault of the data, as it is when it is mapped.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => {
                let found = self.file.metadata().map_or(0, |file| file.len());
                let expected = format!("{} bytes or more", offset + bytes.len() as u64);
                Error::malformed(self.path.display(), expected, format!("{found} bytes"))
            }
            _ => Error::io(&self.path, "read a chunk of")(e),
        })
    }

    /// Whether chunk `slot` is in memory, as far as the system says.
    ///
    /// # Panics
    /// If the shard has no such chunk.
    #[must_use]
    pub fn is_in_memory(&self, slot: usize) -> bool {
        is_in_memory(&self.file, self.places[slot])
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

    /// Stored bytes of chunk `slot`.
    ///
    /// # Panics
    /// If the shard has no chunk `slot`.
    #[must_use]
    pub fn chunk_bytes(&self, slot: usize) -> u64 {
        self.places[slot].length
    }

    /// Maps the shard into memory; see there for what must hold.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn map(self) -> Result<MappedShard> {
        MappedShard::new(self.file, self.path, self.places)
    }
}

/// Opens the file of a shard, with further flags of `open(2)`. One that is not there is a fault of the data, where one
/// that cannot be read is the machine's.
///
/// # Errors
/// If there is no such file, it is none, or it cannot be opened.
pub(crate) fn open_shard(path: &Path, flags: OFlags) -> Result<File> {
    match files::look_at(path)? {
        Some(found) if !found.is_file() => Err(Error::malformed(path.display(), "a shard", "no regular file")),
        _ => files::open_if_there(path, flags)?.ok_or_else(|| Error::malformed(path.display(), "a shard", "no file")),
    }
}

//! Building a plate: shards written chunk by chunk into a temporary folder, hashed on the way.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::files;
use crate::site::PlateId;
use crate::store::format::checksum::HashingWriter;
use crate::store::format::index::{ChunkPlace, encode_index};
use crate::store::format::manifest::Entry;
use crate::store::format::names::{array_path, shard_path};
use crate::store::format::spec::{ALIGNMENT, Codec, StoreSpec};

use super::swap::ARRAY;

/// Where shards lie while gaps are closed.
pub(super) const CLOSED: &str = "closed";

/// A plate under construction, in a temporary folder.
pub struct PlateBuilder {
    plate: PlateId,
    dir: PathBuf,
    spec: StoreSpec,
}

impl PlateBuilder {
    /// Starts with an empty folder `dir`.
    pub(super) fn new(plate: &PlateId, dir: PathBuf, spec: StoreSpec) -> Result<Self> {
        files::remove_dir_all(&dir)?;
        files::create_dirs(&dir)?;
        Ok(Self { plate: plate.clone(), dir, spec })
    }

    /// The plate.
    pub(super) fn plate(&self) -> &PlateId {
        &self.plate
    }

    /// Where it is built: `array/`, and `listing/` in the end.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes sure that every shard is still there as it was written: nobody took the folder away meanwhile.
    pub(super) fn check(&self, shards: &[Entry]) -> Result<()> {
        let prefix = format!("{}/", array_path(&self.plate));
        for Entry { path, size, .. } in shards {
            let built = self.dir.join(ARRAY).join(path.strip_prefix(&prefix).unwrap_or(path));
            let found = files::look_at(&built)?.ok_or_else(|| Error::io(&built, "find again")(Errno::NOENT.into()))?;
            if Some(found.len()) != *size {
                let expected = format!("{} bytes, as written", size.unwrap_or(0));
                return Err(Error::malformed(built.display(), expected, found.len()));
            }
        }
        Ok(())
    }

    /// Starts shard `shard` of the plate's array. Several can be written at a time.
    ///
    /// # Errors
    /// If its file cannot be made.
    pub fn shard(&self, shard: usize) -> Result<ShardWriter> {
        self.shard_in(ARRAY, shard)
    }

    /// Starts a shard in one of the builder's folders.
    fn shard_in(&self, folder: &str, shard: usize) -> Result<ShardWriter> {
        let path = self.dir.join(folder).join(format!("c/{shard}/0/0/0"));
        files::create_dirs(path.parent().unwrap_or(&self.dir))?;
        let file = files::create_new(&path).map_err(Error::io(&path, "create"))?;
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
        let _ = files::remove_dir_all(&self.dir);
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
            let file = files::open(path)?;
            let mut places = shard.places.iter();
            for _ in 0..shard.slots {
                if !keep.next().copied().unwrap_or(false) {
                    continue;
                }
                let place = places
                    .next()
                    .ok_or_else(|| Error::malformed(path.display(), "a chunk for every site that is kept", "fewer"))?;
                chunk.resize(place.length as usize, 0);
                file.read_exact_at(&mut chunk, place.offset).map_err(Error::io(path, "read back"))?;
                if open.as_ref().is_some_and(ShardWriter::is_full) {
                    finished.extend(open.take().map(|shard| shard.finish(0)).transpose()?);
                }
                let writer = match &mut open {
                    Some(writer) => writer,
                    None => open.insert(self.shard_in(CLOSED, finished.len())?),
                };
                writer.append(&chunk)?;
            }
        }
        finished.extend(open.map(|shard| shard.finish(0)).transpose()?);
        let (array, closed) = (self.dir.join(ARRAY), self.dir.join(CLOSED));
        files::remove_dir_all(&array)?;
        if files::exists(&closed)? {
            files::rename(&closed, &array)?;
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
    /// Appends the next chunk: what an [`Encoder`](super::encode::Encoder) made of a site.
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
            Codec::Zstd(_) | Codec::Wave(_) => end,
        };
        let padding = [0; ALIGNMENT as usize];
        self.write(&padding[..(offset - end) as usize])?;
        self.write(chunk)?;
        self.places.push(ChunkPlace { offset, length: chunk.len() as u64 });
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
        files::sync_dir(self.path.parent().unwrap_or(&self.path))?;
        let entry = Entry { path: self.name, sha, size: Some(size) };
        Ok(FinishedShard { entry, path: self.path, places: self.places, slots })
    }
}

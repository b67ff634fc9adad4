//! The door to zarrs: what the files of an array are called, where the chunks of a shard lie, and what a chunk holds. All
//! bytes are handed over; zarrs opens no file.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde_json::Value;
use zarrs::array::codec::api::{ArrayToBytesCodecTraits, CodecError, CodecOptions};
use zarrs::array::{
    Array, ArrayError, ArrayMetadata, ArrayShardedReadableExt, ArrayShardedReadableExtCache, ChunkShape,
};
use zarrs::storage::byte_range::ByteRange;
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{StoreKey, WritableStorageTraits};

use crate::fault::FaultKind;
use crate::source::image::ImageFault;

use super::bounds;
use super::document::ArrayDocument;
use super::site::Version;

/// What the index of a shard has of a chunk that is not there.
const ABSENT: ByteRange = ByteRange::FromStart(u64::MAX, Some(u64::MAX));

/// An array as zarrs knows it.
pub(super) struct OpenArray {
    /// Of its chunks, each as if it was a file.
    chunks: Array<MemoryStore>,
    /// Of its shards, where it has any.
    shards: Option<Array<MemoryStore>>,
    chunk_shape: ChunkShape,
}

impl OpenArray {
    /// Opens an array whose document was read.
    ///
    /// # Errors
    /// A fault if zarrs cannot read such arrays.
    pub(super) fn new(document: &ArrayDocument) -> Result<Self, ImageFault> {
        let open = |metadata: &Value| {
            let refused = |e: &dyn std::fmt::Display| ImageFault::undecodable("an array that zarrs reads", e);
            let metadata = match document.version {
                Version::V2 => serde_json::from_value(metadata.clone()).map(ArrayMetadata::V2),
                Version::V3 => serde_json::from_value(metadata.clone()).map(ArrayMetadata::V3),
            };
            let metadata = metadata.map_err(|e| refused(&e))?;
            Array::new_with_metadata(Arc::new(MemoryStore::new()), "/", metadata).map_err(|e| refused(&e))
        };
        let side = |&side: &u64| NonZeroU64::new(side);
        let chunk_shape: Option<ChunkShape> = document.chunk_shape.iter().map(side).collect();
        Ok(Self {
            chunks: open(&document.of_chunks)?,
            shards: document.of_shards.as_ref().map(open).transpose()?,
            chunk_shape: chunk_shape.ok_or_else(|| ImageFault::undecodable("sides from 1", "0"))?,
        })
    }

    /// The path of a file, a chunk or a shard, below the folder of the array.
    pub(super) fn key(&self, index: &[u64]) -> String {
        self.shards.as_ref().unwrap_or(&self.chunks).chunk_key(index).as_str().to_owned()
    }

    /// Where chunks lie in a shard.
    ///
    /// # Errors
    /// A fault if its index cannot be read.
    pub(super) fn index(
        &self,
        document: &ArrayDocument,
        shard: &[u64],
        bytes: &[u8],
    ) -> Result<ShardIndex, ImageFault> {
        // zarrs panics where there is less.
        if bytes.len() < document.index_bytes {
            return Err(ImageFault::truncated(format_args!("{} bytes of an index", document.index_bytes), bytes.len()));
        }
        let shards = self.shards.as_ref().ok_or_else(|| ImageFault::undecodable("a shard", "a chunk"))?;
        let store = MemoryStore::new();
        let key: StoreKey = shards.chunk_key(shard);
        store.set(&key, bytes.to_vec().into()).map_err(|e| ImageFault::undecodable("a shard", e))?;
        let array = shards.with_storage(Arc::new(store));
        let cache = ArrayShardedReadableExtCache::new(&array);
        Ok(ShardIndex { array, cache })
    }

    /// Decodes a chunk: its pixels in the order of the axes, as this machine has them.
    ///
    /// # Errors
    /// A fault if it is cut short, damaged, or no chunk of this array.
    pub(super) fn decode<'b>(&self, document: &ArrayDocument, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, ImageFault> {
        bounds::check(&document.packings, bytes, document.chunk_bytes())?;
        let options = CodecOptions::default().with_validate_checksums(true).with_concurrent_target(1);
        let (dtype, fill) = (self.chunks.data_type(), self.chunks.fill_value());
        let decoded = self.chunks.codecs().decode(Cow::Borrowed(bytes), &self.chunk_shape, dtype, fill, &options);
        let pixels = decoded.map_err(|e| fault(&e))?.into_fixed().map_err(|e| ImageFault::undecodable("pixels", e))?;
        if pixels.len() != document.chunk_bytes() {
            let expected = format_args!("a chunk of {} bytes", document.chunk_bytes());
            return Err(ImageFault::new(FaultKind::Undecodable, expected, pixels.len()));
        }
        Ok(pixels)
    }
}

/// The index of a shard.
pub(super) struct ShardIndex {
    array: Array<MemoryStore>,
    cache: ArrayShardedReadableExtCache,
}

impl ShardIndex {
    /// The bytes of a chunk, by its place among all chunks of the array; `None` where the index says that there is none.
    ///
    /// # Errors
    /// A fault if the index cannot be read, or names bytes that the shard has not.
    pub(super) fn chunk<'b>(&self, chunk: &[u64], shard: &'b [u8]) -> Result<Option<&'b [u8]>, ImageFault> {
        let range = self.array.subchunk_byte_range(&self.cache, chunk).map_err(|e| match e {
            ArrayError::CodecError(e) => fault(&e),
            e => ImageFault::undecodable("the index of a shard", e),
        })?;
        // zarrs passes on how an index says that there is none.
        let Some(range) = range.filter(|range| *range != ABSENT) else { return Ok(None) };
        let whole = shard.len() as u64;
        let end = match range {
            ByteRange::FromStart(start, Some(length)) => start.checked_add(length),
            ByteRange::FromStart(..) | ByteRange::Suffix(_) => Some(whole),
        };
        match end.filter(|end| *end <= whole) {
            Some(end) => Ok(Some(&shard[range.start(whole).min(end) as usize..end as usize])),
            None => Err(ImageFault::truncated(format_args!("a chunk at {range}"), whole)),
        }
    }
}

fn fault(error: &CodecError) -> ImageFault {
    match error {
        CodecError::InvalidChecksum => ImageFault::new(FaultKind::WrongCrc, "the crc32c of its bytes", "another"),
        error => ImageFault::undecodable("a chunk that can be decoded", error),
    }
}

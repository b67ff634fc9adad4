//! What a packed chunk would take, asked before zarrs decodes it: its own decoders believe what a frame says of itself,
//! and a few bytes can ask for all memory there is.

use libdeflater::{DecompressionError, Decompressor};

use crate::fault::FaultKind;
use crate::memory;
use crate::source::image::ImageFault;

use super::document::Packing;

/// Bytes of a crc32c.
const CRC32C: usize = 4;
/// Bytes before the blocks of a chunk by blosc.
const BLOSC_HEADER: usize = 16;

/// Checks that a chunk can be no more than it should once it is decoded, and that it is not cut short.
///
/// # Errors
/// A fault if it is, or would be something else.
pub(super) fn check(packings: &[Packing], bytes: &[u8], pixels: usize) -> Result<(), ImageFault> {
    let is_packer = |packing: &Packing| *packing != Packing::Crc32c;
    let Some(at) = packings.iter().position(is_packer) else {
        return check_length(bytes, pixels + CRC32C * packings.len());
    };
    let before = pixels + CRC32C * at;
    let packed = bytes.len().checked_sub(CRC32C * (packings.len() - at - 1)).map(|end| &bytes[..end]);
    let packed = packed.filter(|packed| !packed.is_empty());
    let packed = packed.ok_or_else(|| ImageFault::truncated("a chunk", bytes.len()))?;
    match packings[at] {
        Packing::Blosc => check_blosc(packed, before),
        Packing::Zstd => check_zstd(packed, before),
        packing => check_deflate(packing, packed, before),
    }
}

fn check_length(bytes: &[u8], expected: usize) -> Result<(), ImageFault> {
    match bytes.len() {
        found if found < expected => Err(ImageFault::truncated(format_args!("{expected} bytes"), found)),
        found if found > expected => Err(wrong_length(expected, found)),
        _ => Ok(()),
    }
}

fn check_blosc(packed: &[u8], expected: usize) -> Result<(), ImageFault> {
    let Some(header) = packed.first_chunk::<BLOSC_HEADER>() else {
        return Err(ImageFault::truncated(format_args!("{BLOSC_HEADER} bytes of a header"), packed.len()));
    };
    let number = |at: usize| header[at..at + 4].iter().rev().fold(0, |all, &byte| all << 8 | usize::from(byte));
    let (unpacked, whole) = (number(4), number(12));
    if unpacked != expected {
        return Err(wrong_length(expected, unpacked));
    }
    check_length(packed, whole)
}

fn check_zstd(packed: &[u8], expected: usize) -> Result<(), ImageFault> {
    // Of a frame that does not say what it becomes, its blocks tell no more than a bound.
    let most = 2 * expected + (1 << 20);
    match zstd::bulk::Decompressor::upper_bound(packed) {
        Some(bound) if bound <= most => Ok(()),
        Some(bound) => Err(wrong_length(expected, format_args!("up to {bound}"))),
        None => Err(ImageFault::undecodable("whole frames of zstd", "others, or one that is cut short")),
    }
}

fn check_deflate(packing: Packing, packed: &[u8], expected: usize) -> Result<(), ImageFault> {
    let mut pixels = memory::zeroed(expected, "a chunk").map_err(|e| ImageFault::undecodable("memory", e))?;
    let mut inflater = Decompressor::new();
    let unpacked = match packing {
        Packing::Gzip => inflater.gzip_decompress(packed, &mut pixels),
        _ => inflater.zlib_decompress(packed, &mut pixels),
    };
    match unpacked {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(wrong_length(expected, found)),
        Err(DecompressionError::InsufficientSpace) => Err(wrong_length(expected, "more")),
        Err(DecompressionError::BadData) => {
            Err(ImageFault::undecodable("whole deflated bytes", "others, or such as are cut short"))
        }
    }
}

fn wrong_length(expected: usize, found: impl std::fmt::Display) -> ImageFault {
    ImageFault::new(FaultKind::Undecodable, format_args!("a chunk of {expected} bytes"), found)
}

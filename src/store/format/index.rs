//! The index that ends a shard: where each chunk lies. Pure; what is parsed here is hostile until it has been checked.

use crate::error::{Error, Result};

use super::checksum::crc32c;
use super::spec::{ALIGNMENT, Codec, StoreSpec};

/// Zstandard makes at most so many bytes of one: a block of four bytes stands for 128 KiB. So no memory is asked for by
/// the word of a document alone.
pub const MOST_INFLATED: u64 = 1 << 15;

/// Where one chunk lies in its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// Bytes of a shard's index: 16 a chunk, and a crc32c.
#[must_use]
pub fn index_bytes(sites_per_shard: u32) -> usize {
    16 * sites_per_shard as usize + 4
}

/// The index that ends a shard: the places of its chunks, absent ones as all ones, and a crc32c.
///
/// # Panics
/// If there are more places than `sites_per_shard`.
#[must_use]
pub fn encode_index(places: &[ChunkPlace], sites_per_shard: u32) -> Vec<u8> {
    assert!(places.len() <= sites_per_shard as usize, "a shard holds at most its sites");
    let mut bytes = Vec::with_capacity(index_bytes(sites_per_shard));
    for place in places {
        bytes.extend(place.offset.to_le_bytes());
        bytes.extend(place.length.to_le_bytes());
    }
    bytes.resize(16 * sites_per_shard as usize, 0xff);
    bytes.extend(crc32c(&bytes).to_le_bytes());
    bytes
}

/// Parses a shard's index. `data_bytes` is what stands before it in the file, `n_chunks` how many sites this shard
/// must hold; `place` names the shard in errors.
///
/// # Errors
/// If the crc32c is wrong, a chunk is absent, lies outside the data, or overlaps the one before; if a `raw` chunk has
/// another length than a site or starts off a multiple of 4096.
pub fn decode_index(
    bytes: &[u8],
    spec: &StoreSpec,
    n_chunks: usize,
    data_bytes: u64,
    place: &str,
) -> Result<Vec<ChunkPlace>> {
    let expected_length = index_bytes(spec.sites_per_shard);
    if bytes.len() != expected_length {
        return Err(Error::malformed(place, format!("an index of {expected_length} bytes"), bytes.len()));
    }
    let (entries, crc) = bytes.split_at(expected_length - 4);
    let expected = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
    let found = crc32c(entries);
    if expected != found {
        return Err(Error::malformed(place, format!("index crc32c {expected:08x}"), format!("{found:08x}")));
    }
    let mut places = Vec::with_capacity(n_chunks);
    let mut end_of_last = 0;
    let (entries, _) = entries.as_chunks::<8>();
    let mut words = entries.iter().map(|word| u64::from_le_bytes(*word));
    for i in 0..spec.sites_per_shard as usize {
        let (Some(offset), Some(length)) = (words.next(), words.next()) else {
            break;
        };
        let absent = offset == u64::MAX && length == u64::MAX;
        if i >= n_chunks {
            if !absent {
                return Err(Error::malformed(place, format!("{n_chunks} chunks"), format!("a chunk {i}")));
            }
            continue;
        }
        if absent {
            return Err(Error::malformed(place, format!("chunk {i} of {n_chunks}"), "none"));
        }
        let end = offset.checked_add(length).filter(|&end| end <= data_bytes && offset >= end_of_last);
        let Some(end) = end else {
            let expected = format!("chunk {i} within bytes {end_of_last} to {data_bytes}");
            return Err(Error::malformed(place, expected, format!("{length} bytes at {offset}")));
        };
        let site_bytes = spec.site_bytes() as u64;
        if spec.codec == Codec::Raw && (length != site_bytes || !offset.is_multiple_of(ALIGNMENT)) {
            let expected = format!("raw chunk {i} of {site_bytes} bytes at a multiple of {ALIGNMENT}");
            return Err(Error::malformed(place, expected, format!("{length} bytes at {offset}")));
        }
        if matches!(spec.codec, Codec::Zstd(_)) && length.saturating_mul(MOST_INFLATED) < site_bytes {
            let expected = format!("chunk {i} long enough for {site_bytes} bytes of pixels");
            return Err(Error::malformed(place, expected, format!("{length} bytes at {offset}")));
        }
        let most = 2 * site_bytes + 1024;
        if length > most {
            let expected = format!("chunk {i} of at most {most} bytes");
            return Err(Error::malformed(place, expected, format!("{length} bytes at {offset}")));
        }
        end_of_last = end;
        places.push(ChunkPlace { offset, length });
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::format::spec::tests::spec;
    use proptest::prelude::*;

    #[test]
    fn an_index_is_read_back_and_each_lie_in_it_refused() {
        let place = |offset, length| ChunkPlace { offset, length };
        let check = |codec, places: &[ChunkPlace], n, data| {
            decode_index(&encode_index(places, 4), &spec(codec), n, data, "x").map(|found| found == places)
        };
        let zstd = Codec::Zstd(1);
        assert!(check(zstd, &[place(0, 10), place(10, 5)], 2, 15).unwrap());
        assert!(check(zstd, &[place(0, 10), place(9, 5)], 2, 15).is_err(), "overlap");
        assert!(check(zstd, &[place(0, 10), place(10, 6)], 2, 15).is_err(), "past the end");
        assert!(check(zstd, &[place(u64::MAX - 1, 10)], 1, 15).is_err(), "overflow");
        assert!(check(zstd, &[place(0, 10)], 2, 15).is_err(), "absent");
        assert!(check(zstd, &[place(0, 1 << 40)], 1, 1 << 41).is_err(), "too long to be a site");
        assert!(check(zstd, &[place(0, 0)], 1, 0).is_err(), "too short to be a site");
        assert!(check(zstd, &[place(0, 10), place(10, 5)], 1, 15).is_err(), "one too many");
        assert!(check(Codec::Raw, &[place(0, 30), place(4096, 30)], 2, 5000).unwrap());
        assert!(check(Codec::Raw, &[place(0, 29)], 1, 5000).is_err(), "wrong length");
        assert!(check(Codec::Raw, &[place(1, 30)], 1, 5000).is_err(), "off alignment");
        let mut bytes = encode_index(&[place(0, 10)], 4);
        assert!(decode_index(&bytes[1..], &spec(zstd), 1, 10, "x").is_err(), "cut");
        bytes[0] ^= 1;
        assert!(decode_index(&bytes, &spec(zstd), 1, 10, "x").is_err(), "flipped");
    }

    proptest! {
        #[test]
        fn no_index_makes_it_panic_or_point_outside(mut bytes in proptest::collection::vec(any::<u8>(), 64), n in 0usize..5, data: u64) {
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            if let Ok(places) = decode_index(&bytes, &spec(Codec::Zstd(3)), n, data, "x") {
                prop_assert!(places.iter().all(|p| p.offset.checked_add(p.length).unwrap() <= data));
            }
        }
    }
}

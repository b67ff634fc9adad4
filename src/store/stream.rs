//! Copying sites past the processor's caches. What is copied here is read next by a GPU, or long after it would have left
//! the caches, so that storing it there first only costs: a usual store reads each line of the destination before it
//! overwrites it. One of the places with `unsafe`: only intrinsics store past the caches.
#![allow(unsafe_code)]

use super::checksum::Crc32c;

/// Copies shorter than this are left to the library: they may be used while they are still in a cache.
const LEAST: usize = 256 << 10;

/// Bytes that are copied and summed up at a time: few enough to be in the first cache from one to the other.
const BLOCK: usize = 16 << 10;

/// Copies `from` to `to`.
///
/// # Panics
/// If the two differ in length.
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "as many bytes on both sides");
    #[cfg(target_arch = "x86_64")]
    if from.len() >= LEAST && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { x86::copy(from, to) };
        return;
    }
    to.copy_from_slice(from);
}

/// Copies `from` to `to` and gives its crc32c, in one pass over memory.
///
/// # Panics
/// If the two differ in length.
pub(super) fn copy_summed(from: &[u8], to: &mut [u8]) -> u32 {
    assert_eq!(from.len(), to.len(), "as many bytes on both sides");
    #[cfg(target_arch = "x86_64")]
    let is_streamed = from.len() >= LEAST && std::arch::is_x86_feature_detected!("avx2");
    let mut crc = Crc32c::new();
    for (from, to) in from.chunks(BLOCK).zip(to.chunks_mut(BLOCK)) {
        crc.update(from);
        #[cfg(target_arch = "x86_64")]
        if is_streamed {
            // SAFETY: the processor has AVX2.
            unsafe { x86::copy(from, to) };
            continue;
        }
        to.copy_from_slice(from);
    }
    crc.finish()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256i, _MM_HINT_NTA, _mm_prefetch, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};

    /// Bytes of a store.
    const WIDTH: usize = size_of::<__m256i>();
    /// Stores in a turn of the loop: two lines of a cache.
    const TURN: usize = 4 * WIDTH;

    /// Bytes ahead of the copy that are asked for: processors do not read on by themselves from one page to the next.
    const AHEAD: usize = 2048;

    /// Copies `from` to the equally long `to`.
    #[allow(clippy::cast_ptr_alignment, reason = "loads take any address, and stores go to multiples of their width")]
    #[target_feature(enable = "avx2")]
    pub(super) fn copy(from: &[u8], to: &mut [u8]) {
        debug_assert_eq!(from.len(), to.len());
        // Stores past the caches go to multiples of their width.
        let head = to.as_ptr().align_offset(WIDTH).min(to.len());
        let (from_head, from) = from.split_at(head);
        let (to_head, to) = to.split_at_mut(head);
        to_head.copy_from_slice(from_head);
        let (turns, tail) = from.as_chunks::<TURN>();
        let (to_turns, to_tail) = to.as_chunks_mut::<TURN>();
        for (from, to) in turns.iter().zip(to_turns) {
            let (from, to) = (from.as_ptr().cast::<__m256i>(), to.as_mut_ptr().cast::<__m256i>());
            // SAFETY: both have `TURN` bytes, and `to` starts at a multiple of `WIDTH`. What is asked for ahead may lie
            // behind the end: that is a hint, which never fails.
            unsafe {
                let ahead = from.wrapping_byte_add(AHEAD).cast::<i8>();
                _mm_prefetch::<_MM_HINT_NTA>(ahead);
                _mm_prefetch::<_MM_HINT_NTA>(ahead.wrapping_add(TURN / 2));
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| _mm256_loadu_si256(from.add(i)));
                _mm256_stream_si256(to, a);
                _mm256_stream_si256(to.add(1), b);
                _mm256_stream_si256(to.add(2), c);
                _mm256_stream_si256(to.add(3), d);
            }
        }
        to_tail.copy_from_slice(tail);
        // So that whoever is told that this is done sees it done.
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_every_length_and_alignment_are_exact_and_stay_in_their_place() {
        let from: Vec<u8> = (0..LEAST + 2 * BLOCK).map(|i| (i * 31 + (i >> 8)) as u8).collect();
        for length in [0, 1, 31, 127, 128, LEAST - 1, LEAST, LEAST + 1, LEAST + 33, LEAST + 127, LEAST + BLOCK + 5] {
            for (source, target) in [(0, 0), (1, 0), (0, 1), (7, 31), (33, 64), (5, 95)] {
                let from = &from[source..][..length];
                let mut to = vec![0xaa; length + 200];
                copy(from, &mut to[target..][..length]);
                assert!(to[target..][..length] == *from, "{length} from {source} to {target}");
                assert!(to[..target].iter().chain(&to[target + length..]).all(|&byte| byte == 0xaa));
                let mut to = vec![0xaa; length + 200];
                assert_eq!(copy_summed(from, &mut to[target..][..length]), crc32c::crc32c(from));
                assert!(to[target..][..length] == *from, "{length} from {source} to {target}, summed");
                assert!(to[..target].iter().chain(&to[target + length..]).all(|&byte| byte == 0xaa));
            }
        }
    }
}

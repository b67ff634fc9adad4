//! Copying sites past the processor's caches. What is copied here is read next by a GPU, or long after it would have
//! left the caches, so that storing it there first only costs: a usual store reads each line of the destination before
//! it overwrites it. One of the places with `unsafe`: only intrinsics store past the caches.
#![allow(unsafe_code)]

use crate::store::format::checksum::Crc32c;

/// Copies shorter than this are left to the library: they may be used while they are still in a cache.
#[cfg(any(target_arch = "x86_64", test))]
const LEAST: usize = 256 << 10;

/// Bytes that are copied and summed up at a time where the processor cannot do both at once: few enough to be in the
/// first cache from one to the other.
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

/// Copies `from` to `to` and gives its crc32c (CRC-32/ISCSI), in one pass over memory.
///
/// # Panics
/// If the two differ in length.
pub(crate) fn copy_summed(from: &[u8], to: &mut [u8]) -> u32 {
    assert_eq!(from.len(), to.len(), "as many bytes on both sides");
    #[cfg(target_arch = "x86_64")]
    if from.len() >= LEAST && x86::can_fold() {
        // SAFETY: the processor has what `can_fold` asks for.
        return unsafe { x86::copy_summed(from, to) };
    }
    copy_summed_in_blocks(from, to)
}

/// The same on any processor.
fn copy_summed_in_blocks(from: &[u8], to: &mut [u8]) -> u32 {
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
    use std::arch::x86_64::{
        __m256i, _MM_HINT_T0, _mm_prefetch, _mm_sfence, _mm256_clmulepi64_epi128, _mm256_loadu_si256,
        _mm256_set_epi64x, _mm256_storeu_si256, _mm256_stream_si256, _mm256_xor_si256,
    };

    use crate::store::format::checksum::{Crc32c, crc32c};

    /// Stores in a turn of the loop, of which one fills two lines of a cache.
    const STORES: usize = 4;
    /// What a turn writes.
    type Turn = [__m256i; STORES];
    const TURN: usize = size_of::<Turn>();

    /// Bytes ahead of the copy that are asked for: processors do not read on by themselves from one page to the next.
    /// Asked for as for any use: where only for one (`_MM_HINT_NTA`), Intel's Xeons brought 0.55 as many bytes a second.
    const AHEAD: usize = 2048;

    /// What is copied in turns, and the bytes before and after.
    struct Parts<'a> {
        head: &'a [u8],
        turns: &'a [[u8; TURN]],
        to_turns: &'a mut [Turn],
        tail: &'a [u8],
    }

    /// Copies what lies before and after the turns: stores past the caches go to multiples of their width.
    fn split<'a>(from: &'a [u8], to: &'a mut [u8]) -> Parts<'a> {
        let head = to.as_ptr().align_offset(align_of::<Turn>()).min(to.len());
        let (head, from) = from.split_at(head);
        let (to_head, to) = to.split_at_mut(head.len());
        to_head.copy_from_slice(head);
        let (turns, tail) = from.as_chunks::<TURN>();
        let (to_turns, to_tail) = to.split_at_mut(turns.len() * TURN);
        to_tail.copy_from_slice(tail);
        // SAFETY: any bytes are a turn, and those of a turn any bytes.
        let (before, to_turns, after) = unsafe { to_turns.align_to_mut::<Turn>() };
        assert!(before.is_empty() && after.is_empty(), "whole turns, aligned");
        Parts { head, turns, to_turns, tail }
    }

    /// Copies a turn, and gives it.
    #[inline]
    #[allow(clippy::cast_ptr_alignment, reason = "loads take any address")]
    #[target_feature(enable = "avx2")]
    fn copy_turn(from: &[u8; TURN], to: &mut Turn) -> Turn {
        let ahead = from.as_ptr().wrapping_add(AHEAD).cast::<i8>();
        // A hint, which never fails, also where it lies behind the end.
        _mm_prefetch::<_MM_HINT_T0>(ahead);
        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(TURN / 2));
        // SAFETY: `from` has as many bytes as a turn.
        let read = [0, 1, 2, 3].map(|i| unsafe { _mm256_loadu_si256(from.as_ptr().cast::<__m256i>().add(i)) });
        for (to, &read) in to.iter_mut().zip(&read) {
            // SAFETY: the place of one vector.
            unsafe { _mm256_stream_si256(to, read) };
        }
        read
    }

    /// Copies `from` to the equally long `to`.
    #[target_feature(enable = "avx2")]
    pub(super) fn copy(from: &[u8], to: &mut [u8]) {
        let parts = split(from, to);
        for (from, to) in parts.turns.iter().zip(parts.to_turns) {
            copy_turn(from, to);
        }
        // So that whoever is told that this is done sees it done.
        _mm_sfence();
    }

    /// Whether this processor has what [`copy_summed`] needs: most since 2020.
    pub(super) fn can_fold() -> bool {
        std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("vpclmulqdq")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
    }

    /// x^n modulo the polynomial of crc32c, the lowest power in bit 32: the bits of this CRC are mirrored, and the
    /// product of two mirrored numbers comes out one bit too low.
    const fn power(n: usize) -> i64 {
        const POLYNOMIAL: i64 = 0x82f6_3b78;
        let mut power = 1 << 31;
        let mut i = 0;
        while i < n {
            power = if power & 1 == 0 { power >> 1 } else { power >> 1 ^ POLYNOMIAL };
            i += 1;
        }
        power << 1
    }

    /// Copies `from` to the equally long `to`, and gives its crc32c. A CRC is what remains of the bytes, taken as one
    /// polynomial, so that a turn, multiplied by what it stands higher than the next, can be added to the next. What
    /// is left, a turn of bytes with the same remainder as all, and the tail go to the library. The method is that of
    /// Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction, Intel, 2009. Done as one
    /// loop because the multiplications then cost nothing beside waiting for memory.
    #[target_feature(enable = "avx2,vpclmulqdq,pclmulqdq")]
    pub(super) fn copy_summed(from: &[u8], to: &mut [u8]) -> u32 {
        const UP: [i64; 2] = [power(8 * TURN - 32), power(8 * TURN + 32)];
        let parts = split(from, to);
        let mut turns = parts.turns.iter().zip(parts.to_turns);
        let Some((first, to_first)) = turns.next() else { return crc32c(from) };
        let mut sums = copy_turn(first, to_first);
        // The CRC so far, without the library's last step, is added to the four bytes after it.
        let so_far = _mm256_set_epi64x(0, 0, 0, i64::from(!crc32c(parts.head)));
        sums[0] = _mm256_xor_si256(sums[0], so_far);
        let up = _mm256_set_epi64x(UP[0], UP[1], UP[0], UP[1]);
        for (from, to) in turns {
            let read = copy_turn(from, to);
            for (sum, read) in sums.iter_mut().zip(read) {
                let low = _mm256_clmulepi64_epi128::<0x00>(*sum, up);
                let high = _mm256_clmulepi64_epi128::<0x11>(*sum, up);
                *sum = _mm256_xor_si256(_mm256_xor_si256(low, high), read);
            }
        }
        _mm_sfence();
        // The library starts with all ones added to the first four bytes: taken out beforehand.
        sums[0] = _mm256_xor_si256(sums[0], _mm256_set_epi64x(0, 0, 0, 0xffff_ffff));
        let mut rest = [0; TURN];
        for (rest, sum) in rest.as_chunks_mut::<{ TURN / STORES }>().0.iter_mut().zip(sums) {
            // SAFETY: `rest` has as many bytes as a vector.
            unsafe { _mm256_storeu_si256(rest.as_mut_ptr().cast(), sum) };
        }
        let mut crc = Crc32c::new();
        crc.update(&rest);
        crc.update(parts.tail);
        crc.finish()
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
                for copy_summed in [copy_summed, copy_summed_in_blocks] {
                    to.fill(0xaa);
                    assert_eq!(copy_summed(from, &mut to[target..][..length]), crc32c::crc32c(from));
                    assert!(to[target..][..length] == *from, "{length} from {source} to {target}, summed");
                    assert!(to[..target].iter().chain(&to[target + length..]).all(|&byte| byte == 0xaa));
                }
            }
        }
    }
}

//! Taking residuals from states by AVX-512. One of the places with `unsafe`: loads of as many bytes as their types say, and
//! lookups in tables of which all contexts have slots.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "thirty intrinsics")]

use std::arch::x86_64::*;

use super::channel::Channel;
use super::lanes::{Lanes, decode_by, unskew};
use super::skew::{Place, Room, Run, runs};
use crate::wave::geometry::LANES;
use crate::wave::tables::{BITS, LEAST_STATE, SLOTS, Slot};

/// Lanes that a vector of states has.
const GROUP: usize = 16;
const GROUPS: usize = LANES / GROUP;

/// Whether this processor can.
pub(super) fn is_there() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("popcnt")
}

decode_by!("avx512f,avx512bw,avx512vl,avx2,popcnt");

/// States of all lanes.
#[derive(Clone, Copy)]
struct States {
    of_lanes: [__m512i; GROUPS],
    /// Where the next word is, in bytes, behind all of them if there are too few; and where they end.
    word: usize,
    end: usize,
}

impl States {
    #[target_feature(enable = "avx512f")]
    fn new(states: &[u32; LANES], end: usize) -> Self {
        let groups = states.as_chunks::<GROUP>().0;
        // SAFETY: as many bytes as a vector.
        let of_lanes = std::array::from_fn(|g| unsafe { _mm512_loadu_si512(groups[g].as_ptr().cast()) });
        Self { of_lanes, word: 0, end }
    }

    /// Whether all words are taken, and states are as they must be then.
    #[target_feature(enable = "avx512f")]
    fn are_at_end(&self) -> bool {
        let least = _mm512_set1_epi32(LEAST_STATE.cast_signed());
        let is_least = |&states: &__m512i| _mm512_cmpeq_epi32_mask(states, least) == u16::MAX;
        self.word == self.end && self.of_lanes.iter().all(is_least)
    }

    /// Takes a residual from each lane's state, by its context.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,popcnt")]
    #[inline]
    fn pop(&mut self, slots: &[Slot; SLOTS], words: &[u8], context: __m256i) -> __m256i {
        let contexts = [_mm256_castsi256_si128(context), _mm256_extracti128_si256::<1>(context)];
        let in_table = _mm512_set1_epi32((1 << BITS) - 1);
        let found: [__m512i; GROUPS] = std::array::from_fn(|g| {
            let table = _mm512_slli_epi32::<{ BITS }>(_mm512_cvtepu8_epi32(contexts[g]));
            let index = _mm512_or_si512(table, _mm512_and_si512(self.of_lanes[g], in_table));
            // SAFETY: an index is a context, at most IDLE, with BITS of a state below.
            unsafe { _mm512_i32gather_epi32::<4>(index, slots.as_ptr().cast()) }
        });
        let mut at = self.word.min(self.end);
        let taken_before = at;
        for (state, slot) in self.of_lanes.iter_mut().zip(found) {
            let frequency = _mm512_and_si512(_mm512_srli_epi32::<8>(slot), _mm512_set1_epi32(0xfff));
            let high = _mm512_srli_epi32::<{ BITS }>(*state);
            let next = _mm512_add_epi32(_mm512_mullo_epi32(frequency, high), _mm512_srli_epi32::<20>(slot));
            let is_short = _mm512_cmplt_epu32_mask(next, _mm512_set1_epi32(LEAST_STATE.cast_signed()));
            let sixteen: &[u8; 2 * GROUP] = words[at..].first_chunk().expect("padding");
            // SAFETY: as many bytes as a vector.
            let sixteen = unsafe { _mm256_loadu_si256(sixteen.as_ptr().cast()) };
            let word = _mm512_maskz_expand_epi32(is_short, _mm512_cvtepu16_epi32(sixteen));
            *state = _mm512_mask_or_epi32(next, is_short, _mm512_slli_epi32::<16>(next), word);
            at = at.wrapping_add(2 * is_short.count_ones() as usize);
        }
        self.word = self.word.wrapping_add(at.wrapping_sub(taken_before));
        let [low, high] = found.map(|slot| _mm512_cvtepi32_epi8(slot));
        _mm256_set_m128i(high, low)
    }
}

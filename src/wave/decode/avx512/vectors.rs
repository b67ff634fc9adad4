//! What all ways by AVX-512 do. One of the places with `unsafe`: loads and stores of as many bytes as their types say, and
//! lookups in tables of which all contexts have slots.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "thirty intrinsics")]

use std::arch::x86_64::*;

use super::super::channel::Channel;
use super::super::groups::{BLOCK, Group, HALF, KEPT, put};
use crate::wave::geometry::{BEHIND, LANES, Shape};
use crate::wave::tables::{BITS, FREQUENCY_AT, LEAST_STATE, RANK_AT, RANK_BITS, SLOTS, Slot};

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn load<T>(from: &T) -> __m512i {
    const { assert!(size_of::<T>() == 64) };
    // SAFETY: as many bytes as a vector.
    unsafe { _mm512_loadu_si512(std::ptr::from_ref(from).cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn store<T>(to: &mut T, vector: __m512i) {
    const { assert!(size_of::<T>() == 64) };
    // SAFETY: as many bytes as a vector.
    unsafe { _mm512_storeu_si512(std::ptr::from_mut(to).cast(), vector) }
}

/// Bits of `a` where `mask` has them, of `b` elsewhere.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn select(mask: i32, a: __m512i, b: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi32(mask), a, b)
}

/// Which lanes stand at an edge of their row, or nowhere.
pub(super) struct Edge {
    pub(super) first: [__mmask16; 2],
    pub(super) second: [__mmask16; 2],
    pub(super) last: [__mmask16; 2],
    pub(super) idle: [__mmask16; 2],
}

impl Edge {
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    pub(super) fn new(shape: Shape, step: usize) -> Self {
        let all = |n: usize| _mm512_set1_epi32(n as i32);
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut edge = Self { first: [0; 2], second: [0; 2], last: [0; 2], idle: [0; 2] };
        for half in 0..2 {
            let lane = _mm512_add_epi32(lanes, all(half * HALF));
            let behind = _mm512_mullo_epi32(lane, all(BEHIND));
            let x = _mm512_sub_epi32(all(step % shape.period()), behind);
            let y = _mm512_add_epi32(all(step / shape.period() * LANES), lane);
            // Of the band before; before the first there is none, and what is idle is below every image.
            let is_before = _mm512_movepi32_mask(x);
            let x = _mm512_mask_add_epi32(x, is_before, x, all(shape.period()));
            let y = _mm512_mask_sub_epi32(y, is_before, y, all(LANES));
            edge.first[half] = _mm512_cmpeq_epi32_mask(x, all(0));
            edge.second[half] = _mm512_cmpeq_epi32_mask(x, all(1));
            edge.last[half] = _mm512_cmpeq_epi32_mask(x, all(shape.width - 1));
            let is_below = _mm512_cmpge_epu32_mask(y, all(shape.height));
            edge.idle[half] = is_below | _mm512_cmpge_epu32_mask(x, all(shape.width));
        }
        edge
    }
}

/// The states of all lanes of a channel.
#[derive(Clone, Copy)]
pub(super) struct States {
    of_lanes: [__m512i; 2],
    /// Where the next word is, in bytes, behind all of them if there are too few; and where they end.
    word: usize,
    end: usize,
}

impl States {
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(channel: &Channel) -> Self {
        let states: [&[u32; HALF]; 2] = std::array::from_fn(|half| &channel.states.as_chunks().0[half]);
        Self { of_lanes: states.map(|states| load(states)), word: 0, end: channel.end }
    }

    /// Takes a residual from each lane's state: its low byte counts. A context is where it stands in an index of slots.
    #[target_feature(enable = "avx512f,popcnt")]
    #[inline]
    pub(super) fn pop(&mut self, contexts: [__m512i; 2], slots: &[Slot; SLOTS], words: &[u8]) -> [__m512i; 2] {
        let mut found = self.of_lanes;
        for half in 0..2 {
            let index = select((1 << BITS) - 1, self.of_lanes[half], contexts[half]);
            // SAFETY: a context is at most IDLE, with BITS of a state below.
            found[half] = unsafe { _mm512_i32gather_epi32::<4>(index, slots.as_ptr().cast()) };
        }
        let mut at = self.word.min(self.end);
        let taken_before = at;
        for (state, slot) in self.of_lanes.iter_mut().zip(found) {
            let frequency = _mm512_srli_epi32::<FREQUENCY_AT>(slot);
            let rank = _mm512_and_si512(_mm512_srli_epi32::<RANK_AT>(slot), _mm512_set1_epi32((1 << RANK_BITS) - 1));
            let whole = _mm512_srli_epi32::<BITS>(*state);
            let next = _mm512_add_epi32(_mm512_mullo_epi32(frequency, whole), rank);
            let is_short = _mm512_cmplt_epu32_mask(next, _mm512_set1_epi32(LEAST_STATE.cast_signed()));
            let sixteen: &[u8; 2 * HALF] = words[at..].first_chunk().expect("padding");
            // SAFETY: as many bytes as a vector.
            let sixteen = unsafe { _mm256_loadu_si256(sixteen.as_ptr().cast()) };
            let word = _mm512_maskz_expand_epi32(is_short, _mm512_cvtepu16_epi32(sixteen));
            *state = _mm512_mask_or_epi32(next, is_short, _mm512_slli_epi32::<16>(next), word);
            at = at.wrapping_add(2 * is_short.count_ones() as usize);
        }
        self.word = self.word.wrapping_add(at.wrapping_sub(taken_before));
        found
    }

    /// Whether all words are taken, and states are as they must be then.
    #[target_feature(enable = "avx512f")]
    pub(super) fn are_at_end(&self) -> bool {
        let least = _mm512_set1_epi32(LEAST_STATE.cast_signed());
        let is_least = |&states: &__m512i| _mm512_cmpeq_epi32_mask(states, least) == __mmask16::MAX;
        self.word == self.end && self.of_lanes.iter().all(is_least)
    }
}

/// Puts down the residuals that lanes have kept of a group, the last in the highest byte.
#[target_feature(enable = "avx512f,avx512vbmi")]
#[inline]
pub(super) fn put_residuals(to: &mut Group, kept: [__m512i; 2]) {
    // Of each step all lanes of a half.
    const ORDER: [u8; HALF * KEPT] = {
        let mut order = [0; HALF * KEPT];
        let mut i = 0;
        while i < order.len() {
            order[i] = (i % HALF * KEPT + i / HALF) as u8;
            i += 1;
        }
        order
    };
    let [low, high] = kept.map(|kept| _mm512_permutexvar_epi8(load(&ORDER), kept));
    let [first, second] = to.0.as_chunks_mut().0 else { unreachable!("two pairs of steps") };
    let pair: &mut [[u8; LANES]; 2] = first;
    store(pair, _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high));
    store(second, _mm512_permutex2var_epi64(low, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), high));
}

/// What lanes have kept of the groups of a block: of each group those of two halves.
pub(super) type Block = [[__m512i; 2]; BLOCK];

/// Puts a block's pixels, whose first step is `(band, phase)` of the first lane, into their rows. `lanes` are those of each
/// half.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn put_pixels(
    shape: Shape,
    at: (usize, usize),
    block: &Block,
    lanes: &[[usize; HALF]; 2],
    plane: &mut [u8],
) {
    for (half, lanes) in lanes.iter().enumerate() {
        let mut rows = [_mm512_setzero_si512(); BLOCK];
        rows.iter_mut().zip(block).for_each(|(row, group)| *row = group[half]);
        for _ in 0..BLOCK.ilog2() {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            let before = rows;
            for i in 0..BLOCK / 2 {
                rows[2 * i] = _mm512_permutex2var_epi32(before[i], low, before[i + BLOCK / 2]);
                rows[2 * i + 1] = _mm512_permutex2var_epi32(before[i], high, before[i + BLOCK / 2]);
            }
        }
        for (&lane, row) in lanes.iter().zip(rows) {
            let mut pixels = [0; BLOCK * KEPT];
            store(&mut pixels, row);
            if let Some(next) = put(shape, at, lane, &pixels, plane) {
                _mm_prefetch::<_MM_HINT_T0>(next.as_ptr().cast());
            }
        }
    }
}

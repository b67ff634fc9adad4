//! Taking residuals from states by AVX2. One of the places with `unsafe`: loads of as many bytes as their types say, and
//! lookups in tables of which all contexts have slots.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "thirty intrinsics")]

use std::arch::x86_64::*;

use super::channel::Channel;
use super::lanes::{Lanes, unskew};
use super::skew::{Place, Room, Run, runs};
use crate::wave::geometry::LANES;
use crate::wave::tables::{BITS, FREQUENCY_AT, LEAST_STATE, RANK_AT, RANK_BITS, SLOTS, Slot};

/// Lanes that a vector of states has.
const GROUP: usize = 8;
const GROUPS: usize = LANES / GROUP;

/// Whether this processor can.
pub(super) fn is_there() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt")
}

/// Decodes a channel into its plane, `[y, x]`. Gives whether states and words end as they must.
///
/// # Panics
/// If the processor cannot.
pub(super) fn decode(channel: &Channel, plane: &mut [u8], (mut room, place): (Room, Place)) -> bool {
    assert!(is_there(), "a processor that can");
    // SAFETY: it can.
    unsafe { by_lanes(channel, plane, &mut room, &place) }
}

#[target_feature(enable = "avx2,popcnt")]
fn by_lanes(channel: &Channel, plane: &mut [u8], room: &mut Room, place: &Place) -> bool {
    let &Channel { shape, slots, words, .. } = channel;
    let mut lanes = Lanes::new(channel.model, channel.mode);
    let mut states = States::new(&channel.states, channel.end);
    for Run { steps, is_edge } in runs(shape) {
        if is_edge {
            for step in steps {
                let seen = lanes.look::<true>(shape, place, step, room);
                let residual = states.pop(slots, words, seen.context);
                lanes.put(&seen, residual, place, step, room);
            }
        } else {
            // Copied, so that they can be in registers.
            let mut inside = (lanes, states);
            for step in steps {
                let seen = inside.0.look::<false>(shape, place, step, room);
                let residual = inside.1.pop(slots, words, seen.context);
                inside.0.put(&seen, residual, place, step, room);
            }
            (lanes, states) = inside;
        }
    }
    unskew(shape, room.pixels, place.pixels, plane);
    states.are_at_end()
}

/// A slot of each index.
#[target_feature(enable = "avx2")]
#[inline]
fn look_up(slots: &[Slot; SLOTS], indices: __m256i) -> __m256i {
    // SAFETY: an index is a context, at most IDLE, with BITS of a state below.
    unsafe { _mm256_i32gather_epi32::<4>(slots.as_ptr().cast(), indices) }
}

/// For each mask of lanes that take a word, which of the next words each lane takes.
const WORD_OF_LANE: [[u8; GROUP]; 1 << GROUP] = {
    let mut words = [[0; GROUP]; 1 << GROUP];
    let mut mask = 0;
    while mask < words.len() {
        let (mut lane, mut taken) = (0, 0);
        while lane < GROUP {
            words[mask][lane] = taken;
            taken += (mask >> lane & 1) as u8;
            lane += 1;
        }
        mask += 1;
    }
    words
};

/// States of all lanes.
#[derive(Clone, Copy)]
struct States {
    of_lanes: [__m256i; GROUPS],
    /// Where the next word is, in bytes, behind all of them if there are too few; and where they end.
    word: usize,
    end: usize,
}

impl States {
    #[target_feature(enable = "avx2")]
    fn new(states: &[u32; LANES], end: usize) -> Self {
        let groups = states.as_chunks::<GROUP>().0;
        // SAFETY: as many bytes as a vector.
        let of_lanes = std::array::from_fn(|g| unsafe { _mm256_loadu_si256(groups[g].as_ptr().cast()) });
        Self { of_lanes, word: 0, end }
    }

    /// Whether all words are taken, and states are as they must be then.
    #[target_feature(enable = "avx2")]
    fn are_at_end(&self) -> bool {
        let least = _mm256_set1_epi32(LEAST_STATE.cast_signed());
        let is_least = |&states: &__m256i| _mm256_movemask_epi8(_mm256_cmpeq_epi32(states, least)) == -1;
        self.word == self.end && self.of_lanes.iter().all(is_least)
    }

    /// Takes a residual from each lane's state, by its context.
    #[target_feature(enable = "avx2,popcnt")]
    #[inline]
    fn pop(&mut self, slots: &[Slot; SLOTS], words: &[u8], context: __m256i) -> __m256i {
        let halves = [_mm256_castsi256_si128(context), _mm256_extracti128_si256::<1>(context)];
        let contexts = [
            _mm256_cvtepu8_epi32(halves[0]),
            _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(halves[0])),
            _mm256_cvtepu8_epi32(halves[1]),
            _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(halves[1])),
        ];
        let in_table = _mm256_set1_epi32((1 << BITS) - 1);
        let found: [__m256i; GROUPS] = std::array::from_fn(|g| {
            let table = _mm256_slli_epi32::<{ BITS as i32 }>(contexts[g]);
            look_up(slots, _mm256_or_si256(table, _mm256_and_si256(self.of_lanes[g], in_table)))
        });
        let mut at = self.word.min(self.end);
        let taken_before = at;
        for (state, slot) in self.of_lanes.iter_mut().zip(found) {
            let frequency = _mm256_srli_epi32::<{ FREQUENCY_AT as i32 }>(slot);
            let rank = _mm256_srli_epi32::<{ RANK_AT as i32 }>(slot);
            let rank = _mm256_and_si256(rank, _mm256_set1_epi32((1 << RANK_BITS) - 1));
            let high = _mm256_srli_epi32::<{ BITS as i32 }>(*state);
            let next = _mm256_add_epi32(_mm256_mullo_epi32(frequency, high), rank);
            let is_short = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(next), _mm256_setzero_si256());
            let mask = _mm256_movemask_ps(_mm256_castsi256_ps(is_short)) as u8;
            let order = &WORD_OF_LANE[usize::from(mask)];
            let eight: &[u8; 2 * GROUP] = words[at..].first_chunk().expect("padding");
            // SAFETY: eight words, and eight bytes.
            let (eight, order) =
                unsafe { (_mm_loadu_si128(eight.as_ptr().cast()), _mm_loadl_epi64(order.as_ptr().cast())) };
            let word = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(eight), _mm256_cvtepu8_epi32(order));
            let renewed = _mm256_or_si256(_mm256_slli_epi32::<16>(next), word);
            *state = _mm256_blendv_epi8(next, renewed, is_short);
            at = at.wrapping_add(2 * mask.count_ones() as usize);
        }
        self.word = self.word.wrapping_add(at.wrapping_sub(taken_before));
        let [a, b, c, d] = found.map(|slot| _mm256_and_si256(slot, _mm256_set1_epi32(255)));
        let packed = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
        _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }
}

//! Decoding 32 lanes at once by AVX-512, in two halves, each a vector with 32 bits a lane, as its state has. In as many a
//! lane keeps its last four pixels, so that what is around its next one is in three: its own, those of the lane above,
//! and those of the one above that; each is multiplied by weights and added by one instruction. One of the places with
//! `unsafe`: loads and stores of as many bytes as their types say, and lookups in tables of which all contexts have slots.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "fifty intrinsics")]

use std::arch::x86_64::*;

use super::super::channel::Channel;
use super::super::groups::{BLOCK, Group, HALF, KEPT, Room, at, is_inside};
use super::vectors::{Block, Edge, States, load, put_pixels, put_residuals, select};
use crate::wave::geometry::LANES;
use crate::wave::model::{FRACTIONS, LEVELS, Model, REFERENCES, WEIGHT_BITS};
use crate::wave::tables::{BITS, IDLE};

/// Decodes a channel into its plane, `[y, x]`. Gives whether states and words end as they must.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,popcnt")]
pub(super) fn decode(channel: &Channel, plane: &mut [u8], mut room: Room) -> bool {
    let &Channel { shape, model, slots, words, .. } = channel;
    let weights = Weights::new(model);
    let mut lanes = Lanes::new(channel);
    let mut block: Block = [[_mm512_setzero_si512(); 2]; BLOCK];
    let groups = room.residuals.len();
    for group in 0..groups {
        let references = room.references.map(|plane| &plane[group]);
        let is_inside = is_inside(shape, group);
        for k in 0..KEPT {
            let step = group * KEPT + k;
            let above = room.lasts.above_first(step);
            if is_inside {
                let seen = lanes.look(&weights, above, references, k, None);
                let found = lanes.states.pop(seen.contexts, slots, words);
                lanes.keep(&seen, found, None);
            } else {
                let edge = Edge::new(shape, step);
                let seen = lanes.look(&weights, above, references, k, Some(&edge));
                let found = lanes.states.pop(seen.contexts, slots, words);
                lanes.keep(&seen, found, Some(&edge));
            }
            lanes.put_last(room.lasts.put(step));
        }
        put_residuals(&mut room.residuals[group], lanes.residuals);
        block[group % BLOCK] = lanes.pixels;
        if group % BLOCK == BLOCK - 1 || group + 1 == groups {
            put_pixels(shape, at(shape, group / BLOCK * BLOCK), &block, &LANES_OF_HALVES, plane);
        }
    }
    lanes.states.are_at_end()
}

const LANES_OF_HALVES: [[usize; HALF]; 2] = {
    let mut lanes = [[0; HALF]; 2];
    let mut lane = 0;
    while lane < LANES {
        lanes[lane / HALF][lane % HALF] = lane;
        lane += 1;
    }
    lanes
};

/// A byte of each lane, of the last four.
#[target_feature(enable = "avx512f")]
#[inline]
fn of_each(bytes: [i8; KEPT]) -> __m512i {
    _mm512_set1_epi32(i32::from_le_bytes(bytes.map(i8::cast_unsigned)))
}

/// What lanes have of the one above, and of the one above that; what is above the first two is at the end of `last`.
#[target_feature(enable = "avx512f")]
#[inline]
fn above([low, high]: [__m512i; 2], last: __m512i) -> [[__m512i; 2]; 2] {
    let one = [_mm512_alignr_epi32::<15>(low, last), _mm512_alignr_epi32::<15>(high, low)];
    let two = [_mm512_alignr_epi32::<14>(low, last), _mm512_alignr_epi32::<14>(high, low)];
    [one, two]
}

/// By what all that is around a pixel is multiplied: as lanes keep it, what came last in the highest byte. Of the lane
/// above that is NWW, NW, N, NE; of the one above that NN, NNE and what is not used.
#[derive(Clone, Copy)]
struct Factors {
    own: __m512i,
    above: __m512i,
    two_above: __m512i,
    references: __m512i,
}

impl Factors {
    #[target_feature(enable = "avx512f,avx512vnni")]
    #[inline]
    fn sum(&self, start: __m512i, references: __m512i, own: __m512i, [above, two_above]: [__m512i; 2]) -> __m512i {
        // Those that are known last come last.
        let mut sum = _mm512_dpbusd_epi32(start, references, self.references);
        sum = _mm512_dpbusd_epi32(sum, two_above, self.two_above);
        sum = _mm512_dpbusd_epi32(sum, own, self.own);
        _mm512_dpbusd_epi32(sum, above, self.above)
    }
}

/// A model, as all lanes have it.
struct Weights {
    start: __m512i,
    pixels: Factors,
    magnitudes: Factors,
    thresholds: [__m512i; LEVELS - 1],
}

impl Weights {
    #[target_feature(enable = "avx512f")]
    fn new(model: &Model) -> Self {
        let [w, nw, n, nn, ne, ww, nne, nww] = model.weights;
        // Residuals of references are multiplied as they are from 0 to 255, too much by 128.
        let too_much: i32 = model.reference_weights.iter().map(|&weight| 128 * i32::from(weight)).sum();
        let mut thresholds = model.thresholds;
        thresholds.sort_unstable();
        // Activities are not limited to 255: there none is above it.
        let threshold = |at: u8| if at == u8::MAX { i32::MAX } else { at.into() };
        Self {
            start: _mm512_set1_epi32(i32::from(model.start()) - too_much),
            pixels: Factors {
                own: of_each([0, 0, ww, w]),
                above: of_each([nww, nw, n, ne]),
                two_above: of_each([nn, nne, 0, 0]),
                references: of_each(model.reference_weights),
            },
            magnitudes: Factors {
                own: of_each([0, 0, 1, 2]),
                above: of_each([1, 1, 2, 1]),
                two_above: of_each([1, 0, 0, 0]),
                references: of_each([1; REFERENCES]),
            },
            thresholds: thresholds.map(|at| _mm512_set1_epi32(threshold(at))),
        }
    }

    /// The context of each lane's pixel, where it stands in an index of slots.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn context(&self, sum: __m512i, activity: __m512i) -> __m512i {
        const { assert!(LEVELS == 4 && FRACTIONS == 4 && WEIGHT_BITS == 7) };
        // Negative where the activity is above.
        let [low, middle, high] = self.thresholds.map(|at| _mm512_sub_epi32(at, activity));
        // Levels 1 and 3: high, or low and not middle.
        let is_odd = _mm512_ternarylogic_epi32::<0xf4>(high, low, middle);
        let odd = _mm512_srli_epi32::<{ 31 - (BITS + 2) }>(is_odd);
        let two = _mm512_srli_epi32::<{ 31 - (BITS + 3) }>(middle);
        let level = select(1 << (BITS + 3), two, odd);
        select(3 << BITS, _mm512_slli_epi32::<{ BITS - (WEIGHT_BITS - 2) }>(sum), level)
    }
}

/// Puts in what edges ask for instead of what is not there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
#[inline]
fn mend(edge: &Edge, half: usize, own: &mut __m512i, [above, two_above]: [&mut __m512i; 2]) {
    let [first, second, last] = [edge.first, edge.second, edge.last].map(|lanes| lanes[half]);
    // Which of its own bytes, from the lowest, each lane is given.
    let zero = _mm512_set4_epi32(0x0c0c_0c0c, 0x0808_0808, 0x0404_0404, 0);
    let bytes = |which: [i8; KEPT]| _mm512_or_si512(zero, of_each(which));
    let bytes_of = |lanes: __mmask16| _mm512_movepi8_mask(_mm512_movm_epi32(lanes));
    // W and WW are N; then WW is what W was, N as well, which is now NW.
    let left = _mm512_mask_mov_epi32(bytes([0, 0, 1, 0]), first, bytes([0, 0, 2, 2]));
    let is_left = _mm512_maskz_mov_epi32(second, of_each([0, 0, -1, 0]));
    let is_left = _mm512_movepi8_mask(is_left) | bytes_of(first);
    *own = _mm512_mask_shuffle_epi8(*own, is_left, *above, left);
    // NW and NWW are N; then NWW is NW. NE is N.
    let mut which = bytes([0, 1, 2, 3]);
    which = _mm512_mask_mov_epi32(which, first, bytes([2, 2, 2, 3]));
    which = _mm512_mask_mov_epi32(which, second, bytes([1, 1, 2, 3]));
    which = _mm512_mask_sub_epi32(which, last, which, of_each([0, 0, 0, 1]));
    *above = _mm512_shuffle_epi8(*above, which);
    // NNE is NN.
    *two_above = _mm512_mask_shuffle_epi8(*two_above, bytes_of(last), *two_above, bytes([0, 0, 2, 3]));
}

/// What is known of pixels before their residuals are.
struct Seen {
    /// The context of each lane's residual, where it stands in an index of slots.
    contexts: [__m512i; 2],
    /// Its low byte counts.
    predicted: [__m512i; 2],
}

/// All that is kept from step to step.
#[derive(Clone, Copy)]
struct Lanes {
    /// The last four of each lane, the last in the highest byte.
    pixels: [__m512i; 2],
    residuals: [__m512i; 2],
    states: States,
    /// What the rows above the image hold.
    above: __m512i,
}

impl Lanes {
    #[target_feature(enable = "avx512f")]
    fn new(channel: &Channel) -> Self {
        let above = _mm512_set1_epi8(channel.model.above.cast_signed());
        Self { pixels: [above; 2], residuals: [_mm512_setzero_si512(); 2], states: States::new(channel), above }
    }

    /// What is known of the pixels of the `k`th step of a group before their residuals are.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi,avx512vnni")]
    #[inline]
    fn look(
        &self,
        weights: &Weights,
        last: [u64; 2],
        references: [&Group; REFERENCES],
        k: usize,
        edge: Option<&Edge>,
    ) -> Seen {
        let [last_pixels, last_residuals] = last.map(|lanes| _mm512_set1_epi64(lanes.cast_signed()));
        let magnitudes = self.residuals.map(|r| _mm512_abs_epi8(r));
        let mut above_pixels = above(self.pixels, last_pixels);
        let mut above_magnitudes = above(magnitudes, _mm512_abs_epi8(last_residuals));
        let (mut own_pixels, mut own_magnitudes) = (self.pixels, magnitudes);
        let mut seen = Seen { contexts: self.pixels, predicted: self.pixels };
        for half in 0..2 {
            if let Some(edge) = edge {
                mend(edge, half, &mut own_pixels[half], above_pixels.each_mut().map(|above| &mut above[half]));
                mend(edge, half, &mut own_magnitudes[half], above_magnitudes.each_mut().map(|above| &mut above[half]));
            }
            let references = side_by_side(references.map(|group| &group.0[k].as_chunks().0[half]));
            let raised = _mm512_xor_si512(references, _mm512_set1_epi8(-128));
            let around = above_pixels.map(|above| above[half]);
            let sum = weights.pixels.sum(weights.start, raised, own_pixels[half], around);
            let around = above_magnitudes.map(|above| above[half]);
            let references = _mm512_abs_epi8(references);
            let activity = weights.magnitudes.sum(_mm512_setzero_si512(), references, own_magnitudes[half], around);

            let mut context = weights.context(sum, activity);
            if let Some(edge) = edge {
                let idle = _mm512_set1_epi32((IDLE << BITS) as i32);
                context = _mm512_mask_mov_epi32(context, edge.idle[half], idle);
            }
            seen.contexts[half] = context;
            // The sum's low 16 bits.
            let whole = _mm512_srai_epi32::<{ 16 + WEIGHT_BITS }>(_mm512_slli_epi32::<16>(sum));
            let least = _mm512_max_epi32(whole, _mm512_set1_epi32(-128));
            let within = _mm512_min_epi32(least, _mm512_set1_epi32(127));
            seen.predicted[half] = _mm512_add_epi32(within, _mm512_set1_epi32(128));
        }
        seen
    }

    /// Makes residuals pixels.
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    #[inline]
    fn keep(&mut self, seen: &Seen, residuals: [__m512i; 2], edge: Option<&Edge>) {
        for (half, residuals) in residuals.into_iter().enumerate() {
            let mut pixel = _mm512_add_epi32(seen.predicted[half], residuals);
            if let Some(edge) = edge {
                pixel = _mm512_mask_mov_epi32(pixel, edge.idle[half], self.above);
            }
            self.pixels[half] = _mm512_shrdi_epi32::<8>(self.pixels[half], pixel);
            self.residuals[half] = _mm512_shrdi_epi32::<8>(self.residuals[half], residuals);
        }
    }

    /// Puts down what the last two lanes keep.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn put_last(&self, to: &mut [u64; 2]) {
        let both = _mm512_unpackhi_epi64(self.pixels[1], self.residuals[1]);
        // SAFETY: as many bytes as a vector.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_extracti32x4_epi32::<3>(both)) };
    }
}

/// The residuals of each lane's references at a step beside each other.
#[target_feature(enable = "avx512f,avx512vbmi")]
#[inline]
fn side_by_side(references: [&[u8; HALF]; REFERENCES]) -> __m512i {
    const ORDER: [[u8; REFERENCES]; HALF] = {
        let mut order = [[0; REFERENCES]; HALF];
        let mut i = 0;
        while i < HALF * REFERENCES {
            order[i / REFERENCES][i % REFERENCES] = (i % REFERENCES * HALF + i / REFERENCES) as u8;
            i += 1;
        }
        order
    };
    // SAFETY: as many bytes as a vector.
    let [a, b, c, d] = references.map(|lanes| unsafe { _mm_loadu_si128(lanes.as_ptr().cast()) });
    let both = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
    let all = _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(both, c), d);
    _mm512_permutexvar_epi8(load(&ORDER), all)
}

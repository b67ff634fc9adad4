//! From residuals that are known to pixels: a lane keeps two pixels in 16 bits, in which sums are, so that a vector has all
//! lanes. One of the places with `unsafe`: loads of as many bytes as their types say.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "thirty intrinsics")]

use std::arch::x86_64::*;

use super::super::channel::Channel;
use super::super::groups::{BLOCK, Group, HALF, KEPT, Lasts, at, is_inside};
use super::vectors::{Block, Edge, load as load_all, put_pixels};
use crate::wave::geometry::LANES;
use crate::wave::model::{NO_REFERENCE, REFERENCES, WEIGHT_BITS};

/// Lanes whose pixels are in each half of a group when two vectors have been interleaved.
const INTERLEAVED: [[usize; HALF]; 2] = {
    let mut lanes = [[0; HALF]; 2];
    let mut i = 0;
    while i < LANES {
        lanes[i / 4 % 2][i / 8 * 4 + i % 4] = i;
        i += 1;
    }
    lanes
};

/// Two bytes of each lane.
#[target_feature(enable = "avx512f")]
#[inline]
fn of_each(bytes: [i8; 2]) -> __m512i {
    _mm512_set1_epi16(i16::from_le_bytes(bytes.map(i8::cast_unsigned)))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(from: &[u8; LANES]) -> __m256i {
    // SAFETY: as many bytes as a vector.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Of each lane what the one above has, of the first what the last one has.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn rotated(lanes: __m512i) -> __m512i {
    const ORDER: [u16; LANES] = {
        let mut order = [31; LANES];
        let mut lane = 1;
        while lane < LANES {
            order[lane] = lane as u16 - 1;
            lane += 1;
        }
        order
    };
    _mm512_permutexvar_epi16(load_all(&ORDER), lanes)
}

/// What the first lane has.
#[target_feature(enable = "avx512f")]
#[inline]
fn first(lanes: __m512i) -> u16 {
    _mm_cvtsi128_si32(_mm512_castsi512_si128(lanes)) as u16
}

/// Gives it to the first lane.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn with_first(lanes: __m512i, first: u16) -> __m512i {
    _mm512_mask_set1_epi16(lanes, 1, first.cast_signed())
}

/// What is around the pixels of all lanes, two of each in a vector, the right one in the higher byte.
struct Around {
    /// WW and W.
    own: __m512i,
    /// N and NE.
    above: __m512i,
    /// NWW and NW.
    left: __m512i,
    /// NN and NNE.
    two_above: __m512i,
}

impl Around {
    /// Puts in what edges ask for instead of what is not there.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn mend(&mut self, edge: &Edge) {
        let [first, second, last] = [edge.first, edge.second, edge.last].map(of_both);
        let high = 0xaaaa_aaaa_aaaa_aaaa;
        let low = !high;
        let twice_low = |of: __m512i| _mm512_mask_mov_epi8(of, high, _mm512_slli_epi16::<8>(of));
        let twice_high = |of: __m512i| _mm512_mask_mov_epi8(of, low, _mm512_srli_epi16::<8>(of));
        let (n, nw) = (twice_low(self.above), twice_high(self.left));
        // W and WW are N; then WW is what W was, N as well, which is now NW.
        let ww_is_nw = _mm512_mask_mov_epi8(self.own, low, nw);
        self.own = _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(self.own, second, ww_is_nw), first, n);
        // NW and NWW are N; then NWW is NW.
        self.left = _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(self.left, second, nw), first, n);
        // NE is N, and NNE is NN.
        self.above = _mm512_mask_mov_epi16(self.above, last, n);
        self.two_above = _mm512_mask_mov_epi16(self.two_above, last, twice_low(self.two_above));
    }
}

/// Lanes of both halves.
fn of_both([low, high]: [__mmask16; 2]) -> __mmask32 {
    __mmask32::from(low) | __mmask32::from(high) << HALF
}

/// Decodes a channel's pixels into its plane, `[y, x]`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi2")]
pub(super) fn decode(
    channel: &Channel,
    plane: &mut [u8],
    residuals: &[Group],
    references: [&[Group]; REFERENCES],
    mut lasts: Lasts<[u16; 2]>,
) {
    let &Channel { shape, model, .. } = channel;
    let [w, nw, n, nn, ne, ww, nne, nww] = model.weights;
    let [of_own, of_above, of_left, of_two_above] = [[ww, w], [n, ne], [nww, nw], [nn, nne]].map(|pair| of_each(pair));
    let reference_weights = model.reference_weights.map(|weight| _mm512_set1_epi16(weight.into()));
    let n_references =
        model.references.iter().rposition(|&reference| reference != NO_REFERENCE).map_or(0, |last| last + 1);
    let start = _mm512_set1_epi16(model.start());
    let rows_above = _mm512_set1_epi8(model.above.cast_signed());
    // What lanes keep; what they had of the one above at the last step, and at the one before.
    let (mut own, mut above_before, mut left) = (rows_above, rows_above, rows_above);
    let mut block: Block = [[rows_above; 2]; BLOCK];
    let groups = residuals.len();
    for (group, residuals) in residuals.iter().enumerate() {
        let references = references.map(|plane| &plane[group]);
        let is_inside = is_inside(shape, group);
        let mut half_way = own;
        for k in 0..KEPT {
            let step = group * KEPT + k;
            let [one_above, two_above] = [own, left].map(|lanes| rotated(lanes));
            *lasts.put(step.wrapping_sub(1)) = [one_above, two_above].map(|lanes| first(lanes));
            let [of_first, of_first_two] = lasts.above_first(step);
            let one_above = with_first(one_above, of_first);
            let two_above = with_first(two_above, of_first_two);
            let mut around = Around { own, above: one_above, left, two_above };
            let edge = (!is_inside).then(|| Edge::new(shape, step));
            if let Some(edge) = &edge {
                around.mend(edge);
            }
            let mut sum = start;
            for (group, weight) in references[..n_references].iter().zip(reference_weights) {
                let residuals = _mm512_cvtepi8_epi16(load(&group.0[k]));
                sum = _mm512_add_epi16(sum, _mm512_mullo_epi16(residuals, weight));
            }
            let Around { own: w, above: n, left: nw, two_above: nn } = around;
            let [w, n, nw, nn] = [(w, of_own), (n, of_above), (nw, of_left), (nn, of_two_above)]
                .map(|(pixels, weights)| _mm512_maddubs_epi16(pixels, weights));
            // Those that are known last come last.
            sum = _mm512_add_epi16(_mm512_add_epi16(sum, nn), nw);
            sum = _mm512_add_epi16(sum, _mm512_add_epi16(w, n));
            let whole = _mm512_srai_epi16::<WEIGHT_BITS>(sum);
            let least = _mm512_max_epi16(whole, _mm512_set1_epi16(-128));
            let within = _mm512_min_epi16(least, _mm512_set1_epi16(127));
            let residual = _mm512_add_epi16(_mm512_cvtepu8_epi16(load(&residuals.0[k])), _mm512_set1_epi16(128));
            let mut pixel = _mm512_add_epi16(within, residual);
            if let Some(edge) = &edge {
                pixel = _mm512_mask_mov_epi16(pixel, of_both(edge.idle), rows_above);
            }
            own = _mm512_shrdi_epi16::<8>(own, pixel);
            (above_before, left) = (one_above, above_before);
            if k == KEPT / 2 - 1 {
                half_way = own;
            }
        }
        block[group % BLOCK] = [_mm512_unpacklo_epi16(half_way, own), _mm512_unpackhi_epi16(half_way, own)];
        if group % BLOCK == BLOCK - 1 || group + 1 == groups {
            put_pixels(shape, at(shape, group / BLOCK * BLOCK), &block, &INTERLEAVED, plane);
        }
    }
}

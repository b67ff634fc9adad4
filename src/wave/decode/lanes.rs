//! What is done to the pixels of 32 lanes at once, by AVX2: all but taking residuals from states (`avx2`). Each lane is a
//! row; what is above it comes from the lane before, moved by one. One of the places with `unsafe`: loads and stores, each
//! of as many bytes as their types say.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "thirty intrinsics")]

use std::arch::x86_64::*;

use super::skew::{Place, Plane, Planes, Room, put};
use crate::wave::geometry::{BEHIND, LAG, LANES, Shape};
use crate::wave::mode::Mode;
use crate::wave::model::{FRACTIONS, LEVELS, Model, NEIGHBOURS, PAIRS, REFERENCES};
use crate::wave::tables::IDLE;

#[target_feature(enable = "avx2")]
#[inline]
fn load(from: &[u8; LANES]) -> __m256i {
    // SAFETY: as many bytes as a vector.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(to: &mut [u8; LANES], vector: __m256i) {
    // SAFETY: as many bytes as a vector.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
}

/// Each lane's value from the lane before, and the first one's from the last lane of `first`.
#[target_feature(enable = "avx2")]
#[inline]
fn from_lane_before(lanes: __m256i, first: __m256i) -> __m256i {
    _mm256_alignr_epi8::<15>(lanes, _mm256_permute2x128_si256::<0x21>(first, lanes))
}

/// Adds products of bytes and their weights, of the first lanes of each half and of its last.
#[target_feature(enable = "avx2")]
#[inline]
fn add_pair(sums: [__m256i; 2], [a, b]: [__m256i; 2], of_low: __m256i, of_high: __m256i) -> [__m256i; 2] {
    let [low, high] = sums;
    [
        _mm256_add_epi16(low, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, b), of_low)),
        _mm256_add_epi16(high, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, b), of_high)),
    ]
}

/// What is around the pixels of all lanes, of which what the edges ask for instead is put in: W, NW, N, NN, NE, WW, NNE,
/// NWW.
struct Around([__m256i; NEIGHBOURS]);

/// What is kept of a plane from step to step.
#[derive(Clone, Copy)]
struct Trail {
    /// The plane at the last step.
    last: __m256i,
    n: __m256i,
    ne: __m256i,
    nne: __m256i,
    /// As edges have them.
    w: __m256i,
    nw: __m256i,
}

/// Lanes at an edge.
struct Edge {
    first: __m256i,
    last: __m256i,
    idle: __m256i,
}

impl Trail {
    #[target_feature(enable = "avx2")]
    fn new(above: u8) -> Self {
        let above = _mm256_set1_epi8(above.cast_signed());
        Self { last: above, n: above, ne: above, nne: above, w: above, nw: above }
    }

    /// Goes on by a step; what the first lane's neighbours NE and NNE are is the last lane of these.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn step(&mut self, ne_of_first: __m256i, nne_of_first: __m256i, edge: Option<&Edge>) -> Around {
        let (n, nn) = (self.ne, self.nne);
        let (mut w, mut nw, mut ww, mut nww) = (self.last, self.n, self.w, self.nw);
        self.ne = from_lane_before(self.last, ne_of_first);
        self.nne = from_lane_before(self.n, nne_of_first);
        self.n = n;
        let (mut ne, mut nne) = (self.ne, self.nne);
        if let Some(Edge { first, last, .. }) = edge {
            for left in [&mut w, &mut nw, &mut ww, &mut nww] {
                *left = _mm256_blendv_epi8(*left, n, *first);
            }
            ne = _mm256_blendv_epi8(ne, n, *last);
            nne = _mm256_blendv_epi8(nne, nn, *last);
        }
        (self.w, self.nw) = (w, nw);
        Around([w, nw, n, nn, ne, ww, nne, nww])
    }
}

/// All that is kept from step to step.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    pixels: Trail,
    /// Of residuals, without their sign.
    magnitudes: Trail,
    /// Of [`PAIRS`].
    weights: [__m256i; PAIRS.len()],
    reference_weights: [__m256i; REFERENCES],
    start: __m256i,
    thresholds: [__m256i; LEVELS - 1],
    mode: Mode,
    above: __m256i,
    /// How far each lane is behind.
    behind: __m256i,
}

impl Lanes {
    #[target_feature(enable = "avx2")]
    pub(super) fn new(model: &Model, mode: Mode) -> Self {
        let Model { weights, reference_weights, above, thresholds, .. } = model;
        let pair = |pair: [usize; 2]| i16::from_le_bytes(pair.map(|i| weights[i].cast_unsigned()));
        Self {
            pixels: Trail::new(*above),
            magnitudes: Trail::new(0),
            weights: PAIRS.map(|both| _mm256_set1_epi16(pair(both))),
            reference_weights: reference_weights.map(|weight| _mm256_set1_epi8(weight)),
            start: _mm256_set1_epi16(model.start()),
            thresholds: thresholds.map(|threshold| _mm256_set1_epi8((threshold ^ 0x80).cast_signed())),
            mode,
            above: _mm256_set1_epi8(above.cast_signed()),
            behind: load(&std::array::from_fn(|lane| (BEHIND * lane) as u8)),
        }
    }

    /// Lanes that stand at an edge of their row, or nowhere.
    #[target_feature(enable = "avx2")]
    fn edge(&self, shape: Shape, (band, phase): (usize, usize)) -> Edge {
        // Lanes are told apart by how far they are behind, at most LAG.
        let at = |behind: isize| _mm256_set1_epi8(behind.clamp(-1, LAG as isize + 1) as i8);
        let [phase, width, period] = [phase, shape.width, shape.period()].map(|n| n as isize);
        let first = _mm256_cmpeq_epi8(self.behind, at(phase));
        let last = _mm256_or_si256(
            _mm256_cmpeq_epi8(self.behind, at(phase + 1 - width)),
            _mm256_cmpeq_epi8(self.behind, at(phase + 1 - width + period)),
        );
        // Rows that a band has, as how far the first lane that has none is behind.
        let end = |band: Option<usize>| {
            band.map_or(0, |band| BEHIND * shape.height.saturating_sub(band * LANES).min(LANES)) as isize
        };
        let idle = |end: isize, phase: isize| {
            let is_below = _mm256_cmpgt_epi8(self.behind, at(end - 1));
            let is_right = _mm256_cmpgt_epi8(at(phase - width + 1), self.behind);
            _mm256_or_si256(is_below, is_right)
        };
        let is_in_band_before = _mm256_cmpgt_epi8(self.behind, at(phase));
        let here = idle(end(Some(band)), phase);
        let before = idle(end(band.checked_sub(1)), phase + period);
        Edge { first, last, idle: _mm256_blendv_epi8(here, before, is_in_band_before) }
    }

    /// What is known of the pixels of a step before their residuals are.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn look<const IS_EDGE: bool>(&mut self, shape: Shape, place: &Place, step: usize, room: &Room) -> Seen {
        let edge = IS_EDGE.then(|| self.edge(shape, (step / shape.period(), step % shape.period())));
        let [ne, nne] = room.pixels.above_first(place.pixels, step).map(|lanes| load(lanes));
        let Around([w, nw, n, nn, ne, ww, nne, nww]) = self.pixels.step(ne, nne, edge.as_ref());
        let [mne, mnne] = room.residuals.above_first(place.residuals, step).map(|lanes| _mm256_abs_epi8(load(lanes)));
        let Around([mw, mnw, mn, mnn, mne, mww, _, mnww]) = self.magnitudes.step(mne, mnne, edge.as_ref());
        let [r0, r1, r2, r3] = place.references.map(|plane| load(room.residuals.step(plane, step)));

        let mut sums = [self.start; 2];
        // Those that are known last come last.
        let [v0, v1, v2, v3] = self.reference_weights;
        let [s0, s1, s2, s3] = [(v0, r0), (v1, r1), (v2, r2), (v3, r3)].map(|(v, r)| _mm256_sign_epi8(v, r));
        let [r0, r1, r2, r3] = [r0, r1, r2, r3].map(|r| _mm256_abs_epi8(r));
        sums = add_pair(sums, [r0, r1], _mm256_unpacklo_epi8(s0, s1), _mm256_unpackhi_epi8(s0, s1));
        sums = add_pair(sums, [r2, r3], _mm256_unpacklo_epi8(s2, s3), _mm256_unpackhi_epi8(s2, s3));
        let [of_w, of_n, of_nw, of_nn] = self.weights;
        sums = add_pair(sums, [nn, nne], of_nn, of_nn);
        sums = add_pair(sums, [nw, nww], of_nw, of_nw);
        sums = add_pair(sums, [n, ne], of_n, of_n);
        sums = add_pair(sums, [w, ww], of_w, of_w);
        let raised = |r| _mm256_xor_si256(r, _mm256_set1_epi8(-128));
        let [low, high] = sums.map(|sum| _mm256_srai_epi16::<7>(sum));
        let predicted = raised(_mm256_packs_epi16(low, high));
        let fractions = sums.map(|sum| _mm256_and_si256(_mm256_srli_epi16::<5>(sum), _mm256_set1_epi16(3)));
        let fraction = _mm256_packus_epi16(fractions[0], fractions[1]);

        let add = |a, b| _mm256_adds_epu8(a, b);
        let known = add(add(add(r0, r1), add(r2, r3)), add(add(add(mn, mn), add(mnn, mnw)), add(mnww, mww)));
        let activity = raised(add(add(known, mne), add(mw, mw)));
        let mut level = _mm256_setzero_si256();
        for threshold in self.thresholds {
            level = _mm256_sub_epi8(level, _mm256_cmpgt_epi8(activity, threshold));
        }
        const { assert!(FRACTIONS == 4) };
        let mut context = _mm256_or_si256(_mm256_slli_epi16::<2>(level), fraction);
        if self.mode == Mode::Fast {
            context = _mm256_setzero_si256();
        }
        if let Some(edge) = &edge {
            context = _mm256_blendv_epi8(context, _mm256_set1_epi8(IDLE as i8), edge.idle);
        }

        Seen { context, predicted, idle: edge.map(|edge| edge.idle) }
    }

    /// Takes the residuals of a step's pixels.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn put(&mut self, seen: &Seen, mut residual: __m256i, place: &Place, step: usize, room: &mut Room) {
        let mut pixel = _mm256_add_epi8(seen.predicted, residual);
        if let Some(idle) = seen.idle {
            pixel = _mm256_blendv_epi8(pixel, self.above, idle);
            residual = _mm256_andnot_si256(idle, residual);
        }
        self.pixels.last = pixel;
        self.magnitudes.last = _mm256_abs_epi8(residual);
        store(room.pixels.step_mut(place.pixels, step), pixel);
        store(room.residuals.step_mut(place.residuals, step), residual);
    }
}

/// What is known of pixels before their residuals are.
pub(super) struct Seen {
    /// The table of each lane's residual, [`IDLE`] of a lane that is.
    pub(super) context: __m256i,
    predicted: __m256i,
    idle: Option<__m256i>,
}

/// Puts the pixels of all lanes into their rows.
#[target_feature(enable = "avx2")]
pub(super) fn unskew(shape: Shape, pixels: &Planes, at: Plane, plane: &mut [u8]) {
    let steps = shape.steps();
    let mut lanes = [[0; 16]; LANES];
    for begin in (0..steps).step_by(16) {
        let mut rows: [__m256i; 16] = std::array::from_fn(|i| load(pixels.step(at, (begin + i).min(steps - 1))));
        for _ in 0..4 {
            let before = rows;
            for i in 0..8 {
                rows[2 * i] = _mm256_unpacklo_epi8(before[i], before[i + 8]);
                rows[2 * i + 1] = _mm256_unpackhi_epi8(before[i], before[i + 8]);
            }
        }
        for (lane, row) in rows.into_iter().enumerate() {
            let mut both = [0; LANES];
            store(&mut both, row);
            lanes[lane].copy_from_slice(&both[..16]);
            lanes[lane + 16].copy_from_slice(&both[16..]);
        }
        put(shape, begin, &lanes, plane);
    }
}

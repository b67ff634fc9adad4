//! Decoding 32 lanes at once by AVX-512, in two halves, each a vector with 32 bits a lane, as its state has. In as many a
//! lane keeps its last four pixels, so that what is around its next one is in three: its own, those of the lane above,
//! and those of the one above that; each is multiplied by weights and added by one instruction. One of the places with
//! `unsafe`: loads and stores of as many bytes as their types say, and lookups in tables of which all contexts have slots.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "fifty intrinsics")]

use std::arch::x86_64::*;

use super::channel::Channel;
use super::groups::{Group, HALF, Half, KEPT, Last, Room, put};
use crate::wave::geometry::{BEHIND, LAG, LANES, Shape};
use crate::wave::model::{FRACTIONS, LEVELS, Model, REFERENCES, WEIGHT_BITS};
use crate::wave::tables::{BITS, FREQUENCY_AT, IDLE, LEAST_STATE, RANK_AT, RANK_BITS, SLOTS, Slot};

/// Whether this processor can: Intel's since 2019, AMD's since 2022.
pub(super) fn is_there() -> bool {
    macro_rules! are_there {
        ($($feature:tt)*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    are_there!("avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vbmi" "avx512vbmi2" "avx512vnni" "popcnt")
}

/// Decodes a channel into its plane, `[y, x]`. Gives whether states and words end as they must.
///
/// # Panics
/// If the processor cannot.
pub(super) fn decode(channel: &Channel, plane: &mut [u8], mut room: Room) -> bool {
    assert!(is_there(), "a processor that can");
    // SAFETY: it can.
    unsafe {
        let is_whole = by_lanes(channel, &mut room);
        unskew(channel.shape, room.pixels, plane);
        is_whole
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,popcnt")]
fn by_lanes(channel: &Channel, room: &mut Room) -> bool {
    let &Channel { shape, model, slots, .. } = channel;
    let weights = Weights::new(model);
    let mut lanes = Lanes::new(channel);
    for group in 0..room.pixels.len() {
        let references = room.references.map(|plane| &plane[group]);
        let first = group * KEPT;
        let (band, phase) = (first / shape.period(), first % shape.period());
        let is_full = (band + 1) * LANES <= shape.height;
        // All lanes are past the first two pixels of a row of one band, and before its last.
        if is_full && phase >= LAG + 2 && phase + KEPT < shape.width {
            for k in 0..KEPT {
                let above = room.above_first(first + k);
                let seen = lanes.look(&weights, above, references, k, None);
                lanes.pop(&seen, slots, room.words, None);
                lanes.put_last(room.last(first + k));
            }
        } else {
            for k in 0..KEPT {
                let edge = Edge::new(shape, first + k);
                let above = room.above_first(first + k);
                let seen = lanes.look(&weights, above, references, k, Some(&edge));
                lanes.pop(&seen, slots, room.words, Some(&edge));
                lanes.put_last(room.last(first + k));
            }
        }
        lanes.put(&mut room.pixels[group], &mut room.residuals[group]);
    }
    lanes.are_at_end()
}

/// A byte of each lane, of the last four.
#[target_feature(enable = "avx512f")]
#[inline]
fn of_each(bytes: [i8; KEPT]) -> __m512i {
    _mm512_set1_epi32(i32::from_le_bytes(bytes.map(i8::cast_unsigned)))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load<T>(from: &T) -> __m512i {
    const { assert!(size_of::<T>() == 64) };
    // SAFETY: as many bytes as a vector.
    unsafe { _mm512_loadu_si512(std::ptr::from_ref(from).cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(to: &mut Half, vector: __m512i) {
    // SAFETY: as many bytes as a vector.
    unsafe { _mm512_storeu_si512(std::ptr::from_mut(to).cast(), vector) }
}

/// Bits of `a` where `mask` has them, of `b` elsewhere.
#[target_feature(enable = "avx512f")]
#[inline]
fn select(mask: i32, a: __m512i, b: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi32(mask), a, b)
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

/// Which lanes stand at an edge of their row, or nowhere.
struct Edge {
    first: [__mmask16; 2],
    second: [__mmask16; 2],
    last: [__mmask16; 2],
    idle: [__mmask16; 2],
}

impl Edge {
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn new(shape: Shape, step: usize) -> Self {
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

    /// Puts in what edges ask for instead of what is not there.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    #[inline]
    fn mend(&self, half: usize, own: &mut __m512i, [above, two_above]: [&mut __m512i; 2]) {
        let [first, second, last] = [self.first, self.second, self.last].map(|lanes| lanes[half]);
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
}

/// What is known of pixels before their residuals are.
struct Seen {
    /// The slot of each lane's state, in its context.
    index: [__m512i; 2],
    /// Its low byte counts.
    predicted: [__m512i; 2],
}

/// All that is kept from step to step.
#[derive(Clone, Copy)]
struct Lanes {
    /// The last four of each lane, the last in the highest byte.
    pixels: [__m512i; 2],
    residuals: [__m512i; 2],
    states: [__m512i; 2],
    /// What the rows above the image hold.
    above: __m512i,
    /// Where the next word is, in bytes, behind all of them if there are too few; and where they end.
    word: usize,
    end: usize,
}

impl Lanes {
    #[target_feature(enable = "avx512f")]
    fn new(channel: &Channel) -> Self {
        let above = _mm512_set1_epi8(channel.model.above.cast_signed());
        let states: [&[u32; HALF]; 2] = std::array::from_fn(|half| &channel.states.as_chunks().0[half]);
        Self {
            pixels: [above; 2],
            residuals: [_mm512_setzero_si512(); 2],
            states: states.map(|states| load(states)),
            above,
            word: 0,
            end: channel.words.len(),
        }
    }

    /// What is known of the pixels of the `k`th step of a group before their residuals are.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi,avx512vnni")]
    #[inline]
    fn look(
        &self,
        weights: &Weights,
        last: Last,
        references: [&Group; REFERENCES],
        k: usize,
        edge: Option<&Edge>,
    ) -> Seen {
        let [last_pixels, last_residuals] = last.map(|lanes| _mm512_set1_epi64(lanes.cast_signed()));
        let magnitudes = self.residuals.map(|r| _mm512_abs_epi8(r));
        let mut above_pixels = above(self.pixels, last_pixels);
        let mut above_magnitudes = above(magnitudes, _mm512_abs_epi8(last_residuals));
        let (mut own_pixels, mut own_magnitudes) = (self.pixels, magnitudes);
        let mut seen = Seen { index: self.states, predicted: self.states };
        for half in 0..2 {
            if let Some(edge) = edge {
                edge.mend(half, &mut own_pixels[half], above_pixels.each_mut().map(|above| &mut above[half]));
                edge.mend(half, &mut own_magnitudes[half], above_magnitudes.each_mut().map(|above| &mut above[half]));
            }
            let references = side_by_side(references.map(|group| &group[half].0[k]));
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
            seen.index[half] = select((1 << BITS) - 1, self.states[half], context);
            // The sum's low 16 bits.
            let whole = _mm512_srai_epi32::<{ 16 + WEIGHT_BITS }>(_mm512_slli_epi32::<16>(sum));
            let least = _mm512_max_epi32(whole, _mm512_set1_epi32(-128));
            let within = _mm512_min_epi32(least, _mm512_set1_epi32(127));
            seen.predicted[half] = _mm512_add_epi32(within, _mm512_set1_epi32(128));
        }
        seen
    }

    /// Takes a residual from each lane's state, and makes it the pixel.
    #[target_feature(enable = "avx512f,avx512vbmi2,popcnt")]
    #[inline]
    fn pop(&mut self, seen: &Seen, slots: &[Slot; SLOTS], words: &[u8], edge: Option<&Edge>) {
        // SAFETY: an index is a context, at most IDLE, with BITS of a state below.
        let look_up = |index| unsafe { _mm512_i32gather_epi32::<4>(index, slots.as_ptr().cast()) };
        let found = seen.index.map(look_up);
        let mut at = self.word.min(self.end);
        let taken_before = at;
        for half in 0..2 {
            let slot = found[half];
            let frequency = _mm512_srli_epi32::<FREQUENCY_AT>(slot);
            let rank = _mm512_and_si512(_mm512_srli_epi32::<RANK_AT>(slot), _mm512_set1_epi32((1 << RANK_BITS) - 1));
            let whole = _mm512_srli_epi32::<BITS>(self.states[half]);
            let next = _mm512_add_epi32(_mm512_mullo_epi32(frequency, whole), rank);
            let is_short = _mm512_cmplt_epu32_mask(next, _mm512_set1_epi32(LEAST_STATE.cast_signed()));
            let sixteen: &[u8; 2 * HALF] = words[at..].first_chunk().expect("padding");
            // SAFETY: as many bytes as a vector.
            let sixteen = unsafe { _mm256_loadu_si256(sixteen.as_ptr().cast()) };
            let word = _mm512_maskz_expand_epi32(is_short, _mm512_cvtepu16_epi32(sixteen));
            self.states[half] = _mm512_mask_or_epi32(next, is_short, _mm512_slli_epi32::<16>(next), word);
            at = at.wrapping_add(2 * is_short.count_ones() as usize);

            let mut pixel = _mm512_add_epi32(seen.predicted[half], slot);
            if let Some(edge) = edge {
                pixel = _mm512_mask_mov_epi32(pixel, edge.idle[half], self.above);
            }
            self.pixels[half] = _mm512_shrdi_epi32::<8>(self.pixels[half], pixel);
            self.residuals[half] = _mm512_shrdi_epi32::<8>(self.residuals[half], slot);
        }
        self.word = self.word.wrapping_add(at.wrapping_sub(taken_before));
    }

    /// Puts down what the last two lanes keep.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn put_last(&self, to: &mut Last) {
        let both = _mm512_unpackhi_epi64(self.pixels[1], self.residuals[1]);
        // SAFETY: as many bytes as a vector.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_extracti32x4_epi32::<3>(both)) };
    }

    /// Puts down a group that is through.
    #[target_feature(enable = "avx512f,avx512vbmi")]
    #[inline]
    fn put(&self, pixels: &mut Group, residuals: &mut Group) {
        // All lanes of a step side by side.
        const ORDER: [[u8; HALF]; KEPT] = {
            let mut order = [[0; HALF]; KEPT];
            let mut i = 0;
            while i < HALF * KEPT {
                order[i / HALF][i % HALF] = (i % HALF * KEPT + i / HALF) as u8;
                i += 1;
            }
            order
        };
        for half in 0..2 {
            store(&mut pixels[half], self.pixels[half]);
            store(&mut residuals[half], _mm512_permutexvar_epi8(load(&ORDER), self.residuals[half]));
        }
    }

    /// Whether all words are taken, and states are as they must be then.
    #[target_feature(enable = "avx512f")]
    fn are_at_end(&self) -> bool {
        let least = _mm512_set1_epi32(LEAST_STATE.cast_signed());
        let is_least = |&states: &__m512i| _mm512_cmpeq_epi32_mask(states, least) == __mmask16::MAX;
        self.word == self.end && self.states.iter().all(is_least)
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

/// Puts the pixels of all lanes into their rows.
#[target_feature(enable = "avx512f")]
fn unskew(shape: Shape, pixels: &[Group], plane: &mut [u8]) {
    for (block, groups) in pixels.chunks(HALF).enumerate() {
        let first = block * HALF * KEPT;
        let at = (first / shape.period(), first % shape.period());
        for half in 0..2 {
            let mut rows: [__m512i; HALF] = std::array::from_fn(|i| load(&groups[i.min(groups.len() - 1)][half]));
            for _ in 0..HALF.ilog2() {
                let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
                let before = rows;
                for i in 0..HALF / 2 {
                    rows[2 * i] = _mm512_permutex2var_epi32(before[i], low, before[i + HALF / 2]);
                    rows[2 * i + 1] = _mm512_permutex2var_epi32(before[i], high, before[i + HALF / 2]);
                }
            }
            for (lane, row) in (half * HALF..).zip(rows) {
                let mut pixels = Half::default();
                store(&mut pixels, row);
                put(shape, at, lane, pixels.0.as_flattened().as_array::<{ HALF * KEPT }>().expect("as many"), plane);
            }
        }
    }
}

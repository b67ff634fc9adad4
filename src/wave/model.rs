//! How a pixel is predicted, and by which table its residual is coded: whatever decoder and encoder must do alike, said
//! once for one pixel. What is done to many at a time (`rows`, `avx2`) is held to it.

use std::ops::RangeInclusive;

/// Pixels around one that it is predicted from: W, NW, N, NN, NE, WW, NNE, NWW.
pub(super) const NEIGHBOURS: usize = 8;
/// Channels before its own by whose residuals a pixel is predicted.
pub(super) const REFERENCES: usize = 4;
/// Said instead of a channel: none.
pub(super) const NO_REFERENCE: u8 = 255;
/// What weights are in: 1/128.
pub(super) const WEIGHT_BITS: u32 = 7;
/// Neighbours of which two are multiplied by their weights and added in 16 bits: W and WW, N and NE, NW and NWW, NN and
/// NNE.
pub(super) const PAIRS: [[usize; 2]; NEIGHBOURS / 2] = [[0, 5], [2, 4], [1, 7], [3, 6]];
/// What the positive weights of two neighbours may add up to, and the negative ones: 255 times as much fits into 16 bits.
pub(super) const WEIGHTS_OF_PAIR: RangeInclusive<i16> = -128..=128;

/// Levels of activity, and parts of the prediction's fraction, that have tables of their own.
pub(super) const LEVELS: usize = 4;
pub(super) const FRACTIONS: usize = 4;
/// Tables of a channel.
pub(super) const CONTEXTS: usize = LEVELS * FRACTIONS;

/// The values of a pixel's neighbours.
pub(super) type Around = [u8; NEIGHBOURS];

/// By what a channel is predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    /// Weights of the neighbours; see [`Model::is_sound`].
    pub(super) weights: [i8; NEIGHBOURS],
    /// Weights of the residuals of other channels, none of them -128.
    pub(super) reference_weights: [i8; REFERENCES],
    /// Which channels, or [`NO_REFERENCE`].
    pub(super) references: [u8; REFERENCES],
    /// Added to all, in 1/128.
    pub(super) bias: i16,
    /// What the rows above the image are taken to hold.
    pub(super) above: u8,
    /// From which activity on, exclusive, the next level begins.
    pub(super) thresholds: [u8; LEVELS - 1],
}

impl Model {
    /// Whether the products of [`PAIRS`] fit into 16 bits when they are added, and a reference's weight has its negative:
    /// so that those who add in 16 bits need not look.
    pub(super) fn is_sound(&self) -> bool {
        let fits = |pair: [usize; 2]| {
            let weights = pair.map(|i| i16::from(self.weights[i]));
            let [above, below] = [weights.map(|w| w.max(0)), weights.map(|w| w.min(0))];
            WEIGHTS_OF_PAIR.contains(&above.iter().sum()) && WEIGHTS_OF_PAIR.contains(&below.iter().sum())
        };
        PAIRS.into_iter().all(fits) && !self.reference_weights.contains(&i8::MIN)
    }

    /// What a sum begins with: half of a level, so that its whole part is rounded, less 128 levels, so that it fits into
    /// 16 bits.
    pub(super) fn start(&self) -> i16 {
        self.bias.wrapping_add(64 - (128 << WEIGHT_BITS))
    }

    /// A pixel's prediction, less 128 levels, in 1/128 of a level.
    pub(super) fn sum(&self, around: Around, references: [i8; REFERENCES]) -> i16 {
        let own = around.into_iter().zip(self.weights).map(|(p, w)| i16::from(p) * i16::from(w));
        let others = references.into_iter().zip(self.reference_weights).map(|(r, w)| i16::from(r) * i16::from(w));
        own.chain(others).fold(self.start(), i16::wrapping_add)
    }

    /// How much residuals around a pixel, and those of other channels at it, vary: at most 255.
    pub(super) fn activity(around: Around, references: [i8; REFERENCES]) -> u8 {
        let [w, nw, n, nn, ne, ww, _, nww] = around.map(|r| u32::from(r.cast_signed().unsigned_abs()));
        let others: u32 = references.iter().map(|r| u32::from(r.unsigned_abs())).sum();
        (2 * w + nw + 2 * n + nn + ne + ww + nww + others).min(255) as u8
    }

    /// The table of a pixel's residual.
    pub(super) fn context(&self, sum: i16, activity: u8) -> usize {
        let level = self.thresholds.iter().filter(|&&threshold| activity > threshold).count();
        level * FRACTIONS + (sum >> 5 & 3) as usize
    }
}

/// The whole part of a prediction, as a level.
pub(super) fn predicted(sum: i16) -> u8 {
    ((sum >> WEIGHT_BITS).clamp(-128, 127) + 128) as u8
}

/// The neighbours of a pixel of a plane of which those before it are known: `above` stands for the rows above it; at the
/// left edge W, NW, WW and NWW are N, and what WW and NWW are one further is what W and NW were; at the right edge NE is
/// N and NNE is NN.
pub(super) fn around(plane: &[u8], width: usize, y: usize, x: usize, above: u8) -> Around {
    let at = |up: usize, x: usize| y.checked_sub(up).map_or(above, |y| plane[y * width + x]);
    let (n, nn) = (at(1, x), at(2, x));
    let [w, nw, ww, nww] = match x {
        0 => [n; 4],
        1 => [at(0, 0), at(1, 0), at(1, 0), at(1, 0)],
        _ => [at(0, x - 1), at(1, x - 1), at(0, x - 2), at(1, x - 2)],
    };
    let (ne, nne) = if x + 1 == width { (n, nn) } else { (at(1, x + 1), at(2, x + 1)) };
    [w, nw, n, nn, ne, ww, nne, nww]
}

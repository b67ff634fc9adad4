//! Batch effects: what each experiment and each plate adds that has nothing to do with the cells' biology. Their
//! sizes follow RxRx1's per-plate pixel statistics: over experiments a channel's mean has a coefficient of variation
//! of 45 to 139 %, over the plates of one experiment mostly 3 to 22 %. Pure.

use super::biology::CHANNELS;
use super::dice::Dice;

/// What one plate's microscopy and culture did to its images.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Factor on the signal, `[channel]`.
    pub gain: [f32; CHANNELS],
    /// Grey levels of camera and medium, `[channel]`.
    pub offset: [f32; CHANNELS],
    /// Standard deviation of the focus blur, in pixels of a field 512 wide, `[channel]`.
    pub blur: [f32; CHANNELS],
    /// Share of the light that comes from out of focus.
    pub haze: f32,
    /// Illumination: relative slope along x and y from edge to edge, and fall-off in the corners.
    pub illumination: [f32; 3],
    /// Factor on the number of cells.
    pub density: f32,
    /// The part of the gain by which the camera's noise is brighter, too.
    pub exposure: f32,
}

/// Spread of the logarithm of a channel's gain over experiments. The nucleus and mitochondria vary most in RxRx1.
const GAIN_SIGMA: [f32; CHANNELS] = [0.76, 0.60, 0.66, 0.76, 0.80, 0.64];

/// What makes up for the spread that is lost when what all channels of an experiment have in common is taken out of
/// their gains, in favour of what sets bright experiments apart. Channels vary more than in RxRx1, as there are fewer
/// experiments to learn that from.
const WIDER: f32 = 0.7;
/// The logarithm of a factor on all gains, fitted to how well real sites compress.
const BRIGHTER: f32 = 0.1;

/// One experiment of so many is bright in every channel, as HEPG2-01, HEPG2-02 and U2OS-04 are in RxRx1, by this
/// factor: the camera's 8 bits were spread over fewer levels of light, so that noise is brighter, too.
const BRIGHT_ONE_OF: usize = 7;
const EXPOSURE: f32 = 4.0;
/// Such experiments have this many times the cells, and their channels differ less.
const CROWD: f32 = 3.2;
const BRIGHT_SPREAD: f32 = 0.5;

/// The batch effects of all plates, `[experiment][plate]`. Gains over experiments, and over the plates of each, are
/// spread evenly over their distribution and dealt out at random, so that two experiments already differ as much as
/// fifty do; independent draws would often come out alike.
#[must_use]
pub fn batches(seed: u64, n_experiments: usize, n_plates: usize) -> Vec<Vec<Batch>> {
    let mut dice = Dice::new(seed, &[0xba7c]);
    let bright = bright(seed, n_experiments);
    let gains: Vec<Vec<f32>> = GAIN_SIGMA.iter().map(|_| spread(&mut dice, n_experiments)).collect();
    (0..n_experiments)
        .map(|experiment| {
            let mut dice = Dice::new(seed, &[0xba7c, experiment as u64]);
            let own = if bright[experiment] { BRIGHT_SPREAD } else { 1.0 };
            let logs: [f32; CHANNELS] = std::array::from_fn(|c| own * WIDER * GAIN_SIGMA[c] * gains[c][experiment]);
            let common = logs.iter().sum::<f32>() / CHANNELS as f32;
            let exposure = if bright[experiment] { EXPOSURE } else { 1.0 };
            let gain = logs.map(|log| exposure * (BRIGHTER + log - common).exp());
            plates(&mut dice, gain, exposure, n_plates)
        })
        .collect()
}

/// Which experiments are bright.
fn bright(seed: u64, n_experiments: usize) -> Vec<bool> {
    let mut bright = vec![false; n_experiments];
    bright[..n_experiments / BRIGHT_ONE_OF].fill(true);
    Dice::new(seed, &[0xb419]).shuffle(&mut bright);
    bright
}

/// The plates of one experiment, around its own gain.
fn plates(dice: &mut Dice, gain: [f32; CHANNELS], exposure: f32, n_plates: usize) -> Vec<Batch> {
    let offset: [f32; CHANNELS] = std::array::from_fn(|c| dice.between(0.6, 1.3) + 0.2 * gain[c].min(3.0));
    let focus = dice.between(0.75, 1.0);
    let blur: [f32; CHANNELS] = std::array::from_fn(|_| focus * dice.between(0.92, 1.12));
    let haze = dice.between(0.1, 0.25);
    let illumination: [f32; 3] = std::array::from_fn(|_| 0.09 * dice.normal());
    let crowd = if exposure > 1.0 { CROWD } else { 1.0 };
    let density = crowd * dice.factor(0.12);
    let sigma: [f32; CHANNELS] = std::array::from_fn(|_| dice.between(0.04, 0.13));
    let shifts: Vec<Vec<f32>> = sigma.iter().map(|_| spread(dice, n_plates)).collect();
    (0..n_plates)
        .map(|plate| Batch {
            gain: std::array::from_fn(|c| gain[c] * (sigma[c] * shifts[c][plate]).exp()),
            offset: offset.map(|offset| offset + 0.15 * dice.normal()),
            blur: blur.map(|blur| blur * dice.factor(0.05)),
            haze: haze * dice.factor(0.1),
            illumination: illumination.map(|slope| slope + 0.03 * dice.normal()),
            density: density * dice.factor(0.04),
            exposure,
        })
        .collect()
}

/// `n` values with mean 0 and standard deviation 1, evenly spread over a distribution like the normal one, in random
/// order. One value alone is a plain draw.
fn spread(dice: &mut Dice, n: usize) -> Vec<f32> {
    if n < 2 {
        return (0..n).map(|_| dice.normal()).collect();
    }
    // The logistic distribution's quantile function is elementary and its shape is near the normal one.
    let quantile = |i: usize| {
        let p = (i as f32 + 0.5) / n as f32;
        (p / (1.0 - p)).ln()
    };
    let mut values: Vec<f32> = (0..n).map(quantile).collect();
    let variance = values.iter().map(|x| x * x).sum::<f32>() / n as f32;
    for value in &mut values {
        *value /= variance.sqrt();
    }
    dice.shuffle(&mut values);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variation(values: &[f32]) -> f32 {
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt() / mean
    }

    #[test]
    fn gains_vary_more_between_experiments_than_between_plates() {
        for seed in 0..20 {
            let batches = batches(seed, 12, 4);
            for c in 0..CHANNELS {
                let experiments: Vec<f32> = batches.iter().map(|plates| plates[0].gain[c]).collect();
                assert!((0.35..1.4).contains(&variation(&experiments)), "seed {seed} channel {c}");
                for plates in &batches {
                    let plates: Vec<f32> = plates.iter().map(|batch| batch.gain[c]).collect();
                    assert!((0.03..0.15).contains(&variation(&plates)), "seed {seed} channel {c}");
                }
            }
        }
    }
}

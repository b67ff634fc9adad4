//! Sites that are far from the others of their plate: dark, bright, saturated, out of focus. Pure.

use serde::Serialize;

use crate::inspect::measure::Measured;
use crate::training::data::channel_stats::MAD_TO_STD;

/// Robust standard deviations that are far.
const FAR: f64 = 6.0;

/// In what a site is far from its plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// Its mean is lower.
    Dark,
    /// Its mean is higher.
    Bright,
    /// More of it is saturated.
    Saturated,
    /// It is less sharp.
    OutOfFocus,
}

/// A site that is far from its plate, in that by which it is furthest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FarSite {
    /// Its place in the order of the plate's sites.
    pub(super) site: usize,
    /// In what.
    pub(super) what: What,
    /// The channel, from 0.
    pub(super) channel: usize,
    /// Its value.
    pub(super) value: f64,
    /// The median of its plate.
    pub(super) median: f64,
    /// How far, in robust standard deviations (1.4826 MAD, but at least a fiftieth of the median).
    pub(super) distance: f64,
}

/// Finds them among the sites of one plate: means, `[site][channel]`, and what was measured, where it was.
#[must_use]
pub(super) fn far_sites(means: &[Vec<f64>], measured: Option<&[Vec<Measured>]>) -> Vec<FarSite> {
    let n_channels = means.first().map_or(0, Vec::len);
    let mut furthest: Vec<Option<FarSite>> = vec![None; means.len()];
    let mut look = |channel: usize, values: &[f64], least: f64, what: fn(bool) -> Option<What>| {
        let Some((median, std)) = middle(values) else { return };
        let std = std.max(median.abs() / 50.0).max(least);
        for (site, &value) in values.iter().enumerate() {
            let distance = ((value - median) / std).abs();
            let Some(what) = what(value > median).filter(|_| distance >= FAR) else { continue };
            if furthest[site].as_ref().is_none_or(|known| known.distance < distance) {
                furthest[site] = Some(FarSite { site, what, channel, value, median, distance });
            }
        }
    };
    for channel in 0..n_channels {
        let of_channel: Vec<f64> = means.iter().map(|site| site[channel]).collect();
        look(channel, &of_channel, 0.5, |is_above| Some(if is_above { What::Bright } else { What::Dark }));
        let Some(measured) = measured else { continue };
        let values = |of: fn(&Measured) -> f64| -> Vec<f64> {
            measured.iter().map(|site| site.get(channel).map_or(f64::NAN, of)).collect()
        };
        let saturated = values(|found| found.saturated);
        look(channel, &saturated, 0.002, |is_above| is_above.then_some(What::Saturated));
        look(channel, &values(|found| found.focus), 0.01, |is_above| (!is_above).then_some(What::OutOfFocus));
    }
    let mut found: Vec<FarSite> = furthest.into_iter().flatten().collect();
    found.sort_by(|a, b| b.distance.total_cmp(&a.distance));
    found
}

/// Median and robust standard deviation of the values that are some.
fn middle(values: &[f64]) -> Option<(f64, f64)> {
    let mut known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    // Of a few sites nothing is known of what is usual.
    if known.len() < 8 {
        return None;
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
    };
    let middle = median(&mut known);
    for value in &mut known {
        *value = (*value - middle).abs();
    }
    Some((middle, median(&mut known) * MAD_TO_STD))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plate(n: usize) -> (Vec<Vec<f64>>, Vec<Vec<Measured>>) {
        let jitter = |i: usize| (i % 7) as f64 / 7.0;
        let means = (0..n).map(|i| vec![20.0 + jitter(i), 40.0 + 2.0 * jitter(i)]).collect();
        let of = |i: usize| Measured { focus: 0.8 + 0.1 * jitter(i), saturated: 0.0005 * jitter(i) };
        (means, (0..n).map(|i| vec![of(i), of(i + 3)]).collect())
    }

    #[test]
    fn each_way_of_being_far_is_found_and_the_usual_is_not() {
        let (mut means, mut measured) = plate(60);
        assert_eq!(far_sites(&means, Some(&measured)), []);
        means[7][1] = 0.0;
        means[8][0] = 60.0;
        measured[9][1].focus = 0.2;
        measured[10][0].saturated = 0.3;
        measured[11][0].focus = 3.0; // sharper is no fault
        let found = far_sites(&means, Some(&measured));
        let mut found: Vec<(usize, What, usize)> = found.iter().map(|far| (far.site, far.what, far.channel)).collect();
        found.sort_by_key(|far| far.0);
        let expected = [(7, What::Dark, 1), (8, What::Bright, 0), (9, What::OutOfFocus, 1), (10, What::Saturated, 0)];
        assert_eq!(found, expected);
        assert_eq!(far_sites(&means, None).len(), 2);
    }

    #[test]
    fn sites_that_cannot_be_read_and_small_plates_say_nothing() {
        let (mut means, mut measured) = plate(60);
        measured[3] = Vec::new();
        assert_eq!(far_sites(&means, Some(&measured)), []);
        means.truncate(7);
        means[0][0] = 200.0;
        assert_eq!(far_sites(&means, None), []);
    }
}

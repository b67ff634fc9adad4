//! All replicates of one treatment, as they are and after each normalisation: the picture that shows what batches change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::feed::Reader;
use crate::inspect::drawing::palette::{GREY, INK, PAPER};
use crate::inspect::drawing::picture::{Anchor, Picture, shortened};
use crate::inspect::drawing::render::{WHITE_PERCENTILE, Window, composite};
use crate::site::{Experiment, natural_cmp};
use crate::stats::Histogram;
use crate::store::Store;
use crate::suggest;
use crate::training::data::channel_stats::ChannelStats;
use crate::training::recipe::Normalize;

use super::schemes::{SchemeFigures, about};
use super::site_picture::{self, histograms};

/// Wells of a treatment that are shown at most.
pub const MOST_REPLICATES: usize = 96;
/// The percentile of normalised levels that is black: a tenth of a site is background nearly always.
const SHEET_BLACK_PERCENTILE: f64 = 10.0;
/// Parts that the range of normalised levels is counted in.
const BINS: usize = 4096;
const GAP: u32 = 4;
const MARGIN: u32 = 12;
const TITLE: u32 = 36;
const BAND: u32 = 30;
const LABEL: u32 = 20;

/// The sites of a treatment that a sheet shows.
#[derive(Debug)]
pub struct Replicates {
    /// What it is, and what it is called.
    pub treatment: String,
    /// Indices into [`Store::sites`], one a well, in the order of the store.
    pub sites: Vec<usize>,
    /// Wells that it has.
    pub n_wells: usize,
}

impl Replicates {
    /// The first site of each well that was given `treatment`, by its name in the tables.
    ///
    /// # Errors
    /// If no well was, with the nearest that there are.
    pub fn find(store: &Store, treatment: &str) -> Result<Self> {
        let sites = store.sites();
        let is_first = |i: usize| i == 0 || sites[i - 1].id.well != sites[i].id.well;
        let all: Vec<usize> =
            (0..sites.len()).filter(|&i| *sites[i].label.sirna == *treatment && is_first(i)).collect();
        if all.is_empty() || treatment.is_empty() {
            let mut names: Vec<&str> = sites.iter().map(|site| &*site.label.sirna).filter(|n| !n.is_empty()).collect();
            names.sort_by(|a, b| natural_cmp(a, b));
            names.dedup();
            if names.is_empty() {
                return Err(Error::refused("--sheet", "a store with labels", "none"));
            }
            return Err(suggest::unknown("--sheet", "a treatment of this store", treatment, names));
        }
        let n_wells = all.len();
        let mut found = Self { treatment: site_picture::about(&sites[all[0]]), sites: all, n_wells };
        found.spread(store, MOST_REPLICATES);
        Ok(found)
    }

    /// Keeps at most so many, of as many experiments and plates as there are: the first of each experiment, then of each
    /// plate, then the second of each plate, and so on.
    pub fn spread(&mut self, store: &Store, most: usize) {
        if self.sites.len() <= most {
            return;
        }
        let plate = |i: usize| &store.sites()[i].id.well.plate;
        let (mut of_plate, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let turn = |&i: &usize| {
            let n: &mut usize = of_plate.entry(plate(i)).or_default();
            *n += 1;
            if seen.insert(&plate(i).experiment) { 0 } else { *n }
        };
        let turns: Vec<usize> = self.sites.iter().map(turn).collect();
        let mut chosen: Vec<(usize, usize)> = turns.into_iter().zip(self.sites.iter().copied()).collect();
        chosen.sort_unstable();
        chosen.truncate(most);
        self.sites = chosen.into_iter().map(|(_, site)| site).collect();
        self.sites.sort_unstable();
    }

    /// What the sheet says above all: which treatment, and how many of its wells.
    #[must_use]
    pub fn title(&self) -> String {
        let n = self.sites.len();
        if n == self.n_wells {
            format!("{}: {n} replicates", self.treatment)
        } else {
            format!(
                "{}: {n} of {} replicates, of as many experiments and plates as there are",
                self.treatment, self.n_wells
            )
        }
    }

    /// The experiments that it is in.
    fn experiments(&self, store: &Store) -> Vec<Experiment> {
        let of = |&i: &usize| store.sites()[i].id.well.plate.experiment.clone();
        let mut all: Vec<Experiment> = self.sites.iter().map(of).collect();
        all.dedup();
        all
    }
}

/// The tiles of a sheet under one normalisation.
pub struct Band {
    /// The normalisation.
    pub scheme: Normalize,
    /// One a replicate.
    pub tiles: Vec<Picture>,
}

/// Draws the tiles of the replicates under each scheme, at most `tile` pixels wide. Under one scheme all tiles share what is
/// shown black and white: the percentiles 10 and 99.7 of the normalised levels of all of them, a channel at a time.
///
/// # Errors
/// If a site cannot be read, a listing contradicts itself, or no scheme can be had.
pub fn bands(reader: &Reader, replicates: &Replicates, schemes: &[Normalize], tile: u32) -> Result<Vec<Band>> {
    let (store, spec) = (reader.store(), reader.store().spec());
    let figures = SchemeFigures::read(store, &replicates.experiments(store), schemes)?;
    // Read twice rather than held: a hundred sites may be gigabytes.
    let counted = replicates.sites.par_iter().map(|&site| Ok(histograms(store, &reader.site(site)?)));
    let counted: Vec<Vec<Histogram>> = counted.collect::<Result<_>>()?;
    let n_schemes = figures.schemes().len();
    let of_sites = |scheme: usize| -> Vec<Vec<ChannelStats>> {
        let sites = replicates.sites.iter().zip(&counted);
        sites.map(|(&i, site)| figures.of_site(scheme, &store.sites()[i].id.well.plate, site)).collect()
    };
    let of_schemes: Vec<Vec<Vec<ChannelStats>>> = (0..n_schemes).map(of_sites).collect();
    let ends: Vec<Vec<Range<f64>>> = of_schemes.iter().map(|of_sites| shown_range(&counted, of_sites)).collect();
    let draw = |(at, &site): (usize, &usize)| {
        let pixels = reader.site(site)?;
        let of_scheme = |scheme: usize| {
            let windows: Vec<Window> = of_schemes[scheme][at]
                .iter()
                .zip(&ends[scheme])
                .map(|(figures, ends)| {
                    let level = |z: f64| figures.centre + z * figures.spread;
                    Window { black: level(ends.start), white: level(ends.end) }
                })
                .collect();
            composite(&pixels, spec, &windows)?.fitted(tile)
        };
        (0..n_schemes).map(of_scheme).collect::<Result<Vec<Picture>>>()
    };
    let drawn: Vec<Vec<Picture>> = replicates.sites.par_iter().enumerate().map(draw).collect::<Result<_>>()?;
    let mut bands: Vec<Band> = figures.schemes().iter().map(|&scheme| Band { scheme, tiles: Vec::new() }).collect();
    for tiles in drawn {
        bands.iter_mut().zip(tiles).for_each(|(band, tile)| band.tiles.push(tile));
    }
    Ok(bands)
}

/// The range of normalised levels of each channel that is shown from black to white, over all sites.
fn shown_range(sites: &[Vec<Histogram>], figures: &[Vec<ChannelStats>]) -> Vec<Range<f64>> {
    let n_channels = figures.first().map_or(0, Vec::len);
    (0..n_channels)
        .map(|c| {
            let levels = || {
                let of_sites = sites.iter().zip(figures);
                of_sites.flat_map(move |(site, figures)| {
                    let ChannelStats { centre, spread } = figures[c];
                    site[c].levels().map(move |(level, n)| ((f64::from(level) - centre) / spread, n))
                })
            };
            let (low, high) = levels().fold((f64::MAX, f64::MIN), |(low, high), (z, _)| (low.min(z), high.max(z)));
            let width = (high - low).max(1e-6);
            let mut counts = vec![0_u64; BINS];
            for (z, n) in levels() {
                counts[(((z - low) / width * BINS as f64) as usize).min(BINS - 1)] += n;
            }
            let all = counts.iter().sum::<u64>() as f64;
            let at = |percentile: f64| {
                let mut seen = 0;
                let rank = (all * percentile / 100.0).max(1.0) as u64;
                let bin = counts.iter().position(|&n| {
                    seen += n;
                    seen >= rank
                });
                low + (bin.unwrap_or(BINS - 1) as f64 + 0.5) / BINS as f64 * width
            };
            let (black, white) = (at(SHEET_BLACK_PERCENTILE), at(WHITE_PERCENTILE));
            black..white.max(black + width / BINS as f64)
        })
        .collect()
}

/// Puts the tiles of a sheet together, a band a normalisation.
///
/// # Errors
/// If it would be too large a picture.
pub fn sheet(store: &Store, replicates: &Replicates, bands: &[Band]) -> Result<Picture> {
    let n = replicates.sites.len() as u32;
    let columns = n.min(12);
    let first = &bands[0].tiles[0];
    let (width, height) = (first.width().max(72), first.height());
    let band_height = BAND + n.div_ceil(columns) * (height + LABEL + GAP);
    // Wide enough for the words of its bands, however few tiles there are.
    let all_columns = (2 * MARGIN + columns * (width + GAP) - GAP).max(560);
    let mut picture = Picture::new(all_columns, TITLE + band_height * bands.len() as u32 + MARGIN, PAPER)?;
    let room = all_columns - 2 * MARGIN;
    picture.text(MARGIN, TITLE / 2 + 2, 17, INK, Anchor::Left, &shortened(17, &replicates.title(), room));
    for (b, band) in (0..).zip(bands) {
        let top = TITLE + b * band_height;
        let name: &str = band.scheme.into();
        let words = format!("{name}: {}", about(band.scheme));
        picture.text(MARGIN, top + BAND / 2, 14, INK, Anchor::Left, &shortened(14, &words, room));
        for (i, (tile, &site)) in (0..).zip(band.tiles.iter().zip(&replicates.sites)) {
            let x = MARGIN + i % columns * (width + GAP);
            let y = top + BAND + i / columns * (height + LABEL + GAP);
            picture.put(x, y, tile);
            let label = store.sites()[site].id.well.shown();
            picture.text(x, y + height + LABEL / 2, 11, GREY, Anchor::Left, &shortened(11, &label, width));
        }
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Dtype;

    #[test]
    fn sites_that_differ_by_light_alone_share_a_range_once_they_are_normalised() {
        let image = |gain: u8, offset: u8| {
            let levels: Vec<u8> = (0..100).map(|i| offset + gain * (i / 10)).collect();
            vec![Histogram::of(&levels, Dtype::Uint8)]
        };
        let sites = [image(2, 10), image(6, 100)];
        let by_site: Vec<Vec<ChannelStats>> =
            sites.iter().map(|site| site.iter().map(ChannelStats::of_image).collect()).collect();
        let range = shown_range(&sites, &by_site).remove(0);
        let [a, b] = [0, 1].map(|i| (by_site[i][0].centre + range.start * by_site[i][0].spread).round());
        assert_eq!([a, b], [10.0, 100.0], "both are black at their darkest tenth");
        let raw = vec![vec![ChannelStats { centre: 0.0, spread: 1.0 }]; 2];
        let range = shown_range(&sites, &raw).remove(0);
        assert!((range.start - 12.0).abs() < 0.1 && (range.end - 154.0).abs() < 0.1, "{range:?}");
    }

    #[test]
    fn a_range_of_one_level_is_not_empty() {
        let sites = [vec![Histogram::of(&[7; 9], Dtype::Uint8)]];
        let raw = vec![vec![ChannelStats { centre: 0.0, spread: 1.0 }]];
        let range = shown_range(&sites, &raw).remove(0);
        assert!(range.end > range.start);
    }
}

//! One pass over a store, an experiment at a time: its tables, and unless only these are wanted, every site.

use rayon::prelude::*;

use crate::error::Result;
use crate::feed::Reader;
use crate::inspect::measure::{Measured, measure};
use crate::inspect::schemes::{SCHEMES, all_levels, counts, experiments, figures};
use crate::inspect::site_picture::histograms;
use crate::plate_statistics::read_pixel_stats;
use crate::progress::Progress;
use crate::site::PlateId;
use crate::stats::PopulationGroup;
use crate::training::data::channel_stats::{self, ChannelStats};

use super::batch_effect::{BatchEffect, Bins, Range};

/// What a store's tables and sites come to.
pub struct Gathered {
    /// Mean grey level of each channel of each site, `[site][channel]`, in the order of the store.
    pub(super) means: Vec<Vec<f64>>,
    /// The same of the median.
    pub(super) medians: Vec<Vec<f64>>,
    /// The same of the standard deviation.
    pub(super) stds: Vec<Vec<f64>>,
    /// What was measured of each site's channels; empty of one that cannot be read. `None` where only tables were wanted.
    pub(super) measured: Option<Vec<Vec<Measured>>>,
    /// Sites that cannot be read, and why.
    pub(super) damaged: Vec<(usize, String)>,
    /// Levels before and after each normalisation.
    pub(super) effect: BatchEffect,
}

impl Gathered {
    /// Whether the pixels of a site were read, and are whole.
    pub(super) fn was_read(&self, site: usize) -> bool {
        self.measured.as_ref().is_some_and(|measured| !measured[site].is_empty())
    }
}

/// What one site gives.
enum Site {
    Measured(Vec<Measured>, Vec<Bins>),
    Damaged(String),
}

/// Goes over a store once. With `pixels` it reads every site, which proves each by its crc32c.
///
/// # Errors
/// If a listing cannot be read or contradicts itself. A site that cannot be read is told in what is gathered.
pub fn gather(reader: &Reader, pixels: bool, progress: &(dyn Fn(Progress) + Sync)) -> Result<Gathered> {
    let store = reader.store();
    let n_channels = store.spec().channels.len();
    if pixels {
        progress(Progress::Planned(store.sites().len() as u64));
    }
    // Over all of the store first: what is black, what is bright, and what normalises by all wells.
    let all = all_levels(store)?;
    let global = channel_stats::global(&all, false);
    let raw: Vec<Range> = all.histograms.iter().map(Range::of_levels).collect();
    let mut effect = BatchEffect::new(&raw, n_channels);
    let (mut means, mut medians, mut stds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut measured, mut damaged) = (Vec::new(), Vec::new());
    let mut first = 0;
    for experiment in experiments(store) {
        let plates = counts(store, &experiment)?;
        let of_schemes: Vec<_> = SCHEMES.iter().map(|&scheme| figures(&plates, scheme, &global, store)).collect();
        effect.start_experiment();
        for (p, (plate, counted)) in plates.iter().enumerate() {
            let of_plate: Vec<Option<&[_]>> =
                of_schemes.iter().map(|all| all.as_ref().map(|all| all[p].as_slice())).collect();
            let [plate_means, plate_medians, plate_stds] = site_figures(reader, plate)?;
            let levels = PopulationGroup::All.of([counted]).histograms;
            effect.add_plate(&of_plate, &levels, &plate_means);
            let sites = first..first + plate_means.len();
            first = sites.end;
            means.extend(plate_means);
            medians.extend(plate_medians);
            stds.extend(plate_stds);
            if !pixels {
                continue;
            }
            let read = |site: usize| {
                let found = one_site(reader, site);
                progress(Progress::Done(1));
                found.map(|found| (site, found))
            };
            let found: Vec<(usize, Site)> = sites.into_par_iter().map(read).collect::<Result<_>>()?;
            for (site, found) in found {
                match found {
                    Site::Measured(values, bins) => {
                        measured.push(values);
                        effect.add_site(&bins);
                    }
                    Site::Damaged(why) => {
                        measured.push(Vec::new());
                        damaged.push((site, why));
                    }
                }
            }
        }
    }
    effect.finish();
    Ok(Gathered { means, medians, stds, measured: pixels.then_some(measured), damaged, effect })
}

type OfSites = Vec<Vec<f64>>;

/// Means, medians and standard deviations of a plate's sites, `[site][channel]`.
fn site_figures(reader: &Reader, plate: &PlateId) -> Result<[OfSites; 3]> {
    let n_channels = reader.store().spec().channels.len();
    let rows = read_pixel_stats(reader.store().root(), plate, n_channels)?;
    let of = |value: fn(&crate::store::format::rows::PixelStats) -> f64| {
        rows.chunks(n_channels).map(|site| site.iter().map(|(_, row)| value(row)).collect()).collect()
    };
    Ok([of(|row| row.mean), of(|row| row.median), of(|row| row.std)])
}

fn one_site(reader: &Reader, site: usize) -> Result<Site> {
    let pixels = match reader.site_or_damage(site)? {
        Ok(pixels) => pixels,
        Err(error) => return Ok(Site::Damaged(error.to_string())),
    };
    let spec = reader.store().spec();
    let counted = histograms(reader.store(), &pixels);
    let planes = pixels.chunks_exact(spec.plane_bytes()).zip(&counted);
    let measured = planes.map(|(plane, histogram)| measure(plane, spec.size, spec.dtype, histogram)).collect();
    let normalised = |histogram| Bins::of(histogram, ChannelStats::of_image(histogram), Range::NORMALISED);
    Ok(Site::Measured(measured, counted.iter().map(normalised).collect()))
}

//! The page: what was gathered as data, with the pictures that go with it.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::feed::Reader;
use crate::inspect::drawing::render::colours;
use crate::inspect::page::packed::bytes;
use crate::inspect::page::pictures::{jpeg_url, thumbnail};
use crate::inspect::page::{Part, document};
use crate::inspect::schemes::{about, experiments};
use crate::inspect::sheet::{Replicates, bands};
use crate::inspect::site_picture::about as about_site;
use crate::inspect::summary::Summary;
use crate::site::{PlateId, Population};
use crate::store::Store;
use crate::training::recipe::Normalize;

use super::batch_effect::{Bins, SchemeEffect};
use super::far_sites::{FarSite, What, far_sites};
use super::gather::Gathered;
use super::wells::{Plate, Wells, equal_layouts, wells};

/// Sites far from their plate that are shown.
const MOST_FAR: usize = 36;
/// The same of one plate that are far in the same way.
const MOST_ALIKE: usize = 2;
/// Pixels that a picture of one is wide at most.
const FAR_TILE: u32 = 160;
/// The same of a replicate.
const SHEET_TILE: u32 = 96;
/// Replicates that are shown.
const MOST_REPLICATES: usize = 51;
/// What replicates are shown under.
const SHEET_SCHEMES: [Normalize; 3] = [Normalize::None, Normalize::PlateControls, Normalize::Site];

/// The page, and what is wrong with the store that it shows.
pub struct StorePage {
    /// The document.
    pub html: String,
    /// Sites that cannot be read.
    pub n_damaged: usize,
}

#[derive(Serialize)]
struct Page<'a> {
    summary: &'a Summary,
    experiments: Vec<Experiment>,
    colours: Vec<String>,
    plates: Vec<Plate>,
    wells: Wells,
    schemes: Vec<Scheme>,
    layouts: Vec<Vec<usize>>,
    n_unknown_layouts: usize,
    far: Vec<Far>,
    n_far: usize,
    pixels: bool,
    damaged: Vec<Damaged>,
    sheets: Vec<Sheet>,
}

#[derive(Serialize)]
struct Experiment {
    name: String,
    cell_type: String,
}

/// What a normalisation leaves.
#[derive(Serialize)]
struct Scheme {
    name: &'static str,
    about: &'static str,
    /// Of each channel, `[low, high]`.
    ranges: Vec<[f64; 2]>,
    /// Of each experiment and channel, a byte a bin.
    bins: Vec<Vec<String>>,
    /// Of each plate and channel; empty where there is none.
    plate_means: Vec<Vec<f64>>,
    /// Of each channel; none where nothing differs.
    between_experiments: Vec<Option<f64>>,
}

#[derive(Serialize)]
struct Far {
    site: String,
    about: String,
    what: What,
    channel: usize,
    value: f64,
    median: f64,
    distance: f64,
    image: Option<String>,
}

#[derive(Serialize)]
struct Damaged {
    site: String,
    why: String,
}

#[derive(Serialize)]
struct Sheet {
    title: String,
    tiles: Vec<String>,
    bands: Vec<SheetBand>,
}

#[derive(Serialize)]
struct SheetBand {
    name: &'static str,
    about: &'static str,
    images: Vec<String>,
}

/// Makes the page of a store.
///
/// # Errors
/// If a picture's site cannot be read, or there is no memory for it.
pub fn store_page(reader: &Reader, summary: &Summary, gathered: &Gathered, title: &str) -> Result<StorePage> {
    let store = reader.store();
    let (plates, wells) = wells(store, gathered)?;
    let (layouts, n_unknown_layouts) = equal_layouts(store);
    let (far, n_far) = far(reader, gathered)?;
    let sheets = if gathered.measured.is_some() { sheets(reader, gathered)? } else { Vec::new() };
    let hex = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
    let damaged = gathered.damaged.iter();
    let damaged = damaged.map(|(site, why)| Damaged { site: store.sites()[*site].id.shown(), why: why.clone() });
    let page = Page {
        summary,
        experiments: experiments(store)
            .iter()
            .map(|experiment| Experiment { name: experiment.to_string(), cell_type: experiment.cell_type().to_owned() })
            .collect(),
        colours: colours(store.spec()).into_iter().map(hex).collect(),
        plates,
        wells,
        schemes: gathered.effect.schemes().iter().map(Scheme::of).collect(),
        layouts,
        n_unknown_layouts,
        far,
        n_far,
        pixels: gathered.measured.is_some(),
        damaged: damaged.collect(),
        sheets,
    };
    let html = document(title, Part::Store, &page)?;
    Ok(StorePage { html, n_damaged: gathered.damaged.len() })
}

impl Scheme {
    fn of(effect: &SchemeEffect) -> Self {
        let of_experiment = |channels: &Vec<Bins>| channels.iter().map(|bins| bytes(bins.bytes())).collect();
        Self {
            name: effect.scheme.into(),
            about: about(effect.scheme),
            ranges: effect.ranges.iter().map(|range| [range.low, range.high]).collect(),
            bins: effect.bins.iter().map(of_experiment).collect(),
            plate_means: effect.plate_means.clone(),
            between_experiments: effect
                .between_experiments()
                .into_iter()
                .map(|share| Some(share).filter(|share| !share.is_nan()))
                .collect(),
        }
    }
}

/// The furthest sites of all plates, and how many there are in all.
fn far(reader: &Reader, gathered: &Gathered) -> Result<(Vec<Far>, usize)> {
    let store = reader.store();
    let mut all: Vec<FarSite> = Vec::new();
    let mut first = 0;
    for n_sites in store.plates().values() {
        let sites = first..first + n_sites;
        let measured = gathered.measured.as_ref().map(|measured| &measured[sites.clone()]);
        let found = far_sites(&gathered.means[sites], measured);
        all.extend(found.into_iter().map(|far| FarSite { site: far.site + first, ..far }));
        first += n_sites;
    }
    all.sort_by(|a, b| b.distance.total_cmp(&a.distance));
    let n_far = all.len();
    // Where a whole plate is odd, it does not hide the others.
    let mut n_alike: BTreeMap<(&PlateId, What), usize> = BTreeMap::new();
    all.retain(|far| {
        let n = n_alike.entry((&store.sites()[far.site].id.well.plate, far.what)).or_default();
        *n += 1;
        *n <= MOST_ALIKE
    });
    all.truncate(MOST_FAR);
    let with_picture = |far: FarSite| {
        let row = &store.sites()[far.site];
        let draw = || thumbnail(store, &reader.site(far.site)?, FAR_TILE);
        let image = gathered.was_read(far.site).then(draw).transpose()?;
        let FarSite { what, channel, value, median, distance, .. } = far;
        Ok(Far { site: row.id.shown(), about: about_site(row), what, channel, value, median, distance, image })
    };
    let shown: Result<Vec<Far>> = all.into_par_iter().map(with_picture).collect();
    Ok((shown?, n_far))
}

/// Replicates of a negative control, a positive control and two treatments, of those that are in most experiments.
fn sheets(reader: &Reader, gathered: &Gathered) -> Result<Vec<Sheet>> {
    let store = reader.store();
    let mut chosen = Vec::new();
    for (population, n) in
        [(Population::NegativeControl, 1), (Population::PositiveControl, 1), (Population::Treatment, 2)]
    {
        chosen.extend(most_spread(store, population, n));
    }
    let mut sheets = Vec::new();
    for treatment in chosen {
        let mut replicates = Replicates::find(store, &treatment)?;
        replicates.sites.retain(|&site| gathered.was_read(site));
        replicates.spread(store, MOST_REPLICATES);
        if replicates.sites.is_empty() {
            continue;
        }
        let Ok(bands) = bands(reader, &replicates, &SHEET_SCHEMES, SHEET_TILE) else { continue };
        let tiles = replicates.sites.iter().map(|&site| store.sites()[site].id.well.shown());
        let mut all = Vec::new();
        for band in &bands {
            let images: Result<Vec<String>> = band.tiles.iter().map(jpeg_url).collect();
            all.push(SheetBand { name: band.scheme.into(), about: about(band.scheme), images: images? });
        }
        sheets.push(Sheet { title: replicates.title(), tiles: tiles.collect(), bands: all });
    }
    Ok(sheets)
}

/// The treatments of a population that are in most experiments, in the order of their names.
fn most_spread(store: &Store, population: Population, n: usize) -> Vec<String> {
    let sites = store.sites().iter().filter(|site| site.label.population == population && !site.label.sirna.is_empty());
    let mut found: Vec<(&str, &str)> =
        sites.map(|site| (&*site.label.sirna, site.id.well.plate.experiment.as_str())).collect();
    found.sort_unstable();
    found.dedup();
    let mut counted: Vec<(usize, &str)> =
        found.chunk_by(|a, b| a.0 == b.0).map(|same| (same.len(), same[0].0)).collect();
    counted.sort_by(|a, b| b.0.cmp(&a.0).then(crate::site::natural_cmp(a.1, b.1)));
    counted.into_iter().take(n).map(|(_, name)| name.to_owned()).collect()
}

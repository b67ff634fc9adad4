//! What a store holds of a plate, proven site by site, so that nothing whole is replaced by less.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::csv_table::from_csv;
use crate::error::{Result, unless_damaged};
use crate::files;
use crate::site::{Experiment, Label, PlateId, Population, SiteId};
use crate::store::format::checksum::crc32c;
use crate::store::format::listing::ListingFiles;
use crate::store::format::manifest;
use crate::store::format::names::{
    PIXEL_STATS, SITES, SOURCES, array_document_path, array_path, listing_file, listing_path,
};
use crate::store::format::rows::{PixelStats, SiteRow};
use crate::store::format::spec::StoreSpec;
use crate::store::read::decode::Decoder;
use crate::store::read::listing::{each_site, read_rows};
use crate::store::read::shard::Shard;
use crate::store::read::told::proven_rows;

use super::another::OldPlate;

/// What the store would lose of a plate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// Sites that it holds whole, or beside such.
    pub sites: Vec<SiteId>,
    /// Sites of which less would be known.
    pub labels: Vec<SiteId>,
    /// All sites of another plate that has the same name.
    pub others: Vec<SiteId>,
}

impl Lost {
    /// Whether that is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty() && self.labels.is_empty() && self.others.is_empty()
    }

    /// Whether another loss has all of this one.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.of_plate_is_within(other) && is_within(&self.others, &other.others)
    }

    /// The same of the plate itself, whatever is lost of another of its name.
    #[must_use]
    pub(super) fn of_plate_is_within(&self, other: &Self) -> bool {
        is_within(&self.sites, &other.sites) && is_within(&self.labels, &other.labels)
    }
}

fn is_within(these: &[SiteId], others: &[SiteId]) -> bool {
    let others: HashSet<&SiteId> = others.iter().collect();
    these.iter().all(|site| others.contains(site))
}

/// Whether a label and an experiment say as much as those of a row: nothing takes the place of something.
#[must_use]
fn says_as_much((label, experiment): (&Label, &Experiment), old: &SiteRow) -> bool {
    (old.label.sirna.is_empty() || !label.sirna.is_empty())
        && (old.label.class.is_none() || label.class.is_some())
        && (old.label.dataset.is_empty() || !label.dataset.is_empty())
        && (old.label.population == Population::Unknown || label.population != Population::Unknown)
        && (!old.id.well.plate.experiment.has_told_cell_type() || experiment.has_told_cell_type())
}

/// What the store would lose if of a plate only that was left that `new` knows: no sites, if none of those that would go
/// can be read as it was packed.
///
/// # Errors
/// If the system cannot tell.
pub fn lost<'n>(
    root: &Path,
    spec: &StoreSpec,
    plate: &PlateId,
    new: &dyn Fn(&SiteId) -> Option<(&'n Label, &'n Experiment)>,
) -> Result<Lost> {
    let mut lost = Lost::default();
    let known = Known::of(root, plate)?;
    let mut gone = Vec::new();
    for site in &known.sites {
        match new(&site.row.id) {
            None => gone.push(site),
            Some(new) if !site.label || says_as_much(new, &site.row) => {}
            Some(_) => lost.labels.push(site.row.id.clone()),
        }
    }
    for site in &gone {
        if is_whole(root, spec, site, known.n_sites)? {
            lost.sites = gone.into_iter().map(|site| site.row.id.clone()).collect();
            break;
        }
    }
    for sites in [&mut lost.sites, &mut lost.labels] {
        sites.sort_unstable();
        sites.dedup();
    }
    Ok(lost)
}

/// What the store would lose if this listing took the place of its plate's.
///
/// # Errors
/// If the listing is not well formed, or the system cannot tell.
pub fn lost_by(root: &Path, spec: &StoreSpec, listing: &ListingFiles) -> Result<Lost> {
    let text = listing.contents.get(SITES).map_or("", String::as_str);
    let rows = from_csv::<SiteRow>(text, &listing_file(&listing.plate, SITES))?;
    let text = listing.contents.get(SOURCES).map_or("", String::as_str);
    let images = manifest::parse(text, &listing_file(&listing.plate, SOURCES))?;
    let others = match OldPlate::of(root, &listing.plate)? {
        Some(old) if old.is_another(&images, rows.iter().map(|row| row.crc32c)) => all(root, spec, &listing.plate)?,
        _ => Vec::new(),
    };
    let new: HashMap<SiteId, Label> = rows.into_iter().map(|row| (row.id, row.label)).collect();
    let lost = lost(root, spec, &listing.plate, &|old| {
        new.get_key_value(old).map(|(id, label)| (label, &id.well.plate.experiment))
    })?;
    Ok(Lost { others, ..lost })
}

/// All that a store holds of a plate, if any of it can be read.
///
/// # Errors
/// If the system cannot tell.
pub fn all(root: &Path, spec: &StoreSpec, plate: &PlateId) -> Result<Vec<SiteId>> {
    Ok(lost(root, spec, plate, &|_| None)?.sites)
}

/// What is known of the sites of a plate.
#[derive(Default)]
struct Known {
    /// Where no list proves them, there may be several of a site.
    sites: Vec<KnownSite>,
    /// Sites of the array.
    n_sites: usize,
}

/// A site, as a table has it.
struct KnownSite {
    row: SiteRow,
    /// Whether what the row says of the site is believed; that there is one always is.
    label: bool,
    /// Whether the row has a checksum, beside those of the shard.
    checksum: bool,
}

impl Known {
    /// What the listing says, if its list proves it; else all that any table says, damaged or older as it may be.
    fn of(root: &Path, plate: &PlateId) -> Result<Self> {
        let [array, listing] = [array_path(plate), listing_path(plate)].map(|path| root.join(path));
        if !files::exists(&array)? && !files::exists(&listing)? {
            return Ok(Self::default());
        }
        if let Some(rows) = proven_rows(root, plate)? {
            let n_sites = rows.len();
            let sites = rows.into_iter().map(|row| KnownSite { row, label: true, checksum: true }).collect();
            return Ok(Self { sites, n_sites });
        }
        let of_listing: Vec<SiteRow> = unless_damaged(read_rows(root, plate, SITES))?.unwrap_or_default();
        let mut sites: Vec<KnownSite> =
            of_listing.into_iter().map(|row| KnownSite { row, label: false, checksum: true }).collect();
        unless_damaged(each_site(root, &mut |_, row| {
            let is_of_it = row.id.well.plate == *plate;
            sites.extend(Some(KnownSite { row, label: true, checksum: true }).filter(|_| is_of_it));
            Ok(())
        }))?;
        let counted = unless_damaged(read_rows::<PixelStats>(root, plate, PIXEL_STATS))?.unwrap_or_default();
        let mut ids: Vec<SiteId> = counted.into_iter().map(|channel| channel.id).collect();
        ids.dedup();
        let unlabelled = |(row, id)| SiteRow { id, label: Label::unknown(), row, crc32c: 0 };
        let rows = (0..).zip(ids).map(unlabelled);
        sites.extend(rows.map(|row| KnownSite { row, label: false, checksum: false }));
        let document = unless_damaged(files::read_document(&root.join(array_document_path(plate))))?;
        let of_array = document.and_then(|document| StoreSpec::guess_from_plate(&document)).map(|(_, n_sites)| n_sites);
        let n_rows = sites.iter().map(|site| site.row.row as usize + 1).max().unwrap_or(0);
        Ok(Self { sites, n_sites: of_array.unwrap_or(n_rows) })
    }
}

/// Whether a site can be read as it was packed.
fn is_whole(root: &Path, spec: &StoreSpec, site: &KnownSite, n_sites: usize) -> Result<bool> {
    let KnownSite { row, checksum, .. } = site;
    let (n, per_shard) = (row.row as usize, spec.sites_per_shard as usize);
    if n >= n_sites {
        return Ok(false);
    }
    let read = || {
        let shard = Shard::open(root, spec, &row.id.well.plate, n / per_shard, n_sites)?;
        let mut pixels = vec![0; spec.site_bytes()];
        shard.read(n % per_shard, &mut Decoder::default(), &mut Vec::new(), &mut pixels)?;
        Ok(!checksum || crc32c(&pixels) == row.crc32c)
    };
    Ok(unless_damaged(read())?.unwrap_or(false))
}

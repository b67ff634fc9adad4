//! Whether a plate is done: its listing stands, its files are there, and its sources and labels are what they were.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result, unless_damaged};
use crate::fault::FaultKind;
use crate::files;
use crate::plate_proof::is_proven;
use crate::site::{Label, Well};
use crate::source::{PlatePlan, Source};
use crate::store::StoreSpec;
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::Entry;
use crate::store::format::names::{FILES, REJECTED, SITES, SOURCES, array_document_path, listing_path};
use crate::store::format::rows::{Rejected, SiteRow};
use crate::store::read::listing::{read_list, read_rows};
use crate::store::read::proof::{Depth, are_whole};

use super::config::{OnError, PackConfig};
use super::plate::to_rejected;

/// What is left to do for a plate.
pub(super) enum State {
    /// Nothing.
    Done {
        /// Rows of its `rejected.csv`.
        n_rejected: u64,
    },
    /// All of it.
    ToPack {
        /// Bytes of its PNGs.
        source_bytes: u64,
    },
}

/// Looks at a plate. A listing that cannot be read is as good as none: the plate is packed again.
pub(super) fn look_at(config: &PackConfig, source: &Source, spec: &StoreSpec, plate: &PlatePlan) -> Result<State> {
    // An image that changes from here on is newer than this.
    let now = SystemTime::now();
    let images = images(source, plate)?;
    let source_bytes = images.iter().map(|image| image.size).sum();
    let to_pack = State::ToPack { source_bytes };
    let dir = config.dst.join(listing_path(&plate.id));
    if !files::is_dir(&dir)? {
        return Ok(to_pack);
    }
    let listing = (
        unless_damaged(read_rows::<SiteRow>(&config.dst, &plate.id, SITES))?,
        unless_damaged(read_rows::<Rejected>(&config.dst, &plate.id, REJECTED))?,
        unless_damaged(read_list(&config.dst, &plate.id, FILES))?,
        unless_damaged(read_list(&config.dst, &plate.id, SOURCES))?,
    );
    let (Some(sites), Some(rejected), Some(files), Some(sources)) = listing else {
        return Ok(to_pack);
    };
    let tolerable = match config.on_error {
        OnError::Skip => true,
        OnError::Fail => rejected.iter().all(|row| row.reason == FaultKind::NoRow.name()),
    };
    let has_document = || {
        let found = unless_damaged(files::read_document(&config.dst.join(array_document_path(&plate.id))))?;
        Ok::<_, Error>(found.is_some_and(|found| found == spec.plate_document(sites.len())))
    };
    let depth = if config.rehash { Depth::Content } else { Depth::Size };
    let done = tolerable
        && spec.n_shards(sites.len()) + usize::from(!sites.is_empty()) + 6 == files.len()
        && (sites.is_empty() || has_document()?)
        && same_rows(plate, &sites, &rejected)
        && are_whole(&config.dst, &files, depth)?
        && (!config.rehash || is_proven(&config.dst, &plate.id, spec, &sites)?)
        && same_sources(config, &dir, images, &sources, &rejected, now)?;
    let n_rejected = rejected.len() as u64;
    Ok(if done { State::Done { n_rejected } } else { to_pack })
}

struct Image {
    well: Well,
    site: u16,
    path: String,
    size: u64,
    /// The later of mtime and ctime.
    changed: SystemTime,
}

/// The images of a plate that are there.
fn images(source: &Source, plate: &PlatePlan) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    for site in &plate.sites {
        for channel in (0..source.n_channels).filter(|c| site.channels & (1 << c) != 0) {
            let path = plate.file(site, channel);
            let full = source.root.join(&path);
            // What cannot be read as an image (a link to nowhere, a pipe, a giant, a failing disk) is reported when its
            // site is packed; the listing does not name it.
            let readable = |found: &Metadata| found.is_file() && found.len() <= source.largest_png();
            if let Some(metadata) = files::look_at(&full).ok().flatten().filter(readable) {
                let modified = metadata.modified().map_err(Error::io(&full, "read the time of"))?;
                let ctime = Duration::new(metadata.ctime().max(0) as u64, metadata.ctime_nsec().max(0) as u32);
                let changed = modified.max(SystemTime::UNIX_EPOCH + ctime);
                images.push(Image { well: site.well, site: site.site, path, size: metadata.len(), changed });
            }
        }
    }
    Ok(images)
}

fn same_rows(plate: &PlatePlan, sites: &[SiteRow], rejected: &[Rejected]) -> bool {
    let planned: HashMap<(Well, u16), &Label> =
        plate.sites.iter().map(|site| ((site.well, site.site), &site.label)).collect();
    let known = sites.iter().all(|row| planned.get(&(row.id.well.well, row.id.site)) == Some(&&row.label));
    let left_out: Vec<Rejected> = plate.faults.iter().filter_map(to_rejected).collect();
    let of_sites = rejected.iter().filter(|row| !left_out.contains(row));
    let of_sites: Vec<_> = of_sites.map(|row| row.site.map(|site| (row.well, site))).collect();
    let all_planned = of_sites.iter().all(|site| site.is_some_and(|site| planned.contains_key(&site)));
    known
        && all_planned
        && sites.len() + of_sites.len() == planned.len()
        && left_out.iter().all(|row| rejected.contains(row))
}

/// Name and size are compared; the content too where the image changed after packing began (its ctime tells also of
/// those that were put back with their old mtime), where its site was rejected, or where `--rehash` asks for it.
fn same_sources(
    config: &PackConfig,
    dir: &Path,
    images: Vec<Image>,
    sources: &[Entry],
    rejected: &[Rejected],
    now: SystemTime,
) -> Result<bool> {
    let unreadable: HashSet<(Well, Option<u16>)> =
        sites_rejected(rejected, |reason| reason == FaultKind::Unreadable.name());
    let suspect: HashSet<(Well, Option<u16>)> = sites_rejected(rejected, |_| true);
    let (mut known, mut hashed): (HashMap<&str, &Entry>, bool) =
        (sources.iter().map(|entry| (entry.path.as_str(), entry)).collect(), false);
    let path = dir.join(SOURCES);
    let listed = files::modified(&path)?;
    for image in images {
        let site = (image.well, Some(image.site));
        let Some(entry) = known.remove(image.path.as_str()) else {
            // It could not be read then; if it cannot be read now, nothing changed.
            if unreadable.contains(&site) && files::open(&config.source.root.join(&image.path)).is_err() {
                continue;
            }
            return Ok(false);
        };
        if entry.size != Some(image.size) {
            return Ok(false);
        }
        if config.rehash || image.changed > listed || suspect.contains(&site) {
            hashed = true;
            match Sha::of_file(&config.source.root.join(&image.path), &|_| {}) {
                Ok((sha, _)) if sha == entry.sha => {}
                _ => return Ok(false),
            }
        }
    }
    if !known.is_empty() {
        return Ok(false);
    }
    if hashed {
        // Next time these images are older than the listing. Failing to note that only costs time.
        let _ = files::set_modified(&path, now);
    }
    Ok(true)
}

fn sites_rejected(rejected: &[Rejected], wanted: impl Fn(&str) -> bool) -> HashSet<(Well, Option<u16>)> {
    rejected.iter().filter(|row| wanted(&row.reason)).map(|row| (row.well, row.site)).collect()
}

//! Whether a plate is done: its listing stands, its files are there, and its sources and labels are what they were.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::site::{Label, Well};
use crate::source::{PlatePlan, Source};
use crate::store::StoreSpec;
use crate::store::checksum::Sha;
use crate::store::listing::{FILES, SOURCES, read_list, read_rows};
use crate::store::manifest::Entry;
use crate::store::rows::{Rejected, SiteRow};
use crate::store::spec::listing_path;

use super::plate::to_rejected;
use super::{OnError, PackConfig};

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
    let images = images(source, plate)?;
    let source_bytes = images.iter().map(|image| image.size).sum();
    let to_pack = State::ToPack { source_bytes };
    let dir = config.dst.join(listing_path(&plate.id));
    if !dir.is_dir() {
        return Ok(to_pack);
    }
    let listing = (
        read_rows::<SiteRow>(&config.dst, &plate.id, "sites.csv"),
        read_rows::<Rejected>(&config.dst, &plate.id, "rejected.csv"),
        read_list(&config.dst, &plate.id, FILES),
        read_list(&config.dst, &plate.id, SOURCES),
    );
    let (Ok(sites), Ok(rejected), Ok(files), Ok(sources)) = listing else {
        return Ok(to_pack);
    };
    let tolerable = match config.on_error {
        OnError::Skip => true,
        OnError::Fail => rejected
            .iter()
            .all(|row| row.reason == crate::source::fault::FaultKind::NoRow.name()),
    };
    let done = tolerable
        && spec.n_shards(sites.len()) + usize::from(!sites.is_empty()) + 6 == files.len()
        && same_rows(plate, &sites, &rejected)
        && files.iter().all(|file| has_size(&config.dst, file))
        && same_sources(config, &dir, &images, &sources)?;
    let n_rejected = rejected.len() as u64;
    Ok(if done { State::Done { n_rejected } } else { to_pack })
}

struct Image {
    path: String,
    size: u64,
    modified: SystemTime,
}

/// The images of a plate that are there.
fn images(source: &Source, plate: &PlatePlan) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    for site in &plate.sites {
        for channel in (0..source.n_channels).filter(|c| site.channels & (1 << c) != 0) {
            let path = plate.file(site, channel);
            let full = source.root.join(&path);
            // What cannot be read as an image (a link to nowhere, a pipe, a giant) is reported when its site is packed;
            // the listing does not name it.
            let readable = |found: &fs::Metadata| found.is_file() && found.len() <= source.largest_png();
            if let Some(metadata) = fs::metadata(&full).ok().filter(readable) {
                let modified = metadata.modified().map_err(Error::io(&full, "read the time of"))?;
                images.push(Image {
                    path,
                    size: metadata.len(),
                    modified,
                });
            }
        }
    }
    Ok(images)
}

fn same_rows(plate: &PlatePlan, sites: &[SiteRow], rejected: &[Rejected]) -> bool {
    let planned: HashMap<(Well, u16), &Label> = plate
        .sites
        .iter()
        .map(|site| ((site.well, site.site), &site.label))
        .collect();
    let known = sites
        .iter()
        .all(|row| planned.get(&(row.id.well.well, row.id.site)) == Some(&&row.label));
    let left_out: Vec<Rejected> = plate.faults.iter().map(to_rejected).collect();
    let of_sites = rejected.iter().filter(|row| !left_out.contains(row));
    let of_sites: Vec<_> = of_sites.map(|row| row.site.map(|site| (row.well, site))).collect();
    let all_planned = of_sites
        .iter()
        .all(|site| site.is_some_and(|site| planned.contains_key(&site)));
    known
        && all_planned
        && sites.len() + of_sites.len() == planned.len()
        && left_out.iter().all(|row| rejected.contains(row))
}

fn has_size(store: &Path, file: &Entry) -> bool {
    fs::metadata(store.join(&file.path)).is_ok_and(|found| Some(found.len()) == file.size)
}

/// Name and size are compared, and the content where the image is newer than the listing or `rehash` asks for it.
fn same_sources(config: &PackConfig, dir: &Path, images: &[Image], sources: &[Entry]) -> Result<bool> {
    if images.len() != sources.len() {
        return Ok(false);
    }
    let path = dir.join(SOURCES);
    let listed = fs::metadata(&path)
        .and_then(|found| found.modified())
        .map_err(Error::io(&path, "look at"))?;
    let known: HashMap<&str, &Entry> = sources.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    for image in images {
        let Some(entry) = known
            .get(image.path.as_str())
            .filter(|entry| entry.size == Some(image.size))
        else {
            return Ok(false);
        };
        if config.rehash || image.modified > listed {
            let (sha, _) = Sha::of_file(&config.source.root.join(&image.path), &|_| {})?;
            if sha != entry.sha {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

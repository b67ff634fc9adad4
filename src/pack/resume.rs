//! Whether a plate is done: its listing stands, its files are there, and its sources and labels are what they were. And
//! what the store would lose if it was packed again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result, unless_damaged};
use crate::fault::FaultKind;
use crate::files;
use crate::plate_proof::is_proven;
use crate::site::{Label, SiteId, Well};
use crate::source::{PlatePlan, SitePlan, Source};
use crate::store::StoreSpec;
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{FILES, REJECTED, SITES, SOURCES, array_document_path, listing_path};
use crate::store::format::rows::{Rejected, SiteRow};
use crate::store::read::listing::{read_list, read_rows};
use crate::store::read::proof::{Depth, are_whole};
use crate::store::write::held::{Lost, all, lost};

use super::another::Kinship;
use super::config::{OnError, PackConfig};
use super::meaning;
use super::rejected::to_rejected;
use super::stamp::{FileTimes, Stamp};

/// What is left to do for a plate.
pub(super) enum State {
    /// Nothing.
    Done {
        /// Rows of its `rejected.csv`.
        n_rejected: u64,
        /// What proves its sources the next time, where they had to be read this time.
        proof: Option<Proof>,
    },
    /// All of it.
    ToPack(Todo),
}

/// The time that a list of sources is to have, so that next time its sources are known without being read.
pub(super) struct Proof {
    list: PathBuf,
    time: SystemTime,
}

impl Proof {
    /// Notes it. Failing to do so only costs time.
    pub(super) fn note(&self) {
        let _ = files::set_modified(&self.list, self.time);
    }
}

/// A plate to pack.
pub(super) struct Todo {
    /// Bytes of its PNGs.
    pub(super) source_bytes: u64,
    /// What the system says of its PNGs.
    pub(super) stamp: Stamp,
    /// What the store holds of it and of which names and CSVs alone show that the source has it no more.
    pub(super) lost: Lost,
    /// What it is to the plate that the store has.
    pub(super) kinship: Kinship,
}

/// Looks at a plate. A listing that cannot be read is as good as none: the plate is packed again.
pub(super) fn look_at(
    config: &PackConfig,
    source: &Source,
    spec: &StoreSpec,
    plate: &PlatePlan,
    now: SystemTime,
) -> Result<State> {
    let images = images(source, plate);
    let of_system = images.iter().map(|image| (image.path.as_str(), image.size, image.times));
    let stamp = Stamp::new(now, of_system, plate.sites.iter().map(|site| plate.told(site)));
    // A file that several sites are in counts once.
    let source_bytes = images.iter().map(|image| (&image.path, image.size)).collect::<HashMap<_, _>>().values().sum();
    if let Some(done) = done(config, source, spec, plate, &images, &stamp)? {
        return Ok(done);
    }
    let paths: Vec<&str> = images.iter().map(|image| image.path.as_str()).collect();
    let kinship = Kinship::of(config, source, plate, &paths)?;
    let is_whole = |site: &SitePlan| plate.missing_channel(site).is_none();
    let mut lost = lost_of(config, spec, plate, &is_whole)?;
    if kinship == Kinship::Another {
        lost.others = all(&config.dst, spec, &plate.id)?;
    }
    Ok(State::ToPack(Todo { source_bytes, stamp, lost, kinship }))
}

/// What the store would lose of a plate if of those that are planned, only the sites were packed that `is_packed` says
/// yes to.
pub(super) fn lost_of(
    config: &PackConfig,
    spec: &StoreSpec,
    plate: &PlatePlan,
    is_packed: &dyn Fn(&SitePlan) -> bool,
) -> Result<Lost> {
    let packed = plate.sites.iter().filter(|site| is_packed(site));
    let labels: HashMap<(Well, u16), &Label> = packed.map(|site| ((site.well, site.site), &site.label)).collect();
    let new = |old: &SiteId| Some((*labels.get(&(old.well.well, old.site))?, &plate.id.experiment));
    lost(&config.dst, spec, &plate.id, &new)
}

/// The state of a plate that is done.
fn done(
    config: &PackConfig,
    source: &Source,
    spec: &StoreSpec,
    plate: &PlatePlan,
    images: &[Image],
    stamp: &Stamp,
) -> Result<Option<State>> {
    let dir = config.dst.join(listing_path(&plate.id));
    if !files::is_dir(&dir)? {
        return Ok(None);
    }
    let listing = (
        unless_damaged(read_rows::<SiteRow>(&config.dst, &plate.id, SITES))?,
        unless_damaged(read_rows::<Rejected>(&config.dst, &plate.id, REJECTED))?,
        unless_damaged(read_list(&config.dst, &plate.id, FILES))?,
        unless_damaged(read_list(&config.dst, &plate.id, SOURCES))?,
    );
    let (Some(sites), Some(rejected), Some(files), Some(sources)) = listing else {
        return Ok(None);
    };
    let tolerable = match config.on_error {
        OnError::Skip => true,
        OnError::Fail => rejected.is_empty(),
    };
    let has_document = || {
        let found = unless_damaged(files::read_document(&config.dst.join(array_document_path(&plate.id))))?;
        Ok::<_, Error>(found.is_some_and(|found| found == spec.plate_document(sites.len())))
    };
    let depth = if config.rehash { Depth::Content } else { Depth::Size };
    let is_there = tolerable
        && spec.n_shards(sites.len()) + usize::from(!sites.is_empty()) + 6 == files.len()
        && (sites.is_empty() || has_document()?)
        && same_rows(plate, &sites, &rejected)
        && are_whole(&config.dst, &files, depth)?
        && (!config.rehash || is_proven(&config.dst, &plate.id, spec, &sites)?);
    if !is_there {
        return Ok(None);
    }
    let Some(Same { proof }) = same_sources(config, &dir, images, &sources, &rejected, stamp)? else { return Ok(None) };
    // The stamp proves what is told of images, too.
    if (config.rehash || proof.is_some()) && !meaning::is_the_same(source, plate, &sites, config.rehash)? {
        return Ok(None);
    }
    Ok(Some(State::Done { n_rejected: rejected.len() as u64, proof }))
}

struct Image {
    well: Well,
    site: u16,
    path: String,
    size: u64,
    times: FileTimes,
}

/// The images of a plate that are there.
fn images(source: &Source, plate: &PlatePlan) -> Vec<Image> {
    let mut images = Vec::new();
    for site in &plate.sites {
        for (path, largest) in source.image_files(plate, site) {
            let full = source.root.join(&path);
            // What cannot be read as an image (a link to nowhere, a pipe, a giant, a failing disk) is reported when its
            // site is packed; the listing does not name it.
            let readable = |found: &Metadata| found.is_file() && found.len() <= largest;
            if let Some(metadata) = files::look_at(&full).ok().flatten().filter(readable) {
                let times = FileTimes {
                    modified: (metadata.mtime(), metadata.mtime_nsec()),
                    changed: (metadata.ctime(), metadata.ctime_nsec()),
                };
                images.push(Image { well: site.well, site: site.site, path, size: metadata.len(), times });
            }
        }
    }
    images
}

fn same_rows(plate: &PlatePlan, sites: &[SiteRow], rejected: &[Rejected]) -> bool {
    let planned: HashMap<(Well, u16), &Label> =
        plate.sites.iter().map(|site| ((site.well, site.site), &site.label)).collect();
    let cell_type = plate.id.experiment.cell_type();
    let known = sites.iter().all(|row| {
        let is_of_it = row.id.well.plate.experiment.cell_type() == cell_type;
        is_of_it && planned.get(&(row.id.well.well, row.id.site)) == Some(&&row.label)
    });
    let left_out: BTreeSet<Rejected> = plate.faults.iter().filter_map(to_rejected).collect();
    let known_rejected: BTreeSet<&Rejected> = rejected.iter().collect();
    let of_sites = rejected.iter().filter(|row| !left_out.contains(row));
    let of_sites: Vec<_> = of_sites.map(|row| row.site.map(|site| (row.well, site))).collect();
    let all_planned = of_sites.iter().all(|site| site.is_some_and(|site| planned.contains_key(&site)));
    known
        && all_planned
        && sites.len() + of_sites.len() == planned.len()
        && left_out.iter().all(|row| known_rejected.contains(row))
}

/// That sources are what they were.
struct Same {
    proof: Option<Proof>,
}

/// Name and size are compared; the content too unless the list's time proves that the system said the same of all images
/// when they were packed, where a site was rejected, and where `--rehash` asks for it.
fn same_sources(
    config: &PackConfig,
    dir: &Path,
    images: &[Image],
    sources: &[Entry],
    rejected: &[Rejected],
    stamp: &Stamp,
) -> Result<Option<Same>> {
    let unreadable: HashSet<(Well, Option<u16>)> =
        sites_rejected(rejected, |reason| reason == FaultKind::Unreadable.name());
    let suspect: HashSet<(Well, Option<u16>)> = sites_rejected(rejected, |_| true);
    let known: HashMap<&str, &Entry> = sources.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let path = dir.join(SOURCES);
    let sha = Sha::of(manifest::format(sources).as_bytes());
    let is_proven = stamp.is_proven_by(sha, files::modified(&path)?);
    for image in images {
        let site = (image.well, Some(image.site));
        let Some(entry) = known.get(image.path.as_str()) else {
            // It could not be read then; if it cannot be read now, nothing changed.
            if unreadable.contains(&site) && files::open(&config.source.root.join(&image.path)).is_err() {
                continue;
            }
            return Ok(None);
        };
        if entry.size != Some(image.size) {
            return Ok(None);
        }
        // A file that several sites are in is hashed once.
        let is_new = seen.insert(entry.path.as_str());
        if (is_new && (config.rehash || !is_proven)) || suspect.contains(&site) {
            match Sha::of_file(&config.source.root.join(&image.path), &|_| {}) {
                Ok((sha, _)) if sha == entry.sha => {}
                _ => return Ok(None),
            }
        }
    }
    if seen.len() != sources.len() {
        return Ok(None);
    }
    let proof = (!is_proven).then(|| Proof { time: stamp.time(sha), list: path });
    Ok(Some(Same { proof }))
}

fn sites_rejected(rejected: &[Rejected], wanted: impl Fn(&str) -> bool) -> HashSet<(Well, Option<u16>)> {
    rejected.iter().filter(|row| wanted(&row.reason)).map(|row| (row.well, row.site)).collect()
}

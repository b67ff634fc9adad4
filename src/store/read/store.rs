//! Reading a store: its sites and classes, and the pixels of a site. Needs no PNG and trusts no byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::site::{Experiment, Names, PlateId, SiteId};
use crate::store::format::checksum::crc32c;
use crate::store::format::index::MOST_INFLATED;
use crate::store::format::names::{CHUNKS, CLASSES, METADATA, PIXELS, SHA256SUMS, STATISTICS, ZARR_JSON, shard_path};
use crate::store::format::rows::SiteRow;
use crate::store::format::spec::StoreSpec;
use crate::{files, memory};

use super::decode::Decoder;
use super::listing::{each_site, read_sums};
use super::proof::Depth;
use super::shard::Shard;

/// A finished store, open for reading.
///
/// ```no_run
/// let store = cellshard::store::Store::open("shards".as_ref())?;
/// let pixels: Vec<u8> = store.site("HEPG2-08", 1, "B02", 1)?; // [C, H, W]
/// # Ok::<(), cellshard::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    spec: StoreSpec,
    classes: Arc<Classes>,
    sites: Arc<Vec<SiteRow>>,
    /// Indices of the sites, ordered by their ids; `None` where the sites are.
    by_id: Option<Arc<Vec<u32>>>,
    n_sites: Arc<BTreeMap<PlateId, usize>>,
}

impl Store {
    /// Opens a store and reads its metadata.
    ///
    /// # Errors
    /// If it is not finished, not of format 1 or 2, or its metadata contradicts itself.
    pub fn open(root: &Path) -> Result<Self> {
        check_is_there(root)?;
        if !files::is_file(&root.join(SHA256SUMS))? {
            return Err(Error::Unfinished { path: root.to_owned() });
        }
        Self::read(root)
    }

    /// The same, once all but the shards is proven by the list of all: labels and counts are not trained on or predicted by
    /// unproven. (A site is proven when it is read.)
    ///
    /// # Errors
    /// As [`Store::open`] has them, or if a table or document is not what the list says.
    pub fn open_proven(root: &Path) -> Result<Self> {
        let store = Self::open(root)?;
        let statistics = format!("{PIXELS}/{STATISTICS}/");
        let is_shard = |path: &str| {
            path.starts_with(PIXELS) && path.contains(&format!("/{CHUNKS}/")) && !path.starts_with(&statistics)
        };
        for entry in read_sums(root)?.iter().filter(|entry| !is_shard(&entry.path)) {
            if let Err(damage) = entry.check(root, Depth::Content, &|_| {}) {
                let error = damage.into_error(entry);
                let Error::Malformed { expected, found, .. } = error else { return Err(error) };
                let expected = format!("{expected}, as {SHA256SUMS} says (verify tells more)");
                return Err(Error::malformed(root.join(&entry.path).display(), expected, found));
            }
        }
        Ok(store)
    }

    /// The same of a store that is not finished: its writer finds out whether it could be opened if it were.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let spec = read_spec(root)?;
        let classes_path = root.join(CLASSES);
        let classes = Classes::parse(&files::read_text(&classes_path)?, &classes_path.display().to_string())?;
        let metadata = root.join(METADATA);
        let (mut sites, mut names) = (Vec::new(), Names::default());
        let mut n_sites: BTreeMap<PlateId, usize> = BTreeMap::new();
        let mut experiments: BTreeSet<Experiment> = BTreeSet::new();
        each_site(root, &mut |line, mut site| {
            let place = || format!("{}:{line}", metadata.display());
            let experiment = &site.id.well.plate.experiment;
            match experiments.get(experiment) {
                None => drop(experiments.insert(experiment.clone())),
                Some(known) if known.cell_type() == experiment.cell_type() => {}
                Some(known) => {
                    let expected = format!("cell type {} of {known}, as rows before say", known.cell_type());
                    return Err(Error::malformed(place(), expected, experiment.cell_type()));
                }
            }
            let next = match n_sites.get_mut(&site.id.well.plate) {
                Some(next) => next,
                None => n_sites.entry(site.id.well.plate.clone()).or_default(),
            };
            if site.row as usize != *next {
                return Err(Error::malformed(place(), format!("row {next} of its plate"), site.row));
            }
            *next += 1;
            if let Some(class) = site.label.class.filter(|&class| !classes.contains(class)) {
                return Err(Error::malformed(place(), format!("a class of {CLASSES}"), class));
            }
            if sites.len() == u32::MAX as usize {
                return Err(Error::malformed(place(), "at most 4,294,967,295 sites", "more"));
            }
            site.share(&mut names);
            sites.push(site);
            Ok(())
        })?;
        sites.shrink_to_fit();
        let by_id = order_by_id(&sites, &metadata)?;
        let store = Self {
            root: root.to_owned(),
            spec,
            classes: Arc::new(classes),
            sites: Arc::new(sites),
            by_id: by_id.map(Arc::new),
            n_sites: Arc::new(n_sites),
        };
        store.check_site_bytes()?;
        Ok(store)
    }

    /// Whether the first shard is long enough for one site of the size that the store's document claims: readers ask for
    /// memory by that.
    fn check_site_bytes(&self) -> Result<()> {
        let Some(first) = self.sites.first() else { return Ok(()) };
        let path = self.root.join(shard_path(&first.id.well.plate, 0));
        let Some(found) = files::look_at(&path)?.filter(std::fs::Metadata::is_file) else { return Ok(()) };
        let site_bytes = self.spec.site_bytes() as u64;
        if found.len().saturating_mul(MOST_INFLATED) < site_bytes {
            let expected = format!("a shard long enough for a site of {site_bytes} bytes, which {ZARR_JSON} says");
            return Err(Error::malformed(path.display(), expected, format!("{} bytes", found.len())));
        }
        Ok(())
    }

    /// The folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Channels, image size, codec.
    #[must_use]
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// The classes.
    #[must_use]
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// All sites, plate by plate, in the order of the arrays.
    #[must_use]
    pub fn sites(&self) -> &[SiteRow] {
        &self.sites
    }

    /// The plates that have sites, and how many.
    #[must_use]
    pub fn plates(&self) -> &BTreeMap<PlateId, usize> {
        &self.n_sites
    }

    /// The pixels of one site, `[C, H, W]`, proven by its crc32c; those of 16 bits are two bytes, the lower one first.
    ///
    /// # Errors
    /// If there is no such site, or its pixels are damaged.
    pub fn site(&self, experiment: &str, plate: impl Display, well: &str, site: u16) -> Result<Vec<u8>> {
        let id = SiteId::new(experiment, &plate, well, site);
        let index = id.ok().and_then(|id| self.index_of(&id));
        let row = index.map(|i| &self.sites[i]).ok_or_else(|| Error::NoSuchSite {
            path: self.root.clone(),
            site: format!("{experiment}/{plate}/{well}/{site}"),
        })?;
        let per_shard = self.spec.sites_per_shard as usize;
        let shard = self.shard(&row.id.well.plate, row.row as usize / per_shard)?;
        let mut pixels = memory::zeroed(self.spec.site_bytes(), shard.path.display())?;
        shard.read(row.row as usize % per_shard, &mut Decoder::default(), &mut Vec::new(), &mut pixels)?;
        let found = crc32c(&pixels);
        if found != row.crc32c {
            let place = format!("{}: site {}", shard.path.display(), row.id.shown());
            return Err(Error::malformed(place, format!("crc32c {:08x}", row.crc32c), format!("{found:08x}")));
        }
        Ok(pixels)
    }

    /// Where a site is in [`Store::sites`]; `None` where it is not.
    #[must_use]
    pub fn index_of(&self, id: &SiteId) -> Option<usize> {
        match &self.by_id {
            None => self.sites.binary_search_by(|site| site.id.cmp(id)).ok(),
            Some(order) => {
                let place = order.binary_search_by(|&i| self.sites[i as usize].id.cmp(id)).ok()?;
                Some(order[place] as usize)
            }
        }
    }

    /// Opens one shard of a plate.
    ///
    /// # Errors
    /// If the plate has no such shard, or it is damaged.
    pub fn shard(&self, plate: &PlateId, shard: usize) -> Result<Shard> {
        let n_sites = self.n_sites.get(plate).copied().unwrap_or(0);
        Shard::open(&self.root, &self.spec, plate, shard, n_sites)
    }
}

/// The order of sites by their ids, unless they are in it, as a writer of ours leaves them. No site may be there twice.
fn order_by_id(sites: &[SiteRow], metadata: &Path) -> Result<Option<Vec<u32>>> {
    if sites.is_sorted_by(|a, b| a.id < b.id) {
        return Ok(None);
    }
    let id = |&i: &u32| &sites[i as usize].id;
    let mut order: Vec<u32> = (0..sites.len() as u32).collect();
    // Equal ones stay in the order of their lines.
    order.sort_by(|a, b| id(a).cmp(id(b)));
    match order.array_windows().filter(|[a, b]| id(a) == id(b)).map(|[_, again]| again).min() {
        None => Ok(Some(order)),
        Some(again) => {
            let place = format!("{}:{}", metadata.display(), again + 2);
            Err(Error::malformed(place, "each site once", format!("{} again", id(again).shown())))
        }
    }
}

/// Refuses a folder that is no store, finished or not.
///
/// # Errors
/// If it is none, or that cannot be told.
pub fn check_is_there(root: &Path) -> Result<()> {
    if files::is_dir(&root.join(PIXELS))? {
        return Ok(());
    }
    Err(Error::refused(root.display(), format!("a store (a folder with {PIXELS})"), "none"))
}

/// Reads the document that says what holds for the whole store.
///
/// # Errors
/// If it is not there or not of format 1 or 2.
pub fn read_spec(root: &Path) -> Result<StoreSpec> {
    let path = root.join(PIXELS).join(ZARR_JSON);
    StoreSpec::parse_root(&files::read_document(&path)?, &path.display().to_string())
}

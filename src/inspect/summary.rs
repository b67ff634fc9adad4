//! What a store holds, so that a person knows it in ten seconds. Reads lists and tables, no pixel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::classes::Classes;
use crate::error::Result;
use crate::files;
use crate::site::{PlateId, Population, WellId};
use crate::stats::Grouping;
use crate::store::format::names::{CLASSES, PIXELS, SITES, STATISTICS, ZARR_JSON};
use crate::store::format::rows::SiteRow;
use crate::store::format::spec::Channel;
use crate::store::read::listing::{LeftOut, each_site, listed_plates, read_rows};
use crate::store::{SHA256SUMS, check_is_there, read_spec};
use crate::verify::{self, Depth, StoreConfig};

/// What a store holds.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Whether it is finished: whether all that it is to hold is there.
    pub finished: bool,
    /// Files that are missing or of another size, by their names and sizes alone; the first of them.
    pub missing: Vec<String>,
    /// How many they are.
    pub n_missing: usize,
    /// The version of its format.
    pub format: u32,
    /// Its channels, in order.
    pub channels: Vec<Channel>,
    /// Height and width of its images, in pixels.
    pub size: [u32; 2],
    /// The type of its pixels.
    pub dtype: &'static str,
    /// How they are stored.
    pub codec: String,
    /// Sites in a shard.
    pub sites_per_shard: u32,
    /// Bytes of its shards.
    pub bytes: u64,
    /// Bytes of all of its other files.
    pub lists_bytes: u64,
    /// Bytes of its pixels, were they stored as they are.
    pub raw_bytes: u64,
    /// Classes.
    pub classes: usize,
    /// Whether it was packed from what was present of its source.
    pub present_only: bool,
    /// What it left out when it was packed.
    pub rejected: LeftOut,
    /// All of it.
    pub total: Counts,
    /// The same by cell type, experiment or plate.
    pub groups: Vec<Group>,
    /// Wells by population.
    pub populations: BTreeMap<&'static str, WellsAndSites>,
    /// Wells by dataset: train, val, test, or unknown.
    pub datasets: BTreeMap<String, WellsAndSites>,
}

/// A group of plates.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// The cell type, experiment or plate.
    pub group: String,
    /// What it has.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Experiments.
    pub experiments: u64,
    /// Plates.
    pub plates: u64,
    /// Wells.
    pub wells: u64,
    /// Sites.
    pub sites: u64,
    /// Wells with a negative control.
    pub negative_controls: u64,
    /// Wells with a positive control.
    pub positive_controls: u64,
    /// Wells with a treatment.
    pub treatments: u64,
}

/// Wells and their sites.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WellsAndSites {
    /// Wells.
    pub wells: u64,
    /// Sites.
    pub sites: u64,
}

/// Files that are named at most.
const MOST_NAMED: usize = 1000;

impl Summary {
    /// Looks at a store, finished or not.
    ///
    /// # Errors
    /// If there is none, or its tables cannot be read.
    pub fn of(root: &Path, by: Grouping) -> Result<Self> {
        check_is_there(root)?;
        let spec = read_spec(root)?;
        let config = StoreConfig { root: root.to_owned(), depth: Depth::Quick, manifest: None };
        let found = verify::verify_store(&config, &|_| {})?;
        let damaged: Vec<String> = found.damaged().map(str::to_owned).collect();
        let finished = found.is_finished && damaged.is_empty();
        let mut counter = Counter::new(by);
        if files::is_file(&root.join(SHA256SUMS))? {
            each_site(root, &mut |_, site| {
                counter.add(&site);
                Ok(())
            })?;
        } else {
            // Not finished: what is packed so far has its listing.
            for plate in listed_plates(root)? {
                read_rows::<SiteRow>(root, &plate, SITES)?.iter().for_each(|site| counter.add(site));
            }
        }
        let classes = root.join(CLASSES);
        let classes = if files::exists(&classes)? {
            Classes::parse(&files::read_text(&classes)?, &classes.display().to_string())?.rows().len()
        } else {
            0
        };
        let (bytes, lists_bytes) = bytes(root)?;
        let total = counter.seen.counts();
        Ok(Self {
            finished,
            n_missing: damaged.len(),
            missing: damaged.into_iter().take(MOST_NAMED).collect(),
            format: spec.format.number(),
            size: [spec.size.height, spec.size.width],
            dtype: spec.dtype.name(),
            codec: spec.codec.to_string(),
            sites_per_shard: spec.sites_per_shard,
            bytes,
            lists_bytes,
            raw_bytes: total.sites * spec.site_bytes() as u64,
            classes,
            present_only: spec.present_only,
            channels: spec.channels,
            rejected: found.left_out,
            total,
            groups: groups(counter.groups),
            populations: counter.populations,
            datasets: counter.datasets,
        })
    }
}

/// In the order of the store, in which HUVEC-2 comes before HUVEC-10.
fn groups(groups: BTreeMap<String, (Seen, usize)>) -> Vec<Group> {
    let mut groups: Vec<(String, (Seen, usize))> = groups.into_iter().collect();
    groups.sort_by_key(|(_, (_, at))| *at);
    groups.into_iter().map(|(group, (seen, _))| Group { group, counts: seen.counts() }).collect()
}

/// Bytes of a store's shards, and of all of its other files.
fn bytes(root: &Path) -> Result<(u64, u64)> {
    let (mut shards, mut lists) = (0, 0);
    let is_shard = |path: &str| {
        let below = path.strip_prefix(PIXELS).and_then(|path| path.strip_prefix('/'));
        below.is_some_and(|path| !path.starts_with(STATISTICS) && !path.ends_with(ZARR_JSON))
    };
    for path in files::all_files(root)?.files {
        let sum = if is_shard(&path) { &mut shards } else { &mut lists };
        *sum += files::look_at(&root.join(path))?.map_or(0, |found| found.len());
    }
    Ok((shards, lists))
}

/// Counts wells and sites, which come plate by plate and well by well.
struct Counter {
    by: Grouping,
    last: Option<WellId>,
    seen: Seen,
    groups: BTreeMap<String, (Seen, usize)>,
    populations: BTreeMap<&'static str, WellsAndSites>,
    datasets: BTreeMap<String, WellsAndSites>,
}

#[derive(Default)]
struct Seen {
    experiments: BTreeSet<String>,
    plates: BTreeSet<PlateId>,
    counts: Counts,
}

impl Seen {
    fn add(&mut self, site: &SiteRow, is_new_well: bool) {
        let counts = &mut self.counts;
        counts.sites += 1;
        if !is_new_well {
            return;
        }
        counts.wells += 1;
        match site.label.population {
            Population::NegativeControl => counts.negative_controls += 1,
            Population::PositiveControl => counts.positive_controls += 1,
            Population::Treatment => counts.treatments += 1,
            Population::Unknown => {}
        }
        let plate = &site.id.well.plate;
        if !self.plates.contains(plate) {
            self.plates.insert(plate.clone());
            self.experiments.insert(plate.experiment.to_string());
        }
    }

    fn counts(&self) -> Counts {
        Counts { experiments: self.experiments.len() as u64, plates: self.plates.len() as u64, ..self.counts }
    }
}

impl Counter {
    fn new(by: Grouping) -> Self {
        let (groups, populations, datasets) = Default::default();
        Self { by, last: None, seen: Seen::default(), groups, populations, datasets }
    }

    fn add(&mut self, site: &SiteRow) {
        let is_new_well = self.last.as_ref() != Some(&site.id.well);
        if is_new_well {
            self.last = Some(site.id.well.clone());
        }
        self.seen.add(site, is_new_well);
        let n = self.groups.len();
        let group = self.groups.entry(self.by.group(&site.id.well.plate)).or_insert_with(|| (Seen::default(), n));
        group.0.add(site, is_new_well);
        let dataset = if site.label.dataset.is_empty() { "unknown" } else { &*site.label.dataset };
        let of_dataset = match self.datasets.get_mut(dataset) {
            Some(known) => known,
            None => self.datasets.entry(dataset.to_owned()).or_default(),
        };
        for counted in [self.populations.entry(site.label.population.name()).or_default(), of_dataset] {
            counted.wells += u64::from(is_new_well);
            counted.sites += 1;
        }
    }
}

//! Which sites a plate should have, what is known of each, and what names and CSVs alone show to be wrong. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::fault::{Fault, FaultKind};
use crate::site::{Label, PlateId, Well, WellId};

use super::channels::ChannelNames;
use super::labels::{Labels, WellLabel};
use super::names;
use super::tree::PlateFiles;
use super::zarr::site::ArraySite;

/// One site that there is something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePlan {
    /// The well.
    pub well: Well,
    /// The site.
    pub site: u16,
    /// What the CSVs say.
    pub label: Label,
    /// Which channels have a file: bit 0 for the first.
    pub channels: u64,
}

/// One plate: its sites in the order of the store, and what its names and CSVs alone show to be wrong.
#[derive(Debug, Clone)]
pub struct PlatePlan {
    /// The plate.
    pub id: PlateId,
    /// Its folder, relative to the root, with `/`.
    pub dir: String,
    /// Sites, sorted by well row, column, site.
    pub sites: Vec<SitePlan>,
    /// Faults of whole sites and wells; a missing channel is found with the site.
    pub faults: Vec<Fault>,
    /// The sites that every well should have.
    pub usual_sites: BTreeSet<u16>,
    /// What is only counted, where only what is present is wanted.
    pub absent: Absent,
    /// The wells that file names spell in another way than we do.
    spelled: BTreeMap<Well, String>,
    /// The paths of images that are told one by one, as [`PlateFiles::listed`] has them.
    listed: BTreeMap<(Well, u16), Box<[Box<str>]>>,
    /// Where images are that are planes of arrays, as [`PlateFiles`] has them.
    arrays: BTreeMap<(Well, u16), ArraySite>,
    channels: Arc<ChannelNames>,
}

impl PlatePlan {
    /// The file of one channel of a site, relative to the root; `channel` counts from 0. Empty for one that is not there,
    /// where names do not follow from what they tell. Of images that are planes of an array, the document of that.
    #[must_use]
    pub fn file(&self, site: &SitePlan, channel: usize) -> String {
        if let Some(array) = self.array(site) {
            return array.document();
        }
        let Some(paths) = self.listed.get(&(site.well, site.site)) else {
            return self.file_of(site.well, site.site, self.channels.numbers[channel]);
        };
        let is_there = site.channels & (1 << channel) != 0;
        let before = (site.channels & ((1 << channel) - 1)).count_ones() as usize;
        if is_there { paths[before].to_string() } else { String::new() }
    }

    /// Whether images are told one by one, by a description of names, a table or the documents of arrays: their paths
    /// alone do not say what they are.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !self.listed.is_empty() || !self.arrays.is_empty()
    }

    /// What is told of the images of a site: their paths by channel, or their place in an array. Empty where the paths
    /// follow from the site.
    #[must_use]
    pub fn told(&self, site: &SitePlan) -> String {
        let SitePlan { well, site: number, channels, .. } = site;
        let key = (*well, *number);
        let images = self.listed.get(&key).map(|paths| paths.join("\0"));
        let images = images.or_else(|| self.arrays.get(&key).map(|array| format!("{array:?}")));
        images.map(|images| format!("{well} {number} {channels:b} {images}\n")).unwrap_or_default()
    }

    /// Where the images of a site are that are planes of an array.
    pub(super) fn array(&self, site: &SitePlan) -> Option<&ArraySite> {
        self.arrays.get(&(site.well, site.site))
    }

    /// The longest path of a folder of its images, relative to the root.
    #[must_use]
    pub fn longest_folder(&self) -> &str {
        let folder = |path: &'_ str| path.rfind('/').unwrap_or_default();
        let paths = self.listed.values().flat_map(|paths| paths.iter().map(|path| &path[..folder(path)]));
        let paths = paths.chain(self.arrays.values().map(|array| &*array.dir));
        paths.max_by_key(|folder| folder.len()).unwrap_or(&self.dir)
    }

    fn file_of(&self, well: Well, site: u16, number: usize) -> String {
        let spelled = self.spelled.get(&well).cloned().unwrap_or_else(|| well.to_string());
        format!("{}/{}", self.dir, names::image_name(&spelled, site, number))
    }

    /// The fault of `site` if it lacks channels.
    #[must_use]
    pub fn missing_channel(&self, site: &SitePlan) -> Option<Fault> {
        let n_channels = self.channels.names.len();
        let missing: Vec<usize> = (0..n_channels).filter(|c| site.channels & (1 << c) == 0).collect();
        let first = *missing.first()?;
        let names: Vec<&str> = missing.iter().map(|&c| self.channels.names[c].as_str()).collect();
        Some(Fault {
            plate: Some(self.id.clone()),
            well: Some(site.well),
            site: Some(site.site),
            kind: FaultKind::MissingChannel,
            file: self.file(site, first),
            detail: format!("expected {n_channels} channels, found no {}", names.join(", ")),
        })
    }
}

/// What tables name and no image is there of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// Plates of which there is nothing.
    pub plates: u64,
    /// Wells of which there is nothing, those of such plates included.
    pub wells: u64,
    /// Sites that wells lack of which there are others.
    pub sites: u64,
}

/// Joins labels and files, one plate at a time.
pub(super) struct Planner<'a> {
    pub(super) labels: &'a Labels,
    pub(super) known_partial: &'a BTreeSet<WellId>,
    pub(super) channels: Arc<ChannelNames>,
    /// Sites of every well, where that is known.
    pub(super) n_sites: Option<u16>,
    /// Whether wells should have rows in tables.
    pub(super) has_tables: bool,
    /// Whether what tables name and is not there is only counted.
    pub(super) present_only: bool,
}

impl Planner<'_> {
    pub(super) fn plate(&self, id: &PlateId, files: PlateFiles) -> PlatePlan {
        let PlateFiles { dir, dataset, sites, spelled, listed, arrays, .. } = files;
        let mut plan = PlatePlan {
            id: id.clone(),
            dir,
            sites: Vec::new(),
            faults: Vec::new(),
            usual_sites: BTreeSet::new(),
            absent: Absent::default(),
            spelled,
            listed,
            arrays,
            channels: Arc::clone(&self.channels),
        };
        let mut by_well: BTreeMap<Well, BTreeMap<u16, u64>> = BTreeMap::new();
        for ((well, site), channels) in sites {
            by_well.entry(well).or_default().insert(site, channels);
        }
        let no_wells = BTreeMap::new();
        let labelled = self.labels.plates.get(id).unwrap_or(&no_wells);
        let counts = |well: Well| {
            let has_row = !self.has_tables || labelled.contains_key(&well);
            has_row && !self.known_partial.contains(&WellId { plate: id.clone(), well })
        };
        let counted = by_well.iter().filter(|(well, _)| counts(**well));
        // No majority decides: what one well has and another lacks was lost, or is too much.
        let usual: BTreeSet<u16> = match self.n_sites {
            Some(n) => (1..=n).collect(),
            None => counted.flat_map(|(_, sites)| sites.keys().copied()).collect(),
        };
        plan.usual_sites.clone_from(&usual);
        let wells: BTreeSet<Well> = by_well.keys().chain(labelled.keys()).copied().collect();
        for well in wells {
            let found = by_well.remove(&well).unwrap_or_default();
            match labelled.get(&well) {
                None if !self.has_tables => {
                    self.well(&mut plan, well, found, None, &usual, &Label::unknown());
                }
                None => plan.faults.extend(found.keys().map(|&site| {
                    let detail = "expected a row in the CSVs, found none".to_owned();
                    fault(id, well, Some(site), FaultKind::NoRow, detail)
                })),
                Some(WellLabel { label, sites }) => {
                    if let Some(dataset) = dataset.filter(|&dataset| label.dataset != dataset) {
                        let detail = format!("expected images in {}/, found them in {dataset}/", label.dataset);
                        plan.faults.push(fault(id, well, None, FaultKind::NoImages, detail));
                    } else if found.is_empty() && self.present_only {
                        plan.absent.wells += 1;
                    } else if found.is_empty() {
                        let detail = "expected images, found none".to_owned();
                        plan.faults.push(fault(id, well, None, FaultKind::NoImages, detail));
                    } else {
                        self.well(&mut plan, well, found, sites.as_ref(), &usual, label);
                    }
                }
            }
        }
        plan
    }

    /// Plans the sites of a well that has at least one; `named` are those that a table names, if it does.
    fn well(
        &self,
        plan: &mut PlatePlan,
        well: Well,
        found: BTreeMap<u16, u64>,
        named: Option<&BTreeSet<u16>>,
        usual: &BTreeSet<u16>,
        label: &Label,
    ) {
        let id = plan.id.clone();
        let (names_sites, expected) = (named.is_some(), named.unwrap_or(usual));
        let known = !names_sites && self.known_partial.contains(&WellId { plate: id.clone(), well });
        for &site in expected.iter().filter(|site| !known && !found.contains_key(site)) {
            if self.present_only {
                plan.absent.sites += 1;
                continue;
            }
            let kind = if names_sites { FaultKind::NoImages } else { FaultKind::MissingSite };
            let numbers: Vec<String> = expected.iter().map(u16::to_string).collect();
            let detail = format!("expected sites {}, found no site {site}", numbers.join(", "));
            plan.faults.push(fault(&id, well, Some(site), kind, detail));
        }
        for (site, channels) in found {
            if names_sites && !expected.contains(&site) {
                let detail = "expected a row in the CSVs, found none".to_owned();
                plan.faults.push(fault(&id, well, Some(site), FaultKind::NoRow, detail));
                continue;
            }
            if self.n_sites.is_some_and(|n| !(1..=n).contains(&site)) {
                let detail = format!("expected sites 1 to {}, found site {site}", expected.len());
                plan.faults.push(fault(&id, well, Some(site), FaultKind::ExtraSite, detail));
                continue;
            }
            // A site of which only other planes are there.
            if channels == 0 && self.present_only {
                plan.absent.sites += 1;
                continue;
            }
            let (channels, extra) = self.by_position(channels);
            if let Some(extra) = extra {
                let is_named = plan.listed.is_empty() && plan.arrays.is_empty();
                let file = if is_named { plan.file_of(well, site, extra) } else { String::new() };
                let detail = format!("expected channels {}, found w{extra}", self.channels.names.join(", "));
                plan.faults.push(Fault { file, ..fault(&id, well, Some(site), FaultKind::ExtraChannel, detail) });
                continue;
            }
            plan.sites.push(SitePlan { well, site, label: label.clone(), channels });
        }
    }
}

impl Planner<'_> {
    /// Channels by their number in file names as channels by position, and the first number that is none of them.
    fn by_position(&self, channels: u64) -> (u64, Option<usize>) {
        let (mut by_position, mut extra) = (0, None);
        for number in (1..=64).filter(|number| channels & (1 << (number - 1)) != 0) {
            match self.channels.numbers.iter().position(|&known| known == number) {
                Some(position) => by_position |= 1 << position,
                None => extra = extra.or(Some(number)),
            }
        }
        (by_position, extra)
    }
}

fn fault(plate: &PlateId, well: Well, site: Option<u16>, kind: FaultKind, detail: String) -> Fault {
    Fault { plate: Some(plate.clone()), well: Some(well), site, kind, file: String::new(), detail }
}

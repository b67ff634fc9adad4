//! What a run is going to do, and what it did.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::error::Result;
use crate::fault::Fault;
use crate::site::{PlateId, Population, SiteId};
use crate::source::image::Colour;
use crate::source::labels::LabelsSummary;
use crate::source::{Absent, PlatePlan};
use crate::store::format::spec::Channel;
use crate::store::write::merge::{Merge, Rewrite};
use crate::store::{Lost, StoreWriter};

use super::config::{OnError, PackConfig};

/// A plate of which the store holds more than the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldPlate {
    /// The plate.
    pub plate: PlateId,
    /// What of it.
    pub what: Held,
    /// The sites.
    pub sites: Vec<SiteId>,
    /// What the source says of the first of them: a kind of fault, `not-in-source`, `other-images` where the plate in the
    /// source has none of the images that the store's was packed from, `no-label`, or `cell-type`.
    pub reason: &'static str,
    /// Whether names and CSVs alone show that the source has none of it, so that `--prune` removes it; it removes
    /// nothing of which an image is only damaged.
    pub can_be_pruned: bool,
}

/// Why a plate stays of which the source has another by the same name.
pub const OTHER_IMAGES: &str = "other-images";

/// What of a plate a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Whole sites.
    Sites,
    /// Labels of sites, or parts of them.
    Labels,
    /// All of it, as another plate of its experiment stays, which has one cell type.
    Experiment,
}

impl Held {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sites => "sites",
            Self::Labels => "labels",
            Self::Experiment => "experiment",
        }
    }
}

impl HeldPlate {
    /// A plate that would get another cell type than others of its experiment, which stay as they are.
    pub(super) fn by_its_experiment(plate: &PlateId) -> Self {
        let (plate, what) = (plate.clone(), Held::Experiment);
        Self { plate, what, sites: Vec::new(), reason: "cell-type", can_be_pruned: false }
    }

    /// A plate and what is held of it, if anything is, and what `faults` says of that.
    pub(super) fn of(plate: &PlateId, lost: Lost, faults: &[Fault], can_be_pruned: bool) -> Vec<Self> {
        let held = |what: Held, sites: Vec<SiteId>| {
            let first = sites.first()?;
            let is_of_it = |fault: &&Fault| {
                fault.plate.as_ref() == Some(plate)
                    && fault.well.is_none_or(|well| well == first.well.well)
                    && fault.site.is_none_or(|site| site == first.site)
            };
            let reason = match what {
                Held::Sites => faults.iter().find(is_of_it).map_or("not-in-source", |fault| fault.kind.name()),
                Held::Labels | Held::Experiment => "no-label",
            };
            Some(Self { plate: plate.clone(), what, sites, reason, can_be_pruned })
        };
        if !lost.others.is_empty() {
            let (plate, sites) = (plate.clone(), lost.others);
            return vec![Self { plate, what: Held::Sites, sites, reason: OTHER_IMAGES, can_be_pruned }];
        }
        held(Held::Sites, lost.sites).into_iter().chain(held(Held::Labels, lost.labels)).collect()
    }
}

/// A site as it was understood, to be looked at before a long run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstSite {
    /// The experiment.
    pub experiment: String,
    /// The plate.
    pub plate: String,
    /// The well.
    pub well: String,
    /// The site.
    pub site: u16,
    /// `train`, `test` or another; empty where unknown.
    pub dataset: String,
    /// The population.
    pub well_type: Population,
    /// What the well was given; empty where unknown.
    pub sirna: String,
    /// The channels that have an image.
    pub channels: Vec<ChannelFile>,
}

/// A channel and its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelFile {
    /// The name that it has in the store.
    pub name: String,
    /// The file, relative to the source's root.
    pub file: String,
}

impl FirstSite {
    /// The first site of a plate, if it has one.
    pub(super) fn of(plate: &PlatePlan, channels: &[Channel], colour: Colour) -> Option<Self> {
        let site = plate.sites.first()?;
        let image_of = |c: usize| c / colour.channels();
        let there = channels.iter().enumerate().filter(|&(c, _)| site.channels & (1 << image_of(c)) != 0);
        let file = |(c, channel): (usize, &Channel)| ChannelFile {
            name: channel.name.clone(),
            file: plate.file(site, image_of(c)),
        };
        Some(Self {
            experiment: plate.id.experiment.to_string(),
            plate: plate.id.plate.to_string(),
            well: site.well.to_string(),
            site: site.site,
            dataset: site.label.dataset.to_string(),
            well_type: site.label.population,
            sirna: site.label.sirna.to_string(),
            channels: there.map(file).collect(),
        })
    }
}

/// What a run is going to do, before it does it.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The name of the layout; `store` where the source is one.
    pub layout: &'static str,
    /// The codec of the source, where that is a store.
    pub source_codec: Option<String>,
    /// Channels of a site.
    pub channels: usize,
    /// Height and width of an image, in pixels.
    pub size: [u32; 2],
    /// The type of its pixels.
    pub dtype: &'static str,
    /// Bytes of the pixels of a site.
    pub site_bytes: u64,
    /// The first site that is to be packed, as it was understood; `None` for a store.
    pub first_site: Option<FirstSite>,
    /// Classes of the data set.
    pub classes: usize,
    /// Wells that the CSVs of a tree name; 0 for a tree without any.
    pub labelled_wells: Option<u64>,
    /// Plates that were asked for, all partitions together.
    pub plates: usize,
    /// Of this partition's plates those that are in the store already, unchanged.
    pub plates_done: usize,
    /// Of this partition's plates those that are to be packed.
    pub plates_to_pack: usize,
    /// Sites of the latter.
    pub sites_to_pack: u64,
    /// Bytes of their images, or of their shards.
    pub source_bytes: u64,
    /// Bytes that the store will take for them: exact for `raw`, an estimate else.
    pub estimated_bytes: u64,
    /// What was understood of a table of labels by columns, where there is one.
    #[serde(skip)]
    pub labels: Option<LabelsSummary>,
    /// What the CSVs name and no image is there of, where only what is present is packed.
    pub absent: Option<Absent>,
    /// Files in plate folders that are not images.
    pub other_files: Vec<String>,
    /// What is no fault but worth a look.
    pub unusual: Vec<String>,
    /// Plates that the store holds more of than the source, as far as names and CSVs alone show: they stay as they are,
    /// or lose that where the run prunes.
    #[serde(skip)]
    pub held: Vec<HeldPlate>,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct PackReport {
    /// What was planned.
    pub plan: Plan,
    /// Plates that were packed.
    pub plates_packed: usize,
    /// Sites in them.
    pub sites_packed: u64,
    /// Bytes of their shards.
    pub stored_bytes: u64,
    /// Every fault, in the order of the tree.
    pub faults: Vec<Fault>,
    /// Sites and wells that plates packed by earlier runs left out.
    pub rejected_before: u64,
    /// Plates that stayed as they were, as the store holds more of them than the source.
    pub kept: Vec<HeldPlate>,
    /// What was removed of plates, as the run was to prune.
    pub removed: Vec<HeldPlate>,
    /// Whether the store is finished.
    pub finished: bool,
    /// Plates that other partitions have yet to pack.
    pub waiting_for: Vec<PlateId>,
    /// Whether nothing but those keeps the store from being finished, and other partitions have them to do.
    pub is_left_to_others: bool,
    /// Seconds it took.
    pub seconds: f64,
}

impl PackReport {
    /// The report of a run before the store is finished.
    pub(super) fn of(plan: Plan, packed: Packed, rejected_before: u64) -> Self {
        let mut report = Self {
            plan,
            plates_packed: packed.plates,
            sites_packed: packed.sites,
            stored_bytes: packed.stored_bytes,
            faults: packed.faults,
            rejected_before,
            kept: packed.kept,
            removed: packed.removed,
            finished: false,
            waiting_for: Vec::new(),
            is_left_to_others: false,
            seconds: 0.0,
        };
        report.faults.sort();
        report.kept.sort();
        report.removed.sort();
        report
    }

    /// Finishes the store, if all of `planned` is in it.
    pub(super) fn finish(
        &mut self,
        config: &PackConfig,
        writer: &StoreWriter,
        planned: &[PlateId],
        was_finished: bool,
    ) -> Result<()> {
        // An image that no plate takes is lost to the store, unless it may be skipped.
        let is_lost = config.on_error == OnError::Fail && self.faults.iter().any(|fault| fault.plate.is_none());
        let mut is_complete = self.n_refused() == 0 && !is_lost;
        if is_complete {
            let rewrite = if config.rehash { Rewrite::Always } else { Rewrite::IfNeeded };
            if let Merge::Waiting(plates) = writer.merge(planned, rewrite)? {
                let others = planned.iter().enumerate().filter(|&(i, _)| !config.partition.has(i));
                let others: BTreeSet<&PlateId> = others.map(|(_, plate)| plate).collect();
                self.is_left_to_others = plates.iter().all(|plate| others.contains(plate));
                self.waiting_for = plates;
                is_complete = false;
            }
        }
        // What was whole before is whole now, with the whole plates of this run.
        self.finished = is_complete || (was_finished && self.is_whole_as_it_is(writer)?);
        Ok(())
    }

    /// Whether what the store has is finished. What keeps it from that is for the faults to tell, where there are any.
    fn is_whole_as_it_is(&self, writer: &StoreWriter) -> Result<bool> {
        match writer.merge(&[], Rewrite::IfNeeded) {
            Err(error) if error.is_data_fault() && self.has_faults() => Ok(false),
            merged => Ok(merged? == Merge::Finished),
        }
    }

    /// Plates that faults kept out of the store.
    #[must_use]
    pub fn n_refused(&self) -> usize {
        let kept: BTreeSet<&PlateId> = self.kept.iter().map(|held| &held.plate).collect();
        self.plan.plates_to_pack.saturating_sub(self.plates_packed + kept.len())
    }

    /// Whether there are faults.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }
}

/// What all plates together came to.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) plates: usize,
    pub(super) sites: u64,
    pub(super) stored_bytes: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) kept: Vec<HeldPlate>,
    pub(super) removed: Vec<HeldPlate>,
}

//! A plate on its way into the store: gathers what its shards yield, and commits it when the last one is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::plate_statistics::{comoment_rows, histogram_rows};
use crate::site::{Label, SiteId, WellId};
use crate::source::{PlatePlan, SitePlan};
use crate::stats::PlateStatistics;
use crate::store::format::checksum::Sha;
use crate::store::format::listing::Listing;
use crate::store::format::manifest::Entry;
use crate::store::format::names::SOURCES;
use crate::store::format::rows::{PixelStats, SiteRow};
use crate::store::{Committed, FinishedShard, Lost, MayGo, PlateBuilder, StoreSpec, StoreWriter};

use super::another::Kinship;
use super::config::{OnError, PackConfig};
use super::rejected::rejected_once;
use super::report::HeldPlate;
use super::resume::Todo;

/// The most bytes that a list has of a file beside its path.
const LINE: u64 = 96;

/// What packing one plate came to.
#[derive(Debug, Default)]
pub(super) struct PlateOutcome {
    /// Sites in the store; `None` where faults kept the plate out.
    pub(super) sites_packed: Option<u64>,
    pub(super) stored_bytes: u64,
    pub(super) faults: Vec<Fault>,
    /// What the store holds of the plate and the source no longer has: why it stays as it is, or what was removed.
    pub(super) held: Vec<HeldPlate>,
}

/// One site that was decoded without a fault.
pub(super) struct GoodSite {
    pub(super) crc32c: u32,
    pub(super) pixel_stats: Vec<PixelStats>,
}

/// What the sites of one shard yielded, in their order.
#[derive(Default)]
pub(super) struct ShardYield {
    /// `None` for a site that is left out.
    pub(super) sites: Vec<Option<GoodSite>>,
    pub(super) statistics: PlateStatistics,
    pub(super) sources: Vec<Entry>,
    pub(super) faults: Vec<Fault>,
    /// The file, unless nothing was to be written.
    pub(super) file: Option<FinishedShard>,
}

/// A plate that is being packed.
pub(super) struct PlateWork<'a> {
    pub(super) plan: &'a PlatePlan,
    todo: &'a Todo,
    on_error: OnError,
    prune: bool,
    /// Whether the store's plate stays, as names and CSVs alone show that it holds more.
    stays: bool,
    /// Whether sites are only looked at, because a fault keeps the plate out of the store, or the store's stays.
    examine_only: AtomicBool,
    builder: Mutex<Option<Arc<PlateBuilder>>>,
    shards: Mutex<Vec<Option<ShardYield>>>,
}

impl<'a> PlateWork<'a> {
    pub(super) fn new(plan: &'a PlatePlan, todo: &'a Todo, spec: &StoreSpec, config: &PackConfig) -> Self {
        let on_error = config.on_error;
        let stays = !config.prune && !todo.lost.is_empty();
        let known = !plan.faults.is_empty() || plan.sites.iter().any(|site| plan.missing_channel(site).is_some());
        Self {
            plan,
            todo,
            on_error,
            prune: config.prune,
            stays,
            examine_only: AtomicBool::new(stays || (known && on_error == OnError::Fail)),
            builder: Mutex::default(),
            shards: Mutex::new((0..spec.n_shards(plan.sites.len())).map(|_| None).collect()),
        }
    }

    /// Whether the sites of this plate are written, not only looked at.
    pub(super) fn is_written(&self) -> bool {
        !self.examine_only.load(Ordering::Relaxed)
    }

    /// Notes that a site has a fault.
    pub(super) fn note_fault(&self) {
        if self.on_error == OnError::Fail {
            self.examine_only.store(true, Ordering::Relaxed);
        }
    }

    /// The place where the plate is built.
    pub(super) fn builder(&self, writer: &StoreWriter) -> Result<Arc<PlateBuilder>> {
        let mut builder = self.builder.lock().expect("no thread panics while it holds the builder");
        match &*builder {
            Some(builder) => Ok(Arc::clone(builder)),
            None => Ok(Arc::clone(builder.insert(Arc::new(writer.plate_builder(&self.plan.id)?)))),
        }
    }

    /// The id of one of the plate's sites.
    pub(super) fn site_id(&self, site: &SitePlan) -> SiteId {
        let well = WellId { plate: self.plan.id.clone(), well: site.well };
        SiteId { well, site: site.site }
    }

    /// Takes what a shard yielded; if it was the last one, finishes the plate and says what came of it.
    pub(super) fn shard_done(
        &self,
        shard: usize,
        result: ShardYield,
        writer: &StoreWriter,
    ) -> Result<Option<PlateOutcome>> {
        let mut shards = self.shards.lock().expect("no thread panics while it holds the shards");
        shards[shard] = Some(result);
        if shards.iter().any(Option::is_none) {
            return Ok(None);
        }
        let shards = std::mem::take(&mut *shards).into_iter().flatten().collect();
        self.finish(shards, writer).map(Some)
    }

    /// Commits the plate, or drops it if a fault keeps it out. A plate without sites goes straight here.
    pub(super) fn finish(&self, shards: Vec<ShardYield>, writer: &StoreWriter) -> Result<PlateOutcome> {
        let mut outcome = PlateOutcome { faults: self.plan.faults.clone(), ..PlateOutcome::default() };
        let mut statistics = PlateStatistics::default();
        let (mut good, mut sources, mut files) = (Vec::new(), Vec::new(), Vec::new());
        // A flag for each site of the shards that have a file; a shard without one has no site to keep.
        let mut keep = Vec::new();
        for shard in shards {
            if shard.file.is_some() {
                keep.extend(shard.sites.iter().map(Option::is_some));
            }
            statistics.merge(&shard.statistics);
            good.extend(shard.sites);
            sources.extend(shard.sources);
            files.extend(shard.file);
            outcome.faults.extend(shard.faults);
        }
        let sources = once_each(sources)?;
        let builder = self.builder(writer)?;
        if self.on_error == OnError::Fail && !outcome.faults.is_empty() {
            builder.discard();
            return Ok(outcome);
        }
        if self.stays {
            builder.discard();
            outcome.held = self.held(self.todo.lost.clone(), &outcome.faults);
            return Ok(outcome);
        }
        if good.iter().any(Option::is_none) && !files.is_empty() {
            files = builder.close_gaps(&files, &keep)?;
        }
        let mut sites = Vec::new();
        let mut pixel_stats = Vec::new();
        for (plan, good) in self.plan.sites.iter().zip(good) {
            let Some(good) = good else { continue };
            let row = sites.len() as u32;
            let label: Label = plan.label.clone();
            sites.push(SiteRow { id: self.site_id(plan), label, row, crc32c: good.crc32c });
            pixel_stats.extend(good.pixel_stats);
        }
        let comoments = match comoment_rows(&self.plan.id, &statistics) {
            Ok(comoments) => comoments,
            Err(error) => {
                builder.discard();
                let plate = Some(self.plan.id.clone());
                let (kind, file, detail) = (FaultKind::Uncountable, String::new(), error.to_string());
                outcome.faults.push(Fault { plate, well: None, site: None, kind, file, detail });
                return Ok(outcome);
            }
        };
        let listing = Listing {
            plate: self.plan.id.clone(),
            pixel_stats,
            histogram: histogram_rows(&statistics),
            comoments,
            rejected: rejected_once(&outcome.faults),
            sources,
            sites,
        };
        let stored_bytes = files.iter().filter_map(|file| file.entry.size).sum();
        let files = files.into_iter().map(|file| file.entry).collect();
        let n_sites = listing.sites.len() as u64;
        let listing = listing.to_files();
        let stamp = self.todo.stamp.time(Sha::of(listing.contents[SOURCES].as_bytes()));
        let nothing = Lost::default();
        let others = match self.todo.kinship {
            Kinship::Same => false,
            Kinship::ToldAnew => true,
            // Of a plate with damaged images, nobody knows what it would be.
            Kinship::Another => self.prune && outcome.faults.is_empty(),
        };
        let may_go = MayGo::This { lost: if self.prune { &self.todo.lost } else { &nothing }, others };
        let lost = match writer.commit(&builder, &listing, files, stamp, may_go)? {
            Committed::Kept(lost) => lost,
            Committed::Done { mut removed } => {
                // Images that are told to be others are not gone.
                if self.todo.kinship == Kinship::ToldAnew {
                    removed.others.clear();
                }
                outcome.sites_packed = Some(n_sites);
                outcome.stored_bytes = stored_bytes;
                removed
            }
        };
        outcome.held = self.held(lost, &outcome.faults);
        Ok(outcome)
    }

    /// What the store holds of the plate and the source no longer has.
    fn held(&self, lost: Lost, faults: &[Fault]) -> Vec<HeldPlate> {
        let can_be_pruned = lost.is_within(&self.todo.lost) && (lost.others.is_empty() || faults.is_empty());
        HeldPlate::of(&self.plan.id, lost, faults, can_be_pruned)
    }
}

/// Files that several sites are in, each once.
///
/// # Errors
/// If one was not the same each time that it was read, or there are too many for a list.
fn once_each(mut sources: Vec<Entry>) -> Result<Vec<Entry>> {
    sources.sort_unstable();
    sources.dedup();
    if let Some(pair) = sources.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(Error::malformed(
            &pair[0].path,
            "the same bytes at each reading",
            "others: it was changed meanwhile",
        ));
    }
    let bytes: u64 = sources.iter().map(|entry| LINE + entry.path.len() as u64).sum();
    if bytes > files::LARGEST_TEXT {
        let expected = format!("files of a plate whose list takes at most {} bytes", files::LARGEST_TEXT);
        return Err(Error::refused("the source", expected, bytes));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::iter::empty;
    use std::time::SystemTime;

    use crate::pack::stamp::Stamp;
    use crate::simulate::{self, simulate};
    use crate::site::Population;
    use crate::source::Source;
    use crate::stats::Histogram;
    use crate::store::format::spec::channels;
    use crate::store::{Codec, Format};

    #[test]
    fn a_plate_whose_sums_do_not_fit_is_a_fault_of_it_and_not_the_end_of_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let cell_types = vec!["HUVEC:1".parse().unwrap()];
        let small = simulate::Config { cell_types, n_plates: 1, n_wells: 3, n_sirnas: 2, ..Default::default() };
        let (root, dst) = (dir.path().join("data"), dir.path().join("store"));
        let small = simulate::Config { size: 16, n_channels: 2, n_test_experiments: 0, ..small };
        simulate(&small, &root, &|_| {}).unwrap();
        let config = PackConfig { on_error: OnError::Skip, ..PackConfig::new(&root, &dst) };
        let source = Source::open(&config.source).unwrap();
        let spec = StoreSpec {
            format: Format::LATEST,
            present_only: false,
            channels: channels(2),
            size: source.size,
            dtype: source.dtype,
            codec: Codec::Raw,
            sites_per_shard: 64,
        };
        let writer = StoreWriter::open(&dst, spec.clone(), source.classes.clone(), config.changes()).unwrap();
        let stamp = Stamp::new(SystemTime::UNIX_EPOCH, empty(), empty());
        let todo = Todo { source_bytes: 0, stamp, lost: Lost::default(), kinship: Kinship::Same };
        let work = PlateWork::new(&source.plates[0], &todo, &spec, &config);
        let mut shard = ShardYield { sites: work.plan.sites.iter().map(|_| None).collect(), ..Default::default() };
        let counted = shard.statistics.population_mut(Population::Treatment);
        counted.n_sites = 1;
        counted.histograms = vec![Histogram::default(); 2];
        counted.products = vec![1, u128::from(u64::MAX) + 1, 1];
        let outcome = work.finish(vec![shard], &writer).unwrap();
        let [fault] = &outcome.faults[..] else { panic!("{:?}", outcome.faults) };
        assert_eq!((fault.kind, fault.plate.as_ref()), (FaultKind::Uncountable, Some(&work.plan.id)));
        let says =
            "HUVEC-01/Plate1: treatment, channels 1 and 2: expected pixels whose products add up to at most 64 bits";
        assert!(fault.detail.starts_with(says), "{}", fault.detail);
        assert_eq!(outcome.sites_packed, None, "it is not in the store");
    }
}

//! Batches of a store on the device: raw pixels, plates and labels, each copied while the one before is computed with.
//! Damaged sites end training, or are left out and counted. Decides no order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cellshard::error::{Error, Result};
use cellshard::feed::{Feed, Reader};
use cellshard::site::PlateId;
use cellshard::store::Store;
use cellshard::training::data::site_keys;

use super::batch::{DeviceBatch, Source};
#[cfg(test)]
use super::ffi::trace::{self, Call};
use super::staging::{BatchShape, Lease, Ring, SlotBatch};
use super::transfer::upload;

/// The sites of a store as a trainer sees them.
#[derive(Clone)]
pub struct Sites {
    /// Where pixels come from.
    pub reader: Arc<Reader>,
    /// Of each site of the store: its plate's position in [`plates`].
    plates: Arc<Vec<i64>>,
    /// Of each site of the store: the network's output for its class, or -1 where that is unknown or not trained.
    pub targets: Arc<Vec<i64>>,
    /// Of each site of the store: what it is known by, for whatever is drawn for a site.
    pub keys: Arc<Vec<u64>>,
    /// Threads that read.
    pub n_threads: usize,
    /// Whether damaged sites are left out instead of ending the run.
    pub skip_damaged: bool,
}

/// The plates of a store in the order in which sites refer to them.
#[must_use]
pub fn plates(store: &Store) -> Vec<PlateId> {
    store.plates().keys().cloned().collect()
}

impl Sites {
    /// The sites of a reader's store; `output` gives the network's output for a site's class.
    pub fn new(
        reader: Arc<Reader>,
        output: impl Fn(u32) -> Option<usize>,
        n_threads: usize,
        skip_damaged: bool,
    ) -> Self {
        let store = reader.store();
        let position: BTreeMap<&PlateId, i64> = store.plates().keys().zip(0..).collect();
        let plates = store.sites().iter().map(|site| position[&site.id.well.plate]).collect();
        let output = |class: Option<u32>| class.and_then(&output).and_then(|i| i64::try_from(i).ok());
        let targets = store.sites().iter().map(|site| output(site.label.class).unwrap_or(-1)).collect();
        let keys = Arc::new(site_keys(store));
        Self { plates: Arc::new(plates), targets: Arc::new(targets), keys, reader, n_threads, skip_damaged }
    }

    /// The shape of a batch of up to `batch` sites (at most all that the store has).
    #[must_use]
    pub fn batch_shape(&self, batch: usize) -> BatchShape {
        let store = self.reader.store();
        let spec = store.spec();
        let batch = batch.min(store.sites().len()).max(1);
        let sides = [batch, spec.channels.len(), spec.size.height as usize, spec.size.width as usize];
        BatchShape { sides, dtype: spec.dtype }
    }

    /// Starts to read sites in the order given, as many at a time as the ring takes; the last batch may be smaller.
    ///
    /// # Errors
    /// If threads cannot be started, or there is no memory for the ring's buffers.
    pub fn start<'r>(
        &self,
        mut order: impl Iterator<Item = usize> + Send + 'static,
        ring: &'r mut Ring,
    ) -> Result<Batches<'r>> {
        let batch = ring.batch();
        let next = move |sites: &mut Vec<usize>| sites.extend(order.by_ref().take(batch));
        let buffers = ring.buffers()?;
        #[cfg(test)]
        for buffer in &buffers {
            trace::note(Call::GiveBack { buffer: buffer.address() });
        }
        let feed = Feed::start(&self.reader, buffers, self.n_threads, next)?;
        let (waited, skipped) = (Duration::ZERO, Vec::new());
        Ok(Batches { sites: self.clone(), feed, ring, coming: None, is_over: false, waited, skipped })
    }
}

/// Batches under way.
pub struct Batches<'r> {
    sites: Sites,
    feed: Feed<Lease>,
    ring: &'r mut Ring,
    /// The next batch, or why there is none.
    coming: Option<Result<Coming>>,
    is_over: bool,
    waited: Duration,
    skipped: Vec<(usize, Error)>,
}

/// A batch whose copy to the device is queued.
struct Coming {
    slot: usize,
    n_sites: usize,
    /// Positions of the whole sites, where some are damaged.
    whole: Option<Vec<i64>>,
    /// The whole sites.
    sites: Vec<usize>,
    skipped: Vec<(usize, Error)>,
}

impl Batches<'_> {
    /// The next batch without its damaged sites (which may leave none); `None` after the last. The copy of the one
    /// after it is queued before it returns, so that it goes on while this one is computed with.
    ///
    /// # Errors
    /// If a site is damaged and damaged sites are not to be skipped, or if one cannot be read for another reason; the
    /// error names it. Batches before it are not affected.
    pub fn next_batch(&mut self) -> Result<Option<DeviceBatch>> {
        // The caller has asked for all that it computes from the batch before.
        self.release()?;
        let Some(current) = self.coming.take().or_else(|| self.fetch().transpose()) else { return Ok(None) };
        let Coming { slot, n_sites, whole, sites, skipped } = current?;
        self.coming = self.fetch().transpose();
        self.skipped.extend(skipped);
        let SlotBatch { mut raw, plates, labels } = self.ring.lend(slot, n_sites, sites.len())?;
        if let Some(whole) = whole {
            raw = raw.index_select(0, &upload(&whole, &[whole.len() as i64], self.ring.device()));
        }
        Ok(Some(DeviceBatch { raw, plates, labels, sites }))
    }

    /// Takes the memory of the last batch back before the next is asked for. All that is to be computed from it must
    /// have been asked for.
    ///
    /// # Errors
    /// If the device fails.
    pub fn release(&mut self) -> Result<()> {
        self.ring.take_back()
    }

    /// Takes the next batch from the feed and queues its copy; `None` after the last.
    fn fetch(&mut self) -> Result<Option<Coming>> {
        if self.is_over {
            return Ok(None);
        }
        // Nothing comes after an error.
        self.is_over = true;
        for batch in self.ring.copied()? {
            #[cfg(test)]
            trace::note(Call::GiveBack { buffer: batch.pixels.address() });
            self.feed.give_back(batch);
        }
        let start = Instant::now();
        let batch = self.feed.next_batch()?;
        self.waited += start.elapsed();
        let Some(mut batch) = batch else { return Ok(None) };
        let n_sites = batch.sites.len();
        let mut whole: Vec<usize> = (0..n_sites).collect();
        let mut skipped = Vec::new();
        for (position, error) in batch.faults.drain(..) {
            if !self.sites.skip_damaged || !error.is_data_fault() {
                return Err(error);
            }
            whole.retain(|&i| i != position);
            skipped.push((batch.sites[position], error));
        }
        let sites: Vec<usize> = whole.iter().map(|&i| batch.sites[i]).collect();
        let of = |values: &[i64]| sites.iter().map(|&site| values[site]).collect::<Vec<_>>();
        let ids = [of(&self.sites.plates), of(&self.sites.targets)].concat();
        let slot = self.ring.send(batch, &ids)?;
        self.is_over = false;
        let whole = (whole.len() < n_sites).then(|| whole.into_iter().map(|i| i as i64).collect());
        Ok(Some(Coming { slot, n_sites, whole, sites, skipped }))
    }

    /// What is read from.
    #[must_use]
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// How long the caller waited for data to be read. Waiting for the device does not count.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Damaged sites that were left out since this was last asked, each with what is wrong with it.
    pub fn take_skipped(&mut self) -> Vec<(usize, Error)> {
        std::mem::take(&mut self.skipped)
    }
}

impl Drop for Batches<'_> {
    /// Leaves a ring that can be used again: no copy is under way when buffers go home.
    fn drop(&mut self) {
        // An error would say that the GPU failed before, which whoever asks it next is told as well.
        let _ = self.ring.settle();
    }
}

impl Source for Batches<'_> {
    fn next(&mut self) -> Result<Option<DeviceBatch>> {
        self.next_batch()
    }

    fn release(&mut self) -> Result<()> {
        Batches::release(self)
    }
}

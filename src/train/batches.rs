//! Batches of a store on the device: raw pixels, plates and labels. Damaged sites end training, or are left out and
//! counted. Decides no order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::feed::{Feed, Reader};
use crate::site::PlateId;
use crate::store::Store;

/// Buffers of a feed: one is used, the others are filled ahead.
const N_BUFFERS: usize = 3;

/// The sites of a store as a trainer sees them.
#[derive(Clone)]
pub struct Sites {
    /// Where pixels come from.
    pub reader: Arc<Reader>,
    /// Of each site of the store: its plate's position in [`plates`].
    plates: Arc<Vec<i64>>,
    /// Of each site of the store: the network's output for its class, or -1 where that is unknown or not trained.
    pub outputs: Arc<Vec<i64>>,
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
        let outputs = store.sites().iter().map(|site| output(site.label.class).unwrap_or(-1)).collect();
        Self { plates: Arc::new(plates), outputs: Arc::new(outputs), reader, n_threads, skip_damaged }
    }

    /// Starts to read sites in the order given, `batch` at a time; the last batch may be smaller.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn start(
        &self,
        mut order: impl Iterator<Item = usize> + Send + 'static,
        batch: usize,
        device: Device,
    ) -> Result<Batches> {
        let batch = batch.min(self.reader.store().sites().len()).max(1);
        let buffers = vec![vec![0; batch * self.reader.site_bytes()]; N_BUFFERS];
        let next = move |sites: &mut Vec<usize>| sites.extend(order.by_ref().take(batch));
        let feed = Feed::start(&self.reader, buffers, self.n_threads, next)?;
        Ok(Batches { sites: self.clone(), feed, device, waited: Duration::ZERO, skipped: Vec::new() })
    }
}

/// One batch on the device.
pub struct DeviceBatch {
    /// `[N, C, H, W] u8`.
    pub raw: Tensor,
    /// `[N] i64`, positions in [`plates`].
    pub plates: Tensor,
    /// `[N] i64`, outputs of the network; -1 where unknown.
    pub labels: Tensor,
    /// The sites' indices in the store, on the host.
    pub sites: Vec<usize>,
}

/// Batches under way.
pub struct Batches {
    sites: Sites,
    feed: Feed<Vec<u8>>,
    device: Device,
    waited: Duration,
    skipped: Vec<(usize, Error)>,
}

impl Batches {
    /// The next batch without its damaged sites (which may leave none); `None` after the last.
    ///
    /// # Errors
    /// If a site is damaged and damaged sites are not to be skipped, or if one cannot be read for another reason; the
    /// error names it.
    ///
    /// # Panics
    /// Never: the size of what is in memory is a number of libtorch's.
    pub fn next_batch(&mut self) -> Result<Option<DeviceBatch>> {
        let start = Instant::now();
        let batch = self.feed.next_batch()?;
        self.waited += start.elapsed();
        let Some(mut batch) = batch else { return Ok(None) };
        let mut whole: Vec<usize> = (0..batch.sites.len()).collect();
        for (position, error) in batch.faults.drain(..) {
            if !self.sites.skip_damaged || !error.is_data_fault() {
                return Err(error);
            }
            whole.retain(|&i| i != position);
            self.skipped.push((batch.sites[position], error));
        }
        let image = self.sites.reader.store().spec();
        let (height, width) = (image.size.height as usize, image.size.width as usize);
        let shape = [batch.sites.len(), image.channels.len(), height, width];
        let shape = shape.map(|n| i64::try_from(n).expect("a size that fits into memory"));
        let bytes = batch.sites.len() * self.sites.reader.site_bytes();
        let mut raw = Tensor::from_data_size(&batch.pixels[..bytes], &shape, Kind::Uint8).to_device(self.device);
        if whole.len() < batch.sites.len() {
            let keep: Vec<i64> = whole.iter().map(|&i| i as i64).collect();
            raw = raw.index_select(0, &Tensor::from_slice(&keep).to_device(self.device));
        }
        let sites: Vec<usize> = whole.iter().map(|&i| batch.sites[i]).collect();
        self.feed.give_back(batch);
        let on_device = |values: &[i64]| {
            let values: Vec<i64> = sites.iter().map(|&site| values[site]).collect();
            Tensor::from_slice(&values).to_device(self.device)
        };
        let (plates, labels) = (on_device(&self.sites.plates), on_device(&self.sites.outputs));
        Ok(Some(DeviceBatch { raw, plates, labels, sites }))
    }

    /// What is read from.
    #[must_use]
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// How long the caller waited for data.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Damaged sites that were left out since this was last asked, each with what is wrong with it.
    pub fn take_skipped(&mut self) -> Vec<(usize, Error)> {
        std::mem::take(&mut self.skipped)
    }
}

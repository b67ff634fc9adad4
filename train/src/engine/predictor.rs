//! A network applied to sites in order: probabilities, losses, embeddings. Used after every epoch and by `predict`.

use tch::{Kind, Reduction, Tensor};

use crate::device::batch::DeviceBatch;
use crate::device::loader::Batches;
use crate::device::transfer::{Readback, numbers, rows};
use crate::models::{Mode, Network};
use crate::transforms::ops::dihedral;
use crate::transforms::pipeline::Pipeline;
use cellshard::error::{Error, Result};
use cellshard::training::recipe::Precision;

use super::step;

/// A network with what it needs of an image before.
pub(crate) struct Classifier<'a> {
    /// The network.
    pub(crate) network: &'a Network,
    /// What happens to pixels before.
    pub(crate) pipeline: &'a Pipeline,
    /// What it computes with.
    pub(crate) precision: Precision,
    /// Symmetries of the square that are averaged over, 1 to 8.
    pub(crate) n_symmetries: usize,
    /// Whether embeddings are wanted.
    pub(crate) embeddings: bool,
}

/// What a network says of one batch, on the host.
pub(crate) struct BatchPrediction {
    /// The sites' indices in the store.
    pub(crate) sites: Vec<usize>,
    /// `[N][classes]`.
    pub(crate) probabilities: Vec<Vec<f32>>,
    /// Cross entropy of each site with a known class; NaN of the others.
    pub(crate) losses: Vec<f32>,
    /// `[N][D]`, where asked for.
    pub(crate) embeddings: Option<Vec<Vec<f32>>>,
}

/// The predictions for batches, in their order. A GPU computes the next one while the caller has one.
pub(crate) struct PredictionStream<'a, 'r> {
    classifier: Classifier<'a>,
    batches: Batches<'r>,
    /// Of the batch that was asked for last: its sites and what is on its way to the host.
    under_way: Option<(Vec<usize>, Option<Readback>)>,
}

impl<'a, 'r> PredictionStream<'a, 'r> {
    pub(crate) fn new(classifier: Classifier<'a>, batches: Batches<'r>) -> Self {
        Self { classifier, batches, under_way: None }
    }

    /// The batches that are predicted.
    pub(crate) fn batches(&mut self) -> &mut Batches<'r> {
        &mut self.batches
    }

    /// The prediction for the next batch; `None` after the last.
    ///
    /// # Errors
    /// If data is damaged, or a probability is not finite.
    pub(crate) fn next_prediction(&mut self) -> Result<Option<BatchPrediction>> {
        if self.under_way.is_none() {
            self.under_way = self.enqueue()?;
        }
        let Some((sites, back)) = self.under_way.take() else { return Ok(None) };
        self.under_way = self.enqueue()?;
        self.read(sites, back).map(Some)
    }

    /// Has the next batch's prediction computed, without waiting for it; `None` after the last batch.
    fn enqueue(&mut self) -> Result<Option<(Vec<usize>, Option<Readback>)>> {
        let Some(batch) = self.batches.next_batch()? else { return Ok(None) };
        let back = if batch.sites.is_empty() { None } else { Some(self.classifier.predict(&batch)?) };
        Ok(Some((batch.sites, back)))
    }

    /// Waits for a prediction and takes it apart.
    fn read(&self, sites: Vec<usize>, back: Option<Readback>) -> Result<BatchPrediction> {
        let Some(back) = back else {
            let embeddings = self.classifier.embeddings.then(Vec::new);
            return Ok(BatchPrediction { sites, probabilities: Vec::new(), losses: Vec::new(), embeddings });
        };
        let back = back.wait()?;
        let probabilities = rows(&back[0])?;
        if let Some(i) = probabilities.iter().position(|row| row.iter().any(|p| !p.is_finite())) {
            let row = &self.batches.sites().reader.store().sites()[sites[i]];
            return Err(Error::refused(format!("site {}", row.id.shown()), "finite probabilities", "NaN"));
        }
        let embeddings = back.get(2).map(rows).transpose()?;
        Ok(BatchPrediction { probabilities, losses: numbers(&back[1])?, embeddings, sites })
    }
}

impl Classifier<'_> {
    /// The prediction for one batch on its way to the host: probabilities, losses, and embeddings where they are
    /// wanted.
    fn predict(&self, batch: &DeviceBatch) -> Result<Readback> {
        let DeviceBatch { raw, plates, labels, .. } = batch;
        let _no_grad = tch::no_grad_guard();
        let images = self.pipeline.evaluate(raw, plates);
        let mut probabilities: Option<Tensor> = None;
        let mut features: Option<Tensor> = None;
        for k in 0..self.n_symmetries {
            let turned = dihedral(&images, k)?;
            let (logits, embedding) = self.forward(&turned)?;
            let softmax = logits.softmax(-1, Kind::Float);
            probabilities = Some(probabilities.map_or(softmax.shallow_clone(), |sum| sum + &softmax));
            if let Some(embedding) = embedding {
                let embedding = embedding.to_kind(Kind::Float);
                features = Some(features.map_or(embedding.shallow_clone(), |sum| sum + &embedding));
            }
        }
        let n = self.n_symmetries as f64;
        let probabilities = probabilities.ok_or_else(|| Error::refused("--tta", "1 to 8", 0))? / n;
        let features = features.map(|sum| sum / n);
        let log = probabilities.clamp_min(1e-30).log();
        let losses = log.g_nll_loss::<&Tensor>(&labels.clamp_min(0), None, Reduction::None, -100);
        let losses = losses.where_self(&labels.ge(0), &Tensor::full_like(&losses, f64::NAN));
        let all: Vec<&Tensor> = [&probabilities, &losses].into_iter().chain(&features).collect();
        Readback::start(&all, raw.device())
    }

    fn forward(&self, images: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        step::forward(self.precision, self.network, images, |images| {
            if self.embeddings {
                let features = self.network.features(images)?;
                Ok((self.network.classify(&features)?, Some(features)))
            } else {
                Ok((self.network.forward(images, Mode::Eval)?, None))
            }
        })
    }
}

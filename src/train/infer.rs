//! A network applied to sites in order: probabilities, losses, embeddings. Used after every epoch and by `predict`.

use tch::{Device, Kind, Reduction, Tensor};

use crate::error::{Error, Result};

use super::augment::dihedral;
use super::batches::{Batches, DeviceBatch};
use super::models::{Mode, Network};
use super::pipeline::Pipeline;
use super::recipe::Precision;
use super::shim;

/// A network with what it needs of an image before.
pub(super) struct Classifier<'a> {
    /// The network.
    pub(super) network: &'a Network,
    /// What happens to pixels before.
    pub(super) pipeline: &'a Pipeline,
    /// What it computes with.
    pub(super) precision: Precision,
    /// Symmetries of the square that are averaged over, 1 to 8.
    pub(super) n_symmetries: usize,
}

/// What a network says of one batch, on the host.
pub(super) struct Answer {
    /// The sites' indices in the store.
    pub(super) sites: Vec<usize>,
    /// `[N][classes]`.
    pub(super) probabilities: Vec<Vec<f32>>,
    /// Cross entropy of each site with a known class; NaN of the others.
    pub(super) losses: Vec<f32>,
    /// `[N][D]`, where asked for.
    pub(super) embeddings: Option<Vec<Vec<f32>>>,
}

impl Classifier<'_> {
    /// The answers to the next batch; `None` after the last.
    ///
    /// # Errors
    /// If data is damaged, or an answer is not finite.
    pub(super) fn next_answer(&self, batches: &mut Batches, embeddings: bool) -> Result<Option<Answer>> {
        let Some(DeviceBatch { raw, plates, labels, sites }) = batches.next_batch()? else { return Ok(None) };
        if sites.is_empty() {
            let embeddings = embeddings.then(Vec::new);
            return Ok(Some(Answer { sites, probabilities: Vec::new(), losses: Vec::new(), embeddings }));
        }
        let (probabilities, features) = tch::no_grad(|| -> Result<_> {
            let images = self.pipeline.evaluate(&raw, &plates);
            let mut probabilities: Option<Tensor> = None;
            let mut features: Option<Tensor> = None;
            for k in 0..self.n_symmetries {
                let turned = dihedral(&images, k)?;
                let (logits, embedding) = self.forward(&turned, embeddings)?;
                let softmax = logits.softmax(-1, Kind::Float);
                probabilities = Some(probabilities.map_or(softmax.shallow_clone(), |sum| sum + &softmax));
                if let Some(embedding) = embedding {
                    let embedding = embedding.to_kind(Kind::Float);
                    features = Some(features.map_or(embedding.shallow_clone(), |sum| sum + &embedding));
                }
            }
            let n = self.n_symmetries as f64;
            let probabilities = probabilities.ok_or_else(|| Error::refused("--tta", "1 to 8", 0))? / n;
            Ok((probabilities, features.map(|sum| sum / n)))
        })?;
        let known = labels.ge(0);
        let own = labels.clamp_min(0);
        let log = probabilities.clamp_min(1e-30).log();
        let losses = log.g_nll_loss::<&Tensor>(&own, None, Reduction::None, -100);
        let losses = losses.where_self(&known, &Tensor::full_like(&losses, f64::NAN));
        let probabilities = rows(&probabilities)?;
        if let Some(i) = probabilities.iter().position(|row| row.iter().any(|p| !p.is_finite())) {
            let row = &batches.sites().reader.store().sites()[sites[i]];
            return Err(Error::refused(format!("site {}", row.id), "finite probabilities", "NaN"));
        }
        let embeddings = features.map(|features| rows(&features)).transpose()?;
        Ok(Some(Answer { probabilities, losses: host(&losses)?, embeddings, sites }))
    }

    fn forward(&self, images: &Tensor, embeddings: bool) -> Result<(Tensor, Option<Tensor>)> {
        let forward = || -> Result<_> {
            if embeddings {
                let features = self.network.features(images)?;
                Ok((self.network.classify(&features)?, Some(features)))
            } else {
                Ok((self.network.forward(images, Mode::Eval)?, None))
            }
        };
        if self.precision == Precision::Bf16 { shim::with_bf16(forward)? } else { forward() }
    }
}

/// A `[N]` tensor as numbers.
pub(super) fn host(tensor: &Tensor) -> Result<Vec<f32>> {
    Vec::<f32>::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1))
        .map_err(|e| Error::refused("a tensor", "numbers", e))
}

/// A `[N, K]` tensor as N rows of numbers.
pub(super) fn rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>> {
    let k = usize::try_from(tensor.size()[1]).unwrap_or(1).max(1);
    Ok(host(tensor)?.chunks(k).map(<[f32]>::to_vec).collect())
}

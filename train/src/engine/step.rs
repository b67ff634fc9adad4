//! One training step: augmentation, forward, backward, optimiser. On a GPU it is only asked for: nothing in it waits
//! for the device. Knows neither epochs nor files; where batches come from is the caller's.

use tch::{Kind, Reduction, Tensor};

use crate::device::batch::{DeviceBatch, Source};
use crate::device::ffi;
use crate::models::{Mode, Network};
use crate::optim::optimizer::Optimizer;
use crate::transforms::pipeline::{AugmentSeed, Pipeline};
use cellshard::error::Result;
use cellshard::feed::mix;
use cellshard::training::recipe::{Precision, Recipe};

/// What all steps of a stage have in common.
pub(crate) struct Stepper<'a> {
    pub(crate) network: &'a Network,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) recipe: &'a Recipe,
    /// What each site of the store is known by.
    pub(crate) keys: &'a [u64],
}

/// What tells one step from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepPlan {
    /// Its number within the stage, over all epochs, from 0.
    pub(crate) step: u64,
    /// The epoch, from 0.
    pub(crate) epoch: u32,
    /// The learning rate.
    pub(crate) lr: f64,
}

/// A batch that was learned from.
pub(crate) struct StepOutput {
    /// The sites' indices in the store.
    pub(crate) sites: Vec<usize>,
    /// Mean loss over them, a scalar on the device.
    pub(crate) loss: Tensor,
    /// How many of them were recognised, a scalar on the device; of a site that is a mixture, each label by its share.
    pub(crate) n_correct: Tensor,
}

impl Stepper<'_> {
    /// One optimiser step on the next batches, as many as the recipe accumulates: the gradient of the mean loss over all
    /// of their sites, also where damage left some out. No step where it left no two of any batch to learn from.
    ///
    /// # Errors
    /// Those of the source, and those of libtorch.
    pub(crate) fn step(
        &self,
        optimizer: &mut Optimizer,
        plan: StepPlan,
        source: &mut impl Source,
    ) -> Result<Vec<StepOutput>> {
        // Dropout draws from libtorch's generator; seeding it by the step makes a resumed run draw the same.
        tch::manual_seed(mix(self.recipe.seed ^ mix(plan.step)).cast_signed());
        let mut learned = Vec::new();
        for _ in 0..self.recipe.accumulate {
            let Some(batch) = source.next()? else { break };
            // Batch norm needs two.
            if batch.sites.len() >= 2 {
                learned.push(self.learn(batch, plan.epoch, source)?);
            }
        }
        if !learned.is_empty() {
            let n: usize = learned.iter().map(|output| output.sites.len()).sum();
            let planned = self.recipe.batch as usize * self.recipe.accumulate as usize;
            optimizer.step(plan.lr, planned as f64 / n as f64)?;
        }
        Ok(learned)
    }

    /// Adds one batch's part to the gradients.
    fn learn(&self, batch: DeviceBatch, epoch: u32, source: &mut impl Source) -> Result<StepOutput> {
        let (recipe, network) = (self.recipe, self.network);
        let DeviceBatch { raw, plates, labels, sites } = batch;
        let seed = AugmentSeed { seed: recipe.seed, epoch };
        let keys: Vec<u64> = sites.iter().map(|&site| self.keys[site]).collect();
        let augmented = tch::no_grad(|| self.pipeline.augment(&raw, &plates, &keys, seed));
        let labels = labels.copy();
        drop((raw, plates));
        // Here and not at the end of the step: so the copy of a later batch goes on during this one's forward and
        // backward pass, and is not in the way of what the next step sends to the device first.
        source.release()?;
        let logits =
            forward(recipe.precision, network, &augmented.images, |images| network.forward(images, Mode::Train))?;
        let logits = logits.to_kind(Kind::Float);
        let cross_entropy = |labels: &Tensor, reduction: Reduction| {
            logits.cross_entropy_loss::<&Tensor>(labels, None, reduction, -100, recipe.label_smoothing)
        };
        let best = logits.detach().argmax(-1, false);
        let is_best = |labels: &Tensor| best.eq_tensor(labels).to_kind(Kind::Float);
        let (loss, correct) = match &augmented.mixed {
            None => (cross_entropy(&labels, Reduction::Mean), is_best(&labels)),
            Some(mixed) => {
                let other = labels.index_select(0, &mixed.partner);
                let losses =
                    mixed.of_both(&cross_entropy(&labels, Reduction::None), &cross_entropy(&other, Reduction::None));
                (losses.mean(Kind::Float), mixed.of_both(&is_best(&labels), &is_best(&other)))
            }
        };
        // Of the sites that the step is to have: a batch that is not whole counts for what it has.
        let (batch, n) = (recipe.batch as usize, sites.len());
        let counted = if n == batch { loss.shallow_clone() } else { &loss * (n as f64 / batch as f64) };
        (counted / f64::from(recipe.accumulate)).backward();
        Ok(StepOutput { sites, loss: loss.detach(), n_correct: correct.sum(Kind::Float) })
    }
}

/// Has a network compute something of images in a precision, after bringing them into the form that suits both.
pub(crate) fn forward<T>(
    precision: Precision,
    network: &Network,
    images: &Tensor,
    body: impl FnOnce(&Tensor) -> Result<T>,
) -> Result<T> {
    let autocast = (precision == Precision::Bf16).then_some(Kind::BFloat16);
    let images = tch::no_grad(|| network.prepare(images, autocast))?;
    if autocast.is_some() { ffi::with_bf16(|| body(&images))? } else { body(&images) }
}

#[cfg(test)]
mod tests;

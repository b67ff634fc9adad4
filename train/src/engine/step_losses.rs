//! Losses and hits of training steps on their way back from the device, so that no step waits for one. Decides neither
//! when they are looked at nor what is done with them.

use std::collections::VecDeque;

use tch::{Device, Tensor};

use crate::device::transfer::{Readback, numbers};
use cellshard::error::Result;

/// What is known on the host of a batch that was trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trained {
    /// The optimiser step it belongs to, from 0.
    pub(crate) step: u64,
    /// That step's learning rate.
    pub(crate) lr: f64,
    /// Its sites.
    pub(crate) n_sites: usize,
}

/// A batch with its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settled {
    pub(crate) trained: Trained,
    /// Mean loss over its sites.
    pub(crate) loss: f32,
    /// Sites whose most probable class is theirs.
    pub(crate) hits: f32,
}

/// Whether to wait for what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Take what has arrived.
    Arrived,
    /// Wait for all.
    All,
}

/// Batches whose losses and hits are not on the host yet.
pub(crate) struct Losses {
    device: Device,
    /// Not looked at yet: each with its loss and its hits, scalars on the device.
    open: Vec<(Trained, [Tensor; 2])>,
    /// On their way, in order.
    coming: VecDeque<(Vec<Trained>, Readback)>,
}

impl Losses {
    pub(crate) fn new(device: Device) -> Self {
        Self { device, open: Vec::new(), coming: VecDeque::new() }
    }

    /// Adds a batch with its loss and its hits, scalars on the device.
    pub(crate) fn push(&mut self, trained: Trained, loss: Tensor, hits: Tensor) {
        self.open.push((trained, [loss, hits]));
    }

    /// Batches that were not looked at.
    pub(crate) fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Looks at those that were not: their figures set out for the host. On the CPU they are there at once.
    ///
    /// # Errors
    /// If the device refuses.
    pub(crate) fn look(&mut self) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let of = |which: usize| Tensor::stack(&self.open.iter().map(|(_, both)| &both[which]).collect::<Vec<_>>(), 0);
        let back = Readback::start(&[&of(0), &of(1)], self.device)?;
        self.coming.push_back((self.open.drain(..).map(|(trained, _)| trained).collect(), back));
        Ok(())
    }

    /// The batches whose figures are on the host, in order, each once.
    ///
    /// # Errors
    /// If the device reports that something failed.
    pub(crate) fn settle(&mut self, patience: Patience) -> Result<Vec<Settled>> {
        let mut settled = Vec::new();
        while let Some((trained, back)) = self.coming.pop_front() {
            if patience == Patience::Arrived && !back.has_come()? {
                self.coming.push_front((trained, back));
                break;
            }
            let back = back.wait()?;
            let both = numbers(&back[0])?.into_iter().zip(numbers(&back[1])?);
            settled.extend(trained.into_iter().zip(both).map(|(trained, (loss, hits))| Settled {
                trained,
                loss,
                hits,
            }));
        }
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ffi::trace::Trace;

    #[test]
    fn figures_come_back_in_order_each_once_and_only_when_looked_at() {
        let mut losses = Losses::new(Device::Cpu);
        let trained = |step| Trained { step, lr: 0.5, n_sites: 4 };
        let push = |losses: &mut Losses, step: u64| {
            losses.push(trained(step), Tensor::from(step as f32 + 0.25), Tensor::from(step as f32));
        };
        let steps = |settled: &[Settled]| settled.iter().map(|one| (one.trained.step, one.loss)).collect::<Vec<_>>();
        (0..2).for_each(|step| push(&mut losses, step));
        assert_eq!((losses.n_open(), losses.settle(Patience::All).unwrap()), (2, vec![]));
        losses.look().unwrap();
        push(&mut losses, 2);
        losses.look().unwrap();
        push(&mut losses, 3);
        let settled = losses.settle(Patience::Arrived).unwrap();
        assert_eq!(steps(&settled), [(0, 0.25), (1, 1.25), (2, 2.25)]);
        assert_eq!(settled[1], Settled { trained: trained(1), loss: 1.25, hits: 1.0 });
        assert_eq!(losses.n_open(), 1);
        losses.look().unwrap();
        losses.look().unwrap();
        assert_eq!(steps(&losses.settle(Patience::All).unwrap()), [(3, 3.25)]);
        assert!(losses.settle(Patience::All).unwrap().is_empty());
    }

    #[test]
    fn what_has_not_arrived_is_waited_for_only_when_asked_to() {
        let _trace = Trace::start();
        let mut losses = Losses::new(Device::Cpu);
        for step in 0..4 {
            losses.push(Trained { step, lr: 0.5, n_sites: 4 }, Tensor::from(1.0_f32), Tensor::from(2.0_f32));
            losses.look().unwrap();
            assert!(losses.settle(Patience::Arrived).unwrap().is_empty());
        }
        let steps: Vec<u64> = losses.settle(Patience::All).unwrap().iter().map(|one| one.trained.step).collect();
        assert_eq!(steps, [0, 1, 2, 3]);
    }
}

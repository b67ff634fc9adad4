//! What training steps measured, on its way back from the device, so that no step waits for it. Decides neither when it
//! is sent nor what is done with it.

use std::collections::VecDeque;

use tch::{Device, Tensor};

use crate::device::transfer::{Readback, numbers};
use cellshard::error::Result;

/// What is known on the host of a batch that was trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BatchInfo {
    /// The optimiser step it belongs to, from 0.
    pub(crate) step: u64,
    /// That step's learning rate.
    pub(crate) lr: f64,
    /// Its sites.
    pub(crate) n_sites: usize,
}

/// A batch with its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BatchLoss {
    /// The batch.
    pub(crate) info: BatchInfo,
    /// Mean loss over its sites.
    pub(crate) loss: f32,
    /// Sites whose most probable class is theirs.
    pub(crate) n_correct: f32,
}

/// Whether to wait for what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Take what has arrived.
    Arrived,
    /// Wait for all.
    All,
}

/// Batches whose losses are not on the host yet.
pub(crate) struct StepLosses {
    device: Device,
    /// Not sent yet: each with its loss and how many of its sites were recognised, scalars on the device.
    on_device: Vec<(BatchInfo, [Tensor; 2])>,
    /// On their way, in order.
    under_way: VecDeque<(Vec<BatchInfo>, Readback)>,
}

impl StepLosses {
    pub(crate) fn new(device: Device) -> Self {
        Self { device, on_device: Vec::new(), under_way: VecDeque::new() }
    }

    /// Adds a batch with its loss and how many of its sites were recognised, scalars on the device.
    pub(crate) fn push(&mut self, info: BatchInfo, loss: Tensor, n_correct: Tensor) {
        self.on_device.push((info, [loss, n_correct]));
    }

    /// Batches that were not sent.
    pub(crate) fn n_on_device(&self) -> usize {
        self.on_device.len()
    }

    /// Sends those that were not: their figures set out for the host. On the CPU they are there at once.
    ///
    /// # Errors
    /// If the device refuses.
    pub(crate) fn send_to_host(&mut self) -> Result<()> {
        if self.on_device.is_empty() {
            return Ok(());
        }
        let of =
            |which: usize| Tensor::stack(&self.on_device.iter().map(|(_, both)| &both[which]).collect::<Vec<_>>(), 0);
        let back = Readback::start(&[&of(0), &of(1)], self.device)?;
        self.under_way.push_back((self.on_device.drain(..).map(|(info, _)| info).collect(), back));
        Ok(())
    }

    /// The batches whose figures are on the host, in order, each once.
    ///
    /// # Errors
    /// If the device reports that something failed.
    pub(crate) fn collect(&mut self, wait: Wait) -> Result<Vec<BatchLoss>> {
        let mut collected = Vec::new();
        while let Some((batches, back)) = self.under_way.pop_front() {
            if wait == Wait::Arrived && !back.has_come()? {
                self.under_way.push_front((batches, back));
                break;
            }
            let back = back.wait()?;
            let both = numbers(&back[0])?.into_iter().zip(numbers(&back[1])?);
            collected.extend(batches.into_iter().zip(both).map(|(info, (loss, n_correct))| BatchLoss {
                info,
                loss,
                n_correct,
            }));
        }
        Ok(collected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ffi::trace::Trace;

    #[test]
    fn figures_come_back_in_order_each_once_and_only_when_sent() {
        let mut losses = StepLosses::new(Device::Cpu);
        let batch = |step| BatchInfo { step, lr: 0.5, n_sites: 4 };
        let push = |losses: &mut StepLosses, step: u64| {
            losses.push(batch(step), Tensor::from(step as f32 + 0.25), Tensor::from(step as f32));
        };
        let steps = |collected: &[BatchLoss]| collected.iter().map(|one| (one.info.step, one.loss)).collect::<Vec<_>>();
        (0..2).for_each(|step| push(&mut losses, step));
        assert_eq!((losses.n_on_device(), losses.collect(Wait::All).unwrap()), (2, vec![]));
        losses.send_to_host().unwrap();
        push(&mut losses, 2);
        losses.send_to_host().unwrap();
        push(&mut losses, 3);
        let collected = losses.collect(Wait::Arrived).unwrap();
        assert_eq!(steps(&collected), [(0, 0.25), (1, 1.25), (2, 2.25)]);
        assert_eq!(collected[1], BatchLoss { info: batch(1), loss: 1.25, n_correct: 1.0 });
        assert_eq!(losses.n_on_device(), 1);
        losses.send_to_host().unwrap();
        losses.send_to_host().unwrap();
        assert_eq!(steps(&losses.collect(Wait::All).unwrap()), [(3, 3.25)]);
        assert!(losses.collect(Wait::All).unwrap().is_empty());
    }

    #[test]
    fn what_has_not_arrived_is_waited_for_only_when_asked_to() {
        let _trace = Trace::start();
        let mut losses = StepLosses::new(Device::Cpu);
        for step in 0..4 {
            losses.push(BatchInfo { step, lr: 0.5, n_sites: 4 }, Tensor::from(1.0_f32), Tensor::from(2.0_f32));
            losses.send_to_host().unwrap();
            assert!(losses.collect(Wait::Arrived).unwrap().is_empty());
        }
        let steps: Vec<u64> = losses.collect(Wait::All).unwrap().iter().map(|one| one.info.step).collect();
        assert_eq!(steps, [0, 1, 2, 3]);
    }
}

//! The figures of an epoch as one row: their names in `metrics.csv` and in TensorBoard. Measures nothing.

use serde::{Deserialize, Serialize};

use crate::csv_table::{Figure, columns};

use super::metrics::{EpochMetrics, Validation};

/// A row of `metrics.csv`. A figure is `None` where there is no validation set, or nothing was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 1; 0 is a second step's network before it is trained.
    pub epoch: u32,
    /// Optimiser steps so far.
    pub step: u64,
    lr: Option<Figure>,
    train_loss: Option<Figure>,
    train_accuracy: Option<Figure>,
    /// Mean cross entropy over the validation set.
    pub val_loss: Option<Figure>,
    val_accuracy_site: Option<Figure>,
    val_accuracy_well: Option<Figure>,
    val_top5_well: Option<Figure>,
    chance: Option<Figure>,
    sites_per_second: Option<Figure>,
    wait_share: Option<Figure>,
    seconds: Option<Figure>,
}

impl EpochRow {
    /// The row of an epoch.
    #[must_use]
    pub fn of(metrics: &EpochMetrics) -> Self {
        let validation = |figure: fn(&Validation) -> f64| metrics.validation.as_ref().map(figure).map(Figure);
        let trained = |figure: f64| (metrics.epoch > 0).then_some(Figure(figure));
        Self {
            epoch: metrics.epoch,
            step: metrics.step,
            lr: trained(metrics.lr),
            train_loss: trained(metrics.train_loss),
            train_accuracy: trained(metrics.train_accuracy),
            val_loss: validation(|v| v.loss),
            val_accuracy_site: validation(|v| v.accuracy_site),
            val_accuracy_well: validation(|v| v.accuracy_well),
            val_top5_well: validation(|v| v.top5_well),
            chance: Some(Figure(metrics.chance)),
            sites_per_second: trained(metrics.sites_per_second),
            wait_share: trained(metrics.wait_share),
            seconds: trained(metrics.seconds),
        }
    }

    /// Names and values of the figures that there are, in the order of the columns.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let Self { lr, train_loss, train_accuracy, val_loss, val_accuracy_site, val_accuracy_well, .. } = *self;
        let Self { val_top5_well, chance, sites_per_second, wait_share, seconds, .. } = *self;
        let trained = [lr, train_loss, train_accuracy];
        let validated = [val_loss, val_accuracy_site, val_accuracy_well, val_top5_well];
        let values = [&trained[..], &validated, &[chance, sites_per_second, wait_share, seconds]].concat();
        let names = columns::<Self>().iter().filter(|name| !["epoch", "step"].contains(name));
        names.zip(values).filter_map(|(name, value)| Some((*name, value?.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv_table::to_csv;
    use crate::training::evaluate::metrics::tests::epoch;

    #[test]
    fn figures_are_named_as_the_columns_that_they_stand_in() {
        let mut metrics = epoch(2, 3.5, 0.75);
        metrics.train_loss = 4.5;
        metrics.seconds = 7.25;
        let row = EpochRow::of(&metrics);
        let csv = to_csv(std::slice::from_ref(&row));
        let (header, cells) = csv.trim_end().split_once('\n').unwrap();
        let columns: Vec<(&str, f64)> =
            header.split(',').zip(cells.split(',')).skip(2).map(|(name, cell)| (name, cell.parse().unwrap())).collect();
        assert_eq!(row.figures().collect::<Vec<_>>(), columns);
        metrics.validation = None;
        assert_eq!(EpochRow::of(&metrics).figures().count(), columns.len() - 4);
    }
}

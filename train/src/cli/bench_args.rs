//! `train --bench`: what is measured, for how long, and the report.

use clap::Args;
use serde_json::json;

use crate::bench::StepBench;
use crate::plan::TrainConfig;
use cellshard::bench::{Bench, BenchConfig, machine, median};
use cellshard::cli::report::bench::{BenchReport, DeviceReport, announce};
use cellshard::cli::{Exit, positive_seconds, show};

/// Copies of a batch in a round: some seconds of them on no device.
const COPIES: u64 = 50;

/// Flags of `train --bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// With --bench: only training steps (copies to the device, steps on a resident batch, the real run)
    #[arg(long, requires = "bench", hide_short_help = true)]
    steps_only: bool,
    /// With --bench: steps that are timed in each round
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    steps: u64,
    /// With --bench: steps before them that are not
    #[arg(long, value_name = "COUNT", default_value_t = 10, hide_short_help = true)]
    warmup: u64,
    /// With --bench: seconds that each part of reading is measured in each round
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = positive_seconds, hide_short_help = true)]
    seconds: f64,
    /// With --bench: rounds; a figure is the median of them
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100), hide_short_help = true)]
    rounds: u32,
}

impl BenchArgs {
    /// Measures and reports.
    ///
    /// # Errors
    /// If store, recipe or device cannot be used, or a site is damaged.
    pub(super) fn run(&self, config: &TrainConfig, as_json: bool) -> anyhow::Result<Exit> {
        // What cannot be measured is said before anything is.
        let bench = Bench::open(BenchConfig {
            shards: config.shards.clone(),
            n_threads: config.n_threads,
            batch: config.recipe.batch as usize,
            io: config.io,
            seconds: self.seconds,
            rounds: self.rounds as usize,
        })?;
        let steps = StepBench::open(config)?;
        let feed = if self.steps_only { Vec::new() } else { bench.run(&announce)? };
        let report = BenchReport::new(machine(), &bench, feed).with_device(self.device(steps, config)?);
        show(report.show(&bench, as_json))?;
        Ok(Exit::Success)
    }

    /// Times copies, steps on a resident batch, and the real run in turns.
    fn device(&self, mut steps: StepBench, config: &TrainConfig) -> cellshard::Result<DeviceReport> {
        let recipe = &config.recipe;
        let side = |what: u32| if what == 0 { "whole images".to_owned() } else { format!("{what} pixels") };
        let size = side(if recipe.resize > 0 { recipe.resize } else { recipe.crop });
        let mut all = Vec::new();
        for _ in 0..self.rounds {
            let copies = steps.host_to_device(COPIES)?;
            let resident = steps.resident(self.warmup, self.steps)?;
            let real = steps.real(self.warmup, self.steps)?;
            all.push((copies, resident, real));
        }
        let middle = |of: &dyn Fn(&(_, _, _)) -> f64| median(all.iter().map(of).collect()).unwrap_or(f64::NAN);
        Ok(DeviceReport {
            name: steps.device_name().to_owned(),
            network: format!("{}, {}, {size}", recipe.model, recipe.value("precision").unwrap_or_default()),
            copy_mb_per_s: middle(&|(copies, _, _)| copies.mb_per_s),
            resident_sites_per_s: middle(&|(_, resident, _)| resident.sites_per_s),
            real_sites_per_s: middle(&|(_, _, real)| real.sites_per_s),
            waiting: middle(&|(_, _, real)| real.waited_s / real.seconds),
            share: middle(&|(_, resident, real)| real.sites_per_s / resident.sites_per_s),
            peak_memory: steps.memory().map(|memory| memory.peak_allocated),
            rounds: json!(all),
        })
    }
}

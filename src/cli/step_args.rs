//! Which training steps `bench` times, as flags; refused where the program was built without libtorch.

use std::path::Path;

use clap::Args;

use super::bench::DeviceReport;
use super::{IoFlag, VerifyFlag};
use crate::error::Result;
use crate::train::recipe::Recipe;

/// Flags of the steps that are timed.
#[derive(Debug, Args)]
pub struct StepArgs {
    /// A recipe that ships with the program (base-cnn, resnet50, two-step, demo) or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "resnet50")]
    recipe: String,
    /// What to compute on: auto (the first GPU, else the CPU), cpu, cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// When the real run verifies a site's checksum
    #[arg(long, value_name = "WHEN", default_value = "first")]
    verify: VerifyFlag,
    /// Steps that are timed in each round
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Steps before them that are not
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    warmup: u64,
}

impl StepArgs {
    /// The recipe with the keys that were given as flags.
    ///
    /// # Errors
    /// If there is no such recipe, or it contradicts itself.
    pub fn recipe(&self, changes: &[(String, String)]) -> Result<Recipe> {
        Recipe::named(&self.recipe)?.1.with(changes)
    }
}

#[cfg(feature = "torch")]
mod with_torch {
    use serde_json::json;

    use super::{DeviceReport, IoFlag, Path, Recipe, Result, StepArgs};
    use crate::bench::median;
    use crate::error::Error;
    use crate::train::bench::StepBench;
    use crate::train::trainer::TrainConfig;

    /// Steps that are ready to be timed.
    pub struct Steps {
        bench: StepBench,
        network: String,
        warmup: u64,
        timed: u64,
    }

    /// Copies of a batch in a round: some seconds of them on no device.
    const COPIES: u64 = 50;

    impl StepArgs {
        /// Prepares store, network and device.
        ///
        /// # Errors
        /// If one of them cannot be used.
        pub fn open(&self, shards: &Path, recipe: &Recipe, io: IoFlag, n_threads: usize) -> Result<Steps> {
            let device = self.device.parse().map_err(|e| Error::refused("--device", "a device", e))?;
            let (io, verify) = (io.into(), self.verify.into());
            let config =
                TrainConfig { device, n_threads, io, verify, ..TrainConfig::new(shards, "bench", recipe.clone()) };
            let side = |what: u32| if what == 0 { "whole images".to_owned() } else { format!("{what} pixels") };
            let size = side(if recipe.resize > 0 { recipe.resize } else { recipe.crop });
            let network = format!("{}, {}, {size}", recipe.model.name(), recipe.value("precision").unwrap_or_default());
            Ok(Steps { bench: StepBench::open(&config)?, network, warmup: self.warmup, timed: self.steps })
        }
    }

    impl Steps {
        /// Times copies, steps on a resident batch, and the real run in turns.
        ///
        /// # Errors
        /// If a site is damaged, or the device fails.
        pub fn measure(mut self, rounds: u32) -> Result<DeviceReport> {
            let mut all = Vec::new();
            for _ in 0..rounds {
                let copies = self.bench.host_to_device(COPIES)?;
                let resident = self.bench.resident(self.warmup, self.timed)?;
                let real = self.bench.real(self.warmup, self.timed)?;
                all.push((copies, resident, real));
            }
            let middle = |of: &dyn Fn(&(_, _, _)) -> f64| median(all.iter().map(of).collect()).unwrap_or(f64::NAN);
            Ok(DeviceReport {
                name: self.bench.device_name().to_owned(),
                network: self.network,
                copy_mb_per_s: middle(&|(copies, _, _)| copies.mb_per_s),
                resident_sites_per_s: middle(&|(_, resident, _)| resident.sites_per_s),
                real_sites_per_s: middle(&|(_, _, real)| real.sites_per_s),
                waiting: middle(&|(_, _, real)| real.waited_s / real.seconds),
                share: middle(&|(_, resident, real)| real.sites_per_s / resident.sites_per_s),
                peak_memory: self.bench.memory().map(|memory| memory.peak_allocated),
                rounds: json!(all),
            })
        }
    }
}

#[cfg(not(feature = "torch"))]
mod without_torch {
    use super::{DeviceReport, IoFlag, Path, Recipe, Result, StepArgs};
    use crate::error::Error;

    /// Steps that this program cannot take.
    #[derive(Debug)]
    pub enum Steps {}

    impl StepArgs {
        /// Refuses.
        ///
        /// # Errors
        /// Always.
        pub fn open(&self, _shards: &Path, _recipe: &Recipe, _io: IoFlag, _n_threads: usize) -> Result<Steps> {
            let found = "a program that was built without libtorch";
            Err(Error::refused("bench", "--feed-only, or a program built with --features torch", found))
        }
    }

    impl Steps {
        /// Never runs.
        ///
        /// # Errors
        /// None.
        pub fn measure(self, _rounds: u32) -> Result<DeviceReport> {
            match self {}
        }
    }
}

#[cfg(feature = "torch")]
pub use with_torch::Steps;
#[cfg(not(feature = "torch"))]
pub use without_torch::Steps;

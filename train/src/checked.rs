//! All of a run that can be refused, checked: store, recipe, split, classes, run folder, device. Writes nothing.

use crate::begun::Begun;
use crate::device;
use crate::plan::{Plan, StagePlan, TrainConfig, check_precision, start_of};
use cellshard::error::Result;
use cellshard::store::Store;
use cellshard::training::data::{ClassMap, Split};
use cellshard::training::run::{Environment, RunFolder, RunInfo, SPLIT, StartsFrom};

/// A run that was checked, with the device set up for it.
pub(crate) struct Checked<'a> {
    pub(crate) plan: Plan<'a>,
    /// What it goes on with, if it does.
    pub(crate) begun: Option<&'a Begun>,
    /// The networks to train, in order.
    pub(crate) stages: Vec<StagePlan>,
    /// What it is: as it stands in its folder, or as it will.
    pub(crate) info: &'a RunInfo,
    /// On what it goes on or begins now.
    pub(crate) environment: &'a Environment,
}

/// Checks all that can be refused, and hands it on.
///
/// # Errors
/// If something is refused; and those of `then`.
pub(crate) fn checked<T>(config: &TrainConfig, then: impl FnOnce(Checked<'_>) -> Result<T>) -> Result<T> {
    let store = Store::open_proven(&config.shards)?;
    let (device, device_name) = device::open(config.device)?;
    let begun = Begun::find(config, &store)?;
    let recipe = begun.as_ref().map_or(&config.recipe, |begun| &begun.recipe).clone();
    check_precision(&recipe, device)?;
    let (classes, split, starts_from) = match &begun {
        Some(Begun { folder, info, .. }) => {
            let classes = info.classes.iter().map(|row| row.class).collect();
            let classes = ClassMap::of_outputs(classes, info.n_treatments);
            (classes, Split::read(&folder.file(SPLIT), &store)?, info.starts_from.clone())
        }
        None => {
            let mut split = Split::new(&store, &recipe)?;
            let starts_from = start_of(&recipe, &store, &mut split)?;
            (ClassMap::new(&store, &recipe)?, split, starts_from)
        }
    };
    classes.check(&store, &split)?;
    let plan = Plan { store: &store, recipe: &recipe, classes: &classes, split: &split, device };
    let second_epochs = begun.as_ref().and_then(|begun| begun.second_epochs);
    let mut stages = plan.stages(begun.as_ref().map(|begun| &begun.folder), second_epochs)?;
    if let Some(begun) = &begun {
        begun.set_epochs(config, &mut stages)?;
    }
    let environment = device::environment(device, &device_name, &config.command_line)?;
    let info = match &begun {
        Some(begun) => {
            begun.check_network(&store)?;
            begun.info.clone()
        }
        None => {
            let info = RunInfo { starts_from, environment: Some(environment.clone()), ..plan.info()? };
            plan.rehearse(&info)?;
            info
        }
    };
    device::set_up(device, recipe.precision)?;
    then(Checked { plan, begun: begun.as_ref(), stages, info: &info, environment: &environment })
}

impl Checked<'_> {
    /// What a user should know of it, beside what the split has to say.
    ///
    /// # Errors
    /// If that cannot be told.
    pub(crate) fn warnings(&self) -> Result<Vec<String>> {
        let unsealed = self.begun.map_or(Ok(None), |begun| begun.folder.unsealed())?;
        let other_rules = self.begun.and_then(Begun::other_rules);
        let unknown = self.info.starts_from.as_ref().is_some_and(|start| start.of_unknown_run);
        let unknown = unknown.then(|| format!("it begins with {}", StartsFrom::UNKNOWN_RUN));
        Ok(unsealed.into_iter().chain(other_rules).chain(unknown).collect())
    }

    /// The run's folder, if it goes on.
    pub(crate) fn folder(&self) -> Option<&RunFolder> {
        self.begun.map(|begun| &begun.folder)
    }
}

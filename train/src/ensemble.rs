//! Which networks of one or several runs answer for which sites of a store, and those networks, loaded. Predicts
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Device, Kind};

use cellshard::error::{Error, Result};
use cellshard::files;
use cellshard::store::Store;
use cellshard::training::data::SplitPart;
use cellshard::training::recipe::Precision;
use cellshard::training::run::{RunClass, RunFolder, RunInfo};

use crate::asked::AskedRun;
use crate::engine::checkpoint;
use crate::models::{MemoryFormat, Network, weights};
use crate::plan::network_spec;
use crate::transforms::pipeline::Pipeline;

/// A network of a run that is responsible for some cell types.
pub(crate) struct Member {
    pub(crate) folder: RunFolder,
    pub(crate) info: RunInfo,
    /// The sites it answers for, as indices of the store.
    pub(crate) sites: Vec<usize>,
}

/// The cell types that a run has trained on.
fn trained_cell_types(run: &AskedRun, store: &Store) -> Result<BTreeSet<String>> {
    for experiment in store.plates().keys().map(|plate| &plate.experiment) {
        let known = run.info.cell_types.get(experiment.as_str());
        if let Some(known) = known.filter(|known| *known != experiment.cell_type()) {
            let place = format!("{}: cell type of {experiment}", store.root().display());
            let expected = format!("{known:?}, as the run was trained with it");
            return Err(Error::refused(place, expected, format!("{:?}", experiment.cell_type())));
        }
    }
    let mut trained: BTreeSet<String> = run.info.cell_types.values().cloned().collect();
    if trained.is_empty() {
        // A run of a version that did not note them.
        for well in run.parts.iter().filter(|(_, part)| **part == SplitPart::Train).map(|(well, _)| well) {
            // The store knows its experiments' cell types, a name alone does not.
            let known = store.plates().keys().find(|plate| plate.experiment == well.plate.experiment);
            let experiment = known.map_or(&well.plate.experiment, |plate| &plate.experiment);
            trained.insert(experiment.cell_type().to_owned());
        }
    }
    Ok(trained)
}

/// Which networks of a run answer for which sites: that of the site's cell type where the run has one, else its own; with
/// `first_step` its own for all. `classes` are those that all runs must have.
pub(crate) fn members_of(
    run: &AskedRun,
    classes: &[RunClass],
    store: &Store,
    sites: &[usize],
    first_step: bool,
) -> Result<Vec<Member>> {
    let two_step = run.folder.recipe()?.two_step && !first_step;
    let trained = if two_step { trained_cell_types(run, store)? } else { BTreeSet::new() };
    let run = &run.folder;
    let mut by_folder: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    for &site in sites {
        let cell_type = store.sites()[site].id.well.plate.experiment.cell_type();
        // In the second of two steps, each cell type that was trained on has a network of its own.
        let own = trained.contains(cell_type);
        by_folder.entry(own.then(|| cell_type.to_owned())).or_default().push(site);
    }
    let member = |(cell_type, sites): (Option<String>, Vec<usize>)| {
        let folder = cell_type.map_or_else(|| run.clone(), |cell_type| run.of_cell_type(&cell_type));
        if !folder.exists()? || (two_step && !folder.is_finished()?) {
            let expected = format!("a second step that is over (train --resume --run {})", run.root().display());
            return Err(Error::refused(folder.root().display(), expected, "none"));
        }
        folder.check_seal()?;
        let info = folder.info()?;
        let size = store.spec().size;
        let check = |what: &str, expected: String, found: String| {
            if expected == found {
                Ok(())
            } else {
                Err(Error::refused(format!("{}: {what}", folder.root().display()), expected, found))
            }
        };
        let names = store.spec().channels.iter().map(|channel| channel.name.as_str()).collect::<Vec<_>>();
        check("channels", info.channels.join(", "), names.join(", "))?;
        let shape = |[height, width]: [u32; 2]| format!("{height} x {width} pixels");
        check("image size", shape(info.store_size), shape([size.height, size.width]))?;
        if info.classes != classes {
            let expected = "the same classes in all runs";
            return Err(Error::refused(folder.root().display(), expected, "others than in the first"));
        }
        Ok(Member { folder, info, sites })
    };
    by_folder.into_iter().map(member).collect()
}

/// A member's network with its weights, and what images go through before.
pub(crate) fn load(
    name: &str,
    member: &Member,
    store: &Store,
    device: Device,
) -> Result<(Network, Pipeline, Precision)> {
    let (info, recipe) = (&member.info, member.folder.recipe()?);
    let format = MemoryFormat::of(device);
    let mut network = Network::in_format(&network_spec(info), 0, Kind::Float, device, format)?;
    let path = member.folder.file(name);
    if !files::exists(&path)? {
        let expected = "a network of an epoch that is over (train --resume goes on until there is one)";
        return Err(Error::refused(path.display(), expected, "none"));
    }
    weights::load(&mut network, &checkpoint::read(&member.folder, name)?, &path.display().to_string())?;
    let plates: BTreeSet<_> = member.sites.iter().map(|&i| &store.sites()[i].id.well.plate).collect();
    let pipeline = Pipeline::new(&recipe, store, &plates, &info.trained, device)?;
    Ok((network, pipeline, recipe.precision))
}

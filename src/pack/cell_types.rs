//! Experiments that get another cell type than a store has them with. It is one for all plates of an experiment, or no
//! reader opens the store: so all of them change in one run, or none does.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result, unless_damaged};
use crate::fault::Fault;
use crate::site::{Experiment, PlateId, Well};
use crate::source::{PlatePlan, Source};
use crate::store::StoreSpec;
use crate::store::format::names::SITES;
use crate::store::format::rows::SiteRow;
use crate::store::read::listing::{listed_plates, read_rows};

use super::config::{OnError, PackConfig};
use super::report::HeldPlate;
use super::resume::{Todo, lost_of};

/// Experiments that get another cell type than the store has plates of them with.
#[derive(Default)]
pub(super) struct Changing {
    /// All of those plates are to be packed.
    whole: BTreeSet<Experiment>,
    /// One of them is not.
    parted: BTreeMap<Experiment, PlateId>,
}

impl Changing {
    /// Looks at the store for those of `to_pack`.
    pub(super) fn of(store: &Path, to_pack: &BTreeSet<&PlateId>) -> Result<Self> {
        let of_source: BTreeSet<&Experiment> = to_pack.iter().map(|plate| &plate.experiment).collect();
        let mut changing = Self::default();
        for plate in listed_plates(store)? {
            let Some(&new) = of_source.get(&plate.experiment) else { continue };
            let rows = unless_damaged(read_rows::<SiteRow>(store, &plate, SITES))?.unwrap_or_default();
            let Some(old) = rows.first().map(|row| &row.id.well.plate.experiment) else { continue };
            if old.cell_type() != new.cell_type() {
                if to_pack.contains(&plate) {
                    changing.whole.insert(new.clone());
                } else {
                    changing.parted.insert(new.clone(), plate);
                }
            }
        }
        Ok(changing)
    }

    /// Refuses to pack a part of an experiment that changes.
    pub(super) fn refuse_parted(&self, store: &Path) -> Result<()> {
        let Some((experiment, plate)) = self.parted.first_key_value() else { return Ok(()) };
        let place = format!("{}: cell type of {plate}", store.display());
        let expected = format!("{:?}, as in the source (pack all plates of it in one run)", experiment.cell_type());
        Err(Error::refused(place, expected, "another"))
    }

    /// The plates that stay as they are because others of their experiments do, without looking at an image.
    pub(super) fn held<'a>(&self, to_pack: impl Iterator<Item = &'a PlateId>) -> Vec<HeldPlate> {
        let is_held = |plate: &&PlateId| self.parted.contains_key(&plate.experiment);
        to_pack.filter(is_held).map(HeldPlate::by_its_experiment).collect()
    }
}

/// Decodes all of the plates of changing experiments, and says what would keep any of them as it is: then nothing of its
/// experiment is to be packed.
pub(super) fn hold_back(
    config: &PackConfig,
    source: &Source,
    spec: &StoreSpec,
    plates: &[(&PlatePlan, &Todo)],
) -> Result<HeldBack> {
    let changing = Changing::of(&config.dst, &plates.iter().map(|(plate, _)| &plate.id).collect())?;
    let mut held_back = HeldBack { experiments: changing.parted.keys().cloned().collect(), ..HeldBack::default() };
    for (plate, todo) in plates.iter().filter(|(plate, _)| changing.whole.contains(&plate.id.experiment)) {
        let mut faults = plate.faults.clone();
        faults.extend(decode(source, plate)?);
        let bad: HashSet<(Well, u16)> = faults.iter().filter_map(|fault| Some((fault.well?, fault.site?))).collect();
        let mut lost = lost_of(config, spec, plate, &|site| !bad.contains(&(site.well, site.site)))?;
        lost.others.clone_from(&todo.lost.others);
        let can_be_pruned = lost.is_within(&todo.lost) && (lost.others.is_empty() || faults.is_empty());
        let may_go = lost.is_empty() || (config.prune && can_be_pruned);
        if !may_go || (config.on_error == OnError::Fail && !faults.is_empty()) {
            held_back.experiments.insert(plate.id.experiment.clone());
            held_back.told.insert(plate.id.clone());
            if !may_go {
                held_back.kept.extend(HeldPlate::of(&plate.id, lost, &faults, can_be_pruned));
            }
            held_back.faults.extend(faults);
        }
    }
    let others = plates.iter().map(|(plate, _)| &plate.id);
    let others = others.filter(|id| held_back.experiments.contains(&id.experiment) && !held_back.told.contains(id));
    held_back.kept.extend(others.map(HeldPlate::by_its_experiment).collect::<Vec<_>>());
    Ok(held_back)
}

/// What is not packed, and why.
#[derive(Default)]
pub(super) struct HeldBack {
    pub(super) experiments: BTreeSet<Experiment>,
    /// The plates that keep others.
    told: BTreeSet<PlateId>,
    pub(super) faults: Vec<Fault>,
    pub(super) kept: Vec<HeldPlate>,
}

/// Every fault of a plate's images.
fn decode(source: &Source, plate: &PlatePlan) -> Result<Vec<Fault>> {
    let sites = plate.sites.par_iter();
    let faults = sites.map_init(|| source.reader(), |reader, site| Ok(reader.read(plate, site)?.1));
    Ok(faults.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

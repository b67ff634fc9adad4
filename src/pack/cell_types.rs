//! Experiments that get another cell type than a store has them with. It is one for all plates of an experiment, or no
//! reader opens the store: so all of them change in one run, or none does.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result, unless_damaged};
use crate::fault::Fault;
use crate::memory;
use crate::site::{Experiment, Label, PlateId, SiteId, Well};
use crate::source::png::SiteDecoder;
use crate::source::{PlatePlan, Source};
use crate::store::StoreSpec;
use crate::store::format::names::SITES;
use crate::store::format::rows::SiteRow;
use crate::store::read::listing::{listed_plates, read_rows};
use crate::store::write::held::lost;

use super::config::{OnError, PackConfig};
use super::report::HeldPlate;

/// The experiments of `to_pack` of which the store has plates with another cell type.
///
/// # Errors
/// If one of those is not among `to_pack`, or the system cannot tell.
pub(super) fn changing(store: &Path, to_pack: &BTreeSet<&PlateId>) -> Result<BTreeSet<Experiment>> {
    let of_source: BTreeSet<&Experiment> = to_pack.iter().map(|plate| &plate.experiment).collect();
    let mut changing = BTreeSet::new();
    for plate in listed_plates(store)? {
        let Some(&new) = of_source.get(&plate.experiment) else { continue };
        let rows = unless_damaged(read_rows::<SiteRow>(store, &plate, SITES))?.unwrap_or_default();
        let Some(old) = rows.first().map(|row| &row.id.well.plate.experiment) else { continue };
        if old.cell_type() == new.cell_type() {
            continue;
        }
        if !to_pack.contains(&plate) {
            let place = format!("{}: cell type of {plate}", store.display());
            let expected = format!("{:?}, as in the source (pack all plates of {new} in one run)", new.cell_type());
            return Err(Error::refused(place, expected, format!("{:?}", old.cell_type())));
        }
        changing.insert(new.clone());
    }
    Ok(changing)
}

/// Decodes all of the plates of changing experiments, and says what would keep any of them as it is: then nothing of its
/// experiment is to be packed.
pub(super) fn hold_back(
    config: &PackConfig,
    source: &Source,
    spec: &StoreSpec,
    plates: &[&PlatePlan],
) -> Result<HeldBack> {
    let mut held_back = HeldBack::default();
    let changing = changing(&config.dst, &plates.iter().map(|plate| &plate.id).collect())?;
    for plate in plates.iter().filter(|plate| changing.contains(&plate.id.experiment)) {
        let mut faults = plate.faults.clone();
        faults.extend(decode(source, spec, plate)?);
        let bad: HashSet<(Well, u16)> = faults.iter().filter_map(|fault| Some((fault.well?, fault.site?))).collect();
        let stay: HashMap<(Well, u16), &Label> = plate
            .sites
            .iter()
            .map(|site| ((site.well, site.site), &site.label))
            .filter(|(at, _)| !bad.contains(at))
            .collect();
        let new = |old: &SiteId| Some((*stay.get(&(old.well.well, old.site))?, &plate.id.experiment));
        let lost = if config.prune { None } else { Some(lost(&config.dst, spec, &plate.id, &new)?) };
        let lost = lost.filter(|lost| !lost.is_empty());
        if lost.is_some() || (config.on_error == OnError::Fail && !faults.is_empty()) {
            held_back.experiments.insert(plate.id.experiment.clone());
            held_back.kept.extend(lost.into_iter().flat_map(|lost| HeldPlate::of(&plate.id, lost, &faults, false)));
            held_back.faults.extend(faults);
        }
    }
    Ok(held_back)
}

/// What is not packed, and why.
#[derive(Default)]
pub(super) struct HeldBack {
    pub(super) experiments: BTreeSet<Experiment>,
    pub(super) faults: Vec<Fault>,
    pub(super) kept: Vec<HeldPlate>,
}

/// Every fault of a plate's images.
fn decode(source: &Source, spec: &StoreSpec, plate: &PlatePlan) -> Result<Vec<Fault>> {
    let new = || (SiteDecoder::new(source.size), Vec::new());
    let faults: Vec<Vec<Fault>> = plate
        .sites
        .par_iter()
        .map_init(new, |(decoder, pixels), site| {
            memory::resize(pixels, spec.site_bytes(), "the pixels of a site")?;
            let images = source.read_images(plate, site);
            Ok(source.decode_images(plate, site, &images, decoder, pixels))
        })
        .collect::<Result<_>>()?;
    Ok(faults.into_iter().flatten().collect())
}

//! Which wells are held out to validate on: whole experiments where there are some, or single wells. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::feed::mix;
use crate::site::{Experiment, PlateId, WellId};
use crate::store::format::checksum::crc32c;
use crate::store::format::rows::SiteRow;
use crate::training::recipe::{Fold, Recipe};

/// What validates of one cell type: experiments where it has two or more, plates of its only one, wells of its only
/// plate.
pub(super) fn held_out_of_cell_type<'a>(
    rows: &'a [SiteRow],
    cell_type: &str,
    sites: &[usize],
    recipe: &Recipe,
    warnings: &mut Vec<String>,
) -> BTreeSet<&'a WellId> {
    let plate = |i: usize| &rows[i].id.well.plate;
    let experiments: BTreeSet<&Experiment> = sites.iter().map(|&i| &plate(i).experiment).collect();
    let plates: BTreeSet<&PlateId> = sites.iter().map(|&i| plate(i)).collect();
    let wells = |keep: &dyn Fn(usize) -> bool| {
        sites.iter().filter(|&&i| keep(i)).map(|&i| &rows[i].id.well).collect::<BTreeSet<_>>()
    };
    if let Some(again) = repeats(recipe.fold, n_parts(rows, sites)) {
        warnings
            .push(format!("{cell_type} has fewer parts to hold out: fold {} holds out what {again} does", recipe.fold));
    }
    if experiments.len() > 1 {
        let fold = held_out_of(experiments, recipe, cell_type);
        wells(&|i| fold.contains(&&plate(i).experiment))
    } else if plates.len() > 1 {
        let fold = held_out_of(plates, recipe, cell_type);
        let names: Vec<String> = fold.iter().map(ToString::to_string).collect();
        warnings.push(format!(
            "{cell_type} has one experiment to train on: it is validated on {}, which flatters",
            names.join(", "),
        ));
        wells(&|i| fold.contains(&plate(i)))
    } else {
        warnings.push(format!("{cell_type} has one plate to train on: it is validated on wells of it, which flatters"));
        let wells: BTreeSet<&WellId> = sites.iter().map(|&i| &rows[i].id.well).collect();
        held_out_of(wells, recipe, cell_type).into_iter().collect()
    }
}

/// How many parts the sites of one cell type have of which one can be held out: experiments, plates of the only
/// experiment, wells of the only plate.
pub(super) fn n_parts(rows: &[SiteRow], sites: &[usize]) -> usize {
    let wells: BTreeSet<&WellId> = sites.iter().map(|&i| &rows[i].id.well).collect();
    let plates: BTreeSet<&PlateId> = wells.iter().map(|well| &well.plate).collect();
    let experiments: BTreeSet<&Experiment> = plates.iter().map(|plate| &plate.experiment).collect();
    [experiments.len(), plates.len(), wells.len()].into_iter().find(|&n| n > 1).unwrap_or(1)
}

/// The fold that holds out the same where there are fewer parts than this one's number.
fn repeats(fold: Fold, n_parts: usize) -> Option<Fold> {
    let k = u32::try_from((fold.k as usize - 1) % n_parts + 1).unwrap_or(fold.k);
    (k != fold.k).then_some(Fold { k, ..fold })
}

/// The fold of `items` that validates: shuffled by the seed and dealt out one by one. There are no more folds than
/// items, so that each side gets one.
fn held_out_of<T: Ord>(items: BTreeSet<T>, recipe: &Recipe, salt: &str) -> Vec<T> {
    let salt = u64::from(crc32c(salt.as_bytes()));
    let mut items: Vec<(u64, T)> =
        (0..).zip(items).map(|(i, item)| (mix(mix(recipe.split_seed ^ salt) ^ i), item)).collect();
    items.sort();
    let n_folds = (recipe.fold.n as usize).min(items.len());
    let k = (recipe.fold.k as usize - 1) % n_folds;
    items.into_iter().enumerate().filter(|(i, _)| i % n_folds == k).map(|(_, (_, item))| item).collect()
}

/// A share of the wells at random, of each class its part, at least one well in all.
pub(super) fn wells_at_random<'a>(rows: &'a [SiteRow], sites: &[usize], seed: u64, share: f64) -> BTreeSet<&'a WellId> {
    let mut by_class: BTreeMap<Option<u32>, BTreeSet<&WellId>> = BTreeMap::new();
    for &i in sites {
        by_class.entry(rows[i].label.class).or_default().insert(&rows[i].id.well);
    }
    let hash = |well: &WellId| mix(mix(seed) ^ u64::from(crc32c(well.to_string().as_bytes())));
    let mut chosen = BTreeSet::new();
    // What a class gets is rounded so that the shares of all add up: the rest is carried on to the next class.
    let mut due = 0.5;
    for wells in by_class.into_values() {
        let mut wells: Vec<&WellId> = wells.into_iter().collect();
        wells.sort_by_key(|well| hash(well));
        due += share * wells.len() as f64;
        let n = (due.floor() as usize).min(wells.len());
        due -= n as f64;
        chosen.extend(wells.into_iter().take(n));
    }
    if chosen.is_empty() {
        chosen.extend(sites.iter().map(|&i| &rows[i].id.well).min_by_key(|well| hash(well)));
    }
    chosen
}

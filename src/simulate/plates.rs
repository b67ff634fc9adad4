//! Plate maps: which well of which plate gets what, as RxRx1 lays its plates out. Pure; pixels and files are made
//! elsewhere.

use crate::site::{Population, Well};

use super::dice::Dice;

/// The wells of a full plate in use: rows B to O, columns 2 to 23. The rim stays empty.
pub const FULL_PLATE: usize = ROWS * COLUMNS;
/// Positive controls on a full plate, one well for each of their classes.
pub const POSITIVE_CONTROLS: usize = 30;
const ROWS: usize = 14;
const COLUMNS: usize = 22;
/// Where RxRx1 puts its positive controls, on every plate.
const POSITIVE_ROWS: [u16; 5] = [2, 5, 7, 9, 12];
const POSITIVE_COLUMNS: [u16; 6] = [3, 7, 11, 15, 19, 22];
/// The share of RxRx1's plates that have a second negative control in the place of a treatment.
const SECOND_NEGATIVE: f32 = 0.14;

/// What one well holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The well.
    pub well: Well,
    /// What it was given.
    pub population: Population,
    /// The class: treatments from 0, then the positive controls, untreated last.
    pub class: u32,
}

/// The map of every plate, `[experiment][plate]`, wells in reading order. Treatments come in groups that share a
/// plate in every experiment, as in RxRx1; which plate, and where on it, differs by experiment.
#[must_use]
pub fn maps(seed: u64, n_experiments: usize, n_plates: usize, n_wells: usize, n_sirnas: u32) -> Vec<Vec<Vec<Content>>> {
    let n_treatments = n_wells - 1 - positives(n_wells);
    let mut order: Vec<u32> = (0..n_sirnas).collect();
    Dice::new(seed, &[0x9a9]).shuffle(&mut order);
    let groups: Vec<Vec<u32>> = (0..n_plates)
        .map(|group| {
            let slots = group * n_treatments..(group + 1) * n_treatments;
            slots.map(|slot| order[slot % order.len()]).collect()
        })
        .collect();
    (0..n_experiments)
        .map(|experiment| {
            let mut dice = Dice::new(seed, &[0x9a9, experiment as u64]);
            let mut group_of_plate: Vec<usize> = (0..n_plates).collect();
            dice.shuffle(&mut group_of_plate);
            let plate = |&group: &usize| map(&mut dice, n_wells, &groups[group], n_sirnas);
            group_of_plate.iter().map(plate).collect()
        })
        .collect()
}

/// One plate with these treatments.
fn map(dice: &mut Dice, n_wells: usize, treatments: &[u32], n_sirnas: u32) -> Vec<Content> {
    let wells = wells(n_wells);
    let positive_wells = positive_wells(&wells);
    let mut positives: Vec<u32> = (n_sirnas..n_sirnas + POSITIVE_CONTROLS as u32).collect();
    dice.shuffle(&mut positives);
    let untreated = n_sirnas + POSITIVE_CONTROLS as u32;
    let mut treatments = treatments.to_vec();
    dice.shuffle(&mut treatments);
    if treatments.len() > 10 && dice.unit() < SECOND_NEGATIVE {
        let i = dice.below(treatments.len());
        treatments[i] = untreated;
    }
    let (mut treatments, mut positives) = (treatments.into_iter(), positives.into_iter());
    let content = |(i, &well): (usize, &Well)| {
        let class = if i == 0 {
            untreated
        } else if positive_wells.contains(&well) {
            positives.next().expect("no more wells than positive controls")
        } else {
            treatments.next().expect("as many treatments as wells are left")
        };
        let population = match class {
            _ if class == untreated => Population::NegativeControl,
            _ if class >= n_sirnas => Population::PositiveControl,
            _ => Population::Treatment,
        };
        Content { well, population, class }
    };
    wells.iter().enumerate().map(content).collect()
}

/// The wells in use, in reading order: all, or a block of the plate's shape that grows from B02.
fn wells(n: usize) -> Vec<Well> {
    let all = (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| (row, column)));
    let mut all: Vec<(usize, usize)> = all.collect();
    all.sort_by_key(|&(row, column)| ((row * COLUMNS).max(column * ROWS), row, column));
    let mut wells: Vec<Well> =
        all[..n].iter().map(|&(row, column)| Well::new(row as u16 + 1, column as u16 + 2)).collect();
    wells.sort_unstable();
    wells
}

/// How many positive controls a plate of so many wells has: the share of a full plate, but two at least as long as
/// they leave room for treatments.
pub(super) fn positives(n_wells: usize) -> usize {
    let share = (n_wells * POSITIVE_CONTROLS + FULL_PLATE / 2) / FULL_PLATE;
    share.max(2).min((n_wells - 1) / 2)
}

/// The places of the positive controls: RxRx1's own where the plate has them, then others spread over the rest.
fn positive_wells(wells: &[Well]) -> Vec<Well> {
    let n = positives(wells.len());
    let usual = |well: &&Well| POSITIVE_ROWS.contains(&well.row()) && POSITIVE_COLUMNS.contains(&well.column());
    let mut chosen: Vec<Well> = wells.iter().filter(usual).copied().take(n).collect();
    let others: Vec<Well> = wells[1..].iter().filter(|well| !chosen.contains(well)).copied().collect();
    let missing = n - chosen.len();
    chosen.extend((0..missing).map(|i| others[i * others.len() / missing]));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn count(plate: &[Content], population: Population) -> usize {
        plate.iter().filter(|content| content.population == population).count()
    }

    #[test]
    fn a_full_plate_is_laid_out_as_in_rxrx1() {
        for plate in maps(3, 2, 4, FULL_PLATE, 1108).concat() {
            assert_eq!(plate.len(), 308);
            assert_eq!(plate[0].well.to_string(), "B02");
            assert_eq!(plate[0].population, Population::NegativeControl);
            assert_eq!(plate[307].well.to_string(), "O23");
            let negatives = count(&plate, Population::NegativeControl);
            assert!((1..=2).contains(&negatives));
            assert_eq!(count(&plate, Population::Treatment), 278 - negatives);
            let positives: Vec<&Content> =
                plate.iter().filter(|c| c.population == Population::PositiveControl).collect();
            assert_eq!(positives.len(), 30);
            assert_eq!(positives[0].well.to_string(), "C03");
            assert_eq!(positives[29].well.to_string(), "M22");
            let mut classes: Vec<u32> = positives.iter().map(|content| content.class).collect();
            classes.sort_unstable();
            assert_eq!(classes, (1108..1138).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn every_sirna_is_once_in_an_experiment() {
        for experiment in maps(3, 3, 4, FULL_PLATE, 1108) {
            let mut seen: HashMap<u32, usize> = HashMap::new();
            for content in experiment.concat() {
                *seen.entry(content.class).or_default() += 1;
            }
            let negatives = seen[&1138];
            assert_eq!((0..1108).filter(|class| seen.contains_key(class)).count(), 1108 + 4 - negatives);
            assert!((0..1108).all(|class| seen.get(&class).is_none_or(|&n| n == 1)));
        }
    }

    #[test]
    fn small_plates_keep_their_controls() {
        for n_wells in 1..=FULL_PLATE {
            let plate = &maps(0, 1, 1, n_wells, 5)[0][0];
            assert_eq!(plate.len(), n_wells);
            assert_eq!(plate[0].population, Population::NegativeControl);
            assert!(plate.is_sorted_by_key(|content| content.well));
            let positives = count(plate, Population::PositiveControl);
            assert!(n_wells < 5 || (2..=30).contains(&positives), "{n_wells} wells: {positives}");
            assert!(n_wells < 3 || count(plate, Population::Treatment) > 0, "{n_wells} wells");
        }
    }

    #[test]
    fn experiments_share_classes_and_differ_in_places() {
        let maps = maps(1, 2, 1, 40, 100);
        let classes = |plate: &[Content]| {
            let mut classes: Vec<u32> = plate.iter().map(|c| c.class).filter(|&class| class < 100).collect();
            classes.sort_unstable();
            classes
        };
        let shared = classes(&maps[0][0]).iter().filter(|c| classes(&maps[1][0]).contains(c)).count();
        assert!(shared > 30);
        assert_ne!(maps[0][0], maps[1][0]);
    }
}

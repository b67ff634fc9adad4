//! The order of an epoch of training: whole steps, the same from any step on, and batches of one plate where asked for.

use cellshard::feed::Permutation;
use cellshard::pack::{PackConfig, pack};
use cellshard::store::{Codec, Store};
use cellshard::training::data::EpochSampler;
use cellshard::training::recipe::{BatchBy, Recipe};

use crate::common::{Fixture, small};

fn store() -> (Fixture, Store) {
    let fixture = Fixture::kaggle(small());
    pack(&PackConfig { codec: Some(Codec::Raw), ..fixture.config() }, &|_| {}).unwrap();
    let store = Store::open(&fixture.store()).unwrap();
    (fixture, store)
}

fn recipe(batch: u32, accumulate: u32, batch_by: BatchBy) -> Recipe {
    Recipe { batch, accumulate, batch_by, seed: 5, ..Recipe::default() }
}

#[test]
fn an_epoch_goes_on_from_any_step_as_it_would_have() {
    let (_fixture, store) = store();
    let sites: Vec<usize> = (0..store.sites().len()).filter(|site| site % 7 != 3).collect();
    for batch_by in [BatchBy::Any, BatchBy::Plate, BatchBy::Experiment] {
        let order = EpochSampler::new(&recipe(3, 2, batch_by), &store, &sites, None).unwrap();
        let (steps, whole) = (order.steps_per_epoch(), order.epoch(4, 0).collect::<Vec<_>>());
        assert_eq!(whole.len() as u64, steps * 6);
        assert!(steps >= 4, "{batch_by:?}");
        for from in 0..=steps {
            assert!(order.epoch(4, from).eq(whole[from as usize * 6..].iter().copied()), "{batch_by:?} from {from}");
        }
        assert!(whole.iter().all(|site| sites.contains(site)));
        assert_ne!(order.epoch(5, 0).collect::<Vec<_>>(), whole);
    }
}

#[test]
fn batches_from_anywhere_are_a_permutation_of_the_sites() {
    let (_fixture, store) = store();
    let sites: Vec<usize> = (10..40).collect();
    let order = EpochSampler::new(&recipe(4, 1, BatchBy::Any), &store, &sites, None).unwrap();
    let permutation = Permutation::new(30, 5, 2);
    assert!(order.epoch(2, 0).eq((0..28).map(|i| sites[permutation.at(i)])));
}

#[test]
fn batches_keep_to_a_plate_or_an_experiment() {
    let (_fixture, store) = store();
    let sites: Vec<usize> = (0..store.sites().len()).collect();
    let plate = |site: usize| &store.sites()[site].id.well.plate;
    let by_plate = EpochSampler::new(&recipe(5, 1, BatchBy::Plate), &store, &sites, None).unwrap();
    let by_experiment = EpochSampler::new(&recipe(5, 1, BatchBy::Experiment), &store, &sites, None).unwrap();
    let mut of_several_plates = 0;
    for epoch in 0..5 {
        for batch in by_plate.epoch(epoch, 0).collect::<Vec<_>>().chunks(5) {
            assert!(batch.iter().all(|&site| plate(site) == plate(batch[0])), "{batch:?}");
        }
        for batch in by_experiment.epoch(epoch, 0).collect::<Vec<_>>().chunks(5) {
            assert!(batch.iter().all(|&site| plate(site).experiment == plate(batch[0]).experiment), "{batch:?}");
            of_several_plates += usize::from(batch.iter().any(|&site| plate(site) != plate(batch[0])));
        }
    }
    assert!(of_several_plates > 0, "batches of an experiment mix its plates");
    // Four plates of twelve sites, two experiments of 24.
    assert_eq!((by_plate.steps_per_epoch(), by_experiment.steps_per_epoch()), (8, 8));
}

#[test]
fn plates_that_are_too_small_are_counted_or_refused() {
    let (_fixture, store) = store();
    let mut sites: Vec<usize> = (0..12).collect();
    sites.extend(24..28);
    let order = EpochSampler::new(&recipe(6, 1, BatchBy::Plate), &store, &sites, None).unwrap();
    assert_eq!((order.steps_per_epoch(), order.n_left_out()), (2, 4));
    let refused = |batch, accumulate, cell_type| {
        EpochSampler::new(&recipe(batch, accumulate, BatchBy::Plate), &store, &sites, cell_type)
            .unwrap_err()
            .to_string()
    };
    let whole = "in batches of one plate or experiment that are trained on";
    let expected = format!("--batch (times --accumulate): expected at most the 0 sites {whole}, found 13");
    assert_eq!(refused(13, 1, None), expected);
    let expected = format!("--batch (times --accumulate): expected at most the 12 sites of RPE {whole}, found 18");
    assert_eq!(refused(6, 3, Some("RPE")), expected);
}

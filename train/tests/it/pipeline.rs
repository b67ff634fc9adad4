//! What a network gets of raw pixels, against figures computed by hand from the pixels that a tree was made of.

use std::collections::BTreeSet;

use cellshard::store::Store;
use cellshard::training::recipe::{Normalize, Recipe};
use tch::{Device, Kind, Tensor};

use cellshard_train::transforms::pipeline::{AugmentSeed, CLIP, Pipeline};

use crate::common::{Fixture, TreeSpec, site_pixels, small};

const SIDE: i64 = 32;

fn fixture() -> (Fixture, Store) {
    let fixture = Fixture::kaggle(TreeSpec { size: (32, 32), ..small() });
    fixture.pack();
    let store = Store::open(&fixture.store()).unwrap();
    (fixture, store)
}

fn pipeline(recipe: &Recipe, store: &Store) -> Pipeline {
    let plates: BTreeSet<_> = store.plates().keys().collect();
    Pipeline::new(recipe, store, &plates, &[[10.0, 2.0], [20.0, 4.0]], Device::Cpu).unwrap()
}

/// Raw pixels of a site, `[1, 2, 32, 32] u8`, and its plate's position.
fn raw(fixture: &Fixture, store: &Store, site: usize) -> (Tensor, Tensor) {
    let id = &store.sites()[site].id;
    let plate = &id.well.plate;
    let pixels =
        site_pixels(&fixture.spec, plate.experiment.as_str(), &plate.plate, &id.well.well.to_string(), id.site);
    let position = store.plates().keys().position(|known| known == plate).unwrap();
    let raw = Tensor::from_slice(&pixels).view([1, 2, SIDE, SIDE]);
    (raw, Tensor::from_slice(&[position as i64]))
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn every_scheme_subtracts_and_divides_by_the_figures_of_the_sites_that_it_names() {
    let (fixture, store) = fixture();
    let of = |keep: &dyn Fn(usize) -> bool| {
        let sites: Vec<Tensor> =
            (0..store.sites().len()).filter(|&i| keep(i)).map(|i| raw(&fixture, &store, i).0).collect();
        let all = Tensor::cat(&sites, 0).to_kind(Kind::Double).transpose(0, 1).flatten(1, 3);
        (all.mean_dim(1, false, Kind::Double), all.std_dim(1, false, false))
    };
    let site = 3;
    let plate = &store.sites()[site].id.well.plate;
    let on_plate = |i: usize| store.sites()[i].id.well.plate == *plate;
    let on_experiment = |i: usize| store.sites()[i].id.well.plate.experiment == plate.experiment;
    let is_control = |i: usize| store.sites()[i].label.population.name().ends_with("control");
    let (pixels, position) = raw(&fixture, &store, site);
    for (normalize, (mean, std)) in [
        (Normalize::Plate, of(&on_plate)),
        (Normalize::Experiment, of(&on_experiment)),
        (Normalize::ExperimentControls, of(&|i| on_experiment(i) && is_control(i))),
        (Normalize::Site, of(&|i| i == site)),
    ] {
        let found = pipeline(&Recipe { normalize, ..Recipe::default() }, &store).evaluate(&pixels, &position);
        let shape = [1, 2, 1, 1];
        let expected = (pixels.to_kind(Kind::Double) - mean.view(shape)) / std.view(shape);
        assert!(difference(&found, &expected) < 1e-4, "{normalize:?} {}", difference(&found, &expected));
    }
    let global = pipeline(&Recipe { normalize: Normalize::Global, ..Recipe::default() }, &store);
    let centre = Tensor::from_slice(&[10.0, 20.0]).view([1, 2, 1, 1]);
    let spread = Tensor::from_slice(&[2.0, 4.0]).view([1, 2, 1, 1]);
    let expected = ((pixels.to_kind(Kind::Double) - centre) / spread).clamp(-CLIP, CLIP);
    assert!(difference(&global.evaluate(&pixels, &position), &expected) < 1e-5);
    assert_eq!(expected.max().double_value(&[]), CLIP, "some are clipped");
}

#[test]
fn a_resize_takes_the_mean_over_the_area_and_a_crop_the_middle() {
    let (fixture, store) = fixture();
    let (_, position) = raw(&fixture, &store, 0);
    let x = Tensor::arange(SIDE, (Kind::Uint8, Device::Cpu)).view([1, 1, 1, SIDE]) * 4;
    let ramp = x.expand([1, 2, SIDE, SIDE], false).contiguous();
    let plain = Recipe { normalize: Normalize::None, ..Recipe::default() };
    let small = pipeline(&Recipe { resize: 16, ..plain.clone() }, &store).evaluate(&ramp, &position) * 255.0;
    assert_eq!(small.size(), [1, 2, 16, 16]);
    for i in 1..15 {
        let (found, expected) = (small.double_value(&[0, 1, 7, i]), (2 * i) as f64 * 4.0 + 2.0);
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
    // A pattern of single pixels has nothing left of it, where taking every other pixel would leave one colour.
    let checks = Tensor::arange(SIDE, (Kind::Uint8, Device::Cpu)).remainder(2).view([1, 1, 1, SIDE]) * 200;
    let checks = checks.expand([1, 2, SIDE, SIDE], false).contiguous();
    let grey = pipeline(&Recipe { resize: 16, ..plain.clone() }, &store).evaluate(&checks, &position) * 255.0;
    let inside = grey.narrow(3, 1, 14);
    assert!(
        (inside.max() - 100.0).abs().double_value(&[]) < 1.0 && (inside.min() - 100.0).abs().double_value(&[]) < 1.0
    );
    let cropped = pipeline(&Recipe { crop: 20, ..plain.clone() }, &store);
    let middle = cropped.evaluate(&ramp, &position) * 255.0;
    assert_eq!(difference(&middle.round(), &ramp.narrow(2, 6, 20).narrow(3, 6, 20).to_kind(Kind::Float)), 0.0);
    // And in training the window is anywhere, but of the same size.
    let train = cropped.augment(&ramp, &position, &[0], AugmentSeed { seed: 1, epoch: 0 }).images;
    assert_eq!(train.size(), [1, 2, 20, 20]);
    let nothing = pipeline(&plain, &store).augment(&ramp, &position, &[0], AugmentSeed { seed: 1, epoch: 0 }).images;
    assert_eq!(difference(&nothing, &pipeline(&plain, &store).evaluate(&ramp, &position)), 0.0, "all switched off");
}

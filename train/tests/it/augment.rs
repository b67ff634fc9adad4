//! What each augmentation does to a known image, and that a site's seed reproduces it in any batch.

use cellshard::training::recipe::Recipe;
use tch::{Kind, Tensor};

use cellshard_train::transforms::ops::{Sampling, cutmix, dihedral, intensity, salt_and_pepper, warp};
use cellshard_train::transforms::params::AugmentParams;

const SIDE: u32 = 24;

/// Two channels of values that are all different, `[n, 2, 24, 24]`, smooth enough to be interpolated.
fn images(n: i64) -> Tensor {
    let side = i64::from(SIDE);
    Tensor::arange(n * 2 * side * side, (Kind::Float, tch::Device::Cpu)).view([n, 2, side, side]) / 100.0
}

fn draw(recipe: &Recipe, epoch: u32, sites: &[u64]) -> Vec<AugmentParams> {
    sites.iter().map(|&site| AugmentParams::draw(recipe, 2, [SIDE; 2], window(recipe), 7, epoch, site)).collect()
}

fn window(recipe: &Recipe) -> [u32; 2] {
    if recipe.crop > 0 { [recipe.crop; 2] } else { [SIDE; 2] }
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

/// The first of a hundred sites whose result is `expected`, by its place in the list of possible results.
fn which(result: &Tensor, possible: &[Tensor]) -> usize {
    let found: Vec<usize> = (0..possible.len()).filter(|&i| difference(result, &possible[i]) == 0.0).collect();
    assert_eq!(found.len(), 1, "exactly one of the possible results");
    found[0]
}

#[test]
fn flips_and_quarter_turns_move_whole_pixels_and_all_of_them_come() {
    let image = images(1);
    for (recipe, n_results) in [
        (Recipe { flip: true, ..Recipe::default() }, 4),
        (Recipe { rotate90: true, ..Recipe::default() }, 4),
        (Recipe { flip: true, rotate90: true, ..Recipe::default() }, 8),
    ] {
        let possible: Vec<Tensor> = (0..8).map(|k| dihedral(&image, k).unwrap()).collect();
        let mut met = [0; 8];
        for site in 0..200 {
            let result = warp(&image, &draw(&recipe, 0, &[site]), [SIDE; 2], Sampling::Nearest);
            met[which(&result, &possible)] += 1;
        }
        assert_eq!(met.iter().filter(|&&n| n > 5).count(), n_results, "{met:?}");
    }
}

#[test]
fn the_eight_symmetries_are_different_and_a_transposition_needs_a_square() {
    let image = images(1);
    for k in 0..8 {
        for other in 0..k {
            assert!(difference(&dihedral(&image, k).unwrap(), &dihedral(&image, other).unwrap()) > 0.0);
        }
    }
    let wide = image.narrow(2, 0, 10);
    assert!(dihedral(&wide, 3).is_ok());
    assert!(dihedral(&wide, 4).unwrap_err().to_string().contains("--tta"));
}

#[test]
fn a_crop_is_a_window_of_the_image() {
    let image = images(1);
    let recipe = Recipe { crop: 17, ..Recipe::default() };
    let mut places = std::collections::BTreeSet::new();
    for site in 0..300 {
        let result = warp(&image, &draw(&recipe, 0, &[site]), [17; 2], Sampling::Nearest);
        // All values differ, so the first tells where the window lies.
        let first = (result.double_value(&[0, 0, 0, 0]) * 100.0).round() as i64;
        let (y, x) = (first / i64::from(SIDE), first % i64::from(SIDE));
        assert_eq!(difference(&result, &image.narrow(2, y, 17).narrow(3, x, 17)), 0.0);
        places.insert((y, x));
    }
    // Of 64 places 300 draws miss one or none.
    assert!(places.len() >= 62, "{}", places.len());
    assert!(places.iter().all(|&(y, x)| y <= 7 && x <= 7));
}

/// A choice that does nothing but its homography.
fn choice(homography: [[f64; 3]; 3]) -> AugmentParams {
    AugmentParams { homography, gain: vec![1.0; 2], offset: vec![0.0; 2], noise_seed: 0, cut: None }
}

#[test]
fn a_shift_by_whole_pixels_brings_in_zeros() {
    let image = images(1);
    let shifted =
        warp(&image, &[choice([[1.0, 0.0, 3.0], [0.0, 1.0, -2.0], [0.0, 0.0, 1.0]])], [SIDE; 2], Sampling::Bilinear);
    let (n, k) = (i64::from(SIDE), i64::from(SIDE) - 3);
    let expected = image.zeros_like();
    expected.narrow(2, 2, n - 2).narrow(3, 0, k).copy_(&image.narrow(2, 0, n - 2).narrow(3, 3, k));
    assert!(difference(&shifted, &expected) < 1e-4, "{}", difference(&shifted, &expected));
}

#[test]
fn fine_turns_scales_and_shifts_are_where_they_should_be() {
    // A ramp is its own interpolation, so that every pixel's value tells where it came from.
    let side = f64::from(SIDE);
    let axis = Tensor::arange(i64::from(SIDE), (Kind::Float, tch::Device::Cpu)) - (side - 1.0) / 2.0;
    let x = axis.view([1, 1, 1, -1]).expand([1, 1, i64::from(SIDE), -1], false);
    let y = axis.view([1, 1, -1, 1]).expand([1, 1, -1, i64::from(SIDE)], false);
    let ramps = Tensor::cat(&[&x, &y], 1) + 100.0;
    for (recipe, farthest) in [
        (Recipe { rotate: 15.0, ..Recipe::default() }, 0.0),
        (Recipe { scale: 0.3, ..Recipe::default() }, 0.0),
        (Recipe { translate: 0.1, ..Recipe::default() }, 2.4),
        (Recipe { perspective: 0.05, ..Recipe::default() }, 1.3),
    ] {
        let mut largest: f64 = 0.0;
        for site in 0..50 {
            let params = draw(&recipe, 0, &[site]);
            let h = params[0].homography;
            let result = warp(&ramps, &params, [SIDE; 2], Sampling::Bilinear);
            // Near the middle, where nothing comes from outside.
            for (px, py) in [(11_i64, 11_i64), (12, 14), (9, 10)] {
                let at = [px as f64 - (side - 1.0) / 2.0, py as f64 - (side - 1.0) / 2.0, 1.0];
                let to = h.map(|row| row.iter().zip(at).map(|(a, b)| a * b).sum::<f64>());
                for (channel, expected) in [(0, to[0] / to[2]), (1, to[1] / to[2])] {
                    let found = result.double_value(&[0, channel, py, px]) - 100.0;
                    assert!((found - expected).abs() < 1e-3, "{recipe:?} {found} {expected}");
                }
            }
            let middle = (h[0][2] / h[2][2]).hypot(h[1][2] / h[2][2]);
            largest = largest.max(middle);
            let turned = h[1][0].atan2(h[0][0]).to_degrees();
            let zoom = (h[0][0] * h[1][1] - h[0][1] * h[1][0]).abs().sqrt();
            assert!(turned.abs() <= recipe.rotate + 8.0 * recipe.perspective * 45.0, "{turned}");
            assert!(recipe.scale == 0.0 || (1.0 / 1.3001..=1.3001).contains(&zoom), "{zoom}");
        }
        assert!(largest <= farthest * 2_f64.sqrt() + 1e-9 && (farthest == 0.0 || largest > 0.3), "{largest}");
    }
}

#[test]
fn a_perspective_takes_the_corners_where_it_says() {
    let recipe = Recipe { perspective: 0.2, ..Recipe::default() };
    let half = f64::from(SIDE) / 2.0;
    // The strongest that there is folds no image over: its depth has one sign.
    let strong = Recipe { perspective: 0.45, ..Recipe::default() };
    for choice in draw(&strong, 0, &(0..300).collect::<Vec<_>>()) {
        for [x, y] in [[-half, -half], [half, -half], [half, half], [-half, half]] {
            assert!(choice.homography[2][0] * x + choice.homography[2][1] * y + choice.homography[2][2] > 0.0);
        }
    }
    for choice in draw(&recipe, 0, &(0..50).collect::<Vec<_>>()) {
        for [x, y] in [[-half, -half], [half, -half], [half, half], [-half, half]] {
            let to = choice.homography.map(|row| row[0] * x + row[1] * y + row[2]);
            let (dx, dy) = (to[0] / to[2] - x, to[1] / to[2] - y);
            let most = 0.2 * f64::from(SIDE) + 1e-9;
            assert!(dx.abs() <= most && dy.abs() <= most && dx != 0.0, "{dx} {dy}");
        }
    }
}

/// The levels that noise sets pixels of two channels to.
fn ends(dark: f32, bright: f32) -> Tensor {
    Tensor::from_slice2(&[[dark; 2], [bright; 2]])
}

#[test]
fn salt_and_pepper_is_dark_or_bright_in_equal_parts_at_the_rate_asked_for() {
    let image = Tensor::full([4, 2, 64, 64], 100.0, (Kind::Float, tch::Device::Cpu));
    let recipe = Recipe::default();
    let params = draw(&recipe, 0, &[1, 2, 3, 4]);
    let ends = ends(0.0, 255.0);
    let noisy = salt_and_pepper(&image, &params, 0.1, &ends);
    let share = |value: f64| noisy.eq(value).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
    // 32,768 values: five standard deviations of 0.05 are 0.006.
    assert!((share(0.0) - 0.05).abs() < 0.006, "{}", share(0.0));
    assert!((share(255.0) - 0.05).abs() < 0.006, "{}", share(255.0));
    assert!((share(100.0) - 0.9).abs() < 0.009);
    // Sites and channels have masks of their own.
    let changed = noisy.not_equal(100.0).to_kind(Kind::Float);
    for (a, b) in [([0, 0], [1, 0]), ([0, 0], [0, 1]), ([2, 1], [3, 1])] {
        let plane = |[n, c]: [i64; 2]| changed.get(n).get(c);
        let both = (plane(a) * plane(b)).mean(Kind::Float).double_value(&[]);
        assert!((both - 0.01).abs() < 0.008, "{a:?} {b:?} {both}");
    }
    assert_eq!(difference(&salt_and_pepper(&image, &params, 0.0, &ends), &image), 0.0);
    assert_eq!(salt_and_pepper(&image, &params, 1.0, &ends).eq(100.0).any().int64_value(&[]), 0);
}

#[test]
fn light_multiplies_and_shifts_each_channel() {
    let recipe = Recipe { gain: 0.3, offset: 0.5, ..Recipe::default() };
    let params = draw(&recipe, 0, &[5, 6]);
    let (gains, offsets) = intensity(&params, tch::Device::Cpu);
    assert_eq!((gains.size(), offsets.size()), (vec![2, 2, 1, 1], vec![2, 2, 1, 1]));
    let lit = images(2) * gains + offsets;
    for (n, choice) in (0..).zip(&params) {
        for c in 0..2 {
            let (gain, offset) = (f64::from(choice.gain[c]), f64::from(choice.offset[c]));
            assert!((0.7..=1.3).contains(&gain) && offset.abs() <= 0.5);
            let expected = images(2).get(n).get(c as i64) * gain + offset;
            assert!(difference(&lit.get(n).get(c as i64), &expected) < 1e-5);
        }
    }
    assert!(params[0].gain != params[1].gain && params[0].gain[0] != params[0].gain[1]);
}

#[test]
fn cutmix_takes_a_box_of_the_next_site_and_tells_how_much_is_left() {
    let recipe = Recipe { cutmix: 0.5, ..Recipe::default() };
    let n = 32;
    let params = draw(&recipe, 0, &(0..n).collect::<Vec<_>>());
    let ids = Tensor::arange(n as i64, (Kind::Float, tch::Device::Cpu)).view([-1, 1, 1, 1]);
    let images = ids.expand([-1, 2, 20, 20], true).contiguous();
    let (mixed, labels) = cutmix(&images, &params).unwrap();
    let mut n_cut = 0;
    for i in 0..n as i64 {
        let partner = labels.partner.int64_value(&[i]);
        assert_eq!(partner, (i + 1) % n as i64);
        let plane = mixed.get(i).get(0);
        let share = |value: i64| plane.eq(value as f64).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        let own = labels.own.double_value(&[i]);
        assert!((share(i) - own).abs() < 1e-6 && (share(partner) - (1.0 - own)).abs() < 1e-6);
        n_cut += i32::from(own < 1.0);
        assert_eq!(difference(&plane, &mixed.get(i).get(1)), 0.0, "all channels alike");
    }
    assert!((6..=26).contains(&n_cut), "about half: {n_cut}");
    assert!(cutmix(&images, &draw(&Recipe::default(), 0, &(0..n).collect::<Vec<_>>())).is_none());
    assert!(cutmix(&images.narrow(0, 0, 1), &params[..1]).is_none());
}

#[test]
fn a_site_gets_the_same_in_any_batch_and_another_in_each_epoch() {
    let recipe = Recipe {
        flip: true,
        rotate90: true,
        rotate: 10.0,
        scale: 0.1,
        translate: 0.1,
        perspective: 0.05,
        gain: 0.2,
        offset: 0.2,
        ..Recipe::default()
    };
    let all = |images: &Tensor, params: &[AugmentParams]| {
        let noisy = salt_and_pepper(images, params, 0.05, &ends(0.0, 255.0));
        let (gain, offset) = intensity(params, tch::Device::Cpu);
        warp(&(noisy * gain + offset), params, [SIDE; 2], Sampling::Bilinear)
    };
    let batch = images(4);
    let together = all(&batch, &draw(&recipe, 3, &[10, 11, 12, 13]));
    let order = [2_i64, 0, 3, 1];
    let shuffled = all(&batch.index_select(0, &Tensor::from_slice(&order)), &draw(&recipe, 3, &[12, 10, 13, 11]));
    assert!(difference(&shuffled, &together.index_select(0, &Tensor::from_slice(&order))) < 1e-5);
    let alone = all(&batch.narrow(0, 1, 1), &draw(&recipe, 3, &[11]));
    // A product of one matrix is added up in another order than one of four; values are up to 46.
    assert!(difference(&alone, &together.narrow(0, 1, 1)) < 1e-3);
    assert!(difference(&all(&batch, &draw(&recipe, 4, &[10, 11, 12, 13])), &together) > 0.1);
    // Switching one kind on leaves the params of the others as they are.
    let more = draw(&Recipe { cutmix: 1.0, ..recipe.clone() }, 3, &[10]);
    let less = draw(&recipe, 3, &[10]);
    assert_eq!((&more[0].homography, &more[0].gain), (&less[0].homography, &less[0].gain));
}

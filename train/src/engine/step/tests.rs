//! What a step computes, against PyTorch's own steps, and against what it is to equal.

use std::collections::VecDeque;
use std::path::Path;

use cellshard::error::Result;
use cellshard::site::ImageSize;
use cellshard::training::recipe::{Architecture, Normalize, Optimizer as Rule, Recipe, Schedule};
use cellshard::training::schedule::learning_rate;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::device::loader::Sites;
use crate::device::small::sites;
use crate::models::NetworkSpec;

use super::*;

const N_CLASSES: usize = 5;
const SIDE: u32 = 64;

/// Batches that are at hand.
struct Given(VecDeque<DeviceBatch>);

impl Source for Given {
    fn next(&mut self) -> Result<Option<DeviceBatch>> {
        Ok(self.0.pop_front())
    }

    fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A store that steps take its plates from, and everything else that they need.
struct Bench {
    _dir: tempfile::TempDir,
    sites: Sites,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { sites: sites(dir.path(), 3, SIDE as u16), _dir: dir }
    }

    /// Takes steps by a recipe on a network, each on the batches that are given for it.
    fn steps(&self, recipe: &Recipe, network: &Network, batches: Vec<Vec<DeviceBatch>>) -> Vec<Vec<StepOutput>> {
        let store = self.sites.reader.store();
        let plates = store.plates().keys().collect();
        let pipeline = Pipeline::new(recipe, store, &plates, &[[0.0, 1.0]; 3], Device::Cpu).unwrap();
        let stepper = Stepper { network, pipeline: &pipeline, recipe, keys: &self.sites.keys };
        let parameters: Vec<_> =
            network.parameters().into_iter().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect();
        let mut optimizer = Optimizer::new(recipe, &parameters);
        let step = |(step, batches): (u64, Vec<DeviceBatch>)| {
            let plan = StepPlan { step, epoch: 0, lr: learning_rate(recipe, step, 1) };
            stepper.step(&mut optimizer, plan, &mut Given(batches.into())).unwrap()
        };
        (0..).zip(batches).map(step).collect()
    }
}

fn network(architecture: Architecture, kind: Kind) -> Network {
    let size = ImageSize { height: SIDE, width: SIDE };
    let spec = NetworkSpec { architecture, n_channels: 3, n_classes: N_CLASSES, size };
    Network::new(&spec, 1, kind, Device::Cpu).unwrap()
}

/// `u(name, i)` of `fixtures/make_torch_steps.py`, in -0.5..0.5.
fn uniform(name: &str, n: i64) -> Vec<f64> {
    let crc = u64::from(crc32fast::hash(name.as_bytes()));
    (0..n as u64).map(|i| ((i * 2_654_435_761 + crc) % (1 << 32)) as f64 / (1_u64 << 32) as f64 - 0.5).collect()
}

/// Images `first..first + n` of that script, with their labels.
fn batch(first: i64, n: i64) -> DeviceBatch {
    let side = i64::from(SIDE);
    let levels: Vec<u8> = uniform("images", 24 * 3 * side * side).iter().map(|u| (256.0 * (u + 0.5)) as u8).collect();
    let raw = Tensor::from_slice(&levels).view([24, 3, side, side]).narrow(0, first, n);
    let labels: Vec<i64> = (first..first + n).map(|n| (7 * n + 3) % 5).collect();
    let plates = Tensor::zeros([n], (Kind::Int64, Device::Cpu));
    DeviceBatch { raw, plates, labels: Tensor::from_slice(&labels), sites: (0..n as usize).collect() }
}

fn plain() -> Recipe {
    Recipe { normalize: Normalize::None, batch: 4, epochs: 3, lr: 1e-2, optimizer: Rule::Sgd, ..Recipe::default() }
}

fn mean_loss(outputs: &[StepOutput]) -> f64 {
    let n: usize = outputs.iter().map(|output| output.sites.len()).sum();
    outputs.iter().map(|output| output.loss.double_value(&[]) * output.sites.len() as f64).sum::<f64>() / n as f64
}

/// The largest difference between the tensors of two networks.
fn difference(a: &Network, b: &Network) -> f64 {
    let pairs = a.tensors().into_iter().zip(b.tensors());
    let of = |((_, a), (_, b)): ((&str, &Tensor), (&str, &Tensor))| {
        (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
    };
    pairs.map(of).fold(0.0, f64::max)
}

#[test]
fn three_steps_have_the_losses_rates_and_weights_of_pytorchs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/torch_steps.json");
    let goldens: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bench = Bench::new();
    let of_sgd = Recipe { momentum: 0.9, weight_decay: 0.01, clip_norm: 0.5, lr: 0.05, ..plain() };
    let sgd = Recipe { schedule: Schedule::Exponential, gamma: 0.5, warmup_epochs: 1.0, ..of_sgd };
    let of_adamw = Recipe { optimizer: Rule::Adamw, weight_decay: 0.1, lr: 1e-3, label_smoothing: 0.1, ..plain() };
    let adamw = Recipe { schedule: Schedule::Cosine, decay_bias_and_norm: false, ..of_adamw };
    let of_adam = Recipe { optimizer: Rule::Adam, weight_decay: 0.01, lr: 1e-3, ..plain() };
    let adam = Recipe { warmup_epochs: 2.0, accumulate: 2, ..of_adam };
    for (name, recipe) in [("sgd", sgd), ("adamw", adamw), ("adam", adam)] {
        let golden = &goldens["cases"][name];
        let numbers =
            |key: &str| golden[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>();
        let network = network(Architecture::ResNet18, Kind::Double);
        fill(&network);
        let accumulate = i64::from(recipe.accumulate);
        let batches = (0..3).map(|step| (0..accumulate).map(|k| batch(4 * (step * accumulate + k), 4)).collect());
        let outputs = bench.steps(&recipe, &network, batches.collect());
        let is_close =
            |found: f64, expected: f64, room: f64| (found - expected).abs() <= room * expected.abs().max(1.0);
        for (step, expected) in (0..).zip(numbers("rates")) {
            assert!(is_close(learning_rate(&recipe, step, 1), expected, 1e-12), "{name}: rate of step {step}");
        }
        // Pixels and losses are float32, what is between them float64.
        for (step, expected) in numbers("losses").into_iter().enumerate() {
            let found = mean_loss(&outputs[step]);
            assert!(is_close(found, expected, 1e-5), "{name}: loss of step {step}: {found}, expected {expected}");
        }
        let images = batch(0, 2).raw.to_kind(Kind::Double) / 255.0;
        let logits = tch::no_grad(|| network.forward(&images, Mode::Eval)).unwrap();
        for (found, expected) in Vec::<f64>::try_from(logits.view(-1)).unwrap().into_iter().zip(numbers("logits")) {
            assert!(is_close(found, expected, 1e-4), "{name}: logit {found}, expected {expected}");
        }
        for (tensor, expected) in golden["norms"].as_object().unwrap() {
            let (_, found) = *network.tensors().iter().find(|(name, _)| name == tensor).unwrap();
            let (found, expected) = (found.to_kind(Kind::Double).norm().double_value(&[]), expected.as_f64().unwrap());
            assert!((found / expected - 1.0).abs() < 1e-5, "{name}: {tensor}: {found}, expected {expected}");
        }
    }
}

/// Gives a network the weights of the goldens.
fn fill(network: &Network) {
    let tensors = network.tensors();
    let names: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
    for (name, tensor) in &tensors {
        let (owner, leaf) = name.rsplit_once('.').unwrap();
        let is_norm = names.contains(&format!("{owner}.running_mean").as_str());
        let fan_in = tensor.size().iter().skip(1).product::<i64>() as f64;
        let of = |u: f64| match leaf {
            "weight" if is_norm => 1.0 + 0.2 * u,
            "running_var" => 1.0 + 0.4 * u,
            "bias" | "running_mean" if is_norm => 0.2 * u,
            "bias" => 0.1 * u,
            _ => 2.0 * 3_f64.sqrt() * u / fan_in.sqrt(),
        };
        if leaf != "num_batches_tracked" {
            let values: Vec<f64> = uniform(name, tensor.numel() as i64).into_iter().map(of).collect();
            tch::no_grad(|| tensor.shallow_clone().copy_(&Tensor::from_slice(&values).view(tensor.size().as_slice())));
        }
    }
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let bench = Bench::new();
    // No batch norm, which compares the sites of a batch.
    let [large, small] = [(); 2].map(|()| network(Architecture::BaseCnn, Kind::Float));
    let before = network(Architecture::BaseCnn, Kind::Float);
    let recipe = |batch, accumulate| Recipe { batch, accumulate, momentum: 0.9, ..plain() };
    let all = bench.steps(&recipe(12, 1), &large, vec![vec![batch(0, 12)], vec![batch(12, 12)]]);
    let parts = |first: i64| (0..3).map(|k| batch(first + 4 * k, 4)).collect::<Vec<_>>();
    let in_parts = bench.steps(&recipe(4, 3), &small, vec![parts(0), parts(12)]);
    for (all, parts) in all.iter().zip(&in_parts) {
        assert_eq!((all.len(), parts.len()), (1, 3));
        assert!((mean_loss(all) - mean_loss(parts)).abs() < 1e-5, "{} {}", mean_loss(all), mean_loss(parts));
    }
    let (found, moved) = (difference(&large, &small), difference(&large, &before));
    assert!(found < 1e-3 * moved && moved > 1e-4, "{found} of {moved}");
}

#[test]
fn what_damage_leaves_out_neither_shrinks_nor_tilts_the_gradient() {
    let bench = Bench::new();
    let before = network(Architecture::BaseCnn, Kind::Float);
    // Of two batches of four: the second lost all but one, which no batch norm could take; or two; or nothing came.
    for (left, expected) in [(vec![4, 1], 4), (vec![4, 0], 4), (vec![4, 2], 6), (vec![4], 4)] {
        let [damaged, whole] = [(); 2].map(|()| network(Architecture::BaseCnn, Kind::Float));
        let recipe = |batch, accumulate| Recipe { batch, accumulate, ..plain() };
        let batches = left.iter().scan(0, |first, &n| {
            let next = batch(*first, n);
            *first += n;
            Some(next)
        });
        let learned = bench.steps(&recipe(4, 2), &damaged, vec![batches.collect()]);
        let all = bench.steps(&recipe(expected as u32, 1), &whole, vec![vec![batch(0, expected)]]);
        assert_eq!(learned[0].iter().map(|output| output.sites.len() as i64).sum::<i64>(), expected);
        assert!((mean_loss(&learned[0]) - mean_loss(&all[0])).abs() < 1e-5);
        let (found, moved) = (difference(&damaged, &whole), difference(&whole, &before));
        assert!(found < 1e-3 * moved && moved > 1e-4, "{left:?}: {found} of {moved}");
    }
    let untouched = network(Architecture::BaseCnn, Kind::Float);
    assert!(bench.steps(&plain(), &untouched, vec![vec![batch(0, 1)]])[0].is_empty());
    assert_eq!(difference(&untouched, &before), 0.0);
}

/// What a network says of images, `[N, classes]` log probabilities.
fn log_probabilities(network: &Network, images: &Tensor) -> Tensor {
    let logits = tch::no_grad(|| network.forward(images, Mode::Train)).unwrap();
    logits.log_softmax(-1, Kind::Double)
}

#[test]
fn a_mixture_counts_each_label_by_the_pixels_that_are_of_its_site() {
    let bench = Bench::new();
    let n = 12;
    // Each image of one level, by which its pixels are known wherever they come to lie.
    let levels = Tensor::arange(n, (Kind::Uint8, Device::Cpu)) * 20;
    let given = || DeviceBatch {
        raw: levels.view([n, 1, 1, 1]).expand([n, 3, i64::from(SIDE), i64::from(SIDE)], false).contiguous(),
        ..batch(0, n)
    };
    for label_smoothing in [0.0, 0.2] {
        let recipe = Recipe { batch: n as u32, cutmix: 0.7, seed: 3, label_smoothing, ..plain() };
        let network = network(Architecture::BaseCnn, Kind::Float);
        let store = bench.sites.reader.store();
        let plates = store.plates().keys().collect();
        let pipeline = Pipeline::new(&recipe, store, &plates, &[[0.0, 1.0]; 3], Device::Cpu).unwrap();
        let DeviceBatch { raw, plates, labels, .. } = given();
        let seed = AugmentSeed { seed: 3, epoch: 0 };
        let images = pipeline.augment(&raw, &plates, &bench.sites.keys[..n as usize], seed).images;
        // `[N, N]`: the share of image i that came from image k.
        let shares = (&images.select(1, 0).unsqueeze(1) * 255.0 - levels.to_kind(Kind::Float).view([1, n, 1, 1]))
            .abs()
            .lt(1.0)
            .to_kind(Kind::Double)
            .mean_dim(&[2, 3][..], false, Kind::Double);
        let own = shares.diagonal(0, 0, 1).to_kind(Kind::Double);
        let n_mixed = own.lt(0.999).sum(Kind::Int64).int64_value(&[]);
        assert!((4..=11).contains(&n_mixed), "{n_mixed}");
        let targets = shares.matmul(&labels.one_hot(N_CLASSES as i64).to_kind(Kind::Double));
        let log = log_probabilities(&network, &images);
        let smooth = &targets * (1.0 - label_smoothing) + label_smoothing / N_CLASSES as f64;
        let expected = -(smooth * &log).sum(Kind::Double).double_value(&[]) / n as f64;
        let correct = targets.gather(1, &log.argmax(-1, true), false).sum(Kind::Double).double_value(&[]);
        let outputs = bench.steps(&recipe, &network, vec![vec![given()]]).remove(0);
        let found = outputs[0].loss.double_value(&[]);
        assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
        let found = outputs[0].n_correct.double_value(&[]);
        assert!((found - correct).abs() < 1e-4, "{found}, expected {correct}");
    }
}

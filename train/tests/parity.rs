//! Our networks compute what torchvision's do: in float64, all eleven agree with goldens that torchvision made, down to
//! rounding. And files that `tests/python/test_torch.py` exchanges with torchvision itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use cellshard::site::ImageSize;
use cellshard::training::recipe::Architecture;
use tch::{Device, Kind, Reduction, Tensor};

use cellshard_train::models::{Mode, Network, NetworkSpec, weights};

/// The tolerated relative deviation, unless the order of sums alone makes a hundredth of more.
const TOLERANCE: f64 = 1e-8;

/// What the order of sums may make; more tells that the two runs did not start alike.
const LARGEST_SPREAD: f64 = 1e-6;

/// `u(name, i)` of the goldens' rule, in -0.5..0.5: the same numbers in any language, from nothing but a name.
fn uniform(name: &str, shape: &[i64]) -> Tensor {
    let crc = u64::from(crc32fast::hash(name.as_bytes()));
    let n: i64 = shape.iter().product();
    let value = |i: u64| ((i * 2_654_435_761 + crc) % (1 << 32)) as f64 / (1u64 << 32) as f64 - 0.5;
    Tensor::from_slice(&(0..n as u64).map(value).collect::<Vec<_>>()).reshape(shape)
}

/// The same numbers as torchvision's networks got, told apart by names and shapes alone.
fn fill(network: &mut Network) {
    let _no_grad = tch::no_grad_guard();
    let tensors = network.tensors();
    let names: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
    for (name, tensor) in tensors {
        let (owner, leaf) = name.rsplit_once('.').unwrap();
        let in_batch_norm = names.contains(&format!("{owner}.running_mean").as_str());
        let shape = tensor.size();
        let u = uniform(name, &shape);
        let values = match leaf {
            "num_batches_tracked" => continue,
            "weight" if in_batch_norm => u * 0.2 + 1.0,
            "bias" if in_batch_norm => u * 0.2,
            "running_mean" => u * 0.2,
            "running_var" => u * 0.4 + 1.0,
            "bias" => u * 0.1,
            // In the order of the rule: rounding otherwise shows, times a million, in the gradients of deep networks.
            "weight" => u * (2.0 * 3f64.sqrt()) / (shape[1..].iter().product::<i64>() as f64).sqrt(),
            _ => panic!("{name}: no rule"),
        };
        tensor.shallow_clone().copy_(&values);
    }
}

/// What the goldens hold of one network, by name.
fn measure(network: &Network) -> Vec<(String, f64)> {
    let images = uniform("input", &[2, 6, 64, 64]) * 2.0;
    let labels = Tensor::from_slice(&[3i64, 7]);
    let logits = tch::no_grad(|| network.forward(&images, Mode::Eval)).unwrap();
    let mut values = Vec::new();
    for (n, i) in (0..2).flat_map(|n| (0..8).map(move |i| (n, i))) {
        values.push((format!("logit {n} {i}"), logits.double_value(&[n, i])));
    }
    values.push(("sum".into(), logits.sum(Kind::Double).double_value(&[])));
    values.push(("abs max".into(), logits.abs().max().double_value(&[])));
    let logits = network.forward(&images, Mode::Train).unwrap();
    let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
    loss.backward();
    let first = format!("{}.weight", network.first_conv());
    let parameters = network.parameters();
    let (_, first) = parameters.iter().find(|(name, _)| *name == first).unwrap();
    values.push(("train loss".into(), loss.double_value(&[])));
    values.push(("gradient norm".into(), first.grad().norm().double_value(&[])));
    values
}

/// A network with the values of the rule.
fn filled(spec: &NetworkSpec) -> Network {
    let mut network = Network::new(spec, 0, Kind::Double, Device::Cpu).unwrap();
    network.set_dropout(0.0).unwrap();
    fill(&mut network);
    network
}

/// What is measured with one thread and with two, from the same start: what the first run left is put back.
fn runs(network: &Network) -> [Vec<(String, f64)>; 2] {
    let is_parameter: BTreeSet<&str> = network.parameters().iter().map(|(name, _)| *name).collect();
    let of_training = network.tensors().into_iter().filter(|(name, _)| !is_parameter.contains(name));
    let start: Vec<(Tensor, Tensor)> = of_training.map(|(_, now)| (now.shallow_clone(), now.copy())).collect();
    [1, 2].map(|threads| {
        tch::set_num_threads(threads);
        tch::no_grad(|| start.iter().for_each(|(now, then)| now.shallow_clone().copy_(then)));
        network.parameters().into_iter().for_each(|(_, parameter)| parameter.shallow_clone().zero_grad());
        measure(network)
    })
}

/// One test for all, as the number of threads is libtorch's own and global.
#[test]
fn networks_agree_with_torchvision() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/torchvision_goldens.json"));
    let goldens: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    let n_classes = goldens["classes"].as_u64().unwrap() as usize;
    let models = goldens["models"].as_object().unwrap();
    assert_eq!(models.len(), Architecture::ALL.len() - 1, "all but base-cnn have goldens");
    let mut faults = Vec::new();
    println!("{:12} {:>10} {:>10}  worst value", "network", "deviation", "spread");
    // Filling a network takes as long as measuring one, so the next is filled meanwhile.
    let (send, networks) = sync_channel(0);
    std::thread::spawn(move || {
        for architecture in Architecture::ALL.iter().copied().filter(|&a| a != Architecture::BaseCnn) {
            let size = ImageSize { height: 64, width: 64 };
            let network = filled(&NetworkSpec { architecture, n_channels: 6, n_classes, size });
            if send.send((architecture, network)).is_err() {
                return;
            }
        }
    });
    let mut n_measured = 0;
    for (architecture, network) in networks {
        n_measured += 1;
        let golden = &models[architecture.name()];
        let [other, values] = runs(&network);

        let n_parameters: usize = network.parameters().iter().map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(n_parameters as u64, golden["parameters"].as_u64().unwrap(), "{architecture}");
        assert_eq!(network.tensors().len() as u64, golden["tensors"].as_u64().unwrap(), "{architecture}");
        assert_eq!(format!("{}.weight", network.first_conv()), golden["first_conv"].as_str().unwrap());
        let logits = golden["eval_logits_0_8"].as_array().unwrap();
        let single = ["eval_logits_sum", "eval_logits_abs_max", "train_loss", "first_conv_grad_norm"];
        let expected = logits.iter().flat_map(|row| row.as_array().unwrap()).chain(single.map(|key| &golden[key]));
        let expected: Vec<f64> = expected.map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(values.len(), expected.len());

        let mut worst = (0.0, 0.0, "none");
        for (((name, found), (_, other)), expected) in values.iter().zip(&other).zip(expected) {
            let deviation = ((found - expected) / expected).abs();
            let spread = ((found - other) / expected).abs();
            if deviation > worst.0 {
                worst = (deviation, spread, name);
            }
            // Written so that NaN is a fault.
            let within = deviation <= TOLERANCE.max(100.0 * spread) && spread <= LARGEST_SPREAD;
            if !within {
                faults
                    .push(format!("{architecture}: {name}: expected {expected}, found {found} (spread {spread:.1e})"));
            }
        }
        println!("{:12} {:>10.1e} {:>10.1e}  {}", architecture.name(), worst.0, worst.1, worst.2);
    }
    assert_eq!(n_measured, models.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn resnet50(n_channels: usize, n_classes: usize, seed: u64) -> Network {
    let size = ImageSize { height: 64, width: 64 };
    let spec = NetworkSpec { architecture: Architecture::ResNet50, n_channels, n_classes, size };
    Network::new(&spec, seed, Kind::Double, Device::Cpu).unwrap()
}

fn logits_of_file(path: &Path, mut network: Network, images: &Tensor) -> Tensor {
    weights::load(&mut network, &weights::read(path).unwrap(), &path.display().to_string()).unwrap();
    tch::no_grad(|| network.forward(images, Mode::Eval)).unwrap()
}

/// The folder is that of `CELLSHARD_INTEROP_DIR` where set: there torchvision reads what is written here, and leaves
/// `theirs.safetensors` (three channels, 1000 classes) to be read.
#[test]
fn interop_a_checkpoint_gives_the_logits_of_the_network_that_was_saved() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("CELLSHARD_INTEROP_DIR").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let write = |name: &str, tensors: &[(&str, &Tensor)]| {
        let metadata = BTreeMap::from([("architecture".to_owned(), "resnet50".to_owned())]);
        weights::save(&dir.join(name), tensors, &metadata).unwrap();
    };
    let images = uniform("input", &[2, 6, 64, 64]) * 2.0;
    let network = resnet50(6, 1108, 1);
    // One batch of training, so that running statistics and the count of batches are not those of the start.
    let logits = tch::no_grad(|| {
        let _ = network.forward(&images, Mode::Train).unwrap();
        network.forward(&images, Mode::Eval).unwrap()
    });
    write("ours.safetensors", &network.tensors());
    write("input.safetensors", &[("input", &images)]);
    write("logits.safetensors", &[("logits", &logits)]);
    let returned = logits_of_file(&dir.join("ours.safetensors"), resnet50(6, 1108, 2), &images);
    assert!((returned - &logits).abs().max().double_value(&[]) <= 1e-12 * logits.abs().max().double_value(&[]));

    let theirs = dir.join("theirs.safetensors");
    if theirs.exists() {
        let logits = logits_of_file(&theirs, resnet50(3, 1000, 1), &images.narrow(1, 0, 3));
        write("logits_theirs.safetensors", &[("logits", &logits)]);
    }
}

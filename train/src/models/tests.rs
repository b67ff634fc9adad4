use tch::{Device, Kind, Tensor};

use crate::optim::optimizer::Optimizer;
use cellshard::site::ImageSize;
use cellshard::training::recipe::{Architecture, Recipe};

use super::*;

fn spec(architecture: Architecture, n_channels: usize, n_classes: usize, side: u32) -> NetworkSpec {
    NetworkSpec { architecture, n_channels, n_classes, size: ImageSize { height: side, width: side } }
}

fn network(architecture: Architecture, side: u32) -> Network {
    Network::new(&spec(architecture, 5, 31, side), 7, Kind::Double, Device::Cpu).unwrap()
}

/// Images `[n, 5, side, side]` of float64, in 0.0..1.0, without libtorch's generator.
fn images(n: i64, side: i64) -> Tensor {
    let values = init::draw(init::Init::Uniform(1.0), 3, "images", (n * 5 * side * side) as usize).unwrap();
    Tensor::from_slice(&values).reshape([n, 5, side, side]).to_kind(Kind::Double)
}

fn value(network: &Network, name: &str) -> Tensor {
    network.tensors().into_iter().find(|(other, _)| *other == name).unwrap().1.copy()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn names_are_those_of_a_recipe() {
    for &architecture in Architecture::ALL {
        assert_eq!(serde_json::to_value(architecture).unwrap(), architecture.name());
        assert_eq!(architecture.to_string().parse(), Ok(architecture));
    }
    let error = "resnet19".parse::<Architecture>().unwrap_err();
    assert!(error.contains("resnet18") && error.contains("\"resnet19\""), "{error}");
}

#[test]
fn every_family_takes_any_number_of_channels_and_classes() {
    let expected = [
        (Architecture::BaseCnn, 2216),
        (Architecture::ResNet18, 512),
        (Architecture::ResNet50, 2048),
        (Architecture::DenseNet121, 1024),
    ];
    for (architecture, dim) in expected {
        let network = network(architecture, 64);
        let images = images(2, 64);
        assert_eq!(network.forward(&images, Mode::Eval).unwrap().size(), [2, 31]);
        assert_eq!(network.features(&images).unwrap().size(), [2, dim]);
        assert_eq!(network.embedding_dim(), dim as usize);
        let names: Vec<_> = network.parameters().iter().map(|(name, _)| *name).collect();
        assert_eq!(names[0], format!("{}.weight", network.first_conv()));
        assert!(names.last().unwrap().starts_with(&format!("{}.", network.classifier())));
        assert!(network.parameters().iter().all(|(_, tensor)| tensor.requires_grad() && tensor.is_leaf()));
    }
}

#[test]
fn base_cnn_has_65536_inputs_at_512_and_follows_the_size_otherwise() {
    assert_eq!(base_cnn::fc1_inputs(ImageSize { height: 512, width: 512 }), 65536);
    let size = ImageSize { height: 97, width: 50 };
    let network =
        Network::new(&NetworkSpec { size, ..spec(Architecture::BaseCnn, 5, 31, 64) }, 1, Kind::Float, Device::Cpu);
    let logits = network.unwrap().forward(&Tensor::ones([1, 5, 97, 50], (Kind::Float, Device::Cpu)), Mode::Train);
    assert_eq!(logits.unwrap().size(), [1, 31]);
}

#[test]
fn the_start_depends_on_seed_and_name_alone() {
    let make = |seed| Network::new(&spec(Architecture::ResNet18, 5, 31, 64), seed, Kind::Float, Device::Cpu).unwrap();
    tch::manual_seed(1);
    let one = make(7);
    let _ = Tensor::randn([100], (Kind::Float, Device::Cpu));
    let (again, other) = (make(7), make(8));
    for ((name, a), (_, b)) in one.tensors().into_iter().zip(again.tensors()) {
        assert!(a.equal(b), "{name}");
    }
    assert!(!value(&one, "conv1.weight").equal(&value(&other, "conv1.weight")));
    // A deeper network has the same values under the same name, and so has one of another kind.
    let name = "layer1.0.conv1.weight";
    let deeper = network(Architecture::ResNet34, 64);
    assert!(value(&one, name).to_kind(Kind::Double).equal(&value(&deeper, name)));
}

#[test]
fn the_start_has_the_scale_of_torchvision() {
    let deviation = |architecture, name: &str| value(&network(architecture, 64), name).std(false).double_value(&[]);
    let check = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.03, "{found} for {expected}");
    check(deviation(Architecture::ResNet18, "conv1.weight"), (2.0f64 / (64.0 * 49.0)).sqrt());
    check(deviation(Architecture::ResNet18, "fc.weight"), 1.0 / (3.0 * 512.0f64).sqrt());
    check(deviation(Architecture::DenseNet121, "features.conv0.weight"), (2.0f64 / (5.0 * 49.0)).sqrt());
    check(deviation(Architecture::BaseCnn, "conv1.weight"), 1.0 / (3.0 * 5.0 * 49.0f64).sqrt());
    let densenet = network(Architecture::DenseNet121, 64);
    assert_eq!(value(&densenet, "classifier.bias").abs().max().double_value(&[]), 0.0);
    assert!(value(&densenet, "features.norm0.weight").equal(&Tensor::ones([64], (Kind::Double, Device::Cpu))));
}

#[test]
fn training_keeps_the_running_statistics_up_and_evaluation_nothing() {
    let network = network(Architecture::ResNet18, 64);
    let images = images(4, 64);
    let (eval, train) = (network.forward(&images, Mode::Eval).unwrap(), network.forward(&images, Mode::Train).unwrap());
    assert!(largest_difference(&eval, &train) > 1e-3);
    assert_eq!(value(&network, "bn1.num_batches_tracked").int64_value(&[]), 1);
    // A tenth of the batch's mean is taken over: what the first convolution gives is known.
    let conv = images.conv2d(&value(&network, "conv1.weight"), None::<&Tensor>, [2, 2], [3, 3], [1, 1], 1);
    let mean = conv.mean_dim([0i64, 2, 3].as_slice(), false, Kind::Double) * 0.1;
    assert!(largest_difference(&value(&network, "bn1.running_mean"), &mean) < 1e-12);
    let before = value(&network, "bn1.running_mean");
    let _ = network.forward(&images, Mode::Eval).unwrap();
    assert!(before.equal(&value(&network, "bn1.running_mean")));
    assert_eq!(value(&network, "layer4.1.bn2.num_batches_tracked").int64_value(&[]), 1);
}

#[test]
fn memory_format_changes_no_logit() {
    for architecture in [Architecture::BaseCnn, Architecture::ResNet18, Architecture::DenseNet121] {
        let network = network(architecture, 64);
        let plain = images(2, 64);
        let channels_last = plain.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        assert!(!channels_last.is_contiguous());
        for mode in [Mode::Eval, Mode::Train] {
            let [a, b] = [&plain, &channels_last].map(|images| network.forward(images, mode).unwrap());
            let scale = a.abs().max().double_value(&[]);
            assert!(largest_difference(&a, &b) < 1e-9 * scale, "{architecture} {mode:?}");
        }
    }
}

#[test]
fn vgg_drops_out_in_training_alone_and_takes_channels_last() {
    let mut network = network(Architecture::Vgg16, 32);
    let plain = images(1, 32);
    let channels_last = plain.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    let eval = network.forward(&plain, Mode::Eval).unwrap();
    let scale = eval.abs().max().double_value(&[]);
    assert!(largest_difference(&eval, &network.forward(&channels_last, Mode::Eval).unwrap()) < 1e-9 * scale);
    let [a, b] = [0, 1].map(|_| network.forward(&plain, Mode::Train).unwrap());
    assert!(largest_difference(&a, &b) > 1e-3 * scale);
    network.set_dropout(0.0).unwrap();
    assert!(largest_difference(&eval, &network.forward(&plain, Mode::Train).unwrap()) < 1e-12 * scale);
    assert!(network.set_dropout(1.5).is_err());
}

#[test]
fn refuses_what_no_network_can_be_made_for() {
    let check = |spec: NetworkSpec, kind, expected: &str| {
        let error = Network::new(&spec, 0, kind, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let resnet = |channels, classes, side| spec(Architecture::ResNet18, channels, classes, side);
    check(resnet(0, 31, 64), Kind::Float, "resnet18: channels: expected 1 to 4096, found 0");
    check(resnet(6, 0, 64), Kind::Float, "resnet18: classes: expected 2 to 16777216, found 0");
    check(resnet(6, 1, 64), Kind::Float, "found 1");
    check(resnet(6, 31, 31), Kind::Float, "image size: expected sides of 32 to 16384 pixels, found 31 x 31");
    check(resnet(6, 31, 64), Kind::Int64, "found Int64");
    check(spec(Architecture::BaseCnn, 6, 31, 15), Kind::Float, "sides of 16 to");
    check(spec(Architecture::BaseCnn, 6, 31, 2048), Kind::Float, "2^31 weights");
}

#[test]
fn images_that_do_not_fit_are_an_error_of_one_line() {
    let network = network(Architecture::ResNet18, 64);
    let three = Tensor::zeros([1, 3, 64, 64], (Kind::Double, Device::Cpu));
    let error = network.forward(&three, Mode::Eval).unwrap_err().to_string();
    assert!(error.starts_with("resnet18: ") && !error.contains('\n'), "{error}");
    let one_pixel = images(1, 32);
    let error = network.forward(&one_pixel, Mode::Train).unwrap_err().to_string();
    assert!(error.contains("two values a channel"), "{error}");
    assert!(network.forward(&one_pixel, Mode::Eval).is_ok());
    let base = self::network(Architecture::BaseCnn, 64);
    assert!(base.forward(&images(1, 32), Mode::Eval).is_err());
}

/// A small network in a memory format, after some optimiser steps on the same batches.
fn trained(format: MemoryFormat, kind: Kind, rule: &str) -> (Network, Optimizer) {
    let changes = [("optimizer", rule), ("lr", "0.001"), ("clip-norm", "1"), ("weight-decay", "0.01")];
    let recipe = Recipe::default().with(&changes.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    let network = Network::in_format(&spec(Architecture::ResNet18, 5, 31, 64), 7, kind, Device::Cpu, format).unwrap();
    let parameters: Vec<_> =
        network.parameters().iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())).collect();
    let mut optimizer = Optimizer::new(&recipe, &parameters);
    for step in 0..3 {
        let images = network.prepare(&(images(4, 64) + f64::from(step)), None).unwrap();
        let logits = network.forward(&images, Mode::Train).unwrap();
        let labels = Tensor::from_slice(&[3i64, 7, 1, 30]);
        logits.cross_entropy_loss::<&Tensor>(&labels, None, tch::Reduction::Mean, -100, 0.1).backward();
        for (name, parameter) in network.parameters() {
            let places = parameter.size().into_iter().zip(parameter.stride()).zip(parameter.grad().stride());
            // The fused kernels walk through memory, not through indices. Sides of 1 have no stride to speak of.
            assert!(places.into_iter().all(|((side, a), b)| side == 1 || a == b), "{name}");
        }
        optimizer.step(1e-3, 1.0).unwrap();
    }
    (network, optimizer)
}

#[test]
fn steps_in_channels_last_are_those_in_contiguous_order() {
    for rule in ["adam", "adamw", "sgd"] {
        let (plain, plain_optimizer) = trained(MemoryFormat::Contiguous, Kind::Double, rule);
        let (turned, turned_optimizer) = trained(MemoryFormat::ChannelsLast, Kind::Double, rule);
        let conv = |network: &Network| value(network, "layer1.0.conv1.weight").stride();
        assert_eq!((conv(&plain), conv(&turned)), (vec![576, 9, 3, 1], vec![576, 1, 192, 64]));
        let narrow = value(&turned, "layer2.0.downsample.0.weight");
        assert_eq!((narrow.size(), narrow.stride()), (vec![128, 64, 1, 1], vec![64, 1, 64, 64]));
        let close = |name: &str, a: &Tensor, b: &Tensor| {
            let scale = a.abs().max().double_value(&[]).max(1e-3);
            let difference = largest_difference(a, b);
            assert!(difference <= 1e-9 * scale, "{rule} {name}: {difference} of {scale}");
        };
        for ((name, a), (_, b)) in plain.tensors().into_iter().zip(turned.tensors()) {
            close(name, a, b);
        }
        for ((name, a), (_, b)) in plain_optimizer.state().into_iter().zip(turned_optimizer.state()) {
            close(&name, &a, &b);
        }
    }
}

#[test]
fn float32_in_channels_last_is_as_close_to_float64_as_in_contiguous_order() {
    let (exact, _) = trained(MemoryFormat::Contiguous, Kind::Double, "sgd");
    let deviation = |format| {
        let (network, _) = trained(format, Kind::Float, "sgd");
        let squares = exact.tensors().into_iter().zip(network.tensors()).map(|((_, exact), (_, found))| {
            (exact - found.to_kind(Kind::Double)).square().sum(Kind::Double).double_value(&[])
        });
        squares.sum::<f64>().sqrt()
    };
    let [plain, turned] = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast].map(deviation);
    assert!(turned < 4.0 * plain && plain < 4.0 * turned && plain > 0.0, "{plain} {turned}");
}

#[test]
fn images_are_cast_and_turned_in_one_go_and_left_alone_where_nothing_is_to_be_done() {
    let make = |format| {
        Network::in_format(&spec(Architecture::ResNet18, 5, 31, 64), 7, Kind::Float, Device::Cpu, format).unwrap()
    };
    let images = images(2, 64).to_kind(Kind::Float);
    let view = images.narrow(2, 3, 40);
    let plain = make(MemoryFormat::Contiguous);
    assert_eq!(plain.prepare(&view, None).unwrap().data_ptr(), view.data_ptr());
    let turned = make(MemoryFormat::ChannelsLast).prepare(&view, Some(Kind::BFloat16)).unwrap();
    assert_eq!((turned.kind(), turned.stride()), (Kind::BFloat16, vec![40 * 64 * 5, 1, 64 * 5, 5]));
    assert!(turned.equal(&view.to_kind(Kind::BFloat16)));
    assert!(make(MemoryFormat::ChannelsLast).prepare(&images.get(0), None).is_err());
}

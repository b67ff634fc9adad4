use std::fs;
use std::os::unix::fs::PermissionsExt;

use tch::Device;

use crate::models::weights::init_from;
use crate::models::{MemoryFormat, Mode, NetworkSpec};
use crate::optim::optimizer::Optimizer;
use cellshard::site::ImageSize;
use cellshard::training::recipe::Architecture;

use super::*;

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn network(architecture: Architecture, n_channels: usize, n_classes: usize, seed: u64) -> Network {
    let size = ImageSize { height: 64, width: 64 };
    Network::new(&NetworkSpec { architecture, n_channels, n_classes, size }, seed, Kind::Float, Device::Cpu).unwrap()
}

fn save_network(path: &Path, network: &Network) {
    save(path, &network.tensors(), &BTreeMap::new()).unwrap();
}

fn value(network: &Network, name: &str) -> Tensor {
    network.tensors().into_iter().find(|(other, _)| *other == name).unwrap().1.copy()
}

/// A file of one header and one body, whatever they say.
fn file(dir: &Path, header: &str, body: &[u8]) -> std::path::PathBuf {
    let path = dir.join("hostile.safetensors");
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), body].concat();
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_kind_returns_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let base = Tensor::from_slice(&[0.0f64, 1.0, 2.5, -3.0, 100.0, 7.0]).reshape([2, 3]);
    let tensors: Vec<_> = KINDS.iter().map(|(_, kind)| (format!("{kind:?}"), base.to_kind(*kind))).collect();
    let mut list: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let scalar = Tensor::from(5i64);
    let empty = Tensor::zeros([0, 3], CPU);
    let turned = base.transpose(0, 1);
    list.extend([("scalar", &scalar), ("empty", &empty), ("turned", &turned)]);
    let metadata = BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "\"\n".to_owned())]);
    save(&path, &list, &metadata).unwrap();
    let read = read(&path).unwrap();
    assert_eq!(read.metadata, metadata);
    assert_eq!(read.tensors.len(), list.len());
    for (name, tensor) in &list {
        let found = &read.tensors[*name];
        assert!(found.kind() == tensor.kind() && found.size() == tensor.size() && found.equal(tensor), "{name}");
    }
    // The crate that defines the format agrees, and so does a second writing.
    let bytes = fs::read(&path).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), list.len());
    save(&path, &list, &metadata).unwrap();
    assert_eq!(bytes, fs::read(&path).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_ne!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let tensor = Tensor::ones([3], CPU);
    let count = Tensor::from(5i64);
    save(&path, &[("a", &tensor), ("n", &count)], &BTreeMap::new()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{length}: {error}");
        assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
    }
    fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains(&format!("expected {} bytes, as the header says", bytes.len())), "{error}");
}

#[test]
fn a_header_that_lies_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let check = |header: &str, body: &[u8], expected: &str| {
        let error = read(&file(dir.path(), header, body)).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(expected), "{header}: {error}");
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    assert!(read(&file(dir.path(), &one("F32", "[2]", "[0,8]"), &[0; 8])).is_ok());
    check(&one("F32", "[3]", "[0,8]"), &[0; 8], "invalid shape");
    check(&one("F32", "[2]", "[0,8]"), &[0; 7], "as the header says");
    check(&one("F32", "[2]", "[4,12]"), &[0; 12], "offset");
    check(&one("F32", "[2]", "[8,0]"), &[0; 8], "offset");
    check(&one("F32", "[-2]", "[0,8]"), &[0; 8], "invalid value");
    check(&one("F32", "[9223372036854775807,9]", "[0,8]"), &[0; 8], "overflow");
    check(&one("F32", "[0,4611686018427387904,8]", "[0,0]"), &[], "16 sides and 2^63 values");
    check(&one("F32", "[18446744073709551615,0]", "[0,0]"), &[], "16 sides and 2^63 values");
    check(&one("F32", &format!("[{}1]", "1,".repeat(16)), "[0,4]"), &[0; 4], "16 sides");
    check(&one("F8_E4M3", "[8]", "[0,8]"), &[0; 8], "tensor a: expected one of BOOL, U8");
    check(&one("F31", "[2]", "[0,8]"), &[0; 8], "F31");
    check(&one("F32", "[4611686018427387904]", "[0,18446744073709551615]"), &[], "overflow");
    check("{", &[], "agrees with itself");
    check("\u{0}", &[], "agrees with itself");
    check(r#"{"__metadata__":{"a":1}}"#, &[], "agrees with itself");
    check(&"[".repeat(100_000), &[], "agrees with itself");
    // Two entries of one name leave a gap behind.
    let entry = |start| format!(r#""a":{{"dtype":"U8","shape":[4],"data_offsets":[{start},{}]}}"#, start + 4);
    check(&format!("{{{},{}}}", entry(0), entry(4)), &[0; 8], "agrees with itself");
    for length in [u64::MAX, u64::MAX - 7, LARGEST_HEADER + 1, 9] {
        let path = dir.path().join("length");
        fs::write(&path, [length.to_le_bytes(), [0; 8]].concat()).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("at most 8 bytes, found {length} bytes claimed")), "{error}");
    }
}

#[test]
fn a_bool_of_any_byte_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let header = r#"{"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}"#;
    let tensor = read(&file(dir.path(), header, &[0, 1, 255])).unwrap().tensors.remove("a").unwrap();
    assert!(tensor.equal(&Tensor::from_slice(&[false, true, true])));
}

#[test]
fn what_is_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read(dir.path()).unwrap_err().to_string().contains("expected a regular file"));
    assert!(matches!(read(&dir.path().join("absent")), Err(Error::Io { .. })));
}

#[test]
fn refuses_to_write_what_cannot_be_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let tensor = Tensor::ones([3], CPU);
    let complex = tensor.to_kind(Kind::ComplexFloat);
    let check = |list: &[(&str, &Tensor)], expected: &str| {
        let error = save(&path, list, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains(expected) && fs::read_dir(dir.path()).unwrap().count() == 0, "{error}");
    };
    check(&[("a", &tensor), ("a", &tensor)], "found another one named a");
    check(&[("__metadata__", &tensor)], "found another one named __metadata__");
    check(&[("c", &complex)], "found c as ComplexFloat");
    let error = save(&dir.path().join("absent/a"), &[("a", &tensor)], &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_network_returns_with_its_running_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let (one, mut other) = (network(Architecture::ResNet18, 5, 31, 1), network(Architecture::ResNet18, 5, 31, 2));
    let images = Tensor::ones([2, 5, 64, 64], CPU);
    let _ = one.forward(&images, Mode::Train).unwrap();
    save_network(&path, &one);
    load(&mut other, &read(&path).unwrap(), "here").unwrap();
    let [a, b] = [&one, &other].map(|network| network.forward(&images, Mode::Eval).unwrap());
    assert!(a.equal(&b));
    assert_eq!(value(&other, "bn1.num_batches_tracked").int64_value(&[]), 1);
    assert!(other.parameters().iter().all(|(_, tensor)| tensor.requires_grad() && tensor.is_leaf()));
}

#[test]
fn loading_is_strict_and_changes_nothing_if_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let mut ours = network(Architecture::ResNet18, 5, 31, 1);
    save_network(&path, &network(Architecture::ResNet18, 5, 31, 2));
    let before = value(&ours, "conv1.weight");
    let mut check = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), expected: &str| {
        let mut weights = read(&path).unwrap();
        change(&mut weights.tensors);
        let error = load(&mut ours, &weights, "here").unwrap_err();
        let text = error.to_string();
        assert!(error.is_data_fault() && text.contains(expected), "{text}");
        assert!(text.starts_with("here: expected the 122 tensors of resnet18, found 1 "), "{text}");
        assert!(value(&ours, "conv1.weight").equal(&before));
    };
    check(&|tensors| drop(tensors.remove("fc.bias")), "1 missing (fc.bias)");
    check(&|tensors| drop(tensors.insert("fc.extra".into(), Tensor::zeros([1], CPU))), "1 unexpected (fc.extra)");
    check(
        &|tensors| drop(tensors.insert("fc.bias".into(), Tensor::zeros([32], CPU))),
        "1 of another shape or kind (fc.bias as Float [32] for Float [31])",
    );
    check(
        &|tensors| drop(tensors.insert("fc.bias".into(), Tensor::zeros([31], (Kind::Int64, Device::Cpu)))),
        "fc.bias as Int64 [31] for Float [31]",
    );
    let mut deeper = network(Architecture::ResNet34, 5, 31, 1);
    let error = load(&mut deeper, &read(&path).unwrap(), "here").unwrap_err().to_string();
    assert!(error.contains("96 missing (layer1.2.bn1.bias, layer1.2.bn1.num_batches_tracked, layer1.2."), "{error}");
}

#[test]
fn three_channels_spread_over_six_keep_the_response_to_grey() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let three = network(Architecture::ResNet18, 3, 1000, 1);
    let _ = three.forward(&Tensor::rand([4, 3, 64, 64], CPU), Mode::Train).unwrap();
    save_network(&path, &three);
    let mut six = network(Architecture::ResNet18, 6, 31, 2);
    let fresh = value(&six, "fc.weight");
    let report = init_from(&mut six, &path).unwrap();
    let grey = Tensor::rand([2, 1, 64, 64], CPU);
    let (a, b) = (three.features(&grey.repeat([1, 3, 1, 1])), six.features(&grey.repeat([1, 6, 1, 1])));
    let (a, b) = (a.unwrap(), b.unwrap());
    let difference = (&a - b).abs().max().double_value(&[]);
    assert!(difference < 1e-5 * a.abs().max().double_value(&[]), "{difference}");
    assert!(value(&six, "fc.weight").equal(&fresh));
    assert_eq!(report.adapted, ["conv1.weight: 3 input channels spread over 6"]);
    let why = "of 1000 classes in the file, of 31 here";
    assert_eq!(report.left, [format!("fc.weight: {why}"), format!("fc.bias: {why}")]);
    assert_eq!((report.loaded.len(), report.unused.len()), (119, 0));
    assert!(six.parameters().iter().all(|(_, tensor)| tensor.requires_grad() && tensor.is_leaf()));
}

#[test]
fn pretrained_weights_of_another_network_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let check = |file: Architecture, ours: Architecture, expected: &str| {
        save_network(&path, &network(file, 3, 10, 1));
        let mut ours = network(ours, 3, 10, 2);
        let name = format!("{}.weight", ours.first_conv());
        let before = value(&ours, &name);
        let error = init_from(&mut ours, &path).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(expected), "{error}");
        assert!(value(&ours, &name).equal(&before));
    };
    check(Architecture::DenseNet121, Architecture::ResNet18, "tensors, none of which it has (classifier.bias, ..)");
    check(Architecture::ResNet34, Architecture::ResNet18, "96 that it lacks (layer1.2.bn1.bias,");
    check(
        Architecture::ResNet18,
        Architecture::ResNet34,
        "layer1.2.conv1.weight of resnet34: expected Float [64, 64, 3, 3], found none",
    );
    check(Architecture::ResNet18, Architecture::BaseCnn, "expected Float [16, 3, 7, 7], found Float [64, 3, 7, 7]");
    check(Architecture::ResNet50, Architecture::ResNet18, "that it lacks");
}

#[test]
fn pretrained_weights_may_lack_a_classifier_and_be_of_another_kind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let source = network(Architecture::ResNet18, 6, 10, 1);
    let tensors: Vec<_> = (source.tensors().into_iter())
        .filter(|(name, _)| !name.starts_with("fc.") && !name.ends_with("num_batches_tracked"))
        .map(|(name, tensor)| (name, tensor.to_kind(Kind::BFloat16)))
        .collect();
    let extra = Tensor::ones([1], CPU);
    let mut list: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    list.push(("projector.weight", &extra));
    save(&path, &list, &BTreeMap::new()).unwrap();
    let mut ours = network(Architecture::ResNet18, 6, 10, 2);
    let report = init_from(&mut ours, &path).unwrap();
    assert_eq!((report.loaded.len(), report.adapted.len(), report.left.len()), (100, 0, 22));
    assert_eq!(report.left[0], "bn1.num_batches_tracked: the file holds none");
    assert_eq!(report.unused, ["projector.weight"]);
    let expected = value(&source, "conv1.weight").to_kind(Kind::BFloat16).to_kind(Kind::Float);
    assert!(value(&ours, "conv1.weight").equal(&expected));
    // A shape that has no meaning is named with what was expected.
    let odd = Tensor::ones([64, 6, 5, 5], CPU);
    list.retain(|(name, _)| *name != "conv1.weight");
    list.push(("conv1.weight", &odd));
    save(&path, &list, &BTreeMap::new()).unwrap();
    let error = init_from(&mut ours, &path).unwrap_err().to_string();
    let expected = "tensor conv1.weight of resnet18: expected Float [64, 6, 7, 7], found Float [64, 6, 5, 5]";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_memory_format_shows_in_no_file_and_survives_loading() {
    let dir = tempfile::tempdir().unwrap();
    let size = ImageSize { height: 64, width: 64 };
    let spec = NetworkSpec { architecture: Architecture::ResNet18, n_channels: 6, n_classes: 12, size };
    let make = |seed, format| Network::in_format(&spec, seed, Kind::Float, Device::Cpu, format).unwrap();
    let strides = |network: &Network| network.tensors().iter().map(|(_, tensor)| tensor.stride()).collect::<Vec<_>>();
    let [plain, turned] = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast].map(|format| make(3, format));
    assert_ne!(strides(&plain), strides(&turned));
    let paths = ["plain", "turned"].map(|name| dir.path().join(name));
    save_network(&paths[0], &plain);
    save_network(&paths[1], &turned);
    assert!(fs::read(&paths[0]).unwrap() == fs::read(&paths[1]).unwrap());
    let mut other = make(4, MemoryFormat::ChannelsLast);
    let before = strides(&other);
    load(&mut other, &read(&paths[1]).unwrap(), "turned").unwrap();
    let same = |a: &Network, b: &Network| a.tensors().iter().zip(b.tensors()).all(|((_, a), (_, b))| a.equal(b));
    assert!(same(&other, &plain));
    assert_eq!(strides(&other), before);
    // And as pretrained weights, whose first convolution is spread over other channels.
    let three = NetworkSpec { n_channels: 3, ..spec };
    save_network(&paths[0], &Network::new(&three, 5, Kind::Float, Device::Cpu).unwrap());
    let [mut plain, mut turned] = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast].map(|format| make(6, format));
    init_from(&mut plain, &paths[0]).unwrap();
    init_from(&mut turned, &paths[0]).unwrap();
    assert!(same(&plain, &turned));
    assert_eq!(strides(&turned), before);
}

#[test]
fn an_optimisers_state_is_saved_and_taken_back_in_any_memory_format() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let recipe = cellshard::training::recipe::Recipe::default();
    let make = |format: MemoryFormat| {
        let size = ImageSize { height: 32, width: 32 };
        let spec = NetworkSpec { architecture: Architecture::BaseCnn, n_channels: 3, n_classes: 4, size };
        let network = Network::in_format(&spec, 1, Kind::Float, Device::Cpu, format).unwrap();
        let parameters: Vec<_> =
            network.parameters().iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())).collect();
        (Optimizer::new(&recipe, &parameters), network)
    };
    let step = |optimizer: &mut Optimizer, network: &Network| {
        let images = Tensor::arange(2 * 3 * 32 * 32, CPU).view([2, 3, 32, 32]).sin();
        let images = network.prepare(&images, None).unwrap();
        network.forward(&images, Mode::Train).unwrap().square().mean(Kind::Float).backward();
        optimizer.step(1e-3, 1.0).unwrap();
    };
    let (mut from, network) = make(MemoryFormat::ChannelsLast);
    step(&mut from, &network);
    let state = from.state();
    let list: Vec<(&str, &Tensor)> = state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    save(&path, &list, &BTreeMap::new()).unwrap();
    for format in [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast] {
        let (mut to, network) = make(format);
        let strides = |optimizer: &Optimizer| optimizer.state().iter().map(|(_, t)| t.stride()).collect::<Vec<_>>();
        let before = strides(&to);
        to.restore(from.n_steps(), &read(&path).unwrap().tensors, "state").unwrap();
        assert_eq!((strides(&to), to.n_steps()), (before, 1));
        assert!(to.state().iter().zip(&state).all(|((_, a), (_, b))| a.equal(b)), "{format:?}");
        step(&mut to, &network);
    }
}

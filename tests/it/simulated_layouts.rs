//! Every layout that `simulate` writes is one that `pack` reads, by the very command that `simulate` prints; and names
//! are those of the microscopes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cellshard::simulate::{Bits, Config, Layout, simulate};
use cellshard::site::{Dtype, Population};
use cellshard::source::pattern::Preset;
use cellshard::store::Store;
use tempfile::TempDir;

use crate::common::{stderr, stdout, tool};

/// Two cell types, of one three experiments, so that WILDS has all of its datasets.
const FLAGS: [&str; 12] = [
    "--experiments",
    "RPE:3,HUVEC:1",
    "--plates",
    "2",
    "--wells",
    "6",
    "--sites",
    "2",
    "--sirnas",
    "20",
    "--size",
    "24",
];
const SITES: usize = 4 * 2 * 6 * 2;

/// What `simulate` prints of a tree `data` in a new folder.
fn made(layout: Layout, flags: &[&str]) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tool("simulate");
    command.current_dir(dir.path()).args(["--dst", "data", "--layout", layout.name()]).args(FLAGS).args(flags);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{layout}: {}", stderr(&output));
    let printed = stdout(&output);
    (dir, printed)
}

/// Runs the command that `simulate` printed, as whoever reads it would, and proves the store.
fn packed(dir: &TempDir, printed: &str) -> Store {
    let command = printed.lines().last().unwrap();
    assert!(command.starts_with("cellshard pack data data-store"), "{printed}");
    let programs = Path::new(env!("CARGO_BIN_EXE_cellshard")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", command]).current_dir(dir.path()).env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{command}: {}{}", stdout(&output), stderr(&output));
    let verified = tool("verify").arg(dir.path().join("data-store")).output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{command}: {}", stdout(&verified));
    Store::open_proven(&dir.path().join("data-store")).unwrap()
}

/// Channels, classes, and wells that are negative and positive controls, treated, and unknown.
fn check(layout: Layout, channels: &[&str], classes: usize, wells: [usize; 4]) {
    let (dir, printed) = made(layout, &[]);
    let store = packed(&dir, &printed);
    let names: Vec<&str> = store.spec().channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, channels, "{layout}");
    assert_eq!((store.sites().len(), store.classes().rows().len()), (SITES, classes), "{layout}");
    let count = |population| {
        let sites = store.sites().iter().filter(|site| site.label.population == population);
        sites.map(|site| &site.id.well).collect::<BTreeSet<_>>().len()
    };
    let found = [Population::NegativeControl, Population::PositiveControl, Population::Treatment, Population::Unknown]
        .map(count);
    assert_eq!(found, wells, "{layout}");
    let plates = store.plates().len();
    assert_eq!(plates, 8, "{layout}");
}

const W: [&str; 6] = ["w1", "w2", "w3", "w4", "w5", "w6"];
const STAINS: [&str; 6] = ["nucleus", "endoplasmic reticulum", "actin", "nucleoli", "mitochondria", "golgi"];
/// Negative controls, positive ones, treated wells, and unknown ones.
const WELLS: [usize; 4] = [8, 16, 24, 0];

#[test]
fn each_layout_of_a_microscope_is_packed_by_the_command_that_is_printed() {
    check(Layout::Phenix, &["ch1", "ch2", "ch3", "ch4", "ch5", "ch6"], 21, WELLS);
    check(Layout::ImageXpress, &W, 21, WELLS);
    check(Layout::MetaXpress, &W, 21, WELLS);
    check(Layout::Cv8000, &["C1", "C2", "C3", "C4", "C5", "C6"], 21, WELLS);
}

#[test]
fn each_layout_of_a_screen_is_packed_by_the_command_that_is_printed() {
    check(Layout::JumpPng, &["AGP", "DNA", "ER", "Mito", "RNA"], 21, WELLS);
    check(Layout::Bbbc021, &W, 21, WELLS);
    check(Layout::Table, &["DNA", "ER", "AGP", "RNA", "Mito", "Golgi"], 21, WELLS);
}

#[test]
fn each_layout_of_rxrx1_is_packed_by_the_command_that_is_printed() {
    check(Layout::Kaggle2019, &STAINS, 21, WELLS);
    check(Layout::Kaggle2023, &STAINS, 21, WELLS);
    check(Layout::RxrxAi, &STAINS, 21, WELLS);
    check(Layout::Bare, &W, 0, [0, 0, 0, 48]);
    check(Layout::KaggleFlat, &W, 21, WELLS);
    check(Layout::Wilds, &["red", "green", "blue"], 21, WELLS);
    check(Layout::Rxrx, &STAINS, 21, WELLS);
}

#[test]
fn each_relative_of_rxrx1_is_packed_by_the_command_that_is_printed() {
    check(Layout::RxRx2, &W, 21, [8, 0, 40, 0]);
    check(Layout::RxRx19a, &W[..5], 8, WELLS);
    check(Layout::RxRx19b, &W, 8, WELLS);
    check(Layout::RxRx3, &W, 8, WELLS);
}

#[test]
fn a_folder_with_a_space_and_a_plate_without_controls_are_packed_as_printed_too() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { n_wells: 1, n_sites: 1, size: 16, layout: Layout::Phenix, ..Config::default() };
    let report = simulate(&config, &dir.path().join("my 'data'"), &|_| ()).unwrap();
    let quoted = dir.path().join(r"my '\''data'\''").display().to_string();
    assert!(report.pack.contains(&format!("pack '{quoted}' '{quoted}-store'")), "{}", report.pack);
    assert!(report.pack.ends_with("--label-column treatment --negative-control DMSO"), "{}", report.pack);
    let programs = Path::new(env!("CARGO_BIN_EXE_cellshard")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", &report.pack]).env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// Every file below a folder, relative to it.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What a preset reads from names is what they were written for, and what lies beside images is known to.
fn check_names(layout: Layout, example: &str, beside: &[&str]) {
    let (dir, _) = made(layout, &[]);
    let files = files(&dir.path().join("data"));
    assert!(files.iter().any(|file| file == example), "{layout}: {example} in {files:#?}");
    let preset = Preset::named(layout.name()).unwrap();
    let (mut images, mut others) = (BTreeSet::new(), Vec::new());
    for file in &files {
        match preset.read(file).unwrap() {
            Some(fields) => {
                let plate = (fields.experiment.unwrap_or_default(), fields.plate.unwrap());
                let channel = fields.channel.unwrap_or_default();
                assert!(images.insert((plate, fields.well, fields.site, channel)), "{file}");
                assert!(!preset.is_beside(file), "{file}");
                assert!([None, Some(1)].contains(&fields.z) && [None, Some(1)].contains(&fields.t), "{file}");
            }
            None => others.push(file.as_str()),
        }
    }
    let plates: BTreeSet<_> = images.iter().map(|(plate, ..)| plate).collect();
    let wells: BTreeSet<String> = images.iter().map(|(_, well, ..)| well.to_string()).collect();
    let sites: BTreeSet<_> = images.iter().map(|(_, _, site, _)| site).collect();
    let channels: BTreeSet<_> = images.iter().map(|(.., channel)| channel).collect();
    assert_eq!((plates.len(), wells.len()), (8, 6), "{layout}");
    assert_eq!(sites, BTreeSet::from([&Some(1), &Some(2)]), "{layout}");
    assert_eq!(images.len(), SITES * channels.len(), "{layout}");
    assert!(wells.iter().all(|well| ["B02", "B03", "B04", "C02", "C03", "C04"].contains(&well.as_str())));
    let told = |file: &&str| !file.ends_with(".csv");
    others.retain(told);
    for name in beside {
        assert!(others.iter().any(|other| other.contains(name)), "{layout}: {name} in {others:#?}");
    }
    assert!(others.iter().all(|other| beside.iter().any(|name| other.contains(name))), "{layout}: {others:#?}");
}

#[test]
fn microscopes_read_their_names_back() {
    check_names(
        Layout::Phenix,
        "BR00100001__2020-01-01T12_00_00-Measurement1/Images/r02c03f01p01-ch1sk1fk1fl1.tiff",
        &["Index.idx.xml"],
    );
    check_names(
        Layout::ImageXpress,
        "BR00100001/TimePoint_1/BR00100001_B02_s1_w169496F57-8E75-89DD-963B-E693CE7DC16D.tif",
        &["_thumb"],
    );
    check_names(Layout::MetaXpress, "BR00100001/TimePoint_1/BR00100001_B02_s1_w1.TIF", &[]);
    check_names(
        Layout::Cv8000,
        "BR00100001/BR00100001_B02_T0001F002L01A03Z01C03.tif",
        &["/DC_sCMOS #1_CAM1.tif", "/SC_BP445-45_40x_M10_CH0", "/MeasurementData.mlf"],
    );
}

#[test]
fn data_sets_read_their_names_back() {
    check_names(Layout::JumpPng, "source_1__BR00100001__B02__1__DNA.png", &[]);
    check_names(Layout::Bbbc021, "Week1/Week1_20001/B02_s1_w11642F11B-F84A-815D-F690-6DD7A96DFD59.tif", &[]);
    check_names(Layout::KaggleFlat, "HUVEC-01_1_B02_s1_w1.png", &[]);
    check_names(Layout::Wilds, "images/HUVEC-01/Plate1/B02_s1.png", &[]);
    check_names(Layout::Rxrx, "HUVEC-01/Plate1/B02_s1_w1.png", &[]);
}

#[test]
fn an_imagexpress_names_no_channel_where_there_is_one() {
    let (dir, printed) = made(Layout::ImageXpress, &["--channels", "1"]);
    let files = files(&dir.path().join("data"));
    let mut images = files.iter().filter(|file| file.ends_with(".tif"));
    assert!(images.all(|file| file.contains("_s1") || file.contains("_s2")) && !files[0].contains("_w1"), "{files:?}");
    assert_eq!(packed(&dir, &printed).sites().len(), SITES);
}

fn levels_16(path: &Path) -> Vec<u16> {
    if path.extension() == Some("png".as_ref()) {
        let image = image::open(path).unwrap();
        assert_eq!(image.color(), image::ColorType::L16);
        return image.into_luma16().into_raw();
    }
    let mut decoder = tiff::decoder::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    let tiff::decoder::DecodingResult::U16(levels) = decoder.read_image().unwrap() else { panic!("16 bits") };
    levels
}

fn tree(layout: Layout, bits: Bits) -> (TempDir, u64) {
    let dir = tempfile::tempdir().unwrap();
    let cell_types = vec!["U2OS:1".parse().unwrap()];
    let config =
        Config { cell_types, n_plates: 1, n_wells: 2, n_sites: 1, size: 128, bits, layout, ..Config::default() };
    let report = simulate(&config, dir.path(), &|_| ()).unwrap();
    (dir, report.raw_bytes)
}

/// 16 bits are the scenes of 8, with the levels of a camera: an offset, no black, and bright spots beyond white.
#[test]
fn sixteen_bits_show_the_same_scenes_as_eight_as_a_camera_gives_them() {
    let image = |dir: &TempDir, name: &str| -> PathBuf { dir.path().join("U2OS-01/Plate1").join(name) };
    let ((eight, raw_8), (sixteen, raw_16)) = (tree(Layout::Bare, Bits::Eight), tree(Layout::Bare, Bits::Sixteen));
    assert_eq!(raw_16, 2 * raw_8);
    let mut highest = 0;
    for channel in 1..=6 {
        let name = format!("B02_s1_w{channel}.png");
        let low = image::open(image(&eight, &name)).unwrap().into_bytes();
        let high = levels_16(&image(&sixteen, &name));
        for (&low, &high) in low.iter().zip(&high) {
            let expected = 100 + 64 * i32::from(low);
            let is_near = (i32::from(high) - expected).abs() <= 33;
            assert!(is_near || low == 0 || (low == 255 && i32::from(high) > expected), "{low} {high}");
            assert!(high > 0);
        }
        highest = highest.max(*high.iter().max().unwrap());
        let mean = high.iter().map(|&level| f64::from(level)).sum::<f64>() / high.len() as f64;
        assert!((200.0..8000.0).contains(&mean), "channel {channel}: mean {mean}");
        let phenix = tree(Layout::Phenix, Bits::Sixteen).0;
        let plate = "BR00100001__2020-01-01T12_00_00-Measurement1/Images";
        let tiff = phenix.path().join(plate).join(format!("r02c02f01p01-ch{channel}sk1fk1fl1.tiff"));
        assert_eq!(levels_16(&tiff), high, "the format changes no pixel");
    }
    assert!(highest > 8000, "{highest}");
    let (dir, printed) = made(Layout::Cv8000, &["--bits", "16"]);
    assert_eq!(packed(&dir, &printed).spec().dtype, Dtype::Uint16);
}

#[test]
fn wilds_has_three_channels_of_eight_bits() {
    let check = |flags: &[&str], expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let dst = dir.path().join("data");
        let output = tool("simulate").arg("--dst").arg(&dst).args(["--layout", "wilds"]).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!dst.exists());
    };
    check(&["--channels", "6"], "--channels: expected 3, as the layout wilds has one RGB image a site, found 6");
    check(&["--bits", "16"], "--bits: expected 8, as the layout wilds has RGB images of 8 bits, found 16");
}

//! Trees whose names users describe, or that known microscopes make: packed, proven, and what is wrong with them named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cellshard::fault::FaultKind;
use cellshard::pack::{OnError, PackConfig, pack, plan};
use cellshard::source::pattern::{Fields, Pattern, Preset};
use cellshard::source::{Layout, Source, SourceConfig};
use cellshard::store::Store;
use cellshard::verify::{Depth, StoreConfig, compare_tree, verify_store, verify_tree};
use png::{BitDepth, ColorType};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::common::{copy_folder, encode_png, stderr, stdout, tool};

/// The bytes of an image of 16 bits whose every pixel is this level.
pub(crate) fn image(level: u16) -> Vec<u8> {
    let samples: Vec<u8> = (0..5 * 4).flat_map(|_| level.to_be_bytes()).collect();
    encode_png((5, 4), &samples, ColorType::Grayscale, BitDepth::Sixteen)
}

/// A folder `data` with these images, each of a level of its own by its place; PNGs whatever they are called.
pub(crate) fn tree<S: AsRef<str>>(paths: &[S]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (level, path) in (1..).zip(paths) {
        write(dir.path(), path.as_ref(), &image(level));
    }
    dir
}

pub(crate) fn write(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join("data").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(crate) fn config(dir: &TempDir, layout: &str) -> PackConfig {
    let mut config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    match Layout::named(layout) {
        Some(layout) => config.source.layout = Some(layout),
        None => config.source.pattern = Some(layout.parse().unwrap()),
    }
    config
}

/// Packs, and proves the store and the tree, and each by the other.
pub(crate) fn packed(config: &PackConfig) -> Store {
    let report = pack(config, &|_| {}).unwrap();
    assert!(report.finished && report.faults.is_empty(), "{:?}", report.faults);
    assert_eq!(pack(config, &|_| {}).unwrap().sites_packed, 0, "all is done");
    let nothing: &(dyn Fn(u64) + Sync) = &|_| {};
    assert_eq!(verify_tree(&config.source, None, nothing, nothing).unwrap().faults, []);
    let store = StoreConfig { root: config.dst.clone(), depth: Depth::Deep, manifest: None };
    assert_eq!(verify_store(&store, &|_| {}).unwrap().findings, []);
    assert_eq!(compare_tree(&config.source, &config.dst, &|_| {}).unwrap().findings, []);
    Store::open_proven(&config.dst).unwrap()
}

/// Each site with the level of each of its channels, and the names of the channels.
pub(crate) fn levels(store: &Store) -> (Vec<(String, Vec<u16>)>, Vec<String>) {
    let spec = store.spec();
    let site = |row: &cellshard::store::format::rows::SiteRow| {
        let plate = &row.id.well.plate;
        let well = row.id.well.well.to_string();
        let pixels = store.site(plate.experiment.as_str(), &plate.plate, &well, row.id.site).unwrap();
        let of = |plane: &[u8]| u16::from_le_bytes([plane[0], plane[1]]);
        (row.id.to_string(), pixels.chunks(spec.plane_bytes()).map(of).collect())
    };
    let names = spec.channels.iter().map(|channel| channel.name.clone()).collect();
    (store.sites().iter().map(site).collect(), names)
}

fn check(layout: &str, paths: &[&str], beside: &[&str], expected: (&[(&str, &[u16])], &[&str])) {
    let dir = tree(paths);
    for path in beside {
        write(dir.path(), path, b"no image");
    }
    let (sites, channels) = levels(&packed(&config(&dir, layout)));
    let sites: Vec<(&str, &[u16])> = sites.iter().map(|(id, levels)| (id.as_str(), levels.as_slice())).collect();
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    assert_eq!((sites.as_slice(), channels.as_slice()), expected, "{layout}");
}

#[test]
fn plates_of_each_microscope_are_packed_with_what_lies_beside_them_left_alone() {
    check(
        "phenix",
        &[
            "BR00117035__2021-05-02T16_02_51-Measurement1/Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
            "BR00117035__2021-05-02T16_02_51-Measurement1/Images/r01c01f01p01-ch10sk1fk1fl1.tiff",
            "BR00117035__2021-05-02T16_02_51-Measurement1/Images/r32c48f01p01-ch1sk1fk1fl1.tiff",
            "BR00117035__2021-05-02T16_02_51-Measurement1/Images/r32c48f01p01-ch10sk1fk1fl1.tiff",
        ],
        &["BR00117035__2021-05-02T16_02_51-Measurement1/Images/Index.idx.xml"],
        (&[("experiment/BR00117035/A01_1", &[1, 2]), ("experiment/BR00117035/AF48_1", &[3, 4])], &["ch1", "ch10"]),
    );
    check(
        "imagexpress",
        &[
            "TimePoint_1/my plate_3C_C07_s1_w1D5F8F51A-3E85-4358-AE51-A465AF87386F.tif"
                .replace("my plate", "p")
                .as_str(),
            "TimePoint_1/p_3C_C07_s1_w43CD51CBC-2370-471F-BA01-EE250B14B3C8.tif",
        ],
        &["TimePoint_1/p_3C_C07_s1_w1_thumbD5F8F51A-3E85-4358-AE51-A465AF87386F.tif"],
        (&[("experiment/p_3C/C07_1", &[1, 2])], &["w1", "w4"]),
    );
    check(
        "cv8000",
        &["AS_1/AS_1_D08_T0001F001L01A01Z01C01.tif", "AS_1/AS_1_D08_T0001F002L01A01Z01C01.tif"],
        &["AS_1/MeasurementData.mlf", "AS_1/DC_sCMOS #1_CAM1.tif", "AS_1/SC_BP445-45_40x_M10_CH01.tif"],
        (&[("experiment/AS_1/D08_1", &[1]), ("experiment/AS_1/D08_2", &[2])], &["C1"]),
    );
    check(
        "metaxpress",
        &["9987_B02_s1_w1.TIF", "9987_B02_s1_w2.TIF"],
        &[],
        (&[("experiment_9987_B02_1", &[1, 2])], &["w1", "w2"]),
    );
    check(
        "jump-png",
        &["source_1__UL001641__A02__1__DNA.png", "source_1__UL001641__A02__1__AGP.png"],
        &[],
        (&[("source_1/UL001641/A02_1", &[2, 1])], &["AGP", "DNA"]),
    );
    check(
        "bbbc021",
        &[
            "Week4/Week4_27481/G10_s1_w1BEDC2073-A983-4B98-95E9-84466707A25D.tif",
            "Week4/Week4_27481/G10_s1_w43CD51CBC-2370-471F-BA01-EE250B14B3C8.tif",
        ],
        &[],
        (&[("Week4/Week4_27481/G10_1", &[1, 2])], &["w1", "w4"]),
    );
    check("kaggle-flat", &["HEPG2-08_1_B02_w1.png"], &[], (&[("HEPG2-08_1_B02_1", &[1])], &["w1"]));
    check(
        "{plate}/field {site}/{row}-{column}_{channel}.png",
        &["070/field 3/b-7_DAPI.png"],
        &[],
        (&[("experiment/070/B07_3", &[1])], &["DAPI"]),
    );
}

#[test]
fn the_folder_of_a_plate_may_be_the_source_itself() {
    let dir = tree(&["BR1__x/Images/r01c01f01p01-ch1sk1fk1fl1.tiff"]);
    let mut config = config(&dir, "phenix");
    config.source.root = dir.path().join("data/BR1__x");
    assert_eq!(levels(&packed(&config)).0[0].0, "experiment/BR1/A01_1");
    // Images alone tell no plate, and are not given to one that is called `Images`.
    config.source.root = dir.path().join("data/BR1__x/Images");
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("found 1 .tiff"), "{error}");
}

#[test]
fn where_nothing_is_found_the_error_says_what_is_there_and_what_to_try() {
    for (path, says) in [
        (
            "a/Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
            "found 1 .tiff, such as r01c01f01p01-ch1sk1fk1fl1.tiff; try --layout phenix",
        ),
        ("9987_B02_s1_w1.TIF", "try --layout metaxpress"),
        ("x__P__A02__1__AGP.png", "try --layout jump-png"),
        ("HEPG2-08_1_B02_w1.png", "try --layout kaggle-flat"),
        ("x/AS_1_D08_T0001F001L01A01Z01C01.tif", "try --layout cv8000"),
        ("whatever.tif", "--pattern describes names"),
    ] {
        let dir = tree(&[path]);
        let config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
        let error = plan(&config).unwrap_err().to_string();
        assert!(error.contains("expected a folder EXPERIMENT/PlateN") && error.contains(says), "{error}");
    }
    let dir = tree::<&str>(&[]);
    write(dir.path(), "rxrx3-core/part-0.parquet", b"PAR1");
    let config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    let error = plan(&config).unwrap_err().to_string();
    assert!(error.contains("part-0.parquet: images in Parquet (docs/data-sets.md"), "{error}");
}

#[test]
fn every_image_is_of_a_plate_or_a_fault_with_its_path() {
    let dir = tree(&[
        "P1/A01_w1.png",
        "P2/A01_w1.png",
        "copy/P1/A01_w1.png",
        "P1/A0_w1.png",
        "P1/notes.png",
        "P 3/A01_w1.png",
    ]);
    write(dir.path(), ".trash/P9/A01_w1.png", &image(9));
    write(dir.path(), ".cache/thumb.png", &image(9));
    let config = config(&dir, "{plate}/{well}_w{channel}.png");
    let found = plan(&config).unwrap().1;
    let told: BTreeMap<&str, &str> = found.iter().map(|fault| (fault.file.as_str(), fault.detail.as_str())).collect();
    let says = [
        (".trash/P9/A01_w1.png", "expected a folder that is not hidden"),
        ("P 3/A01_w1.png", "expected a plate's name"),
        ("P1/A0_w1.png", "expected a well from A01 to ZZ99 in {well}, found \"A0\""),
        ("P1/notes.png", "expected a name such as {plate}/{well}_w{channel}.png"),
        (
            "copy/P1/A01_w1.png",
            "expected images of plate experiment/P1 in one place, \"P1/\" (if it is one plate, --pattern",
        ),
    ];
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), says.iter().map(|(file, _)| *file).collect());
    for (file, says) in says {
        assert!(told[file].starts_with(says), "{file}: {}", told[file]);
    }
    assert!(found.iter().all(|fault| fault.kind == FaultKind::NoPlate));
    assert!(!pack(&config, &|_| {}).unwrap().finished);
}

#[test]
fn one_plane_is_packed_and_which_one_must_be_said() {
    let stack = ["Z/P_B02_s1_w1.TIF", "Z/ZStep_1/P_B02_s1_w1.TIF", "Z/ZStep_2/P_B02_s1_w1.TIF"];
    for (plane, level) in [("z=1", 2), ("z=2", 3), ("z=none", 1)] {
        let dir = tree(&stack);
        let mut config = config(&dir, "metaxpress");
        let error = pack(&config, &|_| {}).unwrap_err().to_string();
        assert!(error.contains("one z of each site (--plane z=N chooses one), found z of none, 1, 2"), "{error}");
        config.source.plane = plane.parse().unwrap();
        assert!(plan(&config).unwrap().0.unusual[0].contains("2 images of other planes than --plane"));
        assert_eq!(levels(&packed(&config)).0, [("experiment/P/B02_1".to_owned(), vec![level])]);
    }
}

#[test]
fn a_lost_channel_a_lost_site_and_a_damaged_image_are_named() {
    let all: Vec<String> = ["A01", "A02", "B01"]
        .iter()
        .flat_map(|well| (1..=2).flat_map(move |site| (1..=2).map(move |w| format!("P/{well}_s{site}_w{w}.png"))))
        .collect();
    let dir = tree(&all);
    let gone = |path: &str| fs::remove_file(dir.path().join("data").join(path)).unwrap();
    gone("P/A01_s2_w2.png");
    gone("P/A02_s2_w1.png");
    gone("P/A02_s2_w2.png");
    let damaged = dir.path().join("data/P/B01_s1_w1.png");
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let mut config = config(&dir, "{plate}/{well}_s{site}_w{channel}.png");
    let found: Vec<String> = pack(&config, &|_| {}).unwrap().faults.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().any(|fault| fault.starts_with("experiment/P/A02/2: missing-site")), "{found:?}");
    assert!(found.iter().any(|fault| fault.ends_with("expected 2 channels, found no w2")), "{found:?}");
    assert!(found.iter().any(|fault| fault.starts_with("P/B01_s1_w1.png: wrong-crc")), "{found:?}");
    config.on_error = OnError::Skip;
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!((report.finished, report.sites_packed), (true, 3));
}

#[test]
fn a_store_of_format_1_takes_no_plate_with_a_name_and_no_16_bits() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/store-0.1.0");
    let dir = tree(&["e/Plate9/A01_s1_w1.png"]);
    copy_folder(&fixture, &dir.path().join("store"));
    let mut config = config(&dir, "{experiment}/{plate}/{well}_s{site}_w{channel}.png");
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("expected pixels of uint8, as its format 1 has them"), "{error}");
    for channel in 1..=3 {
        let grey = encode_png((16, 16), &[7; 256], ColorType::Grayscale, BitDepth::Eight);
        write(dir.path(), &format!("e/BR1/A01_s1_w{channel}.png"), &grey);
        write(dir.path(), &format!("e/Plate9/A01_s1_w{channel}.png"), &grey);
    }
    config.sites_per_shard = Some(8);
    config.source.classes = Some(dir.path().join("store/classes.csv"));
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("e/BR1: expected a plate with a number, as format 1"), "{error}");
    fs::remove_dir_all(dir.path().join("data/e/BR1")).unwrap();
    assert!(pack(&config, &|_| {}).unwrap().finished, "it grows by what it can hold");
}

#[test]
fn a_dry_run_shows_the_first_site_as_it_is_understood() {
    let dir = tree(&["P1/A01_s2_DAPI.png", "P1/A01_s2_Actin.png"]);
    let data = dir.path().join("data");
    let output = tool("pack")
        .args(["--src", data.to_str().unwrap(), "--dst", "nowhere", "--dry-run"])
        .args(["--pattern", "{plate}/{well}_s{site}_{channel}.png", "--experiment", "batch-1"])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for line in [
        "source     pattern layout without labels, 2 x 4 x 5 pixels of 16 bits a site, 0 classes",
        "first site batch-1/P1/A01/2: no label",
        "           Actin  P1/A01_s2_Actin.png",
        "           DAPI   P1/A01_s2_DAPI.png",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let bad = tool("pack").args(["--src", "a", "--dst", "b", "--pattern", "{plate}/{dish}.png"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(2));
    assert!(stderr(&bad).contains("{dish}"), "{}", stderr(&bad));
}

/// What is planned: of each site its channels, each by the content of its image.
fn planned(config: &SourceConfig) -> BTreeMap<String, Vec<(usize, Vec<u8>)>> {
    let source = Source::open(config).unwrap();
    assert!(source.unplaced.is_empty(), "{:?}", source.unplaced);
    let of_plate = |plate: &cellshard::source::PlatePlan| {
        assert!(plate.faults.is_empty(), "{:?}", plate.faults);
        let site = |site: &cellshard::source::SitePlan| {
            let there = (0..64).filter(|c| site.channels & (1 << c) != 0);
            let images = there.map(|c| (c, fs::read(source.root.join(plate.file(site, c))).unwrap())).collect();
            (format!("{} {} {}", plate.id, site.well, site.site), images)
        };
        plate.sites.iter().map(site).collect::<Vec<_>>()
    };
    source.plates.iter().flat_map(of_plate).collect()
}

/// Ways to write the same fields.
const PATTERNS: [&str; 5] = [
    "{experiment}/{plate}/{well}_s{site}_w{channel}.png",
    "{experiment}__{plate}__{well}__{site}__{channel}.png",
    "{plate}/*/{experiment}-r{row}c{column}f{site}-ch{channel}.png",
    "{channel}/{experiment}/{plate}_{site}/{well}.png",
    "{site}-{channel}/{well}/{experiment}/{plate}.png",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_plan_is_the_same_whatever_layout_carries_the_fields(
        plates in proptest::collection::btree_set(("[A-Z]{2,3}-[0-9]", "[A-Z]{2}[0-9]{3}|[1-9]"), 1..4),
        wells in proptest::collection::btree_set((0_u16..32, 1_u16..=48), 1..4),
        (n_sites, n_channels) in (1_u16..=3, 1_u16..=12),
    ) {
        let mut plans = Vec::new();
        for number in 0..PATTERNS.len() + 3 {
            let dir = tempfile::tempdir().unwrap();
            let (mut level, mut table) = (0, String::from("experiment,plate,well,site"));
            (1..=n_channels).for_each(|channel| table.push_str(&format!(",{channel}")));
            table.push('\n');
            for ((experiment, plate), &(row, column)) in plates.iter().flat_map(|p| wells.iter().map(move |w| (p, w))) {
                let well = cellshard::site::Well::new(row, column);
                for site in 1..=n_sites {
                    table.push_str(&format!("{experiment},{plate},{well},{site}"));
                    for channel in 1..=n_channels {
                        level += 1;
                        let channel = channel.to_string();
                        let (e, p) = (Some(experiment.as_str()), Some(plate.as_str()));
                        let fields = Fields { experiment: e, plate: p, well, site: Some(site), channel: Some(&channel), z: None, t: None };
                        let path = match number.checked_sub(PATTERNS.len()) {
                            None => PATTERNS[number].parse::<Pattern>().unwrap().write(&fields).unwrap(),
                            Some(0) => Preset::named("kaggle-flat").unwrap().write(&fields).unwrap(),
                            Some(1) => Preset::named("jump-png").unwrap().write(&fields).unwrap(),
                            Some(_) => format!("{level}.png"),
                        };
                        write(dir.path(), &path, &image(level));
                        table.push_str(&format!(",{path}"));
                    }
                    table.push('\n');
                }
            }
            let mut source = config(&dir, PATTERNS[number.min(PATTERNS.len() - 1)]).source;
            if let Some(other) = number.checked_sub(PATTERNS.len()) {
                source.pattern = None;
                source.layout = [Some("kaggle-flat"), Some("jump-png"), None][other].and_then(Layout::named);
                if other == 2 {
                    let path = dir.path().join("table.csv");
                    fs::write(&path, table).unwrap();
                    source.table = Some(path);
                }
            }
            plans.push(planned(&source));
        }
        let n = plates.len() * wells.len() * usize::from(n_sites);
        prop_assert!(plans.iter().all(|plan| plan.len() == n && *plan == plans[0]));
    }
}

//! What is recognised is never recognised in silence as less: labels, plates, channels.

use std::fs;
use std::path::Path;

use cellshard::fault::FaultKind;
use cellshard::pack::{PackConfig, pack, plan};
use cellshard::source::{Layout, SourceConfig};
use cellshard::store::Store;
use cellshard::verify::verify_tree;

use crate::common::{Fixture, TreeSpec, contents, copy_folder, encode_png, small};

const CSVS: [&str; 4] = ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"];

/// Checks that a tree is refused by `pack` (planned or not) and by `verify`, with a message that says all of `says`, and
/// that it is packed without labels where that is asked for.
fn check_refused(fixture: &Fixture, root: &Path, says: &[&str]) {
    let source = SourceConfig { root: root.to_owned(), ..SourceConfig::default() };
    let config = PackConfig { source: source.clone(), ..fixture.config() };
    let nothing: &(dyn Fn(u64) + Sync) = &|_| {};
    let errors = [
        pack(&config, &|_| {}).unwrap_err(),
        plan(&config).unwrap_err(),
        verify_tree(&source, None, nothing, nothing).unwrap_err(),
    ];
    for error in errors.map(|error| error.to_string()) {
        for text in says {
            assert!(error.contains(text), "{text:?} in {error:?}");
        }
    }
    assert!(!fixture.store().exists(), "nothing was written");
    let mut bare = config;
    bare.source.layout = Some(Layout::Bare);
    assert!(pack(&bare, &|_| {}).unwrap().finished);
    fs::remove_dir_all(fixture.store()).unwrap();
}

#[test]
fn a_tree_one_folder_too_deep_is_not_packed_without_its_labels() {
    let fixture = Fixture::kaggle(small());
    check_refused(&fixture, fixture.path(), &["data/test.csv", "--src", "--layout bare"]);
    let fixture = Fixture::rxrx_ai(small());
    check_refused(&fixture, fixture.path(), &["data/metadata.csv", "data/images"]);
}

#[test]
fn a_folder_too_far_down_is_not_packed_without_the_labels_beside_it() {
    let fixture = Fixture::kaggle(small());
    check_refused(&fixture, &fixture.data().join("train"), &["data/train.csv", "--src"]);
    let fixture = Fixture::rxrx_ai(small());
    check_refused(&fixture, &fixture.data().join("images"), &["data/metadata.csv"]);
}

#[test]
fn csvs_that_are_still_packed_are_to_be_unpacked_first() {
    for (from, to) in [(".csv", ".csv.gz"), (".csv", ".csv.zip")] {
        let fixture = Fixture::kaggle(small());
        for name in CSVS {
            fs::rename(fixture.image(name), fixture.image(&name.replace(from, to))).unwrap();
        }
        check_refused(&fixture, &fixture.data(), &["unpack", to]);
    }
    // Beside the unpacked one it is no reason to refuse.
    let fixture = Fixture::kaggle(small());
    fs::write(fixture.image("train.csv.zip"), "").unwrap();
    fs::write(fixture.image("train.zip"), "").unwrap();
    assert!(fixture.pack().finished);
}

#[test]
fn a_tree_that_lost_all_its_csvs_is_not_taken_for_one_that_never_had_any() {
    let fixture = Fixture::kaggle(small());
    for name in CSVS {
        fs::remove_file(fixture.image(name)).unwrap();
    }
    check_refused(&fixture, &fixture.data(), &["data/test", "data/train", "were they lost"]);
    let fixture = Fixture::rxrx_ai(small());
    fs::remove_file(fixture.image("metadata.csv")).unwrap();
    check_refused(&fixture, &fixture.data(), &["data/images"]);
}

#[test]
fn csvs_of_another_layout_than_the_folders_are_named() {
    let (kaggle, other) = (Fixture::kaggle(small()), Fixture::rxrx_ai(small()));
    for name in CSVS {
        fs::remove_file(kaggle.image(name)).unwrap();
    }
    fs::copy(other.image("metadata.csv"), kaggle.image("metadata.csv")).unwrap();
    check_refused(&kaggle, &kaggle.data(), &["data/metadata.csv", "images/ for metadata.csv"]);
    // A second table is as good as a lost one: nobody knows which is meant.
    let kaggle = Fixture::kaggle(small());
    fs::copy(other.image("metadata.csv"), kaggle.image("metadata.csv")).unwrap();
    let error = pack(&kaggle.config(), &|_| {}).unwrap_err().to_string();
    assert!(error.contains("metadata.csv") && error.contains("beside the kaggle layout"), "{error}");
}

#[test]
fn a_folder_of_csvs_that_is_named_is_used_or_refused() {
    let (bare, other) = (Fixture::bare(small()), Fixture::rxrx_ai(small()));
    let mut config = bare.config();
    for metadata in [other.data(), bare.path().to_owned()] {
        config.source.metadata = Some(metadata);
        assert!(pack(&config, &|_| {}).is_err());
    }
    let elsewhere = Fixture::kaggle(small());
    let csvs = elsewhere.path().join("csvs");
    fs::create_dir(&csvs).unwrap();
    for name in CSVS {
        fs::rename(elsewhere.image(name), csvs.join(name)).unwrap();
    }
    let mut config = elsewhere.config();
    config.source.metadata = Some(csvs.clone());
    assert_eq!(pack(&config, &|_| {}).unwrap().plan.labelled_wells, Some(24));
    // Others of the same names that lie beside the images are not meant.
    for name in CSVS {
        fs::copy(csvs.join(name), elsewhere.image(name)).unwrap();
    }
    assert_eq!(pack(&config, &|_| {}).unwrap().plates_packed, 0);
    // Who wants none names none.
    config.source.layout = Some(Layout::Bare);
    assert!(pack(&config, &|_| {}).unwrap_err().to_string().contains("as --layout bare has none"));
}

#[test]
fn what_a_refusal_advises_mends() {
    let metadata_of = |fixture: &Fixture, dir: &str, names: &[&str]| {
        let dir = fixture.path().join(dir);
        fs::create_dir_all(&dir).unwrap();
        for name in names {
            fs::rename(fixture.image(name), dir.join(name)).unwrap();
        }
        dir
    };
    let refusal = |config: &PackConfig| pack(config, &|_| {}).unwrap_err().to_string();
    // The CSVs in a folder of their own, in the tree or beside it.
    for dir in ["data/csvs", "data/a/b"] {
        let fixture = Fixture::kaggle(small());
        let csvs = metadata_of(&fixture, dir, &CSVS);
        let error = refusal(&fixture.config());
        assert!(error.contains(&format!("--metadata {};", csvs.display())), "{error}");
        let mut config = fixture.config();
        config.source.metadata = Some(csvs);
        assert_eq!(pack(&config, &|_| {}).unwrap().plan.labelled_wells, Some(24));
    }
    // A part of the table in a folder below is not what is meant; one that is not where the others are, is.
    let fixture = Fixture::kaggle(small());
    fs::create_dir(fixture.image("folds")).unwrap();
    fs::copy(fixture.image("train.csv"), fixture.image("folds/train.csv")).unwrap();
    assert!(fixture.pack().finished);
    let fixture = Fixture::kaggle(small());
    let lost = metadata_of(&fixture, "data/more", &["test.csv", "test_controls.csv"]);
    let error = refusal(&fixture.config());
    let advice = format!("{} in {}, where the others are", lost.join("test.csv").display(), fixture.data().display());
    assert!(error.contains(&advice) && error.contains("--layout kaggle does without them"), "{error}");
    // More than one tree, or one and a plate beside it: what is left out is said.
    let fixture = Fixture::kaggle(small());
    fs::create_dir(fixture.path().join("all")).unwrap();
    for name in ["all/a", "all/b"] {
        copy_folder(&fixture.data(), &fixture.path().join(name));
    }
    let config = |root: &str| PackConfig {
        source: SourceConfig { root: fixture.path().join(root), ..SourceConfig::default() },
        ..fixture.config()
    };
    let error = refusal(&config("all"));
    assert!(error.contains("one after the other, --src") && error.contains("all/a, then"), "{error}");
    fs::remove_dir_all(fixture.path().join("all/b")).unwrap();
    copy_folder(&fixture.image("test/RPE-02"), &fixture.path().join("all/RPE-09"));
    let error = refusal(&config("all"));
    assert!(error.contains("all/a, which leaves") && error.contains("all/RPE-09/Plate1 out"), "{error}");
    for name in ["train", "test"] {
        fs::rename(fixture.image(name), fixture.image(&name.to_uppercase())).unwrap();
    }
    let error = refusal(&fixture.config());
    assert!(error.contains("data/TEST renamed to test"), "{error}");
    // CSVs for folders that have no place in them.
    let (bare, other) = (Fixture::bare(small()), Fixture::kaggle(small()));
    let mut config = bare.config();
    config.source.metadata = Some(other.data());
    let error = refusal(&config);
    let advice = format!(
        "in train/ or test/ for Kaggle's four CSVs, in images/ for metadata.csv, and --metadata {}",
        other.data().display()
    );
    assert!(error.contains(&advice) && error.contains("--layout bare without --metadata"), "{error}");
    for dataset in ["train", "test"] {
        fs::create_dir_all(bare.image(dataset)).unwrap();
        for found in fs::read_dir(other.image(dataset)).unwrap() {
            let name = found.unwrap().file_name();
            fs::rename(bare.data().join(&name), bare.image(dataset).join(&name)).unwrap();
        }
    }
    assert_eq!(pack(&config, &|_| {}).unwrap().plan.labelled_wells, Some(24));
}

#[test]
fn a_bare_tree_says_on_its_first_line_that_it_has_no_labels() {
    let fixture = Fixture::bare(small());
    let (data, store) = (fixture.data().display().to_string(), fixture.store().display().to_string());
    let run = |name: &str, args: &[&str]| {
        crate::common::stdout(&crate::common::tool(name).args(args).output().unwrap())
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(run("pack", &["--src", &data, "--dst", &store])[0].contains("bare layout without labels"));
    assert!(run("verify", &[&data]).iter().any(|line| line.contains("bare layout without labels, 0 classes")));
    let labelled = Fixture::kaggle(small());
    let lines = run("verify", &[&labelled.data().display().to_string()]);
    assert!(lines.iter().any(|line| line.contains("kaggle layout, 24 labelled wells, 6 classes")), "{lines:?}");
}

#[test]
fn channels_with_a_gap_are_read_by_their_names() {
    let fixture = Fixture::bare(TreeSpec { channels: 4, ..small() });
    for plate in ["HEPG2-01/Plate1", "HEPG2-01/Plate2", "RPE-02/Plate1", "RPE-02/Plate2"] {
        for (well, site) in fixture.spec.wells.iter().flat_map(|well| [(well, 1), (well, 2)]) {
            fs::remove_file(fixture.image(&format!("{plate}/{well}_s{site}_w3.png"))).unwrap();
        }
    }
    let report = fixture.pack();
    assert!(report.finished && report.faults.is_empty(), "{:?}", report.faults.first());
    assert_eq!(report.plan.unusual, ["channels are w1, w2, w4 (--channels 4 finds what is lost)"]);
    let store = Store::open(&fixture.store()).unwrap();
    let names: Vec<&str> = store.spec().channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["w1", "w2", "w4"]);
    let mut four = PackConfig { dst: fixture.path().join("four"), ..fixture.config() };
    four.source.channels = Some(4);
    assert_eq!(pack(&four, &|_| {}).unwrap().faults.len(), 48);
    let lost = Fixture::kaggle(TreeSpec { channels: 4, ..small() });
    fs::remove_file(lost.image("train/HEPG2-01/Plate1/B02_s1_w3.png")).unwrap();
    assert_eq!(lost.pack().faults[0].kind, FaultKind::MissingChannel);
}

#[test]
fn six_channels_are_rxrx1s_stains_only_where_the_layout_or_the_user_says_so() {
    let six = TreeSpec { channels: 6, wells: vec!["B02", "B03"], sites: 1, plates: 1, ..small() };
    let names = |store: &Path| {
        let store = Store::open(store).unwrap();
        store.spec().channels.iter().map(|channel| channel.name.clone()).collect::<Vec<_>>().join(",")
    };
    let bare = Fixture::bare(six.clone());
    bare.pack();
    assert_eq!(names(&bare.store()), "w1,w2,w3,w4,w5,w6");
    let kaggle = Fixture::kaggle(six);
    kaggle.pack();
    let stains = names(&kaggle.store());
    assert!(stains.starts_with("nucleus,endoplasmic reticulum,actin"), "{stains}");
    let named = |names: &str, dst: &str| PackConfig {
        channel_names: names.split(',').map(str::to_owned).collect(),
        dst: bare.path().join(dst),
        ..bare.config()
    };
    pack(&named(&stains, "named"), &|_| {}).unwrap();
    assert_eq!(Store::open(&bare.path().join("named")).unwrap().spec(), Store::open(&kaggle.store()).unwrap().spec());
    for wrong in ["a,b", "a,a,b,c,d,e", "a,b,c,d,e,"] {
        assert!(pack(&named(wrong, "wrong"), &|_| {}).is_err(), "{wrong}");
    }
}

#[test]
fn a_dry_run_reads_a_header_of_every_plate_and_channel_and_changes_nothing() {
    let fixture = Fixture::kaggle(small());
    let path = fixture.image("test/RPE-02/Plate2/B02_s1_w2.png");
    let colour = |colour, depth, n: usize| encode_png(fixture.spec.size, &vec![7; 120 * n], colour, depth);
    let rgb = colour(png::ColorType::Rgb, png::BitDepth::Eight, 3);
    let deep = colour(png::ColorType::Grayscale, png::BitDepth::Sixteen, 2);
    for (bytes, kind) in
        [(rgb, FaultKind::WrongColour), (deep, FaultKind::WrongDtype), (b"GIF89a".to_vec(), FaultKind::Undecodable)]
    {
        fs::write(&path, bytes).unwrap();
        let (_, faults) = plan(&fixture.config()).unwrap();
        let found: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.file.as_str())).collect();
        assert_eq!(found, [(kind, "test/RPE-02/Plate2/B02_s1_w2.png")]);
    }
    // Of a store that was copied no time is believed: its sources are read, and what they prove is not noted.
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let copy = fixture.path().join("copy");
    copy_folder(&fixture.store(), &copy);
    let times = || {
        let mut times = Vec::new();
        for name in contents(&copy).into_keys() {
            times.push((fs::metadata(copy.join(&name)).unwrap().modified().unwrap(), name));
        }
        times
    };
    let before = times();
    let config = PackConfig { dst: copy.clone(), ..fixture.config() };
    assert_eq!(plan(&config).unwrap().0.plates_done, 4);
    assert_eq!(times(), before);
    assert_eq!(pack(&config, &|_| {}).unwrap().plates_packed, 0);
    assert_ne!(times(), before, "a run notes it");
}

#[test]
fn a_channel_that_is_missing_everywhere_is_pointed_at_in_every_layout_of_rxrx1() {
    for fixture in [Fixture::kaggle(small()), Fixture::rxrx_ai(small())] {
        let report = fixture.pack();
        let note = "sites have 2 channels, those of RxRx1 have 6";
        assert!(report.plan.unusual.iter().any(|text| text.starts_with(note)), "{:?}", report.plan.unusual);
    }
    assert!(Fixture::bare(small()).pack().plan.unusual.is_empty());
}

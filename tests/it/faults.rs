//! Faults of the source: each found, named, refused by `fail` and left out by `skip`.

use std::fs;

use cellshard::fault::FaultKind;
use cellshard::pack::{OnError, PackConfig, pack};
use cellshard::store::{Codec, Store};
use png::{BitDepth, ColorType};

use crate::common::{Fixture, TreeSpec, assert_same, encode_png, site_pixels, small};

/// Plants a fault in the third plate, and expects it to be found, named, refused by `fail` and left out by `skip`.
fn check_fault(kind: FaultKind, file: &str, n_left_out: usize, plant: impl Fn(&Fixture)) {
    let fixture = Fixture::kaggle(small());
    plant(&fixture);
    let report = fixture.pack();
    let faults: Vec<_> = report.faults.iter().map(|fault| (fault.kind, fault.file.as_str())).collect();
    assert_eq!(faults, [(kind, file)], "{kind:?}");
    assert!(!report.finished && report.has_faults(), "{kind:?}");
    assert_eq!(report.plates_packed, 3, "{kind:?}: whole plates are kept");
    assert!(Store::open(&fixture.store()).is_err(), "{kind:?}: a store with a fault is not finished");

    let skipping = PackConfig { on_error: OnError::Skip, ..fixture.config() };
    let report = pack(&skipping, &|_| {}).unwrap();
    assert!(report.finished, "{kind:?}");
    let store = Store::open(&fixture.store()).unwrap();
    assert_eq!(store.sites().len(), 48 - n_left_out, "{kind:?}");
    let rejected = fs::read_to_string(fixture.store().join("rejected.csv")).unwrap();
    assert!(rejected.lines().count() == 2 && rejected.contains(kind.name()), "{kind:?}: {rejected}");
    for row in store.sites() {
        let plate = &row.id.well.plate;
        let (experiment, well) = (plate.experiment.as_str(), row.id.well.well.to_string());
        let found = store.site(experiment, &plate.plate, &well, row.id.site).unwrap();
        assert_eq!(found, site_pixels(&fixture.spec, experiment, &plate.plate, &well, row.id.site), "{kind:?}");
    }
    // What was left out is as if it had never been there, but for what the listing says of its files.
    assert!(pack(&skipping, &|_| {}).unwrap().plates_packed == 0, "{kind:?}: nothing left to do");
}

const VICTIM: &str = "test/RPE-02/Plate1/B03_s2_w1.png";

#[test]
fn each_fault_of_an_image_is_named_refused_and_skipped() {
    let replace = |bytes: Vec<u8>| move |fixture: &Fixture| fs::write(fixture.image(VICTIM), &bytes).unwrap();
    let with = |change: fn(&mut Vec<u8>)| {
        move |fixture: &Fixture| {
            let mut bytes = fs::read(fixture.image(VICTIM)).unwrap();
            change(&mut bytes);
            fs::write(fixture.image(VICTIM), bytes).unwrap();
        }
    };
    let grey = |size: (u32, u32)| {
        encode_png(size, &vec![9; (size.0 * size.1) as usize], ColorType::Grayscale, BitDepth::Eight)
    };
    check_fault(FaultKind::Empty, VICTIM, 1, replace(Vec::new()));
    check_fault(FaultKind::Undecodable, VICTIM, 1, replace(b"not a picture at all".to_vec()));
    check_fault(FaultKind::Truncated, VICTIM, 1, with(|png| png.truncate(png.len() / 2)));
    check_fault(FaultKind::WrongCrc, VICTIM, 1, with(|png| png[50] ^= 4));
    check_fault(FaultKind::WrongSize, VICTIM, 1, replace(grey((10, 12))));
    let sixteen = encode_png((12, 10), &[1; 240], ColorType::Grayscale, BitDepth::Sixteen);
    check_fault(FaultKind::WrongDtype, VICTIM, 1, replace(sixteen));
    check_fault(
        FaultKind::WrongColour,
        VICTIM,
        1,
        replace(encode_png((12, 10), &[1; 360], ColorType::Rgb, BitDepth::Eight)),
    );
    check_fault(FaultKind::MissingChannel, VICTIM, 1, |fixture| {
        fs::remove_file(fixture.image(VICTIM)).unwrap();
    });
    check_fault(FaultKind::Unreadable, VICTIM, 1, |fixture| {
        fs::remove_file(fixture.image(VICTIM)).unwrap();
        std::os::unix::fs::symlink("nowhere", fixture.image(VICTIM)).unwrap();
    });
    check_fault(FaultKind::Unreadable, VICTIM, 1, |fixture| {
        fs::File::create(fixture.image(VICTIM)).unwrap().set_len(1 << 40).unwrap();
    });
    check_fault(FaultKind::Unreadable, VICTIM, 1, |fixture| {
        fs::remove_file(fixture.image(VICTIM)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(fixture.image(VICTIM)).status().unwrap();
        assert!(made.success());
    });
    check_fault(FaultKind::ExtraChannel, "test/RPE-02/Plate1/B03_s2_w3.png", 1, |fixture| {
        fs::copy(fixture.image(VICTIM), fixture.image("test/RPE-02/Plate1/B03_s2_w3.png")).map(drop).unwrap();
    });
}

#[test]
fn a_well_without_images_and_one_with_too_few_sites_are_faults() {
    let remove = |sites: &'static [u16]| {
        move |fixture: &Fixture| {
            for site in sites {
                for channel in [1, 2] {
                    fs::remove_file(fixture.image(&format!("test/RPE-02/Plate1/C07_s{site}_w{channel}.png"))).unwrap();
                }
            }
        }
    };
    check_fault(FaultKind::MissingSite, "", 1, remove(&[2]));
    check_fault(FaultKind::NoImages, "", 2, remove(&[1, 2]));
}

#[test]
fn a_well_that_is_known_to_be_partial_is_no_fault() {
    let spec =
        TreeSpec { experiments: vec![("HUVEC-06", "train")], wells: vec!["B02", "B03", "B04", "B18"], ..small() };
    let fixture = Fixture::kaggle(spec);
    let remove = |well: &str| {
        for channel in [1, 2] {
            fs::remove_file(fixture.image(&format!("train/HUVEC-06/Plate1/{well}_s2_w{channel}.png"))).unwrap();
        }
    };
    remove("B18");
    assert_eq!(fixture.pack().faults, [], "RxRx1's own partial wells are known");
    remove("B03");
    let report = fixture.pack();
    assert!(report.has_faults());
    assert!(Store::open(&fixture.store()).is_ok_and(|store| store.sites().len() == 15), "the store stays as it was");
    let list = fixture.path().join("partial.txt");
    fs::write(&list, "# seen in the microscope\nHUVEC-06_1_B03\n").unwrap();
    let mut config = fixture.config();
    config.source.known_partial = Some(list);
    assert_eq!(pack(&config, &|_| {}).unwrap().kept.len(), 1, "the store has the site, and keeps it");
    config.prune = true;
    assert!(pack(&config, &|_| {}).unwrap().finished);
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 14);
}

#[test]
fn a_plate_that_lost_one_site_of_every_well_is_pointed_at() {
    let fixture = Fixture::kaggle(small());
    for well in &fixture.spec.wells {
        for channel in [1, 2] {
            fs::remove_file(fixture.image(&format!("test/RPE-02/Plate1/{well}_s2_w{channel}.png"))).unwrap();
        }
    }
    let report = fixture.pack();
    assert!(report.finished, "by itself the plate is even");
    let expected = "RPE-02/Plate1: wells have sites 1, on most plates 1, 2";
    assert_eq!(report.plan.unusual.last().map(String::as_str), Some(expected));

    let mut config = PackConfig { dst: fixture.path().join("asked"), ..fixture.config() };
    config.source.sites = Some(2);
    let report = pack(&config, &|_| {}).unwrap();
    assert!(!report.finished);
    let found: Vec<FaultKind> = report.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(found, [FaultKind::MissingSite; 6]);
    config.source.sites = Some(1);
    let report = pack(&config, &|_| {}).unwrap();
    assert!(!report.finished && report.faults.iter().all(|fault| fault.kind == FaultKind::ExtraSite));
    assert_eq!(report.faults.len(), 18, "of three plates");
}

#[test]
fn no_majority_decides_which_sites_a_plate_lost() {
    // Half of the wells, and then nearly all of them: each time the others tell what is gone.
    for n_lost in [3, 5] {
        let fixture = Fixture::kaggle(small());
        for well in &fixture.spec.wells[..n_lost] {
            for channel in [1, 2] {
                fs::remove_file(fixture.image(&format!("test/RPE-02/Plate1/{well}_s2_w{channel}.png"))).unwrap();
            }
        }
        let report = fixture.pack();
        assert!(!report.finished);
        let found: Vec<_> = report.faults.iter().map(|fault| (fault.kind, fault.site)).collect();
        assert_eq!(found, vec![(FaultKind::MissingSite, Some(2)); n_lost]);
    }
}

#[test]
fn images_whose_row_vanished_are_faults_and_left_out_only_where_that_is_asked_for() {
    let fixture = Fixture::kaggle(small());
    let csv = fixture.data().join("train.csv");
    let text = fs::read_to_string(&csv).unwrap();
    fs::write(
        &csv,
        text.lines()
            .filter(|line| !line.starts_with("HEPG2-01_2_B04"))
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
    .unwrap();
    let report = fixture.pack();
    assert!(!report.finished && report.has_faults());
    let skip = PackConfig { on_error: OnError::Skip, ..fixture.config() };
    let report = pack(&skip, &|_| {}).unwrap();
    assert!(report.finished);
    let ids: Vec<_> =
        report.faults.iter().map(|fault| (fault.kind, fault.well.unwrap().to_string(), fault.site)).collect();
    assert_eq!(ids, [(FaultKind::NoRow, "B04".into(), Some(1)), (FaultKind::NoRow, "B04".into(), Some(2))]);
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 46);
    assert_eq!(pack(&skip, &|_| {}).unwrap().plates_packed, 0);
}

#[test]
fn sites_left_out_leave_the_same_array_as_sites_never_there() {
    let broken = Fixture::kaggle(small());
    let absent = Fixture::kaggle(small());
    for well in ["B02_s1", "B04_s2", "AA02_s2"] {
        fs::write(broken.image(&format!("train/HEPG2-01/Plate1/{well}_w2.png")), b"broken").unwrap();
        for channel in [1, 2] {
            fs::remove_file(absent.image(&format!("train/HEPG2-01/Plate1/{well}_w{channel}.png"))).unwrap();
        }
    }
    for fixture in [&broken, &absent] {
        for codec in [Codec::Raw, Codec::Zstd(3)] {
            let dst = fixture.path().join(codec.to_string());
            let config = PackConfig { codec: Some(codec), dst, on_error: OnError::Skip, ..fixture.config() };
            assert!(pack(&config, &|_| {}).unwrap().finished);
        }
    }
    for codec in ["raw", "zstd:3"] {
        let of = |fixture: &Fixture, part: &str| fixture.path().join(codec).join(part);
        assert_same(&of(&broken, "pixels.zarr"), &of(&absent, "pixels.zarr"));
        let metadata = |fixture| fs::read(of(fixture, "metadata.csv")).unwrap();
        assert_eq!(metadata(&broken), metadata(&absent));
    }
}

#[test]
fn a_plate_of_which_nothing_is_whole_has_no_array() {
    let fixture = Fixture::bare(TreeSpec { wells: vec!["B02"], sites: 1, ..small() });
    for channel in [1, 2] {
        fs::write(fixture.image(&format!("RPE-02/Plate2/B02_s1_w{channel}.png")), b"x").unwrap();
    }
    let report = pack(&PackConfig { on_error: OnError::Skip, ..fixture.config() }, &|_| {}).unwrap();
    assert!(report.finished);
    assert!(!fixture.store().join("pixels.zarr/RPE-02/Plate2").exists());
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 3);
}

#[test]
fn csvs_that_contradict_themselves_are_named_with_their_line() {
    let changes: [(&str, &str, &str, &str); 7] = [
        (
            "train.csv",
            "HEPG2-01_1_B03,HEPG2-01,1,B03",
            "HEPG2-01_1_B03,HEPG2-01,1,B05",
            "train.csv:2: expected id_code",
        ),
        ("train.csv", ",B03,7", ",B3,7", "train.csv:2: expected a well"),
        ("train.csv", ",B03,7", ",B03,", "train.csv:2: expected a siRNA"),
        ("train.csv", ",sirna", ",rna", "train.csv:1: expected a column \"sirna\""),
        ("train.csv", "HEPG2-01_1_B04,HEPG2-01,1,B04", "HEPG2-01_1_B03,HEPG2-01,1,B03", "expected each well once"),
        ("train.csv", "HEPG2-01_1_B04,HEPG2-01,1,B04", "HEPG2-01_1_B02,HEPG2-01,1,B02", "in one of the CSVs"),
        ("train_controls.csv", "negative_control", "negative", "expected negative_control, positive_control"),
    ];
    for (file, from, to, message) in changes {
        let fixture = Fixture::kaggle(small());
        let path = fixture.data().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = pack(&fixture.config(), &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(message), "{error}");
    }
}

//! What `pack` promises: every pixel, every layout, every fault named, the same bytes in every way of running it.

mod common;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use cellshard::classes::Classes;
use cellshard::pack::{OnError, PackConfig, pack};
use cellshard::site::{ImageSize, PlateId, Population};
use cellshard::source::Layout;
use cellshard::source::fault::FaultKind;
use cellshard::store::listing::Listing;
use cellshard::store::spec::channels;
use cellshard::store::{Codec, Store, StoreSpec, StoreWriter};
use common::{Fixture, TreeSpec, assert_same, encode_png, label, site_pixels, small};
use png::{BitDepth, ColorType};

fn assert_holds_every_pixel(spec: &TreeSpec, store: &Path) {
    let store = Store::open(store).unwrap();
    let mut n = 0;
    for (experiment, _) in &spec.experiments {
        for plate in 1..=spec.plates {
            for well in &spec.wells {
                for site in 1..=spec.sites {
                    let found = store.site(experiment, plate, well, site).unwrap();
                    assert_eq!(
                        found,
                        site_pixels(spec, experiment, plate, well, site),
                        "{experiment} {plate} {well} {site}"
                    );
                    n += 1;
                }
            }
        }
    }
    assert_eq!(store.sites().len(), n);
}

#[test]
fn every_pixel_arrives_with_every_codec_and_shard_size() {
    let fixture = Fixture::kaggle(small());
    for codec in [Codec::Raw, Codec::Zstd(1), Codec::Zstd(19)] {
        for sites_per_shard in [1, 5, 12, 77] {
            let dst = fixture.path().join(format!("{codec}-{sites_per_shard}"));
            let config = PackConfig {
                codec,
                sites_per_shard: Some(sites_per_shard),
                dst: dst.clone(),
                ..fixture.config()
            };
            assert!(pack(&config, &|_| {}).unwrap().finished);
            assert_holds_every_pixel(&fixture.spec, &dst);
        }
    }
}

#[test]
fn raw_chunks_start_at_pages_and_are_the_tensor() {
    let fixture = Fixture::kaggle(small());
    pack(
        &PackConfig {
            codec: Codec::Raw,
            ..fixture.config()
        },
        &|_| {},
    )
    .unwrap();
    let store = Store::open(&fixture.store()).unwrap();
    for row in store.sites() {
        let plate = &row.id.well.plate;
        let map = store.shard(plate, row.row as usize / 5).unwrap().map().unwrap();
        let chunk = map.chunk(row.row as usize % 5);
        assert_eq!(chunk.as_ptr() as usize % 4096, 0);
        let well = row.id.well.well.to_string();
        assert_eq!(
            chunk,
            site_pixels(
                &fixture.spec,
                plate.experiment.as_str(),
                plate.plate,
                &well,
                row.id.site
            )
        );
    }
}

#[test]
fn labels_of_2019_are_classes_and_test_rows_have_none() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let store = Store::open(&fixture.store()).unwrap();
    for row in store.sites() {
        let (class, kind) = label(&row.id.well.well.to_string());
        assert_eq!(row.label.population.name(), kind);
        let is_test = row.id.well.plate.experiment.as_str() == "RPE-02";
        assert_eq!(row.label.dataset, if is_test { "test" } else { "train" });
        let hidden = is_test && row.label.population == Population::Treatment;
        assert_eq!(row.label.class, (!hidden).then_some(class));
    }
    let wells: Vec<String> = store.sites()[..12]
        .iter()
        .map(|row| row.id.well.well.to_string())
        .collect();
    assert_eq!(
        wells.join(" "),
        "B02 B02 B03 B03 B04 B04 C03 C03 C07 C07 AA02 AA02",
        "Z comes before AA"
    );
}

#[test]
fn labels_of_2023_are_numbered_in_natural_order_unless_a_file_fixes_them() {
    let fixture = Fixture::kaggle(small());
    fixture.write_kaggle_csvs(|class| {
        if class == 1138 {
            "UNTREATED".into()
        } else {
            format!("sirna_{class}")
        }
    });
    fixture.pack();
    let store = Store::open(&fixture.store()).unwrap();
    let classes: Vec<(u32, &str)> = store
        .classes()
        .rows()
        .iter()
        .map(|row| (row.class, row.sirna.as_str()))
        .collect();
    assert_eq!(
        classes,
        [
            (0, "sirna_3"),
            (1, "sirna_7"),
            (2, "sirna_9"),
            (3, "sirna_1109"),
            (4, "sirna_1121"),
            (5, "UNTREATED")
        ]
    );

    let fixed = fixture.path().join("fixed.csv");
    let rows = [
        (513, "sirna_3"),
        (840, "sirna_7"),
        (9, "sirna_9"),
        (1109, "sirna_1109"),
        (1121, "sirna_1121"),
        (1138, "UNTREATED"),
    ];
    let lines: String = rows
        .iter()
        .map(|(class, sirna)| format!("{class},{sirna},treatment\n"))
        .collect();
    fs::write(&fixed, format!("class,sirna,well_type\n{lines}")).unwrap();
    let mut config = PackConfig {
        dst: fixture.path().join("fixed"),
        ..fixture.config()
    };
    config.source.classes = Some(fixed);
    pack(&config, &|_| {}).unwrap();
    let store = Store::open(&config.dst).unwrap();
    let b04 = store
        .sites()
        .iter()
        .find(|row| row.id.to_string() == "HEPG2-01_1_B04_1")
        .unwrap();
    assert_eq!(b04.label.class, Some(513));
}

#[test]
fn the_layouts_recognise_themselves_and_hold_the_same_pixels() {
    for (fixture, layout) in [
        (Fixture::kaggle(small()), Layout::Kaggle),
        (Fixture::rxrx_ai(small()), Layout::RxrxAi),
        (Fixture::bare(small()), Layout::Bare),
    ] {
        let report = fixture.pack();
        assert_eq!((report.plan.layout, report.finished), (layout.name(), true));
        assert_holds_every_pixel(&fixture.spec, &fixture.store());
        let store = Store::open(&fixture.store()).unwrap();
        assert_eq!(store.sites()[2].label.class, (layout != Layout::Bare).then_some(7));
    }
}

#[test]
fn other_channels_and_sizes_come_from_the_data() {
    for (channels, size) in [(1, (7, 9)), (5, (16, 4)), (6, (33, 31))] {
        let fixture = Fixture::bare(TreeSpec {
            channels,
            size,
            ..small()
        });
        let report = fixture.pack();
        assert_eq!((report.plan.channels, report.plan.size), (channels, [size.1, size.0]));
        assert_holds_every_pixel(&fixture.spec, &fixture.store());
    }
}

/// Plants a fault in the third plate, and expects it to be found, named, refused by `fail` and left out by `skip`.
fn check_fault(kind: FaultKind, file: &str, n_left_out: usize, plant: impl Fn(&Fixture)) {
    let fixture = Fixture::kaggle(small());
    plant(&fixture);
    let report = fixture.pack();
    let faults: Vec<_> = report
        .faults
        .iter()
        .map(|fault| (fault.kind, fault.file.as_str()))
        .collect();
    assert_eq!(faults, [(kind, file)], "{kind:?}");
    assert!(!report.finished && report.has_faults(), "{kind:?}");
    assert_eq!(report.plates_packed, 3, "{kind:?}: whole plates are kept");
    assert!(
        Store::open(&fixture.store()).is_err(),
        "{kind:?}: a store with a fault is not finished"
    );

    let skipping = PackConfig {
        on_error: OnError::Skip,
        ..fixture.config()
    };
    let report = pack(&skipping, &|_| {}).unwrap();
    assert!(report.finished, "{kind:?}");
    let store = Store::open(&fixture.store()).unwrap();
    assert_eq!(store.sites().len(), 48 - n_left_out, "{kind:?}");
    let rejected = fs::read_to_string(fixture.store().join("rejected.csv")).unwrap();
    assert!(
        rejected.lines().count() == 2 && rejected.contains(kind.name()),
        "{kind:?}: {rejected}"
    );
    for row in store.sites() {
        let plate = &row.id.well.plate;
        let (experiment, well) = (plate.experiment.as_str(), row.id.well.well.to_string());
        let found = store.site(experiment, plate.plate, &well, row.id.site).unwrap();
        assert_eq!(
            found,
            site_pixels(&fixture.spec, experiment, plate.plate, &well, row.id.site),
            "{kind:?}"
        );
    }
    // What was left out is as if it had never been there, but for what the listing says of its files.
    assert!(
        pack(&skipping, &|_| {}).unwrap().plates_packed == 0,
        "{kind:?}: nothing left to do"
    );
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
        encode_png(
            size,
            &vec![9; (size.0 * size.1) as usize],
            ColorType::Grayscale,
            BitDepth::Eight,
        )
    };
    check_fault(FaultKind::Empty, VICTIM, 1, replace(Vec::new()));
    check_fault(
        FaultKind::Undecodable,
        VICTIM,
        1,
        replace(b"not a picture at all".to_vec()),
    );
    check_fault(FaultKind::Truncated, VICTIM, 1, with(|png| png.truncate(png.len() / 2)));
    check_fault(FaultKind::WrongCrc, VICTIM, 1, with(|png| png[50] ^= 4));
    check_fault(FaultKind::WrongSize, VICTIM, 1, replace(grey((10, 12))));
    let sixteen = encode_png((12, 10), &[1; 240], ColorType::Grayscale, BitDepth::Sixteen);
    check_fault(FaultKind::NotGrey8, VICTIM, 1, replace(sixteen));
    check_fault(
        FaultKind::NotGrey8,
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
        fs::File::create(fixture.image(VICTIM))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
    });
    check_fault(FaultKind::Unreadable, VICTIM, 1, |fixture| {
        fs::remove_file(fixture.image(VICTIM)).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(fixture.image(VICTIM))
            .status()
            .unwrap();
        assert!(made.success());
    });
    check_fault(
        FaultKind::ExtraChannel,
        "test/RPE-02/Plate1/B03_s2_w3.png",
        1,
        |fixture| {
            fs::copy(fixture.image(VICTIM), fixture.image("test/RPE-02/Plate1/B03_s2_w3.png"))
                .map(drop)
                .unwrap();
        },
    );
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
    let spec = TreeSpec {
        experiments: vec![("HUVEC-06", "train")],
        wells: vec!["B02", "B03", "B04", "B18"],
        ..small()
    };
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
    assert!(
        Store::open(&fixture.store()).is_ok_and(|store| store.sites().len() == 15),
        "the store stays as it was"
    );
    let list = fixture.path().join("partial.txt");
    fs::write(&list, "# seen in the microscope\nHUVEC-06_1_B03\n").unwrap();
    let mut config = fixture.config();
    config.source.known_partial = Some(list);
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
    let expected = "RPE-02/Plate1: most wells have sites 1, on most plates 1, 2";
    assert_eq!(report.plan.uneven_plates, [expected]);
}

#[test]
fn images_without_a_row_are_listed_and_left_out() {
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
    assert!(report.finished && !report.has_faults());
    let ids: Vec<_> = report
        .faults
        .iter()
        .map(|fault| (fault.kind, fault.well.to_string(), fault.site))
        .collect();
    assert_eq!(
        ids,
        [
            (FaultKind::NoRow, "B04".into(), Some(1)),
            (FaultKind::NoRow, "B04".into(), Some(2))
        ]
    );
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 46);
    assert_eq!(
        fixture.pack().plates_packed,
        0,
        "a warning does not make a plate unfinished"
    );
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
            let config = PackConfig {
                codec,
                dst,
                on_error: OnError::Skip,
                ..fixture.config()
            };
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
    let fixture = Fixture::bare(TreeSpec {
        wells: vec!["B02"],
        sites: 1,
        ..small()
    });
    for channel in [1, 2] {
        fs::write(fixture.image(&format!("RPE-02/Plate2/B02_s1_w{channel}.png")), b"x").unwrap();
    }
    let report = pack(
        &PackConfig {
            on_error: OnError::Skip,
            ..fixture.config()
        },
        &|_| {},
    )
    .unwrap();
    assert!(report.finished);
    assert!(!fixture.store().join("pixels.zarr/RPE-02/Plate2").exists());
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 3);
}

#[test]
fn threads_and_partitions_do_not_show_in_the_bytes() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    for threads in [1, 8] {
        let dst = fixture.path().join(format!("threads-{threads}"));
        pack(
            &PackConfig {
                threads,
                dst: dst.clone(),
                ..fixture.config()
            },
            &|_| {},
        )
        .unwrap();
        assert_same(&dst, &fixture.store());
    }
    let dst = fixture.path().join("parts");
    let reports: Vec<_> = std::thread::scope(|scope| {
        let part = |text: &str| PackConfig {
            partition: text.parse().unwrap(),
            dst: dst.clone(),
            ..fixture.config()
        };
        let parts = ["1/3", "2/3", "3/3"].map(part);
        let threads = parts.map(|config| scope.spawn(move || pack(&config, &|_| {}).unwrap()));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        reports.iter().any(|report| report.finished),
        "the last one completes the store"
    );
    assert_eq!(reports.iter().map(|report| report.plates_packed).sum::<usize>(), 4);
    assert_same(&dst, &fixture.store());
}

#[test]
fn a_part_that_finishes_early_says_what_is_missing() {
    let fixture = Fixture::kaggle(small());
    let part = |text: &str| PackConfig {
        partition: text.parse().unwrap(),
        ..fixture.config()
    };
    let report = pack(&part("1/2"), &|_| {}).unwrap();
    let waiting: Vec<String> = report.waiting_for.iter().map(ToString::to_string).collect();
    assert_eq!(
        (report.finished, waiting.join(" ")),
        (false, "HEPG2-01/Plate2 RPE-02/Plate2".into())
    );
    assert!(pack(&part("2/2"), &|_| {}).unwrap().finished);
}

#[test]
fn a_rerun_does_nothing_and_new_experiments_are_added() {
    let fixture = Fixture::kaggle(small());
    let mut config = fixture.config();
    config.source.experiments = vec!["HEPG2-01".into()];
    assert_eq!(pack(&config, &|_| {}).unwrap().plates_packed, 2);
    let report = fixture.pack();
    assert_eq!(
        (report.plates_packed, report.plan.plates_done, report.finished),
        (2, 2, true)
    );
    let report = fixture.pack();
    assert_eq!((report.plates_packed, report.plan.plates_done), (0, 4));
    let fresh = fixture.path().join("fresh");
    pack(
        &PackConfig {
            dst: fresh.clone(),
            ..fixture.config()
        },
        &|_| {},
    )
    .unwrap();
    assert_same(&fresh, &fixture.store());
}

#[test]
fn a_plate_is_redone_when_its_sources_labels_or_files_changed() {
    type Change = (&'static str, fn(&Fixture));
    let changes: [Change; 6] = [
        ("an image of another size on disk", |fixture| {
            let pixels: Vec<u8> = (0..120).map(|i| (i * i) as u8).collect();
            common::write_png(&fixture.image(VICTIM), (12, 10), &pixels);
        }),
        ("an image of the same size on disk", |fixture| {
            // The level of one flat image for another: the same number of bytes.
            let flat = |level| encode_png((12, 10), &[level; 120], ColorType::Grayscale, BitDepth::Eight);
            assert_eq!(flat(3).len(), flat(4).len());
            fs::write(fixture.image(VICTIM), flat(3)).unwrap();
            assert_eq!(fixture.pack().plates_packed, 1);
            fs::write(fixture.image(VICTIM), flat(4)).unwrap();
        }),
        ("another label", |fixture| {
            let csv = fixture.data().join("test_controls.csv");
            let text = fs::read_to_string(&csv).unwrap();
            fs::write(&csv, text.replace("1,C07,1121", "1,C07,1109")).unwrap();
        }),
        ("a shard that is gone", |fixture| {
            fs::remove_file(fixture.store().join("pixels.zarr/RPE-02/Plate1/c/1/0/0/0")).unwrap();
        }),
        ("a shard cut short", |fixture| {
            let path = fixture.store().join("pixels.zarr/RPE-02/Plate1/c/1/0/0/0");
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("a listing that is damaged", |fixture| {
            fs::write(fixture.store().join("plates/RPE-02/Plate1/sources.sha256"), "").unwrap();
        }),
    ];
    for (what, change) in changes {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        change(&fixture);
        let report = fixture.pack();
        assert_eq!((report.plates_packed, report.finished), (1, true), "{what}");
        let fresh = fixture.path().join("fresh");
        pack(
            &PackConfig {
                dst: fresh.clone(),
                ..fixture.config()
            },
            &|_| {},
        )
        .unwrap();
        assert_same(&fresh, &fixture.store());
    }
}

#[test]
fn rehash_sees_a_change_that_kept_name_size_and_time() {
    let fixture = Fixture::kaggle(small());
    let flat = |level| encode_png((12, 10), &[level; 120], ColorType::Grayscale, BitDepth::Eight);
    fs::write(fixture.image(VICTIM), flat(3)).unwrap();
    fixture.pack();
    let time = fs::metadata(fixture.image(VICTIM)).unwrap().modified().unwrap();
    fs::write(fixture.image(VICTIM), flat(4)).unwrap();
    fs::File::options()
        .write(true)
        .open(fixture.image(VICTIM))
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert_eq!(fixture.pack().plates_packed, 0);
    assert_eq!(
        pack(
            &PackConfig {
                rehash: true,
                ..fixture.config()
            },
            &|_| {}
        )
        .unwrap()
        .plates_packed,
        1
    );
}

#[test]
fn root_files_that_are_gone_are_made_again() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let whole = common::contents(&fixture.store());
    for name in [
        "metadata.csv",
        "SHA256SUMS",
        "classes.csv",
        "pixels.zarr/statistics/histogram/zarr.json",
        "pixels.zarr/RPE-02/zarr.json",
    ] {
        fs::remove_file(fixture.store().join(name)).unwrap();
        let report = fixture.pack();
        assert!(report.finished && report.plates_packed == 0, "{name}");
        assert!(common::contents(&fixture.store()) == whole, "{name}");
    }
}

#[test]
fn a_destination_with_other_settings_or_other_things_is_refused_and_left_alone() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let whole = common::contents(&fixture.store());
    let refuse = |config: PackConfig, names: &str| {
        let error = pack(&config, &|_| {}).unwrap_err();
        assert!(!error.is_data_fault() && error.to_string().contains(names), "{error}");
        assert!(common::contents(&fixture.store()) == whole);
    };
    refuse(
        PackConfig {
            codec: Codec::Raw,
            ..fixture.config()
        },
        "--codec",
    );
    refuse(
        PackConfig {
            sites_per_shard: Some(6),
            ..fixture.config()
        },
        "--sites-per-shard",
    );
    let other = Fixture::kaggle(TreeSpec {
        size: (12, 11),
        ..small()
    });
    refuse(
        PackConfig {
            source: other.config().source,
            ..fixture.config()
        },
        "shape of a site",
    );
    fs::remove_file(fixture.data().join("train_controls.csv")).unwrap();
    fs::remove_file(fixture.data().join("test_controls.csv")).unwrap();
    refuse(fixture.config(), "classes");
    let error = pack(
        &PackConfig {
            dst: fixture.data(),
            ..other.config()
        },
        &|_| {},
    )
    .unwrap_err();
    assert!(error.to_string().contains("a new or empty folder"), "{error}");
}

#[test]
fn a_refused_source_leaves_no_destination_behind() {
    let fixture = Fixture::kaggle(TreeSpec {
        experiments: vec![("HEPG2-01", "train")],
        plates: 1,
        ..small()
    });
    fs::write(fixture.image("train/HEPG2-01/Plate1/B02_s1_w1.png"), b"").unwrap();
    assert!(fixture.pack().has_faults());
    assert!(!fixture.store().exists());
}

#[test]
fn a_dry_run_knows_what_a_run_would_do_and_writes_nothing() {
    let fixture = Fixture::kaggle(small());
    fs::remove_file(fixture.image(VICTIM)).unwrap();
    let (plan, faults) = cellshard::pack::plan(&PackConfig {
        codec: Codec::Raw,
        ..fixture.config()
    })
    .unwrap();
    assert_eq!(
        (plan.plates_to_pack, plan.sites_to_pack, plan.estimated_bytes),
        (4, 48, 48 * 4096)
    );
    assert_eq!(faults.len(), 1);
    assert!(!fixture.store().exists());
}

#[test]
fn a_store_inside_the_tree_is_not_taken_for_plates() {
    let fixture = Fixture::bare(small());
    let config = PackConfig {
        dst: fixture.data().join("shards"),
        ..fixture.config()
    };
    assert_eq!(pack(&config, &|_| {}).unwrap().plates_packed, 4);
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!(
        (report.plates_packed, report.plan.plates, report.finished),
        (0, 4, true)
    );
}

#[test]
fn a_process_with_other_settings_that_began_at_the_same_time_is_refused() {
    let fixture = Fixture::bare(small());
    let spec = |codec| StoreSpec {
        channels: channels(2),
        size: ImageSize { height: 10, width: 12 },
        codec,
        sites_per_shard: 5,
    };
    let open = |codec| StoreWriter::open(&fixture.store(), spec(codec), Classes::default()).unwrap();
    let (first, second) = (open(Codec::Raw), open(Codec::Zstd(3)));
    let plate: PlateId = "HEPG2-01/Plate1".parse().unwrap();
    let commit = |writer: &StoreWriter| {
        let listing = Listing {
            plate: plate.clone(),
            sites: vec![],
            pixel_stats: vec![],
            histogram: vec![],
            comoments: vec![],
            rejected: vec![],
            sources: vec![],
        };
        let builder = writer.plate_builder(&plate).unwrap();
        writer.commit(&builder, &listing, vec![], SystemTime::now())
    };
    commit(&first).unwrap();
    assert!(commit(&second).unwrap_err().to_string().contains("--codec"));
}

#[test]
fn a_slip_in_a_filter_is_refused() {
    let fixture = Fixture::kaggle(small());
    let mut config = fixture.config();
    config.source.experiments = vec!["HEPG2-1".into()];
    assert!(pack(&config, &|_| {}).unwrap_err().to_string().contains("HEPG2-01"));
    let mut config = fixture.config();
    config.source.plates = vec!["HEPG2-01/Plate3".parse().unwrap()];
    assert!(pack(&config, &|_| {}).is_err());
    let mut config = fixture.config();
    config.source.plates = vec!["HEPG2-01/2".parse().unwrap()];
    assert_eq!(pack(&config, &|_| {}).unwrap().plates_packed, 1);
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
        (
            "train.csv",
            ",sirna",
            ",rna",
            "train.csv:1: expected a column \"sirna\"",
        ),
        (
            "train.csv",
            "HEPG2-01_1_B04,HEPG2-01,1,B04",
            "HEPG2-01_1_B03,HEPG2-01,1,B03",
            "expected each well once",
        ),
        (
            "train.csv",
            "HEPG2-01_1_B04,HEPG2-01,1,B04",
            "HEPG2-01_1_B02,HEPG2-01,1,B02",
            "in one of the CSVs",
        ),
        (
            "train_controls.csv",
            "negative_control",
            "negative",
            "expected negative_control, positive_control",
        ),
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

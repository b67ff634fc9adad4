//! What `pack` promises of whole trees: every pixel, every layout, every label.

use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::site::Population;
use cellshard::source::Layout;
use cellshard::store::{Codec, Store};
use cellshard::wave::Mode;

use crate::common::{Fixture, TreeSpec, label, site_pixels, small};

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
    for codec in [Codec::Raw, Codec::Zstd(1), Codec::Zstd(19), Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
        for sites_per_shard in [1, 5, 12, 77] {
            let dst = fixture.path().join(format!("{codec}-{sites_per_shard}"));
            let config = PackConfig {
                codec: Some(codec),
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
    pack(&PackConfig { codec: Some(Codec::Raw), ..fixture.config() }, &|_| {}).unwrap();
    let store = Store::open(&fixture.store()).unwrap();
    for row in store.sites() {
        let plate = &row.id.well.plate;
        let map = store.shard(plate, row.row as usize / 5).unwrap().map().unwrap();
        let chunk = map.chunk(row.row as usize % 5);
        assert_eq!(chunk.as_ptr() as usize % 4096, 0);
        let well = row.id.well.well.to_string();
        assert_eq!(chunk, site_pixels(&fixture.spec, plate.experiment.as_str(), &plate.plate, &well, row.id.site));
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
    let wells: Vec<String> = store.sites()[..12].iter().map(|row| row.id.well.well.to_string()).collect();
    assert_eq!(wells.join(" "), "B02 B02 B03 B03 B04 B04 C03 C03 C07 C07 AA02 AA02", "Z comes before AA");
}

#[test]
fn labels_of_2023_are_numbered_in_natural_order_unless_a_file_fixes_them() {
    let fixture = Fixture::kaggle(small());
    fixture.write_kaggle_csvs(|class| if class == 1138 { "UNTREATED".into() } else { format!("sirna_{class}") });
    fixture.pack();
    let store = Store::open(&fixture.store()).unwrap();
    let classes: Vec<(u32, &str)> = store.classes().rows().iter().map(|row| (row.class, row.sirna.as_str())).collect();
    assert_eq!(
        classes,
        [(0, "sirna_3"), (1, "sirna_7"), (2, "sirna_9"), (3, "sirna_1109"), (4, "sirna_1121"), (5, "UNTREATED")]
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
    let lines: String = rows.iter().map(|(class, sirna)| format!("{class},{sirna},treatment\n")).collect();
    fs::write(&fixed, format!("class,sirna,well_type\n{lines}")).unwrap();
    let mut config = PackConfig { dst: fixture.path().join("fixed"), ..fixture.config() };
    config.source.classes = Some(fixed);
    pack(&config, &|_| {}).unwrap();
    let store = Store::open(&config.dst).unwrap();
    let b04 = store.sites().iter().find(|row| row.id.to_string() == "HEPG2-01_1_B04_1").unwrap();
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
        let fixture = Fixture::bare(TreeSpec { channels, size, ..small() });
        let report = fixture.pack();
        assert_eq!((report.plan.channels, report.plan.size), (channels, [size.1, size.0]));
        assert_holds_every_pixel(&fixture.spec, &fixture.store());
    }
}

#[test]
fn a_dry_run_knows_what_a_run_would_do_and_writes_nothing() {
    let fixture = Fixture::kaggle(small());
    fs::remove_file(fixture.image("test/RPE-02/Plate1/B03_s2_w1.png")).unwrap();
    let (plan, faults) = cellshard::pack::plan(&PackConfig { codec: Some(Codec::Raw), ..fixture.config() }).unwrap();
    assert_eq!((plan.plates_to_pack, plan.sites_to_pack, plan.estimated_bytes), (4, 48, 48 * 4096));
    assert_eq!(faults.len(), 1);
    assert!(!fixture.store().exists());
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

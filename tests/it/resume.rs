//! Running `pack` again, at once, or into something else: the same bytes, nothing done twice, nothing lost.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use cellshard::classes::Classes;
use cellshard::pack::{OnError, PackConfig, pack};
use cellshard::site::{Dtype, ImageSize, Label, PlateId, SiteId};
use cellshard::store::format::listing::Listing;
use cellshard::store::format::rows::SiteRow;
use cellshard::store::format::spec::channels;
use cellshard::store::{Changes, Codec, Format, MayGo, Store, StoreSpec, StoreWriter};
use png::{BitDepth, ColorType};

use crate::common::{Fixture, TreeSpec, assert_same, contents, encode_png, small, write_png};

const VICTIM: &str = "test/RPE-02/Plate1/B03_s2_w1.png";

#[test]
fn a_rerun_does_nothing_and_new_experiments_are_added() {
    let fixture = Fixture::kaggle(small());
    let mut config = fixture.config();
    config.source.experiments = vec!["HEPG2-01".into()];
    assert_eq!(pack(&config, &|_| {}).unwrap().plates_packed, 2);
    let report = fixture.pack();
    assert_eq!((report.plates_packed, report.plan.plates_done, report.finished), (2, 2, true));
    let report = fixture.pack();
    assert_eq!((report.plates_packed, report.plan.plates_done), (0, 4));
    let fresh = fixture.path().join("fresh");
    pack(&PackConfig { dst: fresh.clone(), ..fixture.config() }, &|_| {}).unwrap();
    assert_same(&fresh, &fixture.store());
}

#[test]
fn a_plate_is_redone_when_its_sources_labels_or_files_changed() {
    type Change = (&'static str, fn(&Fixture));
    let changes: [Change; 6] = [
        ("an image of another size on disk", |fixture| {
            let pixels: Vec<u8> = (0..120).map(|i| (i * i) as u8).collect();
            write_png(&fixture.image(VICTIM), (12, 10), &pixels);
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
        pack(&PackConfig { dst: fresh.clone(), ..fixture.config() }, &|_| {}).unwrap();
        assert_same(&fresh, &fixture.store());
    }
}

#[test]
fn a_change_that_kept_name_size_and_time_is_seen() {
    let fixture = Fixture::kaggle(small());
    let flat = |level| encode_png((12, 10), &[level; 120], ColorType::Grayscale, BitDepth::Eight);
    fs::write(fixture.image(VICTIM), flat(3)).unwrap();
    fixture.pack();
    put_back(&fixture, &flat(4));
    assert_eq!(fixture.pack().plates_packed, 1);
    assert_eq!(fixture.pack().plates_packed, 0);
}

/// Writes the victim and sets its old time, as `rsync -a` and `cp -p` do.
fn put_back(fixture: &Fixture, bytes: &[u8]) {
    let time = fs::metadata(fixture.image(VICTIM)).unwrap().modified().unwrap();
    fs::write(fixture.image(VICTIM), bytes).unwrap();
    fs::File::options().write(true).open(fixture.image(VICTIM)).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_rejected_image_that_was_mended_is_packed() {
    let fixture = Fixture::kaggle(small());
    let good = fs::read(fixture.image(VICTIM)).unwrap();
    let mut bad = good.clone();
    bad[50] ^= 1;
    put_back(&fixture, &bad);
    let skipping = PackConfig { on_error: OnError::Skip, ..fixture.config() };
    assert_eq!(pack(&skipping, &|_| {}).unwrap().sites_packed, 47);
    assert_eq!(pack(&skipping, &|_| {}).unwrap().plates_packed, 0);
    put_back(&fixture, &good);
    assert_eq!(pack(&skipping, &|_| {}).unwrap().plates_packed, 1);
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 48);
    assert!(!fixture.store().join("rejected.csv").exists());
}

#[test]
fn rehash_mends_what_verify_finds_damaged() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let whole = contents(&fixture.store());
    for path in
        ["pixels.zarr/RPE-02/Plate1/c/1/0/0/0", "plates/RPE-02/Plate2/histogram.csv", "metadata.csv", "SHA256SUMS"]
    {
        let mut bytes = whole[path].clone();
        bytes[30] ^= 1;
        fs::write(fixture.store().join(path), bytes).unwrap();
        assert!(pack(&PackConfig { rehash: true, ..fixture.config() }, &|_| {}).unwrap().finished, "{path}");
        assert!(contents(&fixture.store()) == whole, "{path}");
    }
}

#[test]
fn a_store_that_was_finished_stays_finished_when_new_plates_have_faults() {
    let fixture = Fixture::kaggle(small());
    let mut config = fixture.config();
    config.source.experiments = vec!["HEPG2-01".into()];
    pack(&config, &|_| {}).unwrap();
    fs::write(fixture.image(VICTIM), b"broken").unwrap();
    let report = fixture.pack();
    assert_eq!((report.has_faults(), report.finished, report.plates_packed), (true, true, 1));
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 36);
}

#[test]
fn nothing_that_is_not_a_stores_own_is_ever_replaced() {
    let fixture = Fixture::bare(small());
    let count = |root: &Path| contents(root).len();
    // The source stands where a store would have its listings.
    let project = fixture.path().join("project");
    fs::create_dir_all(&project).unwrap();
    fs::rename(fixture.data(), project.join("plates")).unwrap();
    let mut config = PackConfig { dst: project.clone(), ..fixture.config() };
    config.source.root = project.join("plates");
    let n_files = count(&project);
    assert!(pack(&config, &|_| {}).is_err());
    // Another source, and a destination with somebody's plates in it.
    let other = Fixture::bare(small());
    config.source.root = other.data();
    assert!(pack(&config, &|_| {}).unwrap_err().to_string().contains("a new or empty folder"));
    // A store into whose folder somebody put something.
    pack(&PackConfig { dst: fixture.store(), ..config.clone() }, &|_| {}).unwrap();
    fs::write(fixture.store().join("plates/RPE-02/Plate1/notes.txt"), "mine").unwrap();
    fs::write(other.image("RPE-02/Plate1/B03_s2_w1.png"), other_image()).unwrap();
    let error = pack(&PackConfig { dst: fixture.store(), ..config }, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert!(fixture.store().join("plates/RPE-02/Plate1/notes.txt").exists());
    assert_eq!(count(&project), n_files);
}

fn other_image() -> Vec<u8> {
    encode_png((12, 10), &[77; 120], ColorType::Grayscale, BitDepth::Eight)
}

/// What holds for a store of small images.
fn small_spec(codec: Codec) -> StoreSpec {
    let (format, dtype, size) = (Format::LATEST, Dtype::Uint8, ImageSize { height: 10, width: 12 });
    StoreSpec { present_only: false, format, channels: channels(2), size, dtype, codec, sites_per_shard: 5 }
}

#[test]
fn a_living_process_keeps_its_folder_and_notices_if_it_is_gone() {
    let fixture = Fixture::bare(small());
    let open =
        || StoreWriter::open(&fixture.store(), small_spec(Codec::Raw), Classes::default(), Changes::default()).unwrap();
    let first = open();
    let plate: PlateId = "HEPG2-01/Plate1".parse().unwrap();
    let builder = first.plate_builder(&plate).unwrap();
    let mut shard = builder.shard(0).unwrap();
    shard.append(&[7; 240]).unwrap();
    let shard = shard.finish(1).unwrap();
    drop(open());
    let name = shard.entry.path.strip_prefix("pixels.zarr/HEPG2-01/Plate1/").unwrap();
    let temporary = fs::read_dir(fixture.store()).unwrap().map(|entry| entry.unwrap().path());
    let mut built = temporary.map(|dir| dir.join("HEPG2-01/Plate1/array").join(name)).filter(|path| path.exists());
    let built = built.next().expect("the second process left the first one's folder alone");
    fs::remove_file(built).unwrap();
    let row = SiteRow { id: SiteId::new("HEPG2-01", 1, "B02", 1).unwrap(), label: Label::unknown(), row: 0, crc32c: 0 };
    let listing = Listing {
        plate,
        sites: vec![row],
        pixel_stats: vec![],
        histogram: vec![],
        comoments: vec![],
        rejected: vec![],
        sources: vec![],
    };
    let error =
        first.commit(&builder, &listing.to_files(), vec![shard.entry], SystemTime::now(), MayGo::Nothing).unwrap_err();
    assert!(error.to_string().contains("cannot find again"), "{error}");
    drop(first);
    assert!(!fixture.store().exists(), "the last one to go takes the lock with it");
}

#[test]
fn root_files_that_are_gone_are_made_again() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let whole = contents(&fixture.store());
    for name in [
        "metadata.csv",
        "pixels.zarr/zarr.json",
        "SHA256SUMS",
        "classes.csv",
        "pixels.zarr/statistics/histogram/zarr.json",
        "pixels.zarr/RPE-02/zarr.json",
    ] {
        fs::remove_file(fixture.store().join(name)).unwrap();
        let report = fixture.pack();
        assert!(report.finished && report.plates_packed == 0, "{name}");
        assert!(contents(&fixture.store()) == whole, "{name}");
    }
}

#[test]
fn a_destination_with_other_settings_or_other_things_is_refused_and_left_alone() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let whole = contents(&fixture.store());
    let refuse = |config: PackConfig, names: &str| {
        let error = pack(&config, &|_| {}).unwrap_err();
        assert!(!error.is_data_fault() && error.to_string().contains(names), "{error}");
        assert!(contents(&fixture.store()) == whole);
    };
    refuse(PackConfig { codec: Some(Codec::Raw), ..fixture.config() }, "--codec");
    refuse(PackConfig { sites_per_shard: Some(6), ..fixture.config() }, "--sites-per-shard");
    let other = Fixture::kaggle(TreeSpec { size: (12, 11), ..small() });
    refuse(PackConfig { source: other.config().source, ..fixture.config() }, "shape of a site");
    for name in ["train_controls.csv", "test_controls.csv"] {
        fs::write(fixture.data().join(name), "id_code,experiment,plate,well,sirna,well_type\n").unwrap();
    }
    refuse(fixture.config(), "classes");
    let error = pack(&PackConfig { dst: fixture.data(), ..other.config() }, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("a new or empty folder"), "{error}");
}

#[test]
fn a_process_with_other_settings_that_began_at_the_same_time_is_refused() {
    let fixture = Fixture::bare(small());
    let open =
        |codec| StoreWriter::open(&fixture.store(), small_spec(codec), Classes::default(), Changes::default()).unwrap();
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
        writer.commit(&builder, &listing.to_files(), vec![], SystemTime::now(), MayGo::Nothing)
    };
    commit(&first).unwrap();
    assert!(commit(&second).unwrap_err().to_string().contains("--codec"));
}

#[test]
fn a_store_inside_the_tree_is_not_taken_for_plates() {
    let fixture = Fixture::bare(small());
    let config = PackConfig { dst: fixture.data().join("shards"), ..fixture.config() };
    assert_eq!(pack(&config, &|_| {}).unwrap().plates_packed, 4);
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!((report.plates_packed, report.plan.plates, report.finished), (0, 4, true));
}

#[test]
fn threads_and_partitions_do_not_show_in_the_bytes() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    for threads in [1, 8] {
        let dst = fixture.path().join(format!("threads-{threads}"));
        pack(&PackConfig { threads, dst: dst.clone(), ..fixture.config() }, &|_| {}).unwrap();
        assert_same(&dst, &fixture.store());
    }
    let dst = fixture.path().join("parts");
    let reports: Vec<_> = std::thread::scope(|scope| {
        let part = |text: &str| PackConfig { partition: text.parse().unwrap(), dst: dst.clone(), ..fixture.config() };
        let parts = ["1/3", "2/3", "3/3"].map(part);
        let threads = parts.map(|config| scope.spawn(move || pack(&config, &|_| {}).unwrap()));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(reports.iter().any(|report| report.finished), "the last one completes the store");
    assert_eq!(reports.iter().map(|report| report.plates_packed).sum::<usize>(), 4);
    assert_same(&dst, &fixture.store());
}

#[test]
fn a_part_that_finishes_early_says_what_is_missing() {
    let fixture = Fixture::kaggle(small());
    let part = |text: &str| PackConfig { partition: text.parse().unwrap(), ..fixture.config() };
    let report = pack(&part("1/2"), &|_| {}).unwrap();
    let waiting: Vec<String> = report.waiting_for.iter().map(ToString::to_string).collect();
    assert_eq!((report.finished, waiting.join(" ")), (false, "HEPG2-01/Plate2 RPE-02/Plate2".into()));
    assert!(pack(&part("2/2"), &|_| {}).unwrap().finished);
}

#[test]
fn a_refused_source_leaves_no_destination_behind() {
    let fixture = Fixture::kaggle(TreeSpec { experiments: vec![("HEPG2-01", "train")], plates: 1, ..small() });
    fs::write(fixture.image("train/HEPG2-01/Plate1/B02_s1_w1.png"), b"").unwrap();
    assert!(fixture.pack().has_faults());
    assert!(!fixture.store().exists());
}

#[test]
fn a_plate_that_was_lost_is_never_forgotten() {
    let ways: [&[&str]; 4] = [
        &["plates/RPE-02/Plate1", "pixels.zarr/RPE-02/Plate1"],
        &["plates/RPE-02/Plate1"],
        &["plates/RPE-02/Plate1/files.sha256"],
        &["plates/RPE-02/Plate1", "pixels.zarr/RPE-02/Plate1", "SHA256SUMS", "metadata.csv"],
    ];
    for lost in ways {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        let whole = contents(&fixture.store());
        for path in lost {
            let path = fixture.store().join(path);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        let left = contents(&fixture.store());
        // A run that is not about this plate.
        let mut config = fixture.config();
        config.source.experiments = vec!["HEPG2-01".into()];
        let report = pack(&config, &|_| {}).unwrap();
        let waiting: Vec<String> = report.waiting_for.iter().map(ToString::to_string).collect();
        assert_eq!((report.finished, waiting.join(" ").as_str()), (false, "RPE-02/Plate1"), "{lost:?}");
        // One that is, but cannot pack it.
        let good = fs::read(fixture.image(VICTIM)).unwrap();
        fs::write(fixture.image(VICTIM), b"broken").unwrap();
        assert!(!fixture.pack().finished, "{lost:?}");
        assert!(contents(&fixture.store()) == left, "{lost:?}: what tells of the plate stays");
        fs::write(fixture.image(VICTIM), good).unwrap();
        assert!(fixture.pack().finished, "{lost:?}");
        assert!(contents(&fixture.store()) == whole, "{lost:?}");
    }
}

#[test]
fn a_finished_store_stays_finished_when_parts_meet_a_bad_plate() {
    let fixture = Fixture::kaggle(small());
    let mut config = fixture.config();
    config.source.experiments = vec!["HEPG2-01".into()];
    pack(&config, &|_| {}).unwrap();
    fs::write(fixture.image(VICTIM), b"broken").unwrap();
    for _ in 0..2 {
        for part in ["1/2", "2/2"] {
            let report = pack(&PackConfig { partition: part.parse().unwrap(), ..fixture.config() }, &|_| {}).unwrap();
            assert!(report.finished, "{part}");
            assert!(Store::open(&fixture.store()).is_ok(), "{part}");
        }
    }
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 36);
}

#[test]
fn files_that_somebody_put_deep_into_a_store_stay() {
    let fixture = Fixture::bare(small());
    fixture.pack();
    let notes = ["pixels.zarr/RPE-02/Plate1/c/notes.txt", ".cellshard-notes/a"].map(|path| fixture.store().join(path));
    for path in &notes {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "precious").unwrap();
    }
    fs::write(fixture.image("RPE-02/Plate1/B03_s2_w1.png"), other_image()).unwrap();
    let error = pack(&fixture.config(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("c/notes.txt"), "{error}");
    assert!(notes.iter().all(|path| path.exists()));
    assert!(fixture.store().join("SHA256SUMS").exists(), "refused before anything was changed");
    fs::remove_file(&notes[0]).unwrap();
    assert_eq!(fixture.pack().plates_packed, 1);
    assert!(notes[1].exists());
}

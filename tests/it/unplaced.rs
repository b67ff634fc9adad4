//! Every image belongs to a plate, or is named: folders as people write them, and what no plate takes.

use std::fs;

use cellshard::fault::FaultKind;
use cellshard::pack::{OnError, PackConfig, PackReport, pack};
use cellshard::store::Store;

use crate::common::{Fixture, TreeSpec, copy_folder, small};

fn renamed(spec: TreeSpec, from: &str, to: &str) -> (Fixture, PackReport) {
    let fixture = Fixture::bare(spec);
    fs::create_dir_all(fixture.image(to).parent().unwrap()).unwrap();
    fs::rename(fixture.image(from), fixture.image(to)).unwrap();
    let report = fixture.pack();
    (fixture, report)
}

#[test]
fn a_plates_folder_is_read_however_people_write_plate() {
    for name in ["Plate_2", "plate2", "Plate 2", "PLATE-02", "a/b/c/d/e/f/g/RPE-02/Plate2"] {
        let to = if name.contains('/') { name.to_owned() } else { format!("RPE-02/{name}") };
        let (fixture, report) = renamed(small(), "RPE-02/Plate2", &to);
        assert!(report.finished && report.faults.is_empty(), "{name}: {:?}", report.faults);
        assert_eq!(Store::open(&fixture.store()).unwrap().plates().len(), 4, "{name}");
    }
}

#[test]
fn every_image_that_no_plate_takes_is_a_fault_with_its_path() {
    let long = format!("{}/Plate2", "x".repeat(65));
    for to in ["HUVEC 01/Plate2", "RPE-02/Plate2b", "RPE-02/second", &long, "RPE-02/Plate1/more"] {
        let (fixture, report) = renamed(small(), "RPE-02/Plate2", to);
        assert!(!report.finished, "{to}");
        assert_eq!(report.faults.len(), 24, "{to}");
        for fault in &report.faults {
            assert!(fault.kind == FaultKind::NoPlate && fault.file.starts_with(to), "{fault}");
        }
        let skip = PackConfig { on_error: OnError::Skip, ..fixture.config() };
        let report = pack(&skip, &|_| {}).unwrap();
        assert!(report.finished && report.faults.len() == 24, "named again, and left out as asked");
    }
}

#[test]
fn a_folder_whose_name_is_not_utf8_is_named_as_well_as_can_be() {
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::bare(small());
    let name = std::ffi::OsStr::from_bytes(b"RPE\xff02");
    fs::rename(fixture.image("RPE-02"), fixture.data().join(name)).unwrap();
    let report = fixture.pack();
    assert!(!report.finished && report.faults.len() == 48, "{:?}", report.faults.first());
}

#[test]
fn images_of_another_name_or_kind_beside_those_of_a_plate_are_faults() {
    let fixture = Fixture::bare(small());
    let names = ["b02_s3_w1.png", "B02_s1_w1 (copy).png", "B02_s3_w1.tif", "B02_s01_w3.PNG"];
    for name in names {
        fs::write(fixture.image("RPE-02/Plate1").join(name), "").unwrap();
    }
    // What no microscope writes is only told.
    for name in ["Thumbs.db", "._B02_s1_w1.png", "notes.txt"] {
        fs::write(fixture.image("RPE-02/Plate1").join(name), "").unwrap();
    }
    let report = fixture.pack();
    let mut found: Vec<&str> = report.faults.iter().map(|fault| fault.file.rsplit('/').next().unwrap()).collect();
    let mut expected = names;
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(report.plan.other_files.len(), 3);
}

#[test]
fn wells_with_and_without_the_zero_are_wells_and_two_spellings_of_one_are_a_fault() {
    let spec = TreeSpec { wells: vec!["A1", "A9", "A10"], ..small() };
    let fixture = Fixture::bare(spec);
    let report = fixture.pack();
    assert!(report.finished && report.faults.is_empty());
    let store = Store::open(&fixture.store()).unwrap();
    let wells: Vec<String> = store.sites()[..6].iter().map(|row| row.id.well.well.to_string()).collect();
    assert_eq!(wells, ["A01", "A01", "A09", "A09", "A10", "A10"]);
    assert_eq!(fixture.pack().plates_packed, 0, "resumed by the names that the files have");
    for channel in [1, 2] {
        let plate = fixture.image("RPE-02/Plate1");
        fs::copy(plate.join(format!("A1_s2_w{channel}.png")), plate.join(format!("A01_s2_w{channel}.png"))).unwrap();
    }
    let report = fixture.pack();
    let kinds: Vec<FaultKind> = report.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(
        kinds,
        [[FaultKind::NoPlate; 4].as_slice(), &[FaultKind::MissingSite]].concat(),
        "those of the second one"
    );
}

#[test]
fn what_a_slip_has_hidden_is_named_and_other_hidden_folders_are_nobodys() {
    for (from, to, n) in [("test/RPE-02", "test/.RPE-02", 48), ("test/RPE-02/Plate1", "test/RPE-02/.Plate1", 24)] {
        let fixture = Fixture::kaggle(small());
        fs::rename(fixture.image(from), fixture.image(to)).unwrap();
        let report = fixture.pack();
        let hidden = report.faults.iter().filter(|fault| fault.kind == FaultKind::NoPlate);
        assert_eq!(hidden.filter(|fault| fault.file.starts_with(to)).count(), n, "{to}");
    }
    let fixture = Fixture::bare(small());
    fs::create_dir(fixture.image(".batch")).unwrap();
    fs::rename(fixture.image("RPE-02"), fixture.image(".batch/RPE-02")).unwrap();
    assert_eq!(fixture.pack().faults.len(), 48);
    copy_folder(&fixture.image(".batch/RPE-02"), &fixture.image("RPE-02"));
    assert!(fixture.pack().finished, "a hidden copy of what is there");
    // In a plate's own folder, a copy is nobody's, and what was moved is lost.
    let fixture = Fixture::bare(small());
    let hidden = fixture.image("RPE-02/Plate1/.more");
    fs::create_dir(&hidden).unwrap();
    for name in ["B02_s1_w1.png", "B02_s1_w2.png"] {
        fs::copy(fixture.image("RPE-02/Plate1").join(name), hidden.join(name)).unwrap();
    }
    assert_eq!(fixture.pack().faults, []);
    for name in ["B02_s1_w1.png", "B02_s1_w2.png", "B02_s2_w1.png", "B02_s2_w2.png"] {
        fs::rename(fixture.image("RPE-02/Plate1").join(name), hidden.join(name)).unwrap();
    }
    let faults = fixture.pack().faults;
    assert_eq!(faults.iter().filter(|fault| fault.kind == FaultKind::NoPlate).count(), 4, "{faults:?}");
    let fixture = Fixture::bare(small());
    copy_folder(&fixture.image("RPE-02"), &fixture.image(".RPE-03"));
    assert!(fixture.pack().faults.iter().all(|fault| fault.file.starts_with(".RPE-03/")));
    let fixture = Fixture::kaggle(small());
    copy_folder(&fixture.image("test"), &fixture.image(".snapshot/of-yesterday/test"));
    fs::write(fixture.image("test/RPE-02/Plate1/._B03_s1_w1.png"), "of another system").unwrap();
    assert!(fixture.pack().finished);
}

#[test]
fn a_stray_image_of_another_plate_is_no_reason_to_refuse_the_one_that_is_asked_for() {
    let fixture = Fixture::kaggle(small());
    fs::write(fixture.image("test/RPE-02/Plate2/overview.png"), "").unwrap();
    let mut config = fixture.config();
    config.source.plates = vec!["RPE-02/Plate1".parse().unwrap()];
    assert!(pack(&config, &|_| {}).unwrap().finished);
    config.source.plates = vec!["RPE-02/Plate2".parse().unwrap()];
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!(report.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::NoPlate]);
}

#[test]
fn experiments_beside_the_folders_of_a_layout_are_faults_and_other_pictures_are_nobodys() {
    for fixture in [Fixture::kaggle(small()), Fixture::rxrx_ai(small())] {
        let other = Fixture::bare(small());
        copy_folder(&other.image("RPE-02"), &fixture.image("HUVEC-77"));
        copy_folder(&other.image("RPE-02/Plate1"), &fixture.image("more/RPE-78/Plate1"));
        fs::write(fixture.image("overview.png"), "").unwrap();
        let report = fixture.pack();
        assert!(!report.finished);
        assert_eq!(report.faults.len(), 48 + 24);
        assert!(report.faults.iter().all(|fault| fault.kind == FaultKind::NoPlate));
        // No list of the store has them, so that the exit code tells.
        let mut skip = crate::common::tool("pack");
        skip.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.store());
        skip.args(["--on-error", "skip", "--sites-per-shard", "5"]);
        assert_eq!(skip.output().unwrap().status.code(), Some(1));
    }
}

#[test]
fn a_folder_that_a_link_puts_in_its_place_is_no_other_beside_it() {
    let link = |fixture: &Fixture, from: &str, to: &str| {
        fs::create_dir_all(fixture.image(to).parent().unwrap()).unwrap();
        fs::rename(fixture.image(from), fixture.image(to)).unwrap();
        std::os::unix::fs::symlink(fixture.image(to), fixture.image(from)).unwrap();
    };
    for (from, to) in [
        ("train", "real"),
        ("train", "store/train"),
        ("train/HEPG2-01", "pool/HEPG2-01"),
        ("test/RPE-02/Plate1", "pool/RPE-02/Plate1"),
        ("test/RPE-02/Plate1/B03_s1_w1.png", "pool/B03_s1_w1.png"),
    ] {
        let fixture = Fixture::kaggle(small());
        link(&fixture, from, to);
        let report = fixture.pack();
        assert_eq!((report.faults, report.finished), (vec![], true), "{from}");
    }
}

#[test]
fn what_cannot_be_looked_at_beside_the_folders_of_a_layout_is_noted_and_no_reason_to_refuse() {
    let fixture = Fixture::kaggle(small());
    std::os::unix::fs::symlink(".", fixture.image("self")).unwrap();
    let report = fixture.pack();
    assert!(report.finished);
    assert!(report.plan.unusual.iter().any(|note| note.starts_with("self cannot be looked at: ")));
    // In a tree that may have plates anywhere, nobody knows what is in it.
    let bare = Fixture::bare(small());
    std::os::unix::fs::symlink(".", bare.image("self")).unwrap();
    assert!(pack(&bare.config(), &|_| {}).unwrap_err().to_string().contains("self"));
}

#[test]
fn plates_in_a_folder_that_is_also_a_store_are_seen() {
    let fixture = Fixture::bare(small());
    let store = Fixture::bare(TreeSpec { experiments: vec![("U2OS-03", "")], ..small() });
    let inner = fixture.image("inner");
    pack(&PackConfig { dst: inner.clone(), ..store.config() }, &|_| {}).unwrap();
    assert_eq!(pack(&fixture.config(), &|_| {}).unwrap().plan.plates, 4, "a store is no tree of plates");
    copy_folder(&store.image("U2OS-03"), &inner.join("U2OS-03"));
    assert_eq!(fixture.pack().plan.plates, 6);
}

//! What a store holds whole stays: no run of `pack` replaces it by less, unless it is told to prune.

use std::fs;
use std::path::Path;

use cellshard::pack::{OnError, PackConfig, PackReport, pack, plan};
use cellshard::store::{Codec, Store};

use crate::common::{Fixture, TreeSpec, assert_same, contents, copy_folder, small, stdout, tool};

const VICTIM: &str = "test/RPE-02/Plate1/B03_s2_w1.png";

/// Ways in which a source loses what it had, and how many sites of one plate that is. Each alone is no error to `skip`.
/// The first ones leave something in its place.
const N_DAMAGED: usize = 2;
type Loss = (&'static str, usize, fn(&Fixture));
const LOSSES: [Loss; 6] = [
    ("an image that became empty", 1, |fixture| fs::write(fixture.image(VICTIM), "").unwrap()),
    ("an image that is damaged", 1, |fixture| {
        let mut bytes = fs::read(fixture.image(VICTIM)).unwrap();
        bytes[60] ^= 1;
        fs::write(fixture.image(VICTIM), bytes).unwrap();
    }),
    ("an image that is gone", 1, |fixture| fs::remove_file(fixture.image(VICTIM)).unwrap()),
    ("all images of a plate", 12, |fixture| fs::remove_dir_all(fixture.image("test/RPE-02/Plate1")).unwrap()),
    ("a plate's folder of another name", 12, |fixture| {
        let folder = fixture.image("test/RPE-02/Plate1");
        fs::rename(&folder, folder.with_file_name("spare")).unwrap();
    }),
    ("rows of a CSV", 2, |fixture| {
        let csv = fixture.data().join("test.csv");
        let text = fs::read_to_string(&csv).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains("RPE-02_1_B03")).collect();
        assert!(kept.len() < text.lines().count());
        fs::write(&csv, kept.join("\n") + "\n").unwrap();
    }),
];

fn kept(report: &PackReport) -> Vec<(String, usize)> {
    report.kept.iter().map(|held| (held.plate.to_string(), held.sites.len())).collect()
}

#[test]
fn what_a_source_lost_stays_in_the_store_and_is_named() {
    for (what, n_sites, lose) in LOSSES {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        let whole = contents(&fixture.store());
        lose(&fixture);
        for rehash in [false, true] {
            let skipping = PackConfig { on_error: OnError::Skip, rehash, ..fixture.config() };
            let report = pack(&skipping, &|_| {}).unwrap();
            assert_eq!(kept(&report), [("RPE-02/Plate1".to_owned(), n_sites)], "{what}");
            assert!(report.finished && contents(&fixture.store()) == whole, "{what}");
        }
        // Also where every fault is one that stops it.
        let report = fixture.pack();
        assert!(report.has_faults() || !report.kept.is_empty(), "{what}");
        assert!(report.finished && contents(&fixture.store()) == whole, "{what}");
    }
}

#[test]
fn only_prune_removes_and_the_store_is_that_of_the_source_then() {
    for (what, n_sites, lose) in LOSSES.into_iter().skip(N_DAMAGED) {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        lose(&fixture);
        let pruning = PackConfig { on_error: OnError::Skip, prune: true, ..fixture.config() };
        let report = pack(&pruning, &|_| {}).unwrap();
        let removed: Vec<usize> = report.removed.iter().map(|held| held.sites.len()).collect();
        assert_eq!((removed, report.kept.len(), report.finished), (vec![n_sites], 0, true), "{what}");
        let fresh = fixture.path().join("fresh");
        pack(&PackConfig { dst: fresh.clone(), ..pruning.clone() }, &|_| {}).unwrap();
        assert_same(&fresh, &fixture.store());
        assert!(pack(&pruning, &|_| {}).unwrap().removed.is_empty(), "{what}");
    }
}

#[test]
fn what_is_only_damaged_is_not_pruned_until_it_is_gone() {
    for (what, n_sites, damage) in LOSSES.into_iter().take(N_DAMAGED) {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        let whole = contents(&fixture.store());
        damage(&fixture);
        let mut command = tool("pack");
        command.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.store());
        command.args(["--sites-per-shard", "5", "--on-error", "skip", "--prune"]);
        let output = command.output().unwrap();
        let text = stdout(&output);
        assert!(output.status.code() == Some(1) && text.contains("send the damaged images again"), "{what}: {text}");
        // Nor beside one of the same plate that is gone.
        fs::remove_file(fixture.image("test/RPE-02/Plate1/B04_s1_w1.png")).unwrap();
        assert_eq!(command.output().unwrap().status.code(), Some(1), "{what}");
        assert!(contents(&fixture.store()) == whole, "{what}");
        fs::remove_file(fixture.image(VICTIM)).unwrap();
        let output = command.output().unwrap();
        assert!(output.status.success() && stdout(&output).contains("removed "), "{what}: {}", stdout(&output));
        assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 48 - n_sites - 1);
    }
}

#[test]
fn the_program_names_what_it_keeps_and_says_first_what_prune_would_remove() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let whole = contents(&fixture.store());
    fs::remove_dir_all(fixture.image("test/RPE-02/Plate1")).unwrap();
    let run = |flags: &[&str]| {
        let mut pack = tool("pack");
        pack.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.store());
        pack.args(["--sites-per-shard", "5", "--threads", "2", "--on-error", "skip"]).args(flags).output().unwrap()
    };
    let line = "RPE-02/Plate1: it would lose 12 sites (no-images): ";
    for flags in [&["--dry-run"][..], &[]] {
        let output = run(flags);
        let text = stdout(&output);
        assert!(output.status.code() == Some(1) && text.contains(line) && text.contains("--prune"), "{text}");
    }
    let json: serde_json::Value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
    let kept = &json["kept"]["listed"][0];
    assert_eq!((kept["plate"].as_str(), kept["sites"]["n"].as_u64()), (Some("RPE-02/Plate1"), Some(12)));
    assert_eq!(kept["reason"], "no-images");
    let dry = run(&["--prune", "--dry-run"]);
    let text = stdout(&dry);
    assert!(dry.status.success() && text.contains("to remove  RPE-02/Plate1: "), "{text}");
    assert!(contents(&fixture.store()) == whole);
    let output = run(&["--prune"]);
    let text = stdout(&output);
    assert!(output.status.success() && text.contains("removed    RPE-02/Plate1: "), "{text}");
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 36);
}

#[test]
fn a_dry_run_names_what_is_kept_for_names_alone() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    fs::remove_file(fixture.image(VICTIM)).unwrap();
    let (found, _) = plan(&PackConfig { on_error: OnError::Skip, ..fixture.config() }).unwrap();
    assert_eq!(found.held.iter().map(|held| held.sites.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_part_of_a_run_keeps_what_its_source_lost() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let whole = contents(&fixture.store());
    fs::write(fixture.image(VICTIM), "").unwrap();
    for part in ["1/2", "2/2"] {
        let partition = part.parse().unwrap();
        let report = pack(&PackConfig { partition, on_error: OnError::Skip, ..fixture.config() }, &|_| {}).unwrap();
        assert_eq!(report.kept.len(), usize::from(part == "1/2"));
        assert!(report.finished && contents(&fixture.store()) == whole, "{part}");
    }
}

/// Packs with `skip` after an image was lost: a store of one site less.
fn poorer(fixture: &Fixture) -> std::path::PathBuf {
    fs::remove_file(fixture.image(VICTIM)).unwrap();
    let dst = fixture.path().join("poorer");
    pack(&PackConfig { dst: dst.clone(), on_error: OnError::Skip, ..fixture.config() }, &|_| {}).unwrap();
    dst
}

#[test]
fn a_poorer_store_does_not_take_the_place_of_a_richer_one() {
    let fixture = Fixture::kaggle(small());
    let rich = PackConfig { codec: Some(Codec::Raw), ..fixture.config() };
    pack(&rich, &|_| {}).unwrap();
    let whole = contents(&fixture.store());
    let mut transcoding = rich.clone();
    transcoding.source.root = poorer(&fixture);
    let report = pack(&transcoding, &|_| {}).unwrap();
    assert_eq!((kept(&report), report.finished), (vec![("RPE-02/Plate1".to_owned(), 1)], true));
    assert!(contents(&fixture.store()) == whole);
    assert_eq!(plan(&transcoding).unwrap().0.held.len(), 1);
    let report = pack(&PackConfig { prune: true, ..transcoding }, &|_| {}).unwrap();
    assert_eq!((report.removed.len(), report.kept.len(), report.finished), (1, 0, true));
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 47);
}

#[test]
fn a_site_that_is_damaged_in_the_store_too_keeps_nothing() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    // The shard that holds the victim, and no other site that the source lost.
    let shard = fixture.store().join("pixels.zarr/RPE-02/Plate1/c/0/0/0/0");
    let mut bytes = fs::read(&shard).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(0);
    bytes[half..].fill(0);
    fs::write(&shard, bytes).unwrap();
    fs::write(fixture.image(VICTIM), "").unwrap();
    let report = pack(&PackConfig { on_error: OnError::Skip, ..fixture.config() }, &|_| {}).unwrap();
    assert_eq!((report.kept.len(), report.plates_packed, report.finished), (0, 1, true));
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 47);
}

#[test]
fn a_plate_whose_listing_is_damaged_is_known_by_the_whole_stores_rows() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let listing = fixture.store().join("plates/RPE-02/Plate1/sites.csv");
    fs::write(&listing, "damaged").unwrap();
    fs::remove_dir_all(fixture.image("test/RPE-02/Plate1")).unwrap();
    let shard = fs::read(fixture.store().join("pixels.zarr/RPE-02/Plate1/c/0/0/0/0")).unwrap();
    let report = pack(&PackConfig { on_error: OnError::Skip, ..fixture.config() }, &|_| {}).unwrap();
    assert_eq!((kept(&report), report.finished), (vec![("RPE-02/Plate1".to_owned(), 12)], false));
    assert!(fs::read(fixture.store().join("pixels.zarr/RPE-02/Plate1/c/0/0/0/0")).unwrap() == shard);
}

#[test]
fn a_run_that_does_not_finish_the_store_ends_with_exit_code_1_unless_other_parts_have_to() {
    let fixture = Fixture::kaggle(small());
    let run = |dst: &Path, flags: &[&str]| {
        let mut pack = tool("pack");
        pack.arg("--src").arg(fixture.data()).arg("--dst").arg(dst).args(["--threads", "2"]).args(flags);
        pack.output().unwrap().status.code()
    };
    let store = fixture.store();
    assert_eq!(run(&store, &["--partition", "1/2"]), Some(0), "the other part has the rest to do");
    assert_eq!(run(&store, &["--partition", "2/2"]), Some(0));
    // A plate that the store had is lost, and no part of this run has it.
    fs::remove_dir_all(store.join("plates/RPE-02/Plate1")).unwrap();
    let others = ["--experiments", "HEPG2-01"];
    assert_eq!(run(&store, &others), Some(1));
    assert_eq!(run(&store, &["--experiments", "HEPG2-01", "--partition", "1/2"]), Some(1));
    assert_eq!(run(&store, &[]), Some(0));
}

#[test]
fn a_plate_of_another_kind_of_store_keeps_this_one_from_being_finished() {
    let fixture = Fixture::kaggle(small());
    let mut config = fixture.config();
    config.source.experiments = vec!["HEPG2-01".into()];
    pack(&config, &|_| {}).unwrap();
    let other = Fixture::kaggle(TreeSpec { experiments: vec![("U2OS-09", "train")], size: (11, 9), ..small() });
    other.pack();
    for part in ["plates", "pixels.zarr"] {
        copy_folder(&other.store().join(part).join("U2OS-09"), &fixture.store().join(part).join("U2OS-09"));
    }
    let before = contents(&fixture.store());
    let error = pack(&fixture.config(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("U2OS-09/Plate1/zarr.json"), "{error}");
    assert!(contents(&fixture.store()) == before, "it is told before anything is changed");
    for part in ["plates", "pixels.zarr"] {
        fs::remove_dir_all(fixture.store().join(part).join("U2OS-09")).unwrap();
    }
    assert!(fixture.pack().finished);
}

#[test]
fn a_store_that_no_reader_can_open_is_not_finished() {
    let fixture = Fixture::kaggle(small());
    let mut config = fixture.config();
    config.source.experiments = vec!["HEPG2-01".into()];
    pack(&config, &|_| {}).unwrap();
    // A plate of the same kind whose class this store does not have.
    let other = Fixture::kaggle(TreeSpec { experiments: vec![("U2OS-09", "train")], plates: 1, ..small() });
    let csv = other.data().join("train.csv");
    fs::write(&csv, fs::read_to_string(&csv).unwrap().replace(",9\n", ",99\n")).unwrap();
    other.pack();
    for part in ["plates", "pixels.zarr"] {
        copy_folder(&other.store().join(part).join("U2OS-09"), &fixture.store().join(part).join("U2OS-09"));
    }
    let before = contents(&fixture.store());
    let error = pack(&fixture.config(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("U2OS-09/Plate1/sites.csv:12"), "{error}");
    assert!(contents(&fixture.store()) == before, "it is told before anything is changed");
}

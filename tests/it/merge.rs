//! Finishing a store: what is called finished can be opened, and has no plate that is another store's.

use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::store::Store;

use crate::common::{Fixture, TreeSpec, assert_same, contents, copy_folder, small, stderr, tool};

/// A tree whose one plate is of an experiment that no other tree has.
fn elsewhere(spec: TreeSpec) -> Fixture {
    Fixture::kaggle(TreeSpec { experiments: vec![("U2OS-09", "train")], plates: 1, ..spec })
}

/// Copies a plate with its listing from one store into another, as people do.
fn copy_plate(from: &Path, to: &Path) {
    for folder in ["pixels.zarr/U2OS-09", "plates/U2OS-09"] {
        copy_folder(&from.join(folder), &to.join(folder));
    }
}

/// Packs the tree, and says how that ends: exit code and what is told.
fn pack_program(fixture: &Fixture) -> (Option<i32>, String) {
    let mut program = tool("pack");
    program.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.store()).args(["--sites-per-shard", "5"]);
    let output = program.output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn a_plate_of_another_store_is_refused_by_name_and_nothing_is_changed() {
    let [channels, size, per_shard, classes] = [0, 1, 2, 3].map(|i| {
        let mut spec = small();
        match i {
            0 => spec.channels = 3,
            1 => spec.size = (10, 12),
            _ => {}
        }
        elsewhere(spec)
    });
    // The same numbers, another meaning.
    classes.write_kaggle_csvs(|class| format!("s{}", class ^ 1));
    for (foreign, what) in [
        (
            channels,
            "pixels.zarr/U2OS-09/Plate1/zarr.json: expected an array of 12 x 2 x 10 x 12, zstd:3, 5 sites a shard",
        ),
        (size, "found an array of 12 x 2 x 12 x 10"),
        (per_shard, "found an array of 12 x 2 x 10 x 12, zstd:3, 4 sites a shard"),
        (classes, "plates/U2OS-09/Plate1/sites.csv:2: expected no class for \"s1139\""),
    ] {
        let mut config = foreign.config();
        config.sites_per_shard =
            config.sites_per_shard.map(|n| if what.contains("4 sites a shard") { n - 1 } else { n });
        pack(&config, &|_| {}).unwrap();
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        copy_plate(&foreign.store(), &fixture.store());
        // One plate is to be packed again, which would take the list of all away.
        fs::write(fixture.image("train/HEPG2-01/Plate1/B02_s1_w1.png"), "no image any more").unwrap();
        fs::copy(
            fixture.image("train/HEPG2-01/Plate1/B02_s1_w2.png"),
            fixture.image("train/HEPG2-01/Plate1/B02_s1_w1.png"),
        )
        .unwrap();
        let before = contents(&fixture.store());
        let (code, told) = pack_program(&fixture);
        assert!(code == Some(1) && told.contains(what), "{what}: {code:?} {told}");
        assert!(contents(&fixture.store()) == before, "{what}: the store is as it was");
        // Without work to do, and without a list of all, it is not finished either.
        for path in ["SHA256SUMS", "metadata.csv"] {
            fs::remove_file(fixture.store().join(path)).unwrap();
            let before = contents(&fixture.store());
            let (code, told) = pack_program(&fixture);
            assert!(code == Some(1) && told.contains(what), "{what}: {code:?} {told}");
            assert!(contents(&fixture.store()) == before, "{what}: without {path}");
        }
    }
}

#[test]
fn a_plate_of_the_same_kind_that_was_copied_in_joins_the_store() {
    let (fixture, other) = (Fixture::kaggle(small()), elsewhere(small()));
    fixture.pack();
    let classes = Some(fixture.store().join("classes.csv"));
    let config = other.config();
    let source = cellshard::source::SourceConfig { classes, ..config.source.clone() };
    pack(&PackConfig { source, ..config }, &|_| {}).unwrap();
    copy_plate(&other.store(), &fixture.store());
    assert!(fixture.pack().finished);
    let store = Store::open(&fixture.store()).unwrap();
    assert_eq!((store.plates().len(), store.sites().len()), (5, 60));
    assert!(tool("verify").arg(fixture.store()).status().unwrap().success());
}

#[test]
fn chunks_of_statistics_past_the_last_plate_and_an_old_list_of_rejections_are_removed() {
    let [fixture, expected] = [Fixture::kaggle(small()), Fixture::kaggle(small())];
    fixture.pack();
    expected.pack();
    let statistics = fixture.store().join("pixels.zarr/statistics");
    for stale in ["histogram/c/4/0/0/0", "comoments/c/17/0/0/0"] {
        fs::create_dir_all(statistics.join(stale).parent().unwrap()).unwrap();
        fs::write(statistics.join(stale), "counts of a plate that is no more").unwrap();
    }
    fs::write(fixture.store().join("rejected.csv"), "of earlier").unwrap();
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    assert!(fixture.pack().finished);
    assert_same(&fixture.store(), &expected.store());
    assert!(!statistics.join("comoments/c/17").exists());
}

#[test]
fn a_table_that_cannot_be_read_is_made_again_though_its_size_is_right() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let before = contents(&fixture.store());
    let path = fixture.store().join("metadata.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen(",1,", ",x,", 1)).unwrap();
    assert!(Store::open(&fixture.store()).is_err());
    assert!(fixture.pack().finished);
    assert!(contents(&fixture.store()) == before);
}

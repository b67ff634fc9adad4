//! The files of a store's root that hold for all of it: lost or damaged, they come back as they were, and what is damaged
//! is never what a source is held to.

use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::store::Codec;

use crate::common::{Fixture, TreeSpec, contents, small, stdout, tool};

#[test]
fn a_flipped_digit_of_the_classes_is_damage_and_never_what_a_store_is_held_to() {
    for (path, from, to) in [("classes.csv", "1109,1109", "1108,1109"), ("pixels.zarr/zarr.json", "\"w1\"", "\"w3\"")] {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        let file = fixture.store().join(path);
        let good = fs::read_to_string(&file).unwrap();
        assert!(good.contains(from));
        let bad = good.replacen(from, to, 1);
        fs::write(&file, &bad).unwrap();
        let check = |config: &PackConfig, advice: &str| {
            let error = pack(config, &|_| {}).unwrap_err();
            assert!(error.is_data_fault() && error.to_string().contains(advice), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), bad, "the damage is not made more of");
        };
        check(&fixture.config(), "--rehash writes it anew");
        // What earlier advice made of it: the damaged file as the law.
        let mut held = PackConfig { rehash: true, ..fixture.config() };
        held.source.classes = Some(fixture.store().join("classes.csv"));
        if path == "classes.csv" {
            check(&held, "--add-classes --rehash writes it anew");
            check(&PackConfig { add_classes: true, ..fixture.config() }, "--rehash writes it anew");
        }
        let report = pack(&PackConfig { rehash: true, ..fixture.config() }, &|_| {}).unwrap();
        assert!(report.finished);
        assert_eq!(fs::read_to_string(&file).unwrap(), good);
    }
}

#[test]
fn a_lost_file_of_the_root_comes_back_as_it_was_or_not_at_all() {
    for (path, advice) in [("classes.csv", "--add-classes --rehash"), ("pixels.zarr/zarr.json", "send it again")] {
        let fixture = Fixture::kaggle(small());
        fixture.write_kaggle_csvs(|class| format!("sirna_{class}"));
        fixture.pack();
        let good = fs::read(fixture.store().join(path)).unwrap();
        fs::remove_file(fixture.store().join(path)).unwrap();
        let others = Fixture::kaggle(small());
        others.write_kaggle_csvs(|class| if class == 3 { "sirna_1".into() } else { format!("sirna_{class}") });
        let codec = Codec::Raw;
        let config = PackConfig { dst: fixture.store(), ..others.config() };
        let config = if path == "classes.csv" { config } else { PackConfig { codec: Some(codec), ..config } };
        let error = pack(&config, &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(advice), "{error}");
        assert!(!fixture.store().join(path).exists());
        assert!(fixture.pack().finished);
        assert_eq!(fs::read(fixture.store().join(path)).unwrap(), good);
    }
}

#[test]
fn classes_that_are_not_those_of_the_sites_are_not_added_to() {
    let fixture = Fixture::kaggle(small());
    fixture.write_kaggle_csvs(|class| format!("sirna_{class}"));
    fixture.pack();
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    let path = fixture.store().join("classes.csv");
    let bad = fs::read_to_string(&path).unwrap().replacen("sirna_7", "sirna_8", 1);
    fs::write(&path, &bad).unwrap();
    let config = PackConfig { add_classes: true, ..fixture.config() };
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("sites.csv:4: expected no class for \"sirna_7\", as classes.csv has it"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), bad);
}

/// A store of names that grew, so that its numbers are not those that its tree implies.
fn grown() -> Fixture {
    let fixture =
        Fixture::kaggle(TreeSpec { experiments: vec![("HEPG2-01", "train"), ("HEPG2-02", "train")], ..small() });
    fixture.write_kaggle_csvs(|class| format!("sirna_{class}"));
    let csvs = ["train.csv", "train_controls.csv"].map(|name| (name, fs::read_to_string(fixture.image(name)).unwrap()));
    let first = Fixture::kaggle(TreeSpec { experiments: vec![("HEPG2-01", "train")], ..small() });
    first.write_kaggle_csvs(|class| if class == 3 { "sirna_8".into() } else { format!("sirna_{class}") });
    pack(&PackConfig { dst: fixture.store(), ..first.config() }, &|_| {}).unwrap();
    let changed = csvs[0].1.replace("HEPG2-01,1,B04,sirna_3", "HEPG2-01,1,B04,sirna_8");
    fs::write(fixture.image("train.csv"), changed.replace("HEPG2-01,2,B04,sirna_3", "HEPG2-01,2,B04,sirna_8")).unwrap();
    let report = pack(&PackConfig { add_classes: true, ..fixture.config() }, &|_| {}).unwrap();
    assert!(report.finished);
    fixture
}

fn rehash(fixture: &Fixture) -> PackConfig {
    PackConfig { rehash: true, ..fixture.config() }
}

#[test]
fn lost_classes_of_a_store_that_grew_come_back_from_its_sites() {
    for is_finished in [true, false] {
        let fixture = grown();
        let before = contents(&fixture.store());
        let path = fixture.store().join("classes.csv");
        let own = fs::read_to_string(&path).unwrap();
        assert!(pack(&fixture.config(), &|_| {}).is_err(), "its tree implies others");
        if !is_finished {
            fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
        }
        fs::remove_file(&path).unwrap();
        let error = pack(&fixture.config(), &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains("packing a tree, --add-classes"), "{error}");
        assert!(!path.exists());
        let report = pack(&PackConfig { add_classes: true, ..rehash(&fixture) }, &|_| {}).unwrap();
        assert!(report.finished && fs::read_to_string(&path).unwrap() == own);
        assert!(contents(&fixture.store()) == before);
    }
}

#[test]
fn damaged_classes_of_an_unfinished_store_are_told_by_its_sites_and_no_advice_makes_them_the_law() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let before = contents(&fixture.store());
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    let path = fixture.store().join("classes.csv");
    let bad =
        fs::read_to_string(&path).unwrap().replace("3,3,", "3,x,").replace("7,7,", "7,3,").replace("3,x,", "3,7,");
    fs::write(&path, &bad).unwrap();
    let mut held = fixture.config();
    held.source.classes = Some(path.clone());
    for config in [fixture.config(), held.clone(), PackConfig { rehash: true, ..held }] {
        let error = pack(&config, &|_| {}).unwrap_err();
        let says = |text: &str| error.to_string().contains(text);
        assert!(error.is_data_fault() && says("sites.csv:") && says("--rehash writes it anew"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
    assert!(pack(&rehash(&fixture), &|_| {}).unwrap().finished);
    assert!(contents(&fixture.store()) == before);
}

#[test]
fn a_document_or_list_of_classes_that_is_cut_in_an_unfinished_store_is_written_anew_where_that_is_asked_for() {
    for name in ["pixels.zarr/zarr.json", "classes.csv"] {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        let before = contents(&fixture.store());
        fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
        let path = fixture.store().join(name);
        fs::write(&path, &fs::read(&path).unwrap()[..20]).unwrap();
        let error = pack(&fixture.config(), &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains("--rehash writes it anew"), "{error}");
        // Of another kind than its plates it is not.
        if name == "pixels.zarr/zarr.json" {
            assert!(pack(&PackConfig { codec: Some(Codec::Raw), ..rehash(&fixture) }, &|_| {}).is_err());
        }
        assert!(pack(&rehash(&fixture), &|_| {}).unwrap().finished);
        assert!(contents(&fixture.store()) == before);
    }
}

#[test]
fn an_empty_folder_in_the_place_of_a_file_goes_and_a_full_one_is_named() {
    for (name, is_finished) in ["classes.csv", "metadata.csv", "pixels.zarr/zarr.json"]
        .into_iter()
        .flat_map(|name| [(name, true), (name, false)])
    {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        let before = contents(&fixture.store());
        let path = fixture.store().join(name);
        if !is_finished {
            fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("mine"), "").unwrap();
        let error = pack(&rehash(&fixture), &|_| {}).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("move it away"), "{error}");
        fs::remove_file(path.join("mine")).unwrap();
        assert!(pack(&rehash(&fixture), &|_| {}).unwrap().finished, "{name}");
        assert!(contents(&fixture.store()) == before, "{name}");
    }
}

#[test]
fn an_empty_folder_that_was_there_stays_where_nothing_could_be_packed() {
    let fixture = Fixture::kaggle(small());
    fs::write(fixture.image("train/HEPG2-01/Plate1/B02_s1_w1.png"), "").unwrap();
    let run = |dst: &Path| {
        let mut command = tool("pack");
        command.arg("--src").arg(fixture.data()).arg("--dst").arg(dst);
        let output = command.args(["--plates", "HEPG2-01/Plate1"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    };
    let (new, own) = (fixture.path().join("new"), fixture.path().join("own"));
    fs::create_dir(&own).unwrap();
    run(&new);
    run(&own);
    assert!(!new.exists() && own.exists());
}

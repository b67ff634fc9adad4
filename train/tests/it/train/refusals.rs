//! What cannot work is refused before anything is written.

use std::fs;

use cellshard_train::device::DeviceChoice;
use cellshard_train::plan::TrainConfig;

use super::{PLATES, config, copy_of_store, recipe, refused, run};
use crate::common::{Fixture, TreeSpec, small, write_resealed};

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let check = |changes: &[(&str, &str)], expected: &[&str]| {
        let error = refused(&config(&run, recipe(changes)));
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    check(&[("batch", "1000")], &["--batch", "at most", "1000"]);
    check(&[("batch", "64"), ("two-step", "true"), ("accumulate", "1")], &["--batch", "HUVEC"]);
    check(&[("precision", "bf16")], &["--precision", "bf16"]);
    check(&[("crop", "64")], &["--crop", "32 x 32", "64"]);
    check(&[("cell-type", "U2OS")], &["cell-type", "U2OS"]);
    check(&[("init-from", "no-such-file.safetensors")], &["no-such-file.safetensors"]);
    let gpu = TrainConfig { device: DeviceChoice::Cuda(97), ..config(&run, recipe(&[])) };
    assert!(refused(&gpu).contains("--device"));
    let unfinished = TrainConfig { shards: copy_of_store(dir.path()), ..config(&run, recipe(&[])) };
    fs::remove_file(unfinished.shards.join("SHA256SUMS")).unwrap();
    assert!(refused(&unfinished).contains("finished store"));
    let tree = TrainConfig { shards: PLATES.path().join("data"), ..config(&run, recipe(&[])) };
    assert!(refused(&tree).contains("expected a store"));
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("thesis.txt"), "do not lose me").unwrap();
    check(&[], &["--run", "new or empty"]);
    assert!(run.join("thesis.txt").exists());
}

#[test]
fn an_experiment_without_controls_is_refused_under_normalisations_that_need_them() {
    let wells = vec!["B03", "B04", "AA02"];
    let fixture = Fixture::kaggle(TreeSpec {
        experiments: vec![("RPE-01", "train"), ("RPE-02", "train")],
        wells,
        size: (32, 32),
        ..small()
    });
    fs::write(fixture.data().join("train_controls.csv"), "id_code,experiment,plate,well,sirna,well_type\n").unwrap();
    fixture.pack();
    let run_folder = fixture.path().join("run");
    for (normalize, fits) in
        [("plate-controls", false), ("experiment-controls", false), ("plate", true), ("site", true)]
    {
        let recipe = recipe(&[("normalize", normalize), ("epochs", "1"), ("model", "base-cnn")]);
        let config = TrainConfig { shards: fixture.store(), ..config(&run_folder, recipe) };
        if fits {
            run(&config);
            fs::remove_dir_all(&run_folder).unwrap();
        } else {
            let error = refused(&config);
            assert!(error.contains("RPE-01") && error.contains("controls"), "{error}");
        }
    }
}

#[test]
fn labels_outside_of_the_classes_and_a_single_class_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    // The store's tables are changed as a store of such data would have them.
    let copy = copy_of_store(dir.path());
    let config = TrainConfig { shards: copy.clone(), ..config(&dir.path().join("run"), recipe(&[])) };
    let text = fs::read_to_string(copy.join("classes.csv")).unwrap();
    let keep = |line: &&str| !line.ends_with(",treatment") || line.starts_with("3,");
    write_resealed(&copy, "classes.csv", &(text.lines().filter(keep).collect::<Vec<_>>().join("\n") + "\n"));
    let error = refused(&config);
    assert!(error.contains("a class of classes.csv"), "{error}");
    let metadata = fs::read_to_string(copy.join("metadata.csv")).unwrap();
    let one_class = metadata.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[8] == "treatment" && !cells[10].is_empty() {
            (cells[9], cells[10]) = ("3", "3");
        }
        cells.join(",") + "\n"
    });
    write_resealed(&copy, "metadata.csv", &one_class.collect::<String>());
    let error = refused(&config);
    assert!(error.contains("two classes of treatments"), "{error}");
}

#[test]
fn a_treatment_with_the_class_of_a_control_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of_store(dir.path());
    let metadata = fs::read_to_string(copy.join("metadata.csv")).unwrap();
    write_resealed(&copy, "metadata.csv", &metadata.replace(",treatment,3,3,", ",treatment,36,36,"));
    for controls in ["none", "all"] {
        let recipe = recipe(&[("controls", controls)]);
        let config = TrainConfig { shards: copy.clone(), ..config(&dir.path().join("run"), recipe) };
        let error = refused(&config);
        assert!(error.contains("the class of a treatment") && error.contains("36"), "{error}");
    }
}

//! `train --bench`: what it measures beyond reading, and what it refuses.

use cellshard::pack::{PackConfig, pack};
use cellshard::store::Codec;
use serde_json::Value;

use crate::common::{Fixture, TreeSpec, small, stderr, tool};

fn packed() -> Fixture {
    let fixture =
        Fixture::kaggle_on_disk(TreeSpec { size: (32, 32), wells: vec!["B02", "B03", "B04", "C03"], ..small() });
    pack(&PackConfig { codec: Some(Codec::Raw), ..fixture.config() }, &|_| {}).unwrap();
    fixture
}

const RECIPE: [&str; 11] = [
    "--model",
    "base-cnn",
    "--batch",
    "2",
    "--split",
    "none",
    "--early-stopping",
    "none",
    "--device",
    "cpu",
    "--bench",
];

fn bench(fixture: &Fixture, flags: &[&str]) -> Value {
    let quick = ["--steps", "3", "--warmup", "1", "--seconds", "0.01", "--rounds", "2", "--threads", "2", "--json"];
    let out = tool("train").arg("--shards").arg(fixture.store()).args(RECIPE).args(quick).args(flags).output().unwrap();
    assert!(out.status.success(), "{}", stderr(&out));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn assert_has_device(report: &Value) {
    let device = &report["device"];
    let rate = |what: &str| device[what].as_f64().unwrap();
    assert!(rate("resident_sites_per_s") > 0.0 && rate("real_sites_per_s") > 0.0 && rate("copy_mb_per_s") > 0.0);
    assert!(rate("share") > 0.0 && (0.0..=1.0).contains(&rate("waiting")));
    assert_eq!(device["rounds"].as_array().unwrap().len(), 2);
}

#[test]
fn steps_are_timed_beside_the_ceiling() {
    let report = bench(&packed(), &["--steps-only"]);
    assert_has_device(&report);
    assert!(report["feed"].as_array().unwrap().is_empty());
}

#[test]
fn the_table_goes_from_the_disk_to_the_step_and_no_run_folder_is_made() {
    let fixture = packed();
    let report = bench(&fixture, &[]);
    assert_has_device(&report);
    let names: Vec<&str> =
        report["feed"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"disk, direct I/O") && names.contains(&"feed, verified at every read"), "{names:?}");
    assert!(!fixture.path().join("runs").exists());
}

#[test]
fn flags_that_would_have_no_effect_are_refused() {
    let fixture = packed();
    for (flags, what) in [
        (&["--steps-only"][..], "--bench"),
        (&["--bench", "--run", "x"], "cannot be used with"),
        (&["--bench", "--time-limit", "1h"], "cannot be used with"),
        (&["--bench", "--recipe", "resnet5"], "resnet50"),
        (&["--bench", "--rounds", "0"], "--rounds"),
    ] {
        let out = tool("train").arg("--shards").arg(fixture.store()).args(flags).output().unwrap();
        assert!(out.status.code() == Some(2) && stderr(&out).contains(what), "{flags:?}: {}", stderr(&out));
    }
}

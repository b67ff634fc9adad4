//! `--dry-run`: what it says of a run is what the run is, and nothing is written.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::store;
use crate::common::{JsonPage, contents, stderr, stdout, tool};

const TWO_STEPS: [&str; 9] =
    ["--model", "base-cnn", "--epochs", "2", "--batch", "8", "--two-step", "--second-epochs", "3"];

/// Without a run folder: the first free one of where it runs.
fn train(at: &Path, flags: &[&str]) -> Command {
    let mut train = tool("train");
    train.current_dir(at).arg("--shards").arg(store()).args(["--device", "cpu", "--threads", "1"]).args(flags);
    train
}

fn dry(at: &Path, flags: &[&str]) -> Value {
    let before = contents(at);
    let output = train(at, flags).args(["--dry-run", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(contents(at) == before, "nothing is written");
    JsonPage::of(&["train --dry-run"]).check(&stdout(&output))
}

fn numbers(report: &Value, of: &str, key: &str) -> Vec<u64> {
    report[of].as_array().unwrap().iter().map(|row| row[key].as_u64().unwrap()).collect()
}

#[test]
fn it_tells_the_split_and_the_steps_that_the_run_has_and_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let told = dry(at, &TWO_STEPS);
    assert!(told["goes_on"] == false && told["recipe"]["second-epochs"] == "3" && told["run"].is_null());
    let with_run = [&TWO_STEPS[..], &["--run", "run"]].concat();
    assert!(train(at, &with_run).args(["--max-steps", "4"]).status().unwrap().code() == Some(75));
    let wells = |part: &str| {
        let text = fs::read_to_string(at.join("run/split.csv")).unwrap();
        text.lines().filter(|line| line.ends_with(&format!(",{part}"))).count() as u64
    };
    let rows = told["split"].as_array().unwrap();
    for part in ["train", "validation"] {
        let of = rows.iter().filter(|row| row["part"] == part).map(|row| row["wells"].as_u64().unwrap());
        assert_eq!(of.sum::<u64>(), wells(part), "{part}");
    }
    // Of a run that is there, refused without --resume as by the run itself; else what is left.
    let output = train(at, &with_run).arg("--dry-run").output().unwrap();
    assert!(output.status.code() == Some(2) && stderr(&output).contains("new or empty"), "{}", stderr(&output));
    let auto = [&with_run[..], &["--resume", "auto"]].concat();
    let left = dry(at, &auto);
    assert_eq!(numbers(&left, "networks", "epochs"), [2, 3, 3]);
    assert_eq!(numbers(&left, "networks", "steps_per_epoch"), numbers(&told, "networks", "steps_per_epoch"));
    assert!(left["goes_on"] == true);
    let steps = |folder: &str| {
        fs::read_to_string(at.join("run").join(folder).join("steps.csv")).unwrap().lines().count() as u64 - 1
    };
    assert!(train(at, &auto).output().unwrap().status.success());
    let over = dry(at, &auto);
    assert_eq!(numbers(&over, "networks", "epochs_done"), [2, 3, 3]);
    assert_eq!(over["seconds"], 0.0);
    let per_epoch = numbers(&told, "networks", "steps_per_epoch");
    assert_eq!([steps(""), steps("HUVEC"), steps("RPE")], [2 * per_epoch[0], 3 * per_epoch[1], 3 * per_epoch[2]]);
}

#[test]
fn the_time_it_needs_is_that_of_its_steps_and_held_against_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let mut page = JsonPage::of(&["train --dry-run"]);
    let flags = ["--model", "base-cnn", "--epochs", "1000", "--batch", "8", "--run", "run"];
    let output = train(at, &flags).args(["--dry-run", "--json", "--time-limit", "1s"]).output().unwrap();
    let told = page.check(&stdout(&output));
    page.check_all_were_printed();
    let number = |value: &Value| value.as_f64().unwrap();
    let per_site = |of: &str| number(&told[of]["seconds"]) / number(&told[of]["sites"]);
    let epoch = &told["networks"][0]["sites_per_epoch"];
    let expected = per_site("training") * number(&epoch["trained"]) + per_site("validation") * number(&epoch["judged"]);
    let found = number(&told["networks"][0]["epoch_seconds"]);
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    assert!((number(&told["seconds"]) / (1000.0 * found) - 1.0).abs() < 1e-6);
    assert_eq!((number(&told["training"]["steps"]), number(&told["limit_seconds"])), (3.0, 1.0));
    // A thousand epochs of some steps each are more than a second anywhere.
    let said = stdout(&train(at, &flags).args(["--dry-run", "--time-limit", "1s"]).output().unwrap());
    assert!(
        said.contains("1000 epochs need") && said.contains("the limit is 1s: it will stop, and --resume"),
        "{said}"
    );
    let said = stdout(&train(at, &flags).args(["--dry-run", "--time-limit", "99-00"]).output().unwrap());
    assert!(said.contains(" at most, the limit is 3months ") && !said.contains("it will stop"), "{said}");
    assert!(fs::read_dir(at).unwrap().next().is_none(), "nothing is written");
    for (flags, what) in
        [(&["--bench"][..], "--bench"), (&["--max-steps", "3"], "--max-steps"), (&["--lr", "x"], "--lr")]
    {
        let output = train(at, flags).arg("--dry-run").output().unwrap();
        assert!(output.status.code() == Some(2) && stderr(&output).contains(what), "{}", stderr(&output));
    }
}

//! Runs that were interrupted end as one that was not; what is over, damaged or of another store is not gone on with.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cellshard::feed::mix;
use cellshard::training::run::{BEST_ACCURACY, BEST_LOSS, LAST, RESUME};

use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::train::train;

use super::{config, recipe, run, store};
use crate::common::{JsonPage, contents, stderr, stdout, tool};

#[test]
fn a_run_interrupted_at_random_steps_ends_with_the_same_bits() {
    let sgd = [("optimizer", "sgd"), ("model", "base-cnn"), ("lr", "0.01"), ("accumulate", "2"), ("epochs", "4")];
    let two_step =
        [("two-step", "true"), ("model", "base-cnn"), ("second-lr", "1e-3"), ("second-warmup-epochs", "0.5")];
    let sparing = [("decay-bias-and-norm", "false"), ("weight-decay", "0.1"), ("optimizer", "adamw"), ("epochs", "1")];
    for (i, (changes, least)) in [(&[][..], 10), (&sgd, 10), (&two_step, 20), (&sparing, 4)].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        run(&config(&whole, recipe(changes)));
        let parts = dir.path().join("parts");
        let mut first = config(&parts, recipe(changes));
        let mut n_interruptions = 0;
        loop {
            // One to four steps further each time, at steps that the seed chooses.
            first.stop = Stop { after_steps: Some(1 + mix(i as u64 ^ (n_interruptions << 8)) % 2), ..Stop::default() };
            if run(&first).stopped.is_none() {
                break;
            }
            n_interruptions += 1;
            first.resume = Resume::Yes;
        }
        assert!(n_interruptions >= least, "{n_interruptions} interruptions");
        let tables = ["metrics-groups.csv", "steps.csv", "split.csv", "best-accuracy.csv", "best-loss.csv"];
        let names = [&[LAST, BEST_ACCURACY, BEST_LOSS, RESUME][..], &tables].concat();
        let second = ["HUVEC", "RPE"].iter().flat_map(|name| names.iter().map(move |file| format!("{name}/{file}")));
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).chain(second.filter(|_| i == 2)).collect();
        assert_eq!(names.len(), if i == 2 { 27 } else { 9 });
        for name in &names {
            let (a, b) = (fs::read(whole.join(name)).unwrap(), fs::read(parts.join(name)).unwrap());
            let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
            let header = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
            assert!(a == b, "{name} ({i}): {differing} bytes differ\n{}\n{}", header(&a), header(&b));
        }
    }
}

#[test]
fn a_run_that_is_killed_at_any_step_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| dir.path().join(name));
    let begin = ["--model", "base-cnn", "--epochs", "2", "--batch", "8", "--flip", "--noise", "0.1", "--two-step"];
    let train = |run: &Path, flags: &[&str]| {
        let mut train = tool("train");
        train.arg("--shards").arg(store()).arg("--run").arg(run).args(["--device", "cpu", "--threads", "1"]);
        train.args(flags).stdout(Stdio::null()).stderr(Stdio::piped());
        train
    };
    assert!(train(&whole, &begin).status().unwrap().success());
    let mut n_kills = 0;
    loop {
        let has_begun = killed.join("run.json").exists();
        let flags = if has_begun { &["--resume"][..] } else { &begin };
        // What is saved after each step, and written at the end of each epoch, is what a kill may meet half done.
        let mut child = train(&killed, &[flags, &["--checkpoint-every", "0s"]].concat()).spawn().unwrap();
        let started = Instant::now();
        let at = Duration::from_micros(150_000 + mix(n_kills) % 500_000);
        while child.try_wait().unwrap().is_none() && started.elapsed() < at {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.signal(), Some(9), "{}", stderr(&output));
        n_kills += 1;
        assert!(n_kills < 200, "it never comes to its end");
    }
    assert!(n_kills >= 3, "{n_kills} kills");
    for folder in ["", "HUVEC", "RPE"] {
        for name in [
            LAST,
            BEST_ACCURACY,
            BEST_LOSS,
            RESUME,
            "steps.csv",
            "metrics-groups.csv",
            "recipe.toml",
            "best-accuracy.csv",
            "best-loss.csv",
        ] {
            let [a, b] = [&whole, &killed].map(|run| fs::read(run.join(folder).join(name)).unwrap());
            assert!(a == b, "{folder}/{name}");
        }
    }
}

#[test]
fn a_run_that_is_over_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run_folder = dir.path().join("run");
    let mut config = config(&run_folder, recipe(&[("model", "base-cnn"), ("epochs", "1")]));
    run(&config);
    let before = contents(&run_folder);
    config.resume = Resume::Yes;
    assert!(run(&config).stopped.is_none());
    for name in [LAST, BEST_ACCURACY, RESUME, "metrics.csv", "steps.csv", "recipe.toml", "split.csv"] {
        assert!(contents(&run_folder)[name] == before[name], "{name}");
    }
}

#[test]
fn a_time_limit_shorter_than_an_evaluation_still_gets_past_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("run"), recipe(&[("model", "base-cnn")]));
    config.stop.deadline = Some(std::time::Instant::now());
    let mut n_stops = 0;
    while run(&config).stopped.is_some() {
        n_stops += 1;
        config.resume = Resume::Yes;
        assert!(n_stops < 60, "it goes on for ever");
    }
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run_folder = dir.path().join("run");
    let mut config = config(&run_folder, recipe(&[("model", "base-cnn")]));
    config.stop = Stop { after_steps: Some(2), ..Stop::default() };
    run(&config);
    config.resume = Resume::Yes;
    let whole = fs::read(run_folder.join(RESUME)).unwrap();
    for cut in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(run_folder.join(RESUME), &whole[..cut]).unwrap();
        let error = train(&config, &mut ()).unwrap_err().to_string();
        assert!(error.contains(RESUME), "{cut}: {error}");
    }
    // Another network's.
    let other = dir.path().join("other");
    let mut foreign = TrainConfig { run: Some(other.clone()), resume: Resume::No, ..config.clone() };
    foreign.recipe = recipe(&[]);
    run(&foreign);
    fs::copy(other.join(RESUME), run_folder.join(RESUME)).unwrap();
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains(RESUME) && error.contains("expected"), "{error}");
    fs::write(run_folder.join(RESUME), &whole).unwrap();
    config.stop = Stop::default();
    assert!(run(&config).stopped.is_none());
}

#[test]
fn the_folder_of_a_second_step_is_not_taken_for_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let mut config = config(&root, recipe(&[("two-step", "true"), ("model", "base-cnn"), ("epochs", "1")]));
    run(&config);
    (config.resume, config.run) = (Resume::Yes, Some(root.join("HUVEC")));
    let error = train(&config, &mut ()).unwrap_err().to_string();
    assert!(error.contains("the run folder above"), "{error}");
    assert!(!root.join("HUVEC/HUVEC").exists());
}

#[test]
fn the_program_prints_what_the_page_of_json_says_and_its_help_which_exit_codes_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let small = ["--model", "base-cnn", "--epochs", "1", "--batch", "9", "--device", "cpu", "--json"];
    let mut train = tool("train");
    train.arg("--shards").arg(store()).arg("--run").arg(dir.path().join("run")).args(small);
    let output = train.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut page = JsonPage::of(&["train"]);
    assert_eq!(page.check(&stdout(&output))["tool"], "train");
    page.check_all_were_printed();
    let output = tool("train").args(["--shards", "no/such", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    JsonPage::of(&["an error"]).check(&stdout(&output));
    for (program, n_codes) in [("train", 5), ("predict", 4)] {
        let help = stdout(&tool(program).arg("--help").output().unwrap());
        let codes = help.split("Exit codes:\n").nth(1).unwrap_or_default();
        assert_eq!(codes.lines().count(), n_codes, "{program}: {help}");
    }
}

//! A run is gone on with on whatever store holds the pixels and labels that it learned from, and on no other.

use std::fs;
use std::path::{Path, PathBuf};

use cellshard::pack::{PackConfig, pack};
use cellshard::source::SourceConfig;
use cellshard::store::Codec;
use cellshard::training::run::LAST;

use cellshard_train::device::DeviceChoice;
use cellshard_train::engine::stop::Stop;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::predict::{PredictConfig, predict};
use cellshard_train::train::train;

use super::{PLATES, config, copy_of_store, recipe, run, store};
use crate::common::{copy_folder, write_resealed};

/// A run on a store that was stopped after some steps, and what it would have ended with there.
struct Stopped {
    dir: tempfile::TempDir,
    config: TrainConfig,
    expected: Vec<u8>,
}

impl Stopped {
    fn on(shards: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // All that a site gets by what it is known by, and an order by its group.
        let recipe = recipe(&[("model", "base-cnn"), ("batch-by", "plate"), ("controls", "train")]);
        let of =
            |name: &str| TrainConfig { shards: shards.to_owned(), ..config(&dir.path().join(name), recipe.clone()) };
        run(&of("whole"));
        let stop = Stop { after_steps: Some(4), ..Stop::default() };
        run(&TrainConfig { stop, ..of("stopped") });
        let expected = fs::read(dir.path().join("whole").join(LAST)).unwrap();
        Self { config: of("stopped"), expected, dir }
    }

    /// What it ends with, or why not, where it is gone on with on another store.
    fn on_store(&self, shards: &Path) -> Result<Vec<u8>, String> {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.dir.path().join("stopped"), copy.path());
        let shards = shards.to_owned();
        let config =
            TrainConfig { shards, run: Some(copy.path().to_owned()), resume: Resume::Yes, ..self.config.clone() };
        train(&config, &mut ()).map_err(|e| e.to_string())?;
        Ok(fs::read(copy.path().join(LAST)).unwrap())
    }
}

#[test]
fn a_transcoded_store_with_other_shards_is_still_the_runs_own() {
    let stopped = Stopped::on(&store());
    assert_eq!(stopped.on_store(&store()).unwrap(), stopped.expected);
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("transcoded");
    let to = PackConfig { codec: Some(Codec::Zstd(1)), sites_per_shard: Some(5), ..PackConfig::new(&store(), &other) };
    pack(&to, &|_| {}).unwrap();
    assert!(stopped.on_store(&other).unwrap() == stopped.expected);
}

/// Packs some experiments of the tree, under the classes of the whole store.
fn packed(experiments: &[&str], to: &Path) -> PathBuf {
    let experiments = experiments.iter().map(|name| (*name).to_owned()).collect();
    let classes = Some(store().join("classes.csv"));
    let source = SourceConfig { root: PLATES.path().join("data"), experiments, classes, ..SourceConfig::default() };
    pack(&PackConfig { source, codec: Some(Codec::Raw), threads: 2, ..PackConfig::new(Path::new(""), to) }, &|_| {})
        .unwrap();
    to.to_owned()
}

#[test]
fn a_store_that_has_grown_by_experiments_and_classes_is_still_the_runs_own() {
    let dir = tempfile::tempdir().unwrap();
    let small = packed(&["HUVEC-02", "RPE-01", "RPE-02"], &dir.path().join("small"));
    let stopped = Stopped::on(&small);
    // What is new lies before, between and behind what the run knows.
    let grown = dir.path().join("grown");
    copy_folder(&small, &grown);
    packed(&["HUVEC-01", "HUVEC-02", "HUVEC-03", "RPE-01", "RPE-02", "RPE-03"], &grown);
    assert!(stopped.on_store(&grown).unwrap() == stopped.expected);
    let classes = fs::read_to_string(grown.join("classes.csv")).unwrap() + "2000,later,treatment\n";
    write_resealed(&grown, "classes.csv", &classes);
    assert!(stopped.on_store(&grown).unwrap() == stopped.expected);
    // Whoever asks the run about it is told that it cannot answer with such a class.
    let whole = stopped.dir.path().join("whole");
    let predict_on = |shards: &Path| {
        let config = PredictConfig { device: DeviceChoice::Cpu, ..PredictConfig::new(shards, &whole) };
        predict(&PredictConfig { checkpoint: LAST.into(), ..config }, &|_| {}).unwrap().warnings
    };
    let warnings = predict_on(&grown);
    assert!(
        warnings.iter().any(|w| w.ends_with("was never trained on class 2000 (later), which the store has")),
        "{warnings:?}"
    );
    assert_eq!(predict_on(&store()), Vec::<String>::new());
}

#[test]
fn a_store_without_a_class_that_the_run_never_met_is_still_its_own() {
    // Class 3 is one of RPE alone, in a store of both and of HUVEC by itself.
    let dir = tempfile::tempdir().unwrap();
    let both = copy_of_store(dir.path());
    let huvec = packed(&["HUVEC-01", "HUVEC-02", "HUVEC-03"], &dir.path().join("huvec"));
    for copy in [&both, &huvec] {
        let text = fs::read_to_string(copy.join("metadata.csv")).unwrap();
        let relabelled = |line: &str| match line.split(',').nth(4) {
            Some(name) if name.starts_with("HUVEC") => line.replace(",treatment,3,3,", ",treatment,4,4,") + "\n",
            _ => line.to_owned() + "\n",
        };
        write_resealed(copy, "metadata.csv", &text.lines().map(relabelled).collect::<String>());
    }
    let classes = fs::read_to_string(huvec.join("classes.csv")).unwrap();
    assert!(classes.contains("\n3,3,"));
    let without: Vec<&str> = classes.lines().filter(|line| !line.starts_with("3,3,")).collect();
    write_resealed(&huvec, "classes.csv", &(without.join("\n") + "\n"));
    let run_folder = dir.path().join("run");
    let recipe = recipe(&[("model", "base-cnn"), ("cell-type", "HUVEC")]);
    let mut config = TrainConfig { shards: both, ..config(&run_folder, recipe) };
    config.stop = Stop { after_steps: Some(2), ..Stop::default() };
    run(&config);
    let copy = dir.path().join("elsewhere");
    copy_folder(&run_folder, &copy);
    (config.resume, config.stop) = (Resume::Yes, Stop::default());
    run(&config);
    run(&TrainConfig { shards: huvec, run: Some(copy.clone()), ..config });
    assert!(fs::read(copy.join(LAST)).unwrap() == fs::read(run_folder.join(LAST)).unwrap());
}

#[test]
fn other_pixels_or_labels_of_the_same_names_are_refused() {
    let stopped = Stopped::on(&store());
    let dir = tempfile::tempdir().unwrap();
    let changed = |name: &str, change: &dyn Fn(&str) -> String| {
        let copy = copy_of_store(&dir.path().join(name));
        let metadata = fs::read_to_string(copy.join("metadata.csv")).unwrap();
        let text = change(&metadata);
        assert_ne!(text, metadata);
        write_resealed(&copy, "metadata.csv", &text);
        copy
    };
    // A row of an experiment that is trained on or validates, and one of the test set.
    let row = |text: &str, what: &str| text.lines().find(|line| line.contains(what)).unwrap().to_owned();
    let other_crc = |what: &'static str| {
        move |text: &str| {
            let line = row(text, what);
            let digit = if line.ends_with('0') { "1" } else { "0" };
            text.replace(&line, &format!("{}{digit}", &line[..line.len() - 1]))
        }
    };
    let pixels = changed("pixels", &other_crc(",train,HUVEC-01,"));
    let unknown = changed("test", &other_crc(",test,HUVEC-03,"));
    let label = changed("label", &|text| text.replacen(",treatment,3,3,", ",treatment,4,4,", 1));
    for copy in [pixels, label] {
        let error = stopped.on_store(&copy).unwrap_err();
        let expected = "expected the pixels and labels that it was trained on, found other ones of experiment ";
        assert!(error.contains("--shards") && error.contains(expected), "{error}");
        let whole = stopped.dir.path().join("whole");
        let config = PredictConfig { device: DeviceChoice::Cpu, ..PredictConfig::new(&copy, &whole) };
        let warnings = predict(&config, &|_| {}).unwrap().warnings;
        assert!(warnings.iter().any(|w| w.contains("other pixels or labels than when it was trained")), "{warnings:?}");
    }
    assert!(stopped.on_store(&unknown).unwrap() == stopped.expected, "what it never saw is no part of it");
    let part = packed(&["HUVEC-01", "RPE-01"], &dir.path().join("part"));
    let error = stopped.on_store(&part).unwrap_err();
    assert!(error.ends_with("found none of experiment HUVEC-02"), "{error}");
    // Whoever predicts is told of other pixels also where not all experiments are there.
    let partly = copy_of_store(&dir.path().join("partly"));
    let lines = fs::read_to_string(partly.join("metadata.csv")).unwrap();
    let without: Vec<&str> = lines.lines().filter(|line| !line.contains(",RPE-")).collect();
    write_resealed(&partly, "metadata.csv", &(other_crc(",train,HUVEC-01,")(&without.join("\n")) + "\n"));
    let whole = stopped.dir.path().join("whole");
    let config = PredictConfig { device: DeviceChoice::Cpu, ..PredictConfig::new(&partly, &whole) };
    let warnings = predict(&config, &|_| {}).unwrap().warnings;
    assert!(warnings.iter().any(|w| w.contains("other pixels or labels")), "{warnings:?}");
}

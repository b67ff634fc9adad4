//! Labels that must not be lost: cell types and columns of a table, plates that it does not name, tables beside images
//! that somebody describes, and cells that are nearly the same.

use std::fs;

use cellshard::error::Error;
use cellshard::pack::{PackConfig, pack, plan};
use cellshard::source::Layout;
use cellshard::source::labels::LabelOptions;
use cellshard::store::Store;
use tempfile::TempDir;

use crate::common::{JsonPage, stderr, stdout, tool};
use crate::patterns::{config, packed, tree};

const PATTERN: &str = "{experiment}/{plate}/{well}_{channel}.png";

fn options(label_columns: &[&str], negative: &[&str], on: Option<&str>) -> LabelOptions {
    LabelOptions {
        label_columns: label_columns.iter().map(|&column| column.to_owned()).collect(),
        negative_controls: negative.iter().map(|value| value.parse().unwrap()).collect(),
        on: on.map(|on| on.parse().unwrap()),
        ..LabelOptions::default()
    }
}

/// Images of one channel at these places, and a table of their labels, in the column `compound`.
fn labelled(paths: &[&str], csv: &str, on: Option<&str>) -> (TempDir, PackConfig) {
    let paths: Vec<String> = paths.iter().map(|path| format!("{path}_1.png")).collect();
    let dir = tree(&paths);
    let path = dir.path().join("platemap.csv");
    fs::write(&path, csv).unwrap();
    let mut config = config(&dir, PATTERN);
    config.source.metadata = Some(path);
    config.source.labels = options(&["compound"], &[], on);
    (dir, config)
}

fn refusal(paths: &[&str], csv: &str, labels: LabelOptions) -> Error {
    let (_dir, mut config) = labelled(paths, csv, None);
    config.source.labels = labels;
    pack(&config, &|_| {}).unwrap_err()
}

/// Each site with its label.
fn labels(store: &Store) -> Vec<String> {
    store.sites().iter().map(|row| format!("{} {}", row.id, row.label.sirna)).collect()
}

/// Each experiment with its cell type.
fn cell_types(store: &Store) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for site in store.sites() {
        let experiment = &site.id.well.plate.experiment;
        found.push(format!("{experiment} {}", experiment.cell_type()));
    }
    found.dedup();
    found
}

#[test]
fn a_table_without_experiments_tells_the_cell_types_of_its_plates() {
    let csv = "plate,well,compound,cell_type\nBR1,A01,x,HUVEC\nBR2,A01,x, HEPG2 \n";
    let (_dir, config) = labelled(&["a/BR1/A01", "b/BR2/A01"], csv, None);
    let store = packed(&config);
    assert_eq!(cell_types(&store), ["a HUVEC", "b HEPG2"]);
    let text = fs::read_to_string(config.dst.join("metadata.csv")).unwrap();
    assert!(text.contains("HEPG2"), "{text}");
    let both = csv.replace("BR2", "BR1").replace("A01,x, HEPG2", "A02,x, HEPG2");
    let (_dir, config) = labelled(&["a/BR1/A01", "a/BR1/A02"], &both, None);
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("platemap.csv:3: expected cell type \"HUVEC\" of plate BR1, as rows before say"), "{error}");
    // A store has one cell type of an experiment.
    let (_dir, config) = labelled(&["a/BR1/A01", "a/BR2/A01"], csv, None);
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    assert!(error.contains(":2: expected ") || error.contains(":3: expected "), "{error}");
    assert!(error.contains("of experiment a") && error.contains("--experiment"), "{error}");
}

#[test]
fn what_on_does_not_name_is_not_dropped() {
    let csv = "experiment,plate,well,compound\na,BR1,A01,x\nb,BR1,A01,y\n";
    for on in [None, Some("plate,well"), Some("plate=plate,well=well")] {
        let (_dir, config) = labelled(&["a/BR1/A01", "b/BR1/A01"], csv, on);
        assert_eq!(labels(&packed(&config)), ["a/BR1/A01_1 x", "b/BR1/A01_1 y"], "{on:?}");
    }
    let csv = "site,plate,well,compound\n7,BR1,A01,x\n";
    let (_dir, config) = labelled(&["a/BR1/A01"], csv, Some("plate,well"));
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    let says =
        "an image of a site that tables name, or a row of a site that there is, found none (a/BR1/A01/7: no-images";
    assert!(error.contains(says), "{error}");
    let (_dir, config) = labelled(&["a/BR1/A01"], csv, Some("plate,well,site="));
    assert_eq!(labels(&packed(&config)), ["a/BR1/A01_1 x"]);
}

#[test]
fn on_names_the_columns_of_a_table_of_images_without_labels_too() {
    let dir = tree(&["x/1.png"]);
    let table = dir.path().join("load_data.csv");
    fs::write(&table, "Barcode,Position,plate,DNA\nBR1,a1,?,x/1.png\n").unwrap();
    let mut config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    config.source.table = Some(table);
    config.source.labels.on = Some("plate=Barcode,well=Position".parse().unwrap());
    assert_eq!(labels(&packed(&config)), ["experiment/BR1/A01_1 "]);
}

#[test]
fn columns_of_plate_and_well_are_read_alike_whatever_they_are_called() {
    let headers =
        ["experiment,plate,well", "experiment_name,plate,address", "Metadata_Batch,Metadata_Plate,Metadata_Well"];
    for (plate, well, expected) in [
        ("1", "A01", Ok("1")),
        ("Plate 1", "A1", Ok("1")),
        ("plate_1 ", " a01", Ok("1")),
        (" Plate1", "A001 ", Ok("1")),
        ("BR-1", "a1", Ok("BR-1")),
        ("", "A01", Err("expected a plate, found an empty cell")),
        ("1", " ", Err("expected a well, found an empty cell")),
        ("a/b", "A01", Err("expected a plate's name")),
        ("1", "A0", Err("expected a well such as B02, found \"A0\"")),
        ("1", "A100", Err("expected a well such as B02")),
    ] {
        for header in headers {
            let folder = expected.unwrap_or("1");
            let csv = format!("{header},compound\n e ,{plate},{well},x\n");
            let (dir, config) = labelled(&[&format!("e/{folder}/A01")], &csv, None);
            match expected {
                Ok(_) => {
                    let store = packed(&config);
                    assert!(labels(&store)[0].ends_with(" x"), "{csv}");
                }
                Err(part) => {
                    let error = pack(&config, &|_| {}).unwrap_err().to_string();
                    assert!(error.contains("platemap.csv:2: ") && error.contains(part), "{csv}{error}");
                }
            }
            // A table that names the images reads them so, too.
            let csv = format!("{header},DAPI\n e ,{plate},{well},e/{folder}/A01_1.png\n");
            let table = dir.path().join("load_data.csv");
            fs::write(&table, &csv).unwrap();
            let mut config = PackConfig::new(&dir.path().join("data"), &dir.path().join("second"));
            config.source.table = Some(table);
            match expected {
                Ok(_) => assert!(pack(&config, &|_| {}).unwrap().finished, "{csv}"),
                Err(part) => {
                    let error = pack(&config, &|_| {}).unwrap_err().to_string();
                    assert!(error.contains("load_data.csv:2: ") && error.contains(part), "{csv}{error}");
                }
            }
        }
    }
}

#[test]
fn labels_of_other_plates_are_said_to_be_and_those_of_some_are_told() {
    let error = refusal(
        &["a/P1/A01", "a/P2/A01"],
        "plate,well,compound\nX1,A01,x\nX2,A01,x\n",
        options(&["compound"], &[], None),
    );
    let says = "platemap.csv: expected labels of plates of the images: a/P1, a/P2, found labels of plates experiment/X1, experiment/X2";
    assert!(error.is_data_fault() && error.to_string().ends_with(says), "{error}");
    let error =
        refusal(&["a/P1/A01"], "experiment,plate,well,compound\nb,P1,A01,x\n", options(&["compound"], &[], None));
    let says = "images: a/P1 (--experiment NAME says of which experiment images are, --on plate,well,experiment= that rows are of any), found labels of plates b/P1";
    assert!(error.to_string().ends_with(says), "{error}");
    let error = refusal(&["a/P1/A01"], "plate,well,compound\n", options(&["compound"], &[], None)).to_string();
    assert!(error.ends_with("found labels of no plate"), "{error}");
    let (dir, config) = labelled(&["a/P1/A01", "a/P2/A01"], "plate,well,compound\nP1,A01,x\n", None);
    let file = dir.path().join("platemap.csv");
    let says = format!("1 plate has images and no labels in {}: a/P2", file.display());
    assert_eq!(plan(&config).unwrap().0.unusual, [says.as_str()]);
    let run = |flags: &[&str]| {
        let mut command = tool("pack");
        command.arg("--src").arg(dir.path().join("data")).arg("--dst").arg(&config.dst).args(["--pattern", PATTERN]);
        command.arg("--labels").arg(&file).args(["--label-column", "compound", "--dry-run"]).args(flags);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        stdout(&output)
    };
    assert!(run(&[]).contains(&says));
    assert!(run(&["--json"]).contains("and no labels in"));
}

#[test]
fn tables_beside_images_that_somebody_describes_are_used_or_refused() {
    let table = "plate,well,compound\nP1,A01,x\n";
    let names =
        ["data/train.csv", "data/deep/metadata.csv", "data/metadata.csv.gz", "data/test.csv.zip", "metadata.csv"];
    for name in names {
        let dir = tree(&["a/P1/A01_1.png"]);
        fs::create_dir_all(dir.path().join("data/deep")).unwrap();
        fs::write(dir.path().join(name), table).unwrap();
        let load_data = dir.path().join("load_data.csv");
        fs::write(&load_data, "experiment,plate,well,DAPI\na,P1,A01,a/P1/A01_1.png\n").unwrap();
        let by_table = || {
            let mut by_table = PackConfig::new(&dir.path().join("data"), &dir.path().join("other"));
            by_table.source.table = Some(load_data.clone());
            by_table
        };
        for (mut config, layout) in [(config(&dir, PATTERN), "pattern"), (by_table(), "table")] {
            let error = pack(&config, &|_| {}).unwrap_err().to_string();
            let found = format!("{} beside the {layout} layout, unused", dir.path().join(name).display());
            assert!(error.ends_with(&found) && error.contains("--no-labels"), "{error}");
            let advice = match name {
                "data/train.csv" => format!("--labels {};", dir.path().join("data").display()),
                _ if name.ends_with(".csv") => format!("--labels {};", dir.path().join(name).display()),
                _ => format!("unpack {};", dir.path().join(name).display()),
            };
            assert!(error.contains(&advice), "{error}");
            config.source.without_labels = true;
            assert!(pack(&config, &|_| {}).unwrap().finished, "{name}");
        }
        // Who names labels names all of them.
        let mut named = config(&dir, PATTERN);
        named.dst = dir.path().join("named");
        let own = dir.path().join("own.csv");
        fs::write(&own, table).unwrap();
        named.source.metadata = Some(own);
        named.source.labels = options(&["compound"], &[], None);
        assert_eq!(pack(&named, &|_| {}).unwrap().plan.classes, 1, "{name}");
    }
    for layout in ["phenix", "kaggle-flat", "wilds", "rxrx", "bbbc021"] {
        let preset = match Layout::named(layout) {
            Some(Layout::Preset(preset)) => preset,
            other => panic!("{other:?}"),
        };
        let dir = tree(&["x"]);
        fs::write(dir.path().join("data/metadata.csv.gz"), "").unwrap();
        let error = pack(&config(&dir, preset.name()), &|_| {}).unwrap_err().to_string();
        assert!(error.contains("metadata.csv.gz beside the"), "{layout}: {error}");
    }
    // A table that images are named by is no other one, whatever it is called.
    let dir = tree(&["a/P1/A01_1.png"]);
    let path = dir.path().join("data/metadata.csv");
    fs::write(&path, "experiment,plate,well,DAPI\na,P1,A01,a/P1/A01_1.png\n").unwrap();
    let mut config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    config.source.table = Some(path);
    assert!(pack(&config, &|_| {}).unwrap().finished);
}

#[test]
fn a_plate_of_ome_zarr_is_not_packed_without_the_labels_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("P.zarr");
    fs::create_dir(&root).unwrap();
    fs::write(root.join(".zattrs"), r#"{"plate": {"name": "P", "wells": []}}"#).unwrap();
    for path in [dir.path().join("metadata.csv"), root.join("train.csv.gz")] {
        fs::write(&path, "").unwrap();
        let error = pack(&PackConfig::new(&root, &dir.path().join("store")), &|_| {}).unwrap_err().to_string();
        assert!(error.ends_with(&format!("{} beside the ome-zarr layout, unused", path.display())), "{error}");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn no_labels_is_refused_where_it_says_nothing() {
    let run = |flags: &[&str]| {
        let dir = tree(&["a/Plate1/A01_s1_w1.png"]);
        let mut command = tool("pack");
        command.arg("--src").arg(dir.path().join("data")).arg("--dst").arg(dir.path().join("store")).arg("--no-labels");
        let output = command.args(flags).output().unwrap();
        (output.status.code(), stderr(&output))
    };
    let (code, text) = run(&[]);
    assert!(code == Some(2) && text.contains("--no-labels: expected images that --layout"), "{text}");
    let (code, text) = run(&["--layout", "rxrx", "--labels", "x.csv"]);
    assert!(code == Some(2) && text.contains("--no-labels: expected it, or --metadata, found both"), "{text}");
    assert_eq!(run(&["--layout", "rxrx"]).0, Some(0));
}

#[test]
fn labels_that_are_nearly_the_same_are_told_and_controls_are_not_missed_by_a_capital() {
    let csv = "plate,well,compound\nP1,A01,taxol\nP1,A02,Taxol \nP1,A03,1\nP1,A04,1.0\nP1,A05,\u{b5}x\nP1,A06,\u{3bc}x\nP1,A07,10\n";
    let paths: Vec<String> = (1..=7).map(|column| format!("a/P1/A{column:02}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let (_dir, config) = labelled(&paths, csv, None);
    let unusual = plan(&config).unwrap().0.unusual;
    let says = "labels that are nearly the same are classes of their own: \"1\" and \"1.0\", \"Taxol\" and \"taxol\", \"\u{b5}x\" and \"\u{3bc}x\"";
    assert_eq!(unusual, [says]);
    for (control, at) in [("Taxol", "\"taxol\""), ("compound=1", "\"1.0\"")] {
        let error = refusal(&paths, csv, options(&["compound"], &[control], None));
        let says = |text: &str| error.to_string().contains(text);
        assert!(error.is_data_fault() && says("exactly, by which wells are controls") && says(at), "{error}");
    }
    let (_dir, mut config) = labelled(&paths, csv, None);
    config.source.labels = options(&["compound"], &["taxol", "Taxol"], None);
    assert!(pack(&config, &|_| {}).unwrap().finished, "both are named");
}

#[test]
fn a_label_of_several_columns_means_one_thing() {
    let header = "plate,well,compound,dose,hours\n";
    let error = refusal(
        &["a/P1/A01", "a/P1/A02"],
        &format!("{header}P1,A01,taxol,24,\nP1,A02,taxol,,24\n"),
        options(&["compound", "dose", "hours"], &[], None),
    );
    let says =
        "platemap.csv:3: expected label \"taxol | 24\" of the cells [\"taxol\", \"24\", \"\"], as rows before have it";
    assert!(error.is_data_fault() && error.to_string().contains(says), "{error}");
    let error =
        refusal(&["a/P1/A01"], "plate,well,compound\nP1,A01,\"taxol\nP1,A02,x\n\"", options(&["compound"], &[], None));
    assert!(error.to_string().contains("platemap.csv:2: expected a label without control characters"), "{error}");
}

#[test]
fn what_was_understood_of_a_table_is_told() {
    let csv = "plate,well,compound,fold\nP1,A01,DMSO,train\nP1,A02,taxol,test\nP1,A03,,train\n";
    let (dir, config) = labelled(&["a/P1/A01", "a/P1/A02", "a/P1/A03"], csv, None);
    let run = |flags: &[&str]| {
        let mut command = tool("pack");
        command.arg("--src").arg(dir.path().join("data")).arg("--dst").arg(&config.dst).args(["--pattern", PATTERN]);
        command.arg("--labels").arg(dir.path().join("platemap.csv")).args(["--label-column", "compound"]);
        let output =
            command.args(["--negative-control", "DMSO", "--split-column", "fold"]).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let text = run(&["--dry-run"]);
    let file = dir.path().join("platemap.csv").display().to_string();
    let line = format!(
        "labels     {file}: compound; 1 well with treatments, 1 negative control, 1 well of no known kind, 1 without a label\n\
         \u{20}          controls: compound=DMSO (1 well); dataset: fold\n"
    );
    assert!(text.contains(&line), "{text}");
    let mut page = JsonPage::of(&["pack"]);
    for flags in [&["--dry-run", "--json"][..], &["--json"]] {
        let told = page.check(&run(flags))["plan"]["labels"].clone();
        assert_eq!((&told["file"], &told["data_set"]), (&file.clone().into(), &serde_json::Value::Null));
        assert_eq!(told["label_columns"], serde_json::json!(["compound"]));
        assert_eq!(
            told["controls"],
            serde_json::json!([{ "well_type": "negative_control", "known_by": "compound=DMSO", "wells": 1 }])
        );
        assert_eq!((&told["split_column"], &told["without_label"]), (&"fold".into(), &1.into()));
        assert_eq!(told["wells"]["treatment"], 1);
    }
}

//! RxRx1's relatives from the first file to the last: trees with the headers of each, made-up pixels, packed, trained on
//! for a few steps, and predicted by the names of their treatments.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use cellshard::csv_table::from_csv;
use cellshard::pack::{PackConfig, pack};
use cellshard::site::Dtype;
use cellshard::source::Layout;
use cellshard::stats::Grouping;
use cellshard::store::Store;
use cellshard::verify::{Depth, StoreConfig, verify_store};
use png::{BitDepth, ColorType};

use crate::common::{encode_png, stderr, stdout, tool};

const SIDE: u32 = 24;
const N_SITES: u16 = 2;
const WELLS: [&str; 10] = ["B02", "B03", "B04", "C02", "C03", "C04", "D02", "D03", "AA02", "AF48"];
const TREATMENTS: [&str; 3] = ["IL-6", "TNF alpha", "Remdesivir, GS-5734"];

/// A row of what `predict` writes.
#[derive(serde::Serialize, serde::Deserialize)]
struct Predicted {
    id_code: String,
    sirna: String,
}

/// A data set as a test writes it.
struct Member {
    header: &'static str,
    experiments: [&'static str; 3],
    colour: ColorType,
    depth: BitDepth,
    layout: Option<&'static str>,
    /// A row of an experiment, a well and a site, with what the well was given; `None` where it is untreated.
    row: fn(&str, &str, u16, Option<&str>) -> String,
}

/// What most have: images of one channel and 8 bits, in a layout that is recognised.
const GREY: Member = Member {
    header: "",
    experiments: [""; 3],
    colour: ColorType::Grayscale,
    depth: BitDepth::Eight,
    layout: None,
    row: |_, _, _, _| String::new(),
};

/// What a well was given: the first two are untreated.
fn given(well: usize) -> Option<&'static str> {
    well.checked_sub(2).map(|treated| TREATMENTS[treated % TREATMENTS.len()])
}

fn quoted(text: Option<&str>) -> String {
    text.map_or(String::new(), |text| format!("\"{text}\""))
}

impl Member {
    fn write(&self, root: &Path) {
        let mut csv = format!("{}\n", self.header);
        let samples = self.colour.samples() * if self.depth == BitDepth::Sixteen { 2 } else { 1 };
        for (e, experiment) in self.experiments.iter().enumerate() {
            let dir = root.join(format!("images/{experiment}/Plate1"));
            fs::create_dir_all(&dir).unwrap();
            for (w, well) in WELLS.iter().enumerate() {
                for site in 1..=N_SITES {
                    if site == 1 || self.header.contains(",site,") {
                        writeln!(csv, "{}", (self.row)(experiment, well, site, given(w))).unwrap();
                    }
                    let n_images = if self.colour == ColorType::Rgb { 1 } else { 2 };
                    for channel in 1..=n_images {
                        let level =
                            |i: usize| (i * (3 + w % 5) + 31 * w + 7 * e + usize::from(site * channel)) as u8 / 2;
                        let pixels: Vec<u8> = (0..(SIDE * SIDE) as usize * samples).map(level).collect();
                        let png = encode_png((SIDE, SIDE), &pixels, self.colour, self.depth);
                        let channel = if n_images == 1 { String::new() } else { format!("_w{channel}") };
                        fs::write(dir.join(format!("{well}_s{site}{channel}.png")), png).unwrap();
                    }
                }
            }
        }
        fs::write(root.join("metadata.csv"), csv).unwrap();
    }
}

fn check(member: &Member, controls: &[&str]) {
    let dtype = if member.depth == BitDepth::Sixteen { Dtype::Uint16 } else { Dtype::Uint8 };
    let dir = tempfile::tempdir().unwrap();
    let (data, shards) = (dir.path().join("data"), dir.path().join("shards"));
    member.write(&data);
    let mut config = PackConfig::new(&data, &shards);
    config.source.layout = member.layout.and_then(Layout::named);
    let report = pack(&config, &|_| {}).unwrap();
    assert!(report.finished && report.faults.is_empty(), "{:?}", report.faults.first());
    let verified = verify_store(&StoreConfig { root: shards.clone(), depth: Depth::Deep, manifest: None }, &|_| {});
    assert_eq!(verified.unwrap().findings, []);
    let store = Store::open_proven(&shards).unwrap();
    assert_eq!(store.spec().dtype, dtype);
    let summaries = cellshard::plate_statistics::summarise_store(&store, Grouping::Plate).unwrap();
    assert!(summaries.iter().any(|summary| summary.population.name() == "negative" && summary.n_sites > 0));
    let names: BTreeSet<&str> = store.classes().rows().iter().map(|class| class.sirna.as_str()).collect();
    assert_eq!(names, TREATMENTS.iter().chain(controls).copied().collect());

    let path = |name: &str| dir.path().join(name).display().to_string();
    let run = |program: &str, args: &[&str]| {
        let output = tool(program).args(["--shards", &path("shards"), "--device", "cpu"]).args(args).output().unwrap();
        assert!(output.status.success(), "{program}: {}", stderr(&output));
        stdout(&output)
    };
    let recipe = ["--model", "base-cnn", "--epochs", "1", "--batch", "8", "--noise", "0.1"];
    run("train", &[&["--run", &path("run")], &recipe[..]].concat());
    run("predict", &["--run", &path("run"), "--wells", "validation", "--out", &path("out.csv")]);
    let predicted: Vec<Predicted> = from_csv(&fs::read_to_string(path("out.csv")).unwrap(), "out.csv").unwrap();
    // At least the treated wells of one plate.
    assert!(predicted.len() >= WELLS.len() - 2);
    assert!(predicted.iter().all(|row| TREATMENTS.contains(&row.sirna.as_str()) && row.id_code.contains("_1_")));
}

#[test]
fn rxrx2_is_learned_and_predicted_by_name() {
    let member = Member {
        header: "site_id,well_id,cell_type,experiment,plate,well,site,treatment,treatment_conc",
        experiments: ["HUVEC-1", "HUVEC-2", "HUVEC-3"],
        row: |experiment, well, site, given| {
            let id = format!("{experiment}_1_{well}");
            format!("{id}_{site},{id},HUVEC,{experiment},1,{well},{site},{},0.1", quoted(given))
        },
        ..GREY
    };
    check(&member, &["untreated"]);
}

#[test]
fn rxrx19a_is_learned_and_predicted_by_name() {
    let member = Member {
        header: "site_id,well_id,cell_type,experiment,plate,well,site,disease_condition,treatment,treatment_conc,SMILES",
        experiments: ["HRCE-1", "HRCE-2", "VERO-1"],
        row: |experiment, well, site, given| {
            let (id, cell_type) = (format!("{experiment}_1_{well}"), &experiment[..4]);
            let condition = if given.is_some() { "Active SARS-CoV-2" } else { "Mock" };
            let smiles = "\"CCC(CC)COC(=O) |r,c:5,9|\"";
            format!(
                "{id}_{site},{id},{cell_type},{experiment},1,{well},{site},{condition},{},1.0,{smiles}",
                quoted(given)
            )
        },
        ..GREY
    };
    check(&member, &["Mock"]);
}

#[test]
fn rxrx19b_is_learned_and_predicted_by_name() {
    let member = Member {
        header: "site_id,well_id,cell_type,experiment,plate,well,site,disease_condition,treatment,treatment_conc,SMILES",
        experiments: ["HUVEC-1", "HUVEC-2", "HUVEC-3"],
        row: |experiment, well, site, given| {
            let id = format!("{experiment}_1_{well}");
            let condition = if given.is_some() { "storm-severe" } else { "healthy" };
            format!("{id}_{site},{id},HUVEC,{experiment},1,{well},{site},{condition},{},1.0,", quoted(given))
        },
        ..GREY
    };
    check(&member, &["healthy"]);
}

#[test]
fn rxrx3_of_16_bits_and_without_sites_is_learned_and_predicted_by_name() {
    let member = Member {
        header: "well_id,experiment_name,plate,address,gene,treatment,SMILES,concentration,perturbation_type,cell_type",
        experiments: ["compound-001", "compound-002", "gene-079"],
        depth: BitDepth::Sixteen,
        row: |experiment, well, _, given| {
            let treatment = quoted(Some(given.unwrap_or("EMPTY_control")));
            format!("{experiment}_1_{well},{experiment},1,{well},,{treatment},,0.25,COMPOUND,HUVEC")
        },
        ..GREY
    };
    check(&member, &["EMPTY_control"]);
}

#[test]
fn wilds_of_three_channels_in_one_image_is_learned_and_predicted_by_name() {
    let member = Member {
        header: "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id",
        experiments: ["HUVEC-01", "HUVEC-02", "RPE-01"],
        colour: ColorType::Rgb,
        layout: Some("wilds"),
        row: |experiment, well, site, given| {
            let (id, cell_type) = (format!("{experiment}_1_{well}"), experiment.split('-').next().unwrap());
            let class = TREATMENTS.iter().position(|name| Some(*name) == given).unwrap_or(1138);
            let kind = if given.is_some() { "treatment" } else { "negative_control" };
            let sirna = quoted(Some(given.unwrap_or("EMPTY")));
            format!("{id}_{site},{id},{cell_type},train,{experiment},1,{well},{site},{kind},{sirna},{class}")
        },
        ..GREY
    };
    check(&member, &["EMPTY"]);
}

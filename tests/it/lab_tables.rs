//! Labels of any lab's plates: a table joined by plate and well, or the table that names the images itself; images of RGB;
//! and only what is present.

use std::fs;

use cellshard::fault::FaultKind;
use cellshard::pack::{PackConfig, pack, plan};
use cellshard::source::labels::LabelOptions;
use cellshard::source::{Absent, Layout};
use cellshard::store::Store;
use cellshard::verify::{Depth, StoreConfig, verify_store};
use png::{BitDepth, ColorType};
use tempfile::TempDir;

use crate::common::{Fixture, encode_png, small, stderr, stdout, tool};
use crate::patterns::{config, levels, packed, tree, write};

/// Labels of `compound`, in which DMSO is untreated.
fn options(on: Option<&str>) -> LabelOptions {
    LabelOptions {
        label_columns: vec!["compound".to_owned()],
        negative_controls: vec!["DMSO".parse().unwrap()],
        on: on.map(|on| on.parse().unwrap()),
        ..LabelOptions::default()
    }
}

/// What is known of each site: its id, its population and its label.
fn labels(store: &Store) -> Vec<(String, &'static str, String)> {
    let label = |row: &cellshard::store::format::rows::SiteRow| {
        (row.id.to_string(), row.label.population.name(), row.label.sirna.to_string())
    };
    store.sites().iter().map(label).collect()
}

fn with_labels(layout: &str, paths: &[&str], csv: &str, on: Option<&str>) -> (TempDir, PackConfig) {
    let dir = tree(paths);
    let path = dir.path().join("platemap.csv");
    fs::write(&path, csv).unwrap();
    let mut config = config(&dir, layout);
    config.source.metadata = Some(path);
    config.source.labels = options(on);
    if !csv.contains("DMSO") {
        config.source.labels.negative_controls.clear();
    }
    (dir, config)
}

const FLAT: &str = "{plate}_{well}_{channel}.png";
const PAIR: [&str; 2] = ["BR1_A01_1.png", "BR1_A02_1.png"];

#[test]
fn a_platemap_is_joined_by_plate_and_well_whatever_its_columns_are_called() {
    for (csv, on) in [
        ("plate,well,compound\nBR1,A01,DMSO\nBR1,A02,taxol\n", None),
        ("Metadata_Plate,well_position,compound\nBR1,a1,DMSO\nBR1,A002,taxol\n", None),
        ("Assay_Plate_Barcode,Well,compound\nBR1,A01,DMSO\nBR1,A02,taxol\n", None),
        ("x,compound,y,plate\nA01,DMSO,BR1,p\nA02,taxol,BR1,p\n", Some("plate=y,well=x")),
        ("site,plate,well,compound\n7,BR1,A01,DMSO\n8,BR1,A02,taxol\n", Some("plate,well,site=")),
    ] {
        let (_dir, config) = with_labels(FLAT, &PAIR, csv, on);
        let store = packed(&config);
        let expected =
            [("experiment/BR1/A01_1", "negative_control", "DMSO"), ("experiment/BR1/A02_1", "treatment", "taxol")];
        let found = labels(&store);
        assert!(
            found.iter().map(|(id, kind, label)| (id.as_str(), *kind, label.as_str())).eq(expected),
            "{csv}{found:?}"
        );
        let classes = store.classes().rows().iter().map(|class| class.sirna.as_str()).collect::<Vec<_>>();
        assert_eq!(classes, ["taxol", "DMSO"], "treatments come first");
    }
}

#[test]
fn a_plate_of_two_experiments_gets_the_labels_of_its_name_where_that_is_said_unless_the_table_tells_experiments() {
    let paths = ["a/BR1/A01_1.png", "b/BR1/A01_1.png"];
    let pattern = "{experiment}/{plate}/{well}_{channel}.png";
    let on = Some("plate,well,experiment=");
    let (_dir, config) = with_labels(pattern, &paths, "plate,well,compound\nBR1,A01,taxol\n", on);
    assert!(labels(&packed(&config)).iter().all(|(.., label)| label == "taxol"));
    let csv = "Metadata_Batch,plate,well,compound\na,BR1,A01,taxol\nb,BR1,A01,DMSO\n";
    let (_dir, config) = with_labels(pattern, &paths, csv, None);
    assert_eq!(labels(&packed(&config)).into_iter().map(|(.., label)| label).collect::<Vec<_>>(), ["taxol", "DMSO"]);
}

#[test]
fn wells_without_a_row_and_rows_without_images_are_faults_or_counted() {
    let csv = "plate,well,compound\nBR1,A01,DMSO\nBR1,B07,taxol\nBR2,A01,taxol\n";
    let (_dir, mut config) = with_labels(FLAT, &PAIR, csv, None);
    let found: Vec<String> = plan(&config).unwrap().1.iter().map(ToString::to_string).collect();
    let expected = [
        "experiment/BR1/A02/1: no-row: expected a row in the CSVs, found none",
        "experiment/BR1/B07: no-images: expected images, found none",
        "experiment/BR2/A01: no-images: expected images, found none",
    ];
    assert_eq!(found, expected);
    config.source.present_only = true;
    let (plan, found) = plan(&config).unwrap();
    assert_eq!(
        found.iter().map(|fault| fault.kind).collect::<Vec<_>>(),
        [FaultKind::NoRow],
        "an image is never passed over"
    );
    assert_eq!(plan.absent, Some(Absent { plates: 1, wells: 2, sites: 0 }));
}

#[test]
fn the_table_that_names_images_may_tell_labels_too() {
    let dir = tree(&["W/P/G10_1.tif", "W/P/G10_2.tif", "W/P/B02_1.tif"]);
    // As BBBC021 has it: no column of the site, and names that end in a channel's.
    let csv = "ImageNumber,Image_FileName_DAPI,Image_PathName_DAPI,Image_Metadata_Plate_DAPI,Image_Metadata_Well_DAPI,compound\n\
               1,G10_1.tif,W/P,P,G10,taxol\n2,G10_2.tif,W/P,P,G10,taxol\n3,B02_1.tif,W/P,P,B02,DMSO\n";
    let path = dir.path().join("image_table.csv");
    fs::write(&path, csv).unwrap();
    let mut config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    config.source.table = Some(path);
    config.source.labels = options(None);
    let store = packed(&config);
    let found: Vec<String> = labels(&store).into_iter().map(|(id, _, label)| format!("{id} {label}")).collect();
    assert_eq!(found, ["experiment/P/B02_1 DMSO", "experiment/P/G10_1 taxol", "experiment/P/G10_2 taxol"]);
    assert_eq!(levels(&store).1, ["DAPI"]);
}

#[test]
fn what_cannot_be_joined_is_refused_by_name() {
    let says = |csv: &str, on, part: &str| {
        let (_dir, config) = with_labels(FLAT, &PAIR, csv, on);
        let error = plan(&config).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    says("plate,compound\nBR1,DMSO\n", None, "platemap.csv:1: expected a column of the well");
    says("plate,well,compound\nBR1,A0,DMSO\n", None, "platemap.csv:2: expected a well");
    let agree = "platemap.csv:3: expected rows of well experiment/BR1/A01 that agree";
    says("plate,well,compound\nBR1,A01,DMSO\nBR1,A1,taxol\n", None, agree);
    says("Plate,Well,compound\nBR1,A01,DMSO\nBR1,A1,taxol\n", None, agree);
    says("plate,well,compound\nBR1,A01,DMSO2\nBR1,A02,y\n", None, "--negative-control");
    says("plate,well,dose\nBR1,A01,x\n", None, "--label-column");
    says("plate,well,compound\nBR1,A01,DMSO\n", Some("plate=barcode,well"), "barcode");
    let dir = tree(&PAIR);
    let mut both = config(&dir, FLAT);
    both.source.layout = Layout::named("phenix");
    assert!(plan(&both).unwrap_err().to_string().contains("--pattern: expected no --layout beside it"));
}

fn rgb(pixels: [u8; 3]) -> Vec<u8> {
    encode_png((5, 4), &pixels.repeat(20), ColorType::Rgb, BitDepth::Eight)
}

#[test]
fn an_image_of_three_channels_is_three_channels_of_a_site() {
    let dir = TempDir::new().unwrap();
    let header = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n";
    let row = |well: &str, site: u16, split: &str, class: u16| {
        format!(
            "HUVEC-01_1_{well}_{site},HUVEC-01_1_{well},HUVEC,{split},HUVEC-01,1,{well},{site},treatment,s{class},{class}\n"
        )
    };
    let rows = [row("B02", 1, "train", 1), row("B02", 2, "train", 1), row("B03", 1, "val", 2), row("B03", 2, "val", 2)];
    write(dir.path(), "metadata.csv", (header.to_owned() + &rows.concat()).as_bytes());
    for (i, name) in (1..).zip(["B02_s1", "B02_s2", "B03_s1", "B03_s2"]) {
        write(dir.path(), &format!("images/HUVEC-01/Plate1/{name}.png"), &rgb([i, 10 * i, 50 * i]));
    }
    let store = packed(&config(&dir, "wilds"));
    let names: Vec<&str> = store.spec().channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["red", "green", "blue"]);
    let pixels = store.site("HUVEC-01", 1, "B03", 1).unwrap();
    assert_eq!(pixels, [[3; 20], [30; 20], [150; 20]].concat());
    let datasets: Vec<&str> = store.sites().iter().map(|row| &*row.label.dataset).collect();
    assert_eq!(datasets, ["train", "train", "val", "val"]);
}

#[test]
fn an_image_of_rgb_that_is_grey_is_told_and_taken_where_that_is_asked_for() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "P/A01_w1.png", &rgb([7; 3]));
    write(dir.path(), "P/A02_w1.png", &rgb([9; 3]));
    let mut config = config(&dir, "{plate}/{well}_w{channel}.png");
    let (told, faults) = plan(&config).unwrap();
    assert!(told.unusual.iter().any(|text| text.contains("--grey")), "{:?}", told.unusual);
    assert!(faults.iter().all(|fault| fault.kind == FaultKind::WrongColour) && !faults.is_empty());
    config.source.takes_equal_rgb = true;
    assert_eq!(packed(&config).site("experiment", "P", "A02", 1).unwrap(), [9; 20]);
    write(dir.path(), "P/A02_w1.png", &rgb([9, 9, 8]));
    let faults = pack(&config, &|_| {}).unwrap().faults;
    assert!(faults[0].detail.contains("found 9, 9, 8 at x = 0, y = 0"), "{faults:?}");
}

#[test]
fn what_is_present_is_packed_and_the_rest_is_one_line() {
    let fixture = Fixture::kaggle(small());
    for gone in ["train/HEPG2-01/Plate2", "test/RPE-02"] {
        fs::remove_dir_all(fixture.image(gone)).unwrap();
    }
    for well in ["B03_s1", "B03_s2", "B04_s1"] {
        for channel in 1..=2 {
            fs::remove_file(fixture.image(&format!("train/HEPG2-01/Plate1/{well}_w{channel}.png"))).unwrap();
        }
    }
    let (data, store) = (fixture.data().display().to_string(), fixture.store().display().to_string());
    let pack = |flags: &[&str]| tool("pack").args(["--src", &data, "--dst", &store]).args(flags).output().unwrap();
    let output = pack(&["--present"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let line = "beside     19 wells that the CSVs name have no image, and 1 site of wells that have others; 3 plates have none \
                at all (--present)";
    assert!(stdout(&output).lines().any(|found| found == line), "{}", stdout(&output));
    assert!(!fixture.store().join("rejected.csv").exists());
    let config = StoreConfig { root: fixture.store(), depth: Depth::Deep, manifest: None };
    let report = verify_store(&config, &|_| {}).unwrap();
    assert_eq!((report.findings, report.sites, report.present_only), (vec![], 9, true));
    let verified = tool("verify").arg(&store).output().unwrap();
    assert!(stdout(&verified).contains("part       holds what was present of its source"), "{}", stdout(&verified));
    // Whoever forgets the flag is told, and what is there already is not lost to less.
    let forgot = pack(&[]);
    assert_eq!(forgot.status.code(), Some(2));
    assert!(stderr(&forgot).contains("--present"), "{}", stderr(&forgot));
    fs::remove_file(fixture.image("train/HEPG2-01/Plate1/B02_s1_w1.png")).unwrap();
    fs::remove_file(fixture.image("train/HEPG2-01/Plate1/B02_s1_w2.png")).unwrap();
    let less = pack(&["--present"]);
    assert_eq!(less.status.code(), Some(1), "{}", stdout(&less));
    assert!(stdout(&less).contains("it would lose 1 site"), "{}", stdout(&less));
    assert_eq!(Store::open(&fixture.store()).unwrap().sites().len(), 9);
}

#[test]
fn a_well_of_more_rows_than_sites_can_be_counted_is_an_error_at_its_line() {
    let dir = tree(&["P/1.tif"]);
    let mut csv = String::from("plate,well,DNA\n");
    (0..65_536).for_each(|i| csv.push_str(&format!("P,A01,P/{i}.tif\n")));
    let path = dir.path().join("table.csv");
    fs::write(&path, csv).unwrap();
    let mut config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    config.source.table = Some(path);
    let error = plan(&config).unwrap_err().to_string();
    assert!(error.contains("table.csv:65537: expected at most 65,535 rows of a well"), "{error}");
}

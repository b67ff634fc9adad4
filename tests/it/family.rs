//! RxRx1's relatives, packed: trees with the tables of RxRx2, RxRx19a, RxRx19b and RxRx3, and 8-bit images.

use std::fs;
use std::path::Path;

use cellshard::fault::FaultKind;
use cellshard::pack::{PackConfig, pack, plan};
use cellshard::site::Population;
use cellshard::source::labels::DataSet;
use cellshard::source::{Layout, Source};
use cellshard::store::Store;
use cellshard::verify::{Depth, StoreConfig, compare_tree, verify_store, verify_tree};

use crate::common::{Fixture, TreeSpec, site_pixels, small, stderr, stdout, tool};

const WELLS: [&str; 5] = ["B02", "B03", "C03", "AA02", "AF48"];

/// A tree as rxrx.ai lays it out, with a row a site of what `rest` says of each well.
fn tree(experiment: &'static str, sites: u16, channels: usize) -> Fixture {
    let experiments = vec![(experiment, "train")];
    let fixture = Fixture::rxrx_ai(TreeSpec { experiments, wells: WELLS.into(), sites, channels, ..small() });
    // A plate beyond those that RxRx1 has.
    fs::rename(
        fixture.image(&format!("images/{experiment}/Plate2")),
        fixture.image(&format!("images/{experiment}/Plate48")),
    )
    .unwrap();
    fs::remove_file(fixture.image("metadata.csv")).unwrap();
    fixture
}

/// Rows of what `row` makes of a plate, a well and a site.
fn table(sites: u16, row: impl Fn(u16, usize, u16) -> String) -> String {
    let mut rows = String::new();
    for plate in [1, 48] {
        for well in 0..WELLS.len() {
            rows.extend((1..=sites).map(|site| row(plate, well, site) + "\n"));
        }
    }
    rows
}

/// Packs a tree, and proves the store and the tree, and each by the other.
fn check(fixture: &Fixture, name: &str, text: &str, expected: (DataSet, [u64; 4], &str)) -> Store {
    fs::write(fixture.image(name), text).unwrap();
    let config = fixture.config();
    let source = Source::open(&config.source).unwrap();
    let told = source.labels.as_ref().unwrap();
    let (data_set, counts, classes) = expected;
    assert_eq!((source.layout, told.data_set), (Layout::RxrxAi, Some(data_set)));
    assert_eq!(told.wells, counts, "negative, positive, treatment, unknown");
    assert_eq!(plan(&config).unwrap().1, []);
    let report = fixture.pack();
    assert!(report.finished && report.faults.is_empty(), "{:?}", report.faults.first());
    assert_eq!(report.plan.labelled_wells, Some(counts.iter().sum()));
    let nothing: &(dyn Fn(u64) + Sync) = &|_| {};
    assert_eq!(verify_tree(&config.source, None, nothing, nothing).unwrap().faults, []);
    let store = verify_store(&StoreConfig { root: fixture.store(), depth: Depth::Deep, manifest: None }, &|_| {});
    assert_eq!(store.unwrap().findings, []);
    assert_eq!(compare_tree(&config.source, &fixture.store(), &|_| {}).unwrap().findings, []);
    assert_eq!(fixture.pack().plates_packed, 0);
    let store = Store::open(&fixture.store()).unwrap();
    let names: Vec<&str> = store.classes().rows().iter().map(|row| row.sirna.as_str()).collect();
    assert_eq!(names.join(", "), classes);
    let n_sites = counts.iter().sum::<u64>() * u64::from(fixture.spec.sites);
    assert_eq!(store.sites().len() as u64, n_sites);
    assert!(store.plates().keys().any(|plate| plate.to_string().ends_with("/Plate48")));
    store
}

/// Whether the only thing worth a look that a run tells of is `expected`.
fn unusual(fixture: &Fixture) -> Vec<String> {
    plan(&fixture.config()).unwrap().0.unusual
}

fn population_of(store: &Store, well: &str) -> (Population, String) {
    let row = store.sites().iter().find(|row| row.id.well.well.to_string() == well).unwrap();
    (row.label.population, row.label.sirna.to_string())
}

#[test]
fn rxrx2_is_packed_and_verified() {
    let fixture = tree("HUVEC-1", 4, 6);
    let header = "site_id,well_id,cell_type,experiment,plate,well,site,treatment,treatment_conc\n";
    let given = ["", "IL-6,0.01", "IL-10,0.1", "IL-6,0.1", "TNF,0.01"];
    let rows = table(4, |plate, well, site| {
        let id = format!("HUVEC-1_{plate}_{}", WELLS[well]);
        let given = if well == 0 { "," } else { given[well] };
        format!("{id}_{site},{id},HUVEC,HUVEC-1,{plate},{},{site},{given}", WELLS[well])
    });
    let expected = (DataSet::RxRx2, [2, 0, 8, 0], "IL-6, IL-10, TNF, untreated");
    let store = check(&fixture, "rxrx2-metadata.csv", &(header.to_owned() + &rows), expected);
    assert_eq!(population_of(&store, "B02"), (Population::NegativeControl, "untreated".into()));
    assert_eq!(population_of(&store, "AF48"), (Population::Treatment, "TNF".into()));
    // Its README names no stains, so that none are written down.
    let channels: Vec<&str> = store.spec().channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(channels, ["w1", "w2", "w3", "w4", "w5", "w6"]);
    assert!(unusual(&fixture).is_empty());
    // Another label than before is found, and another control.
    let csv = fixture.image("rxrx2-metadata.csv");
    let text = fs::read_to_string(&csv).unwrap();
    fs::write(&csv, text.replace("TNF", "IFNG")).unwrap();
    let source = fixture.config().source;
    let found = compare_tree(&source, &fixture.store(), &|_| {}).unwrap().findings;
    assert_eq!(found.len(), 2, "{found:?}");
    fs::write(&csv, text).unwrap();
    let mut other = source;
    other.labels.negative_controls = vec!["IL-10".parse().unwrap()];
    let found = compare_tree(&other, &fixture.store(), &|_| {}).unwrap().findings;
    assert!(found.len() == 2 && found[0].detail.contains("negative_control"), "{found:?}");
}

#[test]
fn rxrx19a_is_packed_and_verified_with_wells_of_which_nothing_is_known() {
    let fixture = tree("HRCE-1", 2, 5);
    let header =
        "site_id,well_id,cell_type,experiment,plate,well,site,disease_condition,treatment,treatment_conc,SMILES\n";
    let given = [
        "Mock,,,",
        "Active SARS-CoV-2,Remdesivir (GS-5734),1.0,\"CCC(CC)COC(=O) |r,c:5,9|\"",
        "Active SARS-CoV-2,,,",
        "UV Inactivated SARS-CoV-2,,,",
        ",,,",
    ];
    let rows = table(2, |plate, well, site| {
        let id = format!("HRCE-1_{plate}_{}", WELLS[well]);
        format!("{id}_{site},{id},HRCE,HRCE-1,{plate},{},{site},{}", WELLS[well], given[well])
    });
    let classes = "Remdesivir (GS-5734), Active SARS-CoV-2, Mock, UV Inactivated SARS-CoV-2";
    let expected = (DataSet::RxRx19a, [4, 2, 2, 2], classes);
    let store = check(&fixture, "metadata.csv", &(header.to_owned() + &rows), expected);
    assert_eq!(population_of(&store, "AF48"), (Population::Unknown, String::new()));
    let unusual = unusual(&fixture);
    assert!(unusual.len() == 1 && unusual[0].starts_with("2 wells of "), "{unusual:?}");
    // A site that the table names and that is not there was lost.
    fs::remove_file(fixture.image("images/HRCE-1/Plate1/B03_s2_w1.png")).unwrap();
    assert_eq!(fixture.pack().faults.len(), 1);
}

#[test]
fn rxrx19b_is_packed_and_verified() {
    let fixture = tree("HUVEC-1", 1, 6);
    let header =
        "site_id,well_id,cell_type,experiment,plate,well,site,disease_condition,treatment,treatment_conc,SMILES\n";
    let given =
        ["healthy,,,", "storm-severe,Solumedrol,1.0,\"C,C\"", "storm-severe,,,", ",,,", "storm-severe,AZD4547,3.0,C"];
    let rows = table(1, |plate, well, site| {
        let id = format!("HUVEC-1_{plate}_{}", WELLS[well]);
        format!("{id}_{site},{id},HUVEC,HUVEC-1,{plate},{},{site},{}", WELLS[well], given[well])
    });
    let expected = (DataSet::RxRx19b, [4, 2, 4, 0], "AZD4547, Solumedrol, storm-severe, healthy, untreated");
    check(&fixture, "metadata.csv", &(header.to_owned() + &rows), expected);
}

#[test]
fn rxrx3_is_packed_and_verified_by_a_table_of_wells() {
    let fixture = tree("gene-079", 1, 6);
    let header =
        "well_id,experiment_name,plate,address,gene,treatment,SMILES,concentration,perturbation_type,cell_type\n";
    let given = [
        "EMPTY_control,EMPTY_control,,,CRISPR",
        "RPLP2,RPLP2_guide_4,,,CRISPR",
        "RPLP2,RPLP2_guide_10,,,CRISPR",
        ",CRISPR_control,,,COMPOUND",
        ",Dequalinium,\"C2C(N)=C1 |c:1,13,21|\",0.25,COMPOUND",
    ];
    let rows = table(1, |plate, well, _| {
        format!("gene-079_{plate}_{0},gene-079,{plate},{0},{1},HUVEC", WELLS[well], given[well])
    });
    let classes = "Dequalinium, RPLP2_guide_4, RPLP2_guide_10, CRISPR_control, EMPTY_control";
    let text = header.to_owned() + &rows;
    let store = check(&fixture, "metadata_rxrx3_core.csv", &text, (DataSet::RxRx3, [2, 2, 6, 0], classes));
    assert_eq!(store.sites()[0].id.well.plate.experiment.cell_type(), "HUVEC");
    let expected = site_pixels(&fixture.spec, "gene-079", 1, "AF48", 1);
    assert_eq!(store.site("gene-079", 1, "AF48", 1).unwrap(), expected);
    // Whoever knows what the other control is says so.
    let mut config = fixture.config();
    config.source.labels.negative_controls = ["EMPTY_control", "CRISPR_control"].map(|v| v.parse().unwrap()).into();
    assert_eq!(Source::open(&config.source).unwrap().labels.unwrap().wells, [4, 0, 6, 0]);
    // A well that no row names is a fault, as it is in every layout with labels.
    fs::write(
        fixture.image("metadata_rxrx3_core.csv"),
        text.replacen("gene-079_1_B03,", "gene-079_1_B04,", 1).replacen(",1,B03,", ",1,B04,", 1),
    )
    .unwrap();
    let faults = fixture.pack().faults;
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[test]
fn a_table_of_ones_own_is_given_by_its_path() {
    let fixture = tree("SCREEN-1", 2, 3);
    let rows =
        table(1, |plate, well, _| format!("SCREEN-1,{plate},{},{}", WELLS[well], ["DMSO", "a", "b", "b", "a"][well]));
    let csv = fixture.path().join("plate map.csv");
    fs::write(&csv, format!("experiment,plate,well,compound\n{rows}")).unwrap();
    let mut config = fixture.config();
    config.source.metadata = Some(csv.clone());
    let error = pack(&config, &|_| {}).unwrap_err().to_string();
    assert!(
        error.contains("or RxRx3, found experiment,plate,well,compound") && error.contains("--label-column COLUMN"),
        "{error}"
    );
    config.source.labels.label_columns = vec!["compound".into()];
    config.source.labels.negative_controls = vec!["DMSO".parse().unwrap()];
    // Beside one that is named, another is not meant.
    fs::write(fixture.image("metadata.csv"), "another\n").unwrap();
    let report = pack(&config, &|_| {}).unwrap();
    assert!(report.finished && report.plan.unusual.is_empty(), "{:?}", report.plan.unusual);
    let store = Store::open(&fixture.store()).unwrap();
    assert_eq!(population_of(&store, "B02"), (Population::NegativeControl, "DMSO".into()));
    // Of a table of wells, what one well has and another lacks was lost.
    let image = |channel: u32| fixture.image(&format!("images/SCREEN-1/Plate1/B03_s2_w{channel}.png"));
    let kept = |channel: u32| fixture.path().join(format!("kept-{channel}"));
    (1..=3).for_each(|channel| fs::rename(image(channel), kept(channel)).unwrap());
    let lost = pack(&config, &|_| {}).unwrap().faults;
    assert!(lost.len() == 1 && lost[0].kind == FaultKind::MissingSite, "{lost:?}");
    (1..=3).for_each(|channel| fs::rename(kept(channel), image(channel)).unwrap());
    // The programs take the same as flags, to pack and to verify.
    let run = |name: &str, args: &[&str]| {
        let flags = ["--metadata", csv.to_str().unwrap(), "--label-column", "compound", "--split-column", "part"];
        let output = tool(name).args(args).args(flags).args(["--negative-control", "DMSO,b"]).output().unwrap();
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let (data, made) = (fixture.data().display().to_string(), fixture.path().join("made").display().to_string());
    let (code, says) = run("pack", &["--src", &data, "--dst", &made]);
    assert!(code == Some(2) && says.contains("--split-column: expected a column of"), "{says}");
    fs::write(
        &csv,
        fs::read_to_string(&csv)
            .unwrap()
            .replace(",compound\n", ",compound,part\n")
            .replace("a\n", "a,val\n")
            .replace("b\n", "b,train\n")
            .replace("DMSO\n", "DMSO,test\n"),
    )
    .unwrap();
    let (code, says) = run("pack", &["--src", &data, "--dst", &made]);
    assert!(code == Some(0) && says.contains("rxrx.ai layout, 10 labelled wells"), "{says}");
    let row = |well: &str| population_of(&Store::open(Path::new(&made)).unwrap(), well);
    assert_eq!(row("C03"), (Population::NegativeControl, "b".into()));
    let (code, says) = run("verify", &[&data, "--against", &made]);
    assert!(code == Some(0), "{says}");
    let (code, says) = run("verify", &[&made]);
    assert!(code == Some(2) && says.contains("a raw tree"), "{says}");
    let (code, says) = run("pack", &["--src", &made, "--dst", &data]);
    assert!(code == Some(2) && says.contains("expected a tree of PNGs as --src"), "{says}");
    let other = |root: &Path| {
        let mut config = PackConfig { dst: fixture.path().join("other"), ..config.clone() };
        config.source.root = root.to_owned();
        pack(&config, &|_| {}).unwrap_err().to_string()
    };
    let error = other(&fixture.image("images"));
    assert!(error.contains("--metadata: expected a table of the plates in images/ of "), "{error}");
}

#[test]
fn a_table_of_others_sirnas_is_none_of_rxrx1s_where_the_user_says_how_it_is_read() {
    let fixture = tree("SCREEN-1", 1, 6);
    let rows = table(1, |plate, well, _| {
        format!("SCREEN-1,{plate},{},{}", WELLS[well], ["si7", "si10", "si7", "", "s"][well])
    });
    fs::write(fixture.image("metadata.csv"), format!("experiment,plate,well,siRNA\n{rows}")).unwrap();
    let error = plan(&fixture.config()).unwrap_err().to_string();
    assert!(
        error.contains("expected --label-column COLUMN, or ") && error.contains(", found experiment,plate,well,siRNA"),
        "{error}"
    );
    let mut config = fixture.config();
    config.source.labels.label_columns = vec!["siRNA".into()];
    assert!(pack(&config, &|_| {}).unwrap().finished);
    let store = Store::open(&fixture.store()).unwrap();
    let classes: Vec<&str> = store.classes().rows().iter().map(|row| row.sirna.as_str()).collect();
    assert_eq!(classes, ["s", "si7", "si10"]);
    assert_eq!(store.spec().channels[0].name, "w1");
}

#[test]
fn two_tables_in_one_folder_are_one_too_many_and_one_is_known_by_any_of_its_names() {
    let fixture = Fixture::rxrx_ai(small());
    for name in ["rxrx2-metadata.csv", "metadata_rxrx3.csv", "metadata_rxrx3_core.csv"] {
        fs::copy(fixture.image("metadata.csv"), fixture.image(name)).unwrap();
        let error = plan(&fixture.config()).unwrap_err().to_string();
        let says = format!("metadata.csv and {}", fixture.image(name).display());
        assert!(error.contains("expected one table of sites or wells") && error.contains(&says), "{error}");
        // The path says which.
        let mut config = fixture.config();
        config.source.metadata = Some(fixture.image(name));
        assert_eq!(plan(&config).unwrap().0.layout, "rxrx.ai");
        fs::remove_file(fixture.image(name)).unwrap();
        // In the folder of a bare tree it tells of labels.
        let bare = Fixture::bare(small());
        fs::copy(fixture.image("metadata.csv"), bare.image(name)).unwrap();
        let error = plan(&bare.config()).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}, unused")), "{error}");
    }
    fs::rename(fixture.image("metadata.csv"), fixture.image("RxRx19a-metadata.zip")).unwrap();
    let error = plan(&fixture.config()).unwrap_err().to_string();
    assert!(error.contains("unpack ") && error.contains("RxRx19a-metadata.zip"), "{error}");
    let kaggle = Fixture::kaggle(small());
    let mut config = kaggle.config();
    config.source.layout = Some(Layout::Kaggle);
    config.source.metadata = Some(kaggle.image("train.csv"));
    let error = plan(&config).unwrap_err().to_string();
    assert!(error.contains("--metadata: expected a folder with Kaggle's four CSVs"), "{error}");
}

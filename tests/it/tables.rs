//! Tables by columns: what is read of each data set of the family, and of a table of somebody's own. The headers are
//! those of the data sets, and all but the last of RxRx3's rows are from its README.

use std::fs;
use std::path::Path;

use cellshard::error::{Error, Result};
use cellshard::site::Experiment;
use cellshard::site::Population::{self, NegativeControl, PositiveControl, Treatment, Unknown};
use cellshard::source::labels::{DataSet, LabelOptions, Labels, LabelsSummary};
use cellshard::source::{Layout, SourceConfig, read_labels};

const RXRX2: &str = "site_id,well_id,cell_type,experiment,plate,well,site,treatment,treatment_conc\n";
const RXRX19: &str =
    "site_id,well_id,cell_type,experiment,plate,well,site,disease_condition,treatment,treatment_conc,SMILES\n";
const RXRX3: &str = "well_id,experiment_name,plate,address,gene,treatment,SMILES,concentration,perturbation_type,\
cell_type
gene-079_8_H29,gene-079,8,H29,RPLP2,RPLP2_guide_4,,,CRISPR,HUVEC
gene-045_4_AD27,gene-045,4,AD27,RXRX3-43938,RXRX3-43938_guide_6,,,CRISPR,HUVEC
gene-060_9_P28,gene-060,9,P28,EMPTY_control,EMPTY_control,,,CRISPR,HUVEC
compound-001_19_D20,compound-001,19,D20,,Dequalinium,\"CC1=[N+](CCCCCCCCCC\
[N+]2=C(C)C=C(N)C3=CC=CC=C23)C2=CC=CC=C2C(N)=C1 |c:1,13,21,29,31,35,t:16,19,23,27|\",0.25,COMPOUND,HUVEC
compound-001_11_U08,compound-001,11,U08,,EMPTY_control,,,COMPOUND,HUVEC
compound-004_43_B08,compound-004,43,B08,,CRISPR_control,,,COMPOUND,HUVEC
compound-004_48_AF48,compound-004,48,AF48,,Dequalinium,,2.5,COMPOUND,HUVEC
";
const WILDS: &str = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n";
/// A table of somebody's own, a row a well.
const OWN: &str = "well,plate,experiment,compound,dose,fold,kind
B02,1,SCREEN-1,DMSO,,train,solvent
B03,1,SCREEN-1,aspirin,10,train,drug
B04,1,SCREEN-1,aspirin,2,validation,drug
C02,1,SCREEN-1,\"1,2-diol\",2,val,drug
C03,1,SCREEN-1,staurosporine,1,test,drug
C04,1,SCREEN-1,,0,train,none
";

/// Reads a table that lies where a data set has it.
fn read_named(name: &str, text: &str, labels: LabelOptions) -> Result<Labels> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), text).unwrap();
    let layout = Some(Layout::RxrxAi);
    read_labels(&SourceConfig { root: dir.path().to_owned(), layout, labels, ..SourceConfig::default() })
}

fn read(text: &str) -> Labels {
    read_named("metadata.csv", text, LabelOptions::default()).unwrap()
}

/// A table with `site_id` and `well_id`: rows of experiment, plate, well, site, and what comes behind them.
fn sites(header: &str, rows: &[(&str, u16, &str, u16, &str)]) -> String {
    let row = |(experiment, plate, well, site, rest): &(&str, u16, &str, u16, &str)| {
        let id = format!("{experiment}_{plate}_{well}");
        let cell_type = experiment.split('-').next().unwrap();
        format!("{id}_{site},{id},{cell_type},{experiment},{plate},{well},{site},{rest}\n")
    };
    header.to_owned() + &rows.iter().map(row).collect::<String>()
}

/// The wells of a table: name, dataset, population, label, class, sites.
fn wells(labels: &Labels) -> Vec<String> {
    let mut lines = Vec::new();
    for (plate, wells) in &labels.plates {
        for (well, told) in wells {
            let label = &told.label;
            let class = label.class.map_or_else(|| "-".to_owned(), |class| class.to_string());
            let sites = told.sites.as_ref().map_or_else(|| "any".to_owned(), |sites| format!("{sites:?}"));
            lines.push(format!(
                "{plate}/{well} {} {} [{}] {class} {sites}",
                label.dataset, label.population, label.sirna
            ));
        }
    }
    lines
}

fn classes(labels: &Labels) -> String {
    labels.classes.rows().iter().map(|row| format!("{}:{}", row.class, row.sirna)).collect::<Vec<_>>().join(", ")
}

fn summary(labels: &Labels) -> &LabelsSummary {
    labels.summary.as_ref().unwrap()
}

fn counts(labels: &Labels) -> [u64; 4] {
    [NegativeControl, PositiveControl, Treatment, Unknown].map(|population| summary(labels).wells_of(population))
}

fn controls(labels: &Labels) -> Vec<(Population, &str, u64)> {
    summary(labels).controls.iter().map(|control| (control.population, &*control.known_by, control.wells)).collect()
}

fn options(label_columns: &[&str], negative: &[&str], positive: &[&str], split_column: Option<&str>) -> LabelOptions {
    LabelOptions {
        label_columns: label_columns.iter().map(|&name| name.to_owned()).collect(),
        negative_controls: negative.iter().map(|value| value.parse().unwrap()).collect(),
        positive_controls: positive.iter().map(|value| value.parse().unwrap()).collect(),
        on: None,
        split_column: split_column.map(str::to_owned),
    }
}

fn refusal(text: &str, labels: LabelOptions) -> Error {
    read_named("metadata.csv", text, labels).unwrap_err()
}

#[test]
fn rxrx2_has_soluble_factors_and_wells_without_one() {
    let rows = [
        ("HUVEC-1", 1, "AA02", 2, "IL-6,0.01"),
        ("HUVEC-1", 1, "AA02", 1, "IL-6,0.01"),
        ("HUVEC-1", 1, "AF48", 1, "TNF,0.1"),
        ("HUVEC-1", 2, "B02", 1, ","),
        ("HUVEC-2", 1, "B02", 1, "IL-10,0.1"),
    ];
    let labels = read_named("rxrx2-metadata.csv", &sites(RXRX2, &rows), LabelOptions::default()).unwrap();
    assert_eq!(
        wells(&labels),
        [
            "HUVEC-1/Plate1/AA02 train treatment [IL-6] 0 {1, 2}",
            "HUVEC-1/Plate1/AF48 train treatment [TNF] 2 {1}",
            "HUVEC-1/Plate2/B02 train negative_control [untreated] 3 {1}",
            "HUVEC-2/Plate1/B02 train treatment [IL-10] 1 {1}",
        ]
    );
    assert_eq!(classes(&labels), "0:IL-6, 1:IL-10, 2:TNF, 3:untreated");
    let told = summary(&labels);
    assert_eq!(
        (told.data_set, told.label_columns.join(","), &told.split_column),
        (Some(DataSet::RxRx2), "treatment".into(), &None)
    );
    assert_eq!(controls(&labels), [(NegativeControl, "treatment=", 1)]);
    assert_eq!((counts(&labels), told.without_label, told.unusual()), ([1, 0, 3, 0], 0, None));
    assert!(!labels.has_numbers && told.file.ends_with("rxrx2-metadata.csv"));
}

#[test]
fn rxrx19a_has_controls_by_condition_where_no_compound_was_given() {
    let smiles = "\"CC(=O)N[C@@H]1C=C(O[C@H]1C(O)CO)C(O)=O |r,c:5,t:9|\"";
    let remdesivir = format!("Active SARS-CoV-2,Remdesivir (GS-5734),1.0,{smiles}");
    let compound_10 = "Active SARS-CoV-2,1-10,3.0,\"C1,2\"";
    let rows = [
        ("HRCE-1", 1, "AA02", 1, remdesivir.as_str()),
        ("HRCE-1", 1, "AA03", 1, "Mock,,,"),
        ("HRCE-1", 1, "AA04", 1, "UV Inactivated SARS-CoV-2,,,"),
        ("HRCE-1", 1, "AA05", 1, "Active SARS-CoV-2,,,"),
        ("HRCE-1", 1, "AA06", 1, ",,,"),
        ("HRCE-1", 1, "AA07", 1, ",1-9,0.3,C"),
        ("HRCE-1", 1, "AA08", 1, compound_10),
        ("HRCE-1", 1, "AA09", 1, "Mock,1-9,0.3,C"),
    ];
    let labels = read(&sites(RXRX19, &rows));
    let told: Vec<String> =
        wells(&labels).iter().map(|line| line.replace("HRCE-1/Plate1/", "").replace(" {1}", "")).collect();
    assert_eq!(
        told,
        [
            "AA02 train treatment [Remdesivir (GS-5734)] 2",
            "AA03 train negative_control [Mock] 4",
            "AA04 train negative_control [UV Inactivated SARS-CoV-2] 5",
            "AA05 train positive_control [Active SARS-CoV-2] 3",
            "AA06 train unknown [] -",
            "AA07 train treatment [1-9] 0",
            "AA08 train treatment [1-10] 1",
            "AA09 train treatment [1-9] 0",
        ]
    );
    assert_eq!(summary(&labels).data_set, Some(DataSet::RxRx19a));
    assert_eq!(counts(&labels), [2, 1, 4, 1]);
    assert_eq!(
        controls(&labels),
        [
            (NegativeControl, "disease_condition=Mock and treatment=", 1),
            (NegativeControl, "disease_condition=UV Inactivated SARS-CoV-2 and treatment=", 1),
            (PositiveControl, "disease_condition=Active SARS-CoV-2 and treatment=", 1),
        ]
    );
    // What the user names takes the place of one kind of control, and leaves the other.
    let uv = options(&[], &["disease_condition=UV Inactivated SARS-CoV-2"], &[], None);
    assert_eq!(counts(&read_named("metadata.csv", &sites(RXRX19, &rows), uv).unwrap()), [1, 1, 4, 2]);
    let unusual = summary(&labels).unusual().unwrap();
    assert!(unusual.starts_with("1 well of ") && unusual.ends_with("in treatment: it is not trained on"));
}

#[test]
fn rxrx19b_has_healthy_wells_the_storm_and_wells_without_cytokines() {
    let rows = [
        ("HUVEC-1", 1, "A01", 1, "storm-severe,Solumedrol,1.0,\"C,C\""),
        ("HUVEC-1", 1, "A02", 1, "healthy,,,"),
        ("HUVEC-1", 1, "A03", 1, "storm-severe,,,"),
        ("HUVEC-1", 1, "A04", 1, ",,,"),
    ];
    let labels = read(&sites(RXRX19, &rows));
    assert_eq!(summary(&labels).data_set, Some(DataSet::RxRx19b));
    assert_eq!(classes(&labels), "0:Solumedrol, 1:storm-severe, 2:healthy, 3:untreated");
    assert_eq!(counts(&labels), [2, 1, 1, 0]);
    let both = rows.into_iter().chain([("HRCE-1", 1, "A05", 1, "Mock,,,")]);
    for rows in [both.collect::<Vec<_>>(), vec![("HUVEC-1", 1, "A01", 1, "storm,Solumedrol,1.0,C")]] {
        let error = refusal(&sites(RXRX19, &rows), LabelOptions::default()).to_string();
        let says = "metadata.csv:1: expected --label-column COLUMN, or the columns of RxRx1, RxRx2, RxRx19a";
        let end = "of RxRx19b in disease_condition), found site_id,";
        assert!(error.contains(says) && error.contains(end), "{error}");
        let named = read_named("metadata.csv", &sites(RXRX19, &rows), options(&["treatment"], &[], &[], None));
        assert_eq!(named.unwrap().summary.unwrap().data_set, None);
    }
}

#[test]
fn rxrx3_names_wells_only_and_its_empty_and_crispr_controls() {
    for name in ["metadata.csv", "metadata_rxrx3.csv", "metadata_rxrx3_core.csv"] {
        let labels = read_named(name, RXRX3, LabelOptions::default()).unwrap();
        assert_eq!(
            wells(&labels),
            [
                "compound-001/Plate11/U08 train negative_control [EMPTY_control] 4 any",
                "compound-001/Plate19/D20 train treatment [Dequalinium] 0 any",
                "compound-004/Plate43/B08 train positive_control [CRISPR_control] 3 any",
                "compound-004/Plate48/AF48 train treatment [Dequalinium] 0 any",
                "gene-045/Plate4/AD27 train treatment [RXRX3-43938_guide_6] 2 any",
                "gene-060/Plate9/P28 train negative_control [EMPTY_control] 4 any",
                "gene-079/Plate8/H29 train treatment [RPLP2_guide_4] 1 any",
            ]
        );
        assert_eq!(summary(&labels).data_set, Some(DataSet::RxRx3));
        assert_eq!((counts(&labels), summary(&labels).without_label), ([2, 1, 4, 0], 0));
        let cell_types: Vec<&str> = labels.experiments.iter().map(Experiment::cell_type).collect();
        assert_eq!(cell_types, ["HUVEC"; 5]);
    }
    // By gene: compounds have none, and what is known of the controls stays.
    let by_gene = read_named("metadata.csv", RXRX3, options(&["gene"], &[], &[], None)).unwrap();
    assert_eq!(classes(&by_gene), "0:RPLP2, 1:RXRX3-43938, 2:CRISPR_control, 3:EMPTY_control");
    assert_eq!((counts(&by_gene), summary(&by_gene).without_label), ([2, 1, 2, 2], 2));
}

#[test]
fn wilds_has_a_third_dataset_and_rxrx1_its_two() {
    let row = |well: &str, dataset: &str, kind: &str, sirna: u32| {
        let id = format!("HEPG2-01_1_{well}");
        format!("{id}_1,{id},HEPG2,{dataset},HEPG2-01,1,{well},1,{kind},s{sirna},{sirna}\n")
    };
    let two = WILDS.to_owned() + &row("B02", "train", "negative_control", 1138) + &row("B03", "test", "treatment", 7);
    let three = two.clone() + &row("B04", "val", "positive_control", 1109);
    assert_eq!(summary(&read(&two)).data_set, Some(DataSet::RxRx1));
    let labels = read(&three);
    assert_eq!(
        wells(&labels),
        [
            "HEPG2-01/Plate1/B02 train negative_control [s1138] 1138 {1}",
            "HEPG2-01/Plate1/B03 test treatment [s7] 7 {1}",
            "HEPG2-01/Plate1/B04 val positive_control [s1109] 1109 {1}",
        ]
    );
    assert_eq!(summary(&labels).data_set, Some(DataSet::Wilds));
    assert_eq!(
        controls(&labels),
        [(NegativeControl, "well_type=negative_control", 1), (PositiveControl, "well_type=positive_control", 1)]
    );
    assert!(labels.has_numbers);
    for (text, expected) in [(&two, "train or test"), (&three, "train, val or test")] {
        let error = refusal(&(text.clone() + &row("C02", "id_test", "treatment", 7)), LabelOptions::default());
        assert!(error.to_string().contains(&format!("expected dataset {expected} (--split-column")), "{error}");
    }
    // What is named takes the place of that piece; numbers stay.
    let named = read_named("metadata.csv", &three, options(&[], &["s1109"], &[], None)).unwrap();
    assert_eq!((counts(&named), summary(&named).data_set), ([1, 0, 2, 0], Some(DataSet::Wilds)));
    assert!(named.has_numbers && named.classes.class_of("s1109") == Some(1109));
}

#[test]
fn a_table_of_ones_own_is_read_by_the_columns_that_are_named() {
    let named = options(&["compound", "dose"], &["DMSO", "kind=none"], &["compound=staurosporine"], Some("fold"));
    for text in [OWN.to_owned(), format!("\u{feff}{}", OWN.replace('\n', "\r\n"))] {
        let labels = read_named("metadata.csv", &text, named.clone()).unwrap();
        let told: Vec<String> = wells(&labels).iter().map(|line| line.replace("SCREEN-1/Plate1/", "")).collect();
        assert_eq!(
            told,
            [
                "B02 train negative_control [DMSO] 4 any",
                "B03 train treatment [aspirin | 10] 2 any",
                "B04 val treatment [aspirin | 2] 1 any",
                "C02 val treatment [1,2-diol | 2] 0 any",
                "C03 test positive_control [staurosporine | 1] 3 any",
                "C04 train negative_control [none] 5 any",
            ]
        );
        let told = summary(&labels);
        assert_eq!((told.data_set, told.split_column.as_deref()), (None, Some("fold")));
        assert_eq!(
            controls(&labels),
            [
                (NegativeControl, "compound=DMSO", 1),
                (NegativeControl, "kind=none", 1),
                (PositiveControl, "compound=staurosporine", 1),
            ]
        );
    }
    // Without controls all are treatments but what has no label, and without a column of the dataset all is train.
    let plain = read_named("metadata.csv", OWN, options(&["compound"], &[], &[], None)).unwrap();
    assert_eq!((counts(&plain), summary(&plain).without_label), ([0, 0, 5, 1], 1));
    assert!(wells(&plain).iter().all(|line| line.contains(" train ")));
    // An empty cell may be what controls are known by.
    let empty = read_named("metadata.csv", OWN, options(&["compound"], &["compound=", "DMSO"], &[], None)).unwrap();
    assert_eq!((counts(&empty), summary(&empty).without_label), ([2, 0, 4, 0], 0));
    assert!(classes(&empty).ends_with("3:DMSO, 4:untreated"), "{}", classes(&empty));
    let numbers = OWN.replace("aspirin", "101").replace("staurosporine", "20");
    let numbers = read_named("metadata.csv", &numbers, options(&["compound"], &[], &[], None)).unwrap();
    assert_eq!(classes(&numbers), "0:1,2-diol, 1:20, 2:101, 3:DMSO");
}

#[test]
fn a_column_well_type_says_what_is_a_control_until_values_do() {
    let text = OWN.replace(",kind\n", ",well_type\n").replace("solvent", "negative_control");
    let text = text.replace(",drug", ",treatment").replace(",none", ",treatment");
    let labels = read_named("metadata.csv", &text, options(&["compound"], &[], &[], None)).unwrap();
    assert_eq!((counts(&labels), summary(&labels).without_label), ([1, 0, 5, 0], 1));
    let error = refusal(&text.replace(",negative_control", ",solvent"), options(&["compound"], &[], &[], None));
    let says = "metadata.csv:2: expected a well_type: negative_control, positive_control or treatment (--on";
    assert!(error.is_data_fault() && error.to_string().contains(says), "{error}");
    let error = refusal(&text.replace(",negative_control", ","), options(&["compound"], &[], &[], None));
    assert!(error.to_string().contains("2: expected a well_type") && error.to_string().ends_with("cell"), "{error}");
    let named = options(&["compound"], &["well_type=solvent"], &[], None);
    let labels = read_named("metadata.csv", &text.replace(",negative_control", ",solvent"), named).unwrap();
    assert_eq!(counts(&labels), [1, 0, 4, 1]);
}

#[test]
fn what_a_table_has_not_is_refused_with_what_it_has() {
    let compound = &["compound"][..];
    for (named, says) in [
        (options(&["compund"], &[], &[], None), "--label-column: expected a column of "),
        (options(&["compund"], &[], &[], None), "metadata.csv (nearest: compound), found \"compund\""),
        (options(compound, &[], &[], Some("split")), "--split-column: expected a column of "),
        (options(compound, &[], &[], Some("split")), "(well, plate, experiment, compound, dose, fold, kind), found"),
        (options(compound, &["knd=solvent"], &[], None), "(nearest: kind), found \"knd\""),
        (options(compound, &["DMS0"], &[], None), "--negative-control: expected a value of column compound of "),
        (options(compound, &["DMS0"], &[], None), "(nearest: DMSO), found \"DMS0\""),
        (options(compound, &[], &["kind=stimulus"], None), "--positive-control: expected a value of column kind of "),
        (options(compound, &[], &["kind=stimulus"], None), "solvent"),
    ] {
        let error = refusal(OWN, named);
        assert!(!error.is_data_fault() && error.to_string().contains(says), "{says}: {error}");
    }
    let rows = [("HUVEC-1", 1, "A01", 1, "healthy,x,1,C")];
    assert_eq!(counts(&read(&sites(RXRX19, &rows))), [0, 0, 1, 0]);
}

#[test]
fn rows_that_contradict_themselves_or_others_are_errors_at_their_line() {
    let named = || options(&["compound"], &["DMSO"], &["kind=solvent"], Some("fold"));
    let error = refusal(OWN, named()).to_string();
    let says = "metadata.csv:2: expected a well of one population, not --negative-control DMSO and --positive-control";
    assert!(error.contains(says), "{error}");
    let error = refusal(&OWN.replace(",test,", ",Test,"), options(&["compound"], &[], &[], Some("fold"))).to_string();
    let says = "metadata.csv:6: expected dataset train, val, validation or test (--split-column";
    assert!(error.contains(says) && error.ends_with("found \"Test\""), "{error}");
    let rows = [("HUVEC-1", 1, "A01", 1, "IL-6,0.01"), ("HUVEC-1", 1, "A01", 2, "IL-6,0.01")];
    let text = sites(RXRX2, &rows);
    for (from, to, says) in [
        ("HUVEC-1_1_A01_2", "HUVEC-1_1_A01_3", ":3: expected site_id HUVEC-1_1_A01_2, found \"HUVEC-1_1_A01_3\""),
        (",HUVEC-1_1_A01,", ",HUVEC-1_1_A02,", ":2: expected well_id HUVEC-1_1_A01, found \"HUVEC-1_1_A02\""),
        (
            "_A01_2,HUVEC-1_1_A01,HUVEC,HUVEC-1,1,A01,2",
            "_A01_1,HUVEC-1_1_A01,HUVEC,HUVEC-1,1,A01,1",
            ":3: expected each site once",
        ),
        ("A01,2,IL-6", "A01,2,IL-7", ":3: expected rows of well HUVEC-1_1_A01 that agree"),
        (",HUVEC,", ",HRCE,", ":3: expected cell type \"HRCE\" of experiment HUVEC-1"),
        ("A01,2,IL-6", "A01,,IL-6", ":3: expected a site, found an empty cell"),
        ("IL-6", "nan", ":2: expected a label, or an empty cell, found \"nan\""),
        ("HUVEC-1,1,A01,2", "HUVEC-1,a b,A01,2", ":3: expected a plate's name"),
        ("HUVEC-1,1,A01,2", "HUVEC-1,1,,2", ":3: expected a well, found an empty cell"),
        (",site,", ",Site,", ":1: expected a column named exactly \"site\""),
        (",well,", ",hole,", ":1: expected --label-column COLUMN, or the columns of RxRx1, RxRx2"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = refusal(&text.replacen(from, to, 1), LabelOptions::default());
        assert!(error.is_data_fault() && error.to_string().contains(says), "{to}: {error}");
    }
    let twice = RXRX3.to_owned() + "gene-079_8_H29,gene-079,8,H29,RPLP2,RPLP2_guide_9,,,CRISPR,HUVEC\n";
    let error = refusal(&twice, LabelOptions::default()).to_string();
    assert!(error.contains("metadata.csv:9: expected rows of well gene-079_8_H29 that agree"), "{error}");
    let error = refusal(&OWN.replace("well,", "hole,"), options(&["compound"], &[], &[], None)).to_string();
    assert!(error.contains(":1: expected a column of the well (well,"), "{error}");
    let nil = OWN.replace("DMSO", "NA");
    assert!(read_named("metadata.csv", &nil, options(&["compound"], &["NA"], &[], None)).is_ok());
}

#[test]
fn options_are_refused_where_there_is_no_table_by_columns() {
    for layout in [Layout::Kaggle, Layout::Bare] {
        let labels = options(&[], &["DMSO"], &[], None);
        let root = Path::new("/nowhere").to_owned();
        let config = SourceConfig { root, layout: Some(layout), labels, ..SourceConfig::default() };
        let error = read_labels(&config).unwrap_err().to_string();
        let says = "--negative-control: expected a table by columns (--labels FILE), or";
        assert!(error.starts_with(says) && error.contains(layout.name()), "{error}");
    }
}

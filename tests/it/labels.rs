//! Where classes and labels come from: one odd cell changes no other, and numbers stay what the source says they are.

use std::fs;
use std::path::Path;

use cellshard::pack::{PackConfig, pack};
use cellshard::site::Population;
use cellshard::store::Store;
use cellshard::verify::{Depth, StoreConfig, verify_store};

use crate::common::{Fixture, small};

/// The classes of a store as `number:siRNA`.
fn classes(store: &Path) -> String {
    let store = Store::open(store).unwrap();
    store.classes().rows().iter().map(|row| format!("{}:{}", row.class, row.sirna)).collect::<Vec<_>>().join(" ")
}

/// Replaces a text in one of the tree's CSVs, once.
fn edit(fixture: &Fixture, csv: &str, from: &str, to: &str) {
    let path = fixture.image(csv);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn one_odd_label_among_numbers_is_an_error_at_its_line() {
    for odd in ["", "nan", "2.0", "2x", "None", "NULL", "<NA>", " 3", "s3"] {
        let fixture = Fixture::kaggle(small());
        edit(
            &fixture,
            "train.csv",
            "HEPG2-01_1_B04,HEPG2-01,1,B04,3\n",
            &format!("HEPG2-01_1_B04,HEPG2-01,1,B04,{odd}\n"),
        );
        let error = pack(&fixture.config(), &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains("train.csv:3: expected "), "{odd:?}: {error}");
        assert!(!fixture.store().exists());
    }
}

#[test]
fn numbers_and_names_are_not_mixed_whichever_are_more() {
    for (names, at) in
        [(&[3, 7][..], "\"9\" where others are as \"x7\""), (&[9][..], "\"x9\" where others are as \"7\"")]
    {
        let fixture = Fixture::kaggle(small());
        fixture.write_kaggle_csvs(|class| if names.contains(&class) { format!("x{class}") } else { class.to_string() });
        let error = pack(&fixture.config(), &|_| {}).unwrap_err();
        let says = |text: &str| error.to_string().contains(text);
        assert!(error.is_data_fault() && says(at) && says("train.csv:") && says("--classes FILE"), "{error}");
        // Given numbers, they are what they are.
        let list = fixture.path().join("classes.csv");
        let name = |class: &u32| if names.contains(class) { format!("x{class}") } else { class.to_string() };
        let rows = [3, 7, 9].iter().map(|class| format!("{class},{},treatment\n", name(class)));
        let controls = "1109,1109,positive_control\n1121,1121,positive_control\n1138,1138,negative_control\n";
        fs::write(&list, format!("class,sirna,well_type\n{}{controls}", rows.collect::<String>())).unwrap();
        let mut config = fixture.config();
        config.source.classes = Some(list);
        assert!(pack(&config, &|_| {}).unwrap().finished);
    }
}

#[test]
fn given_classes_do_not_overrule_the_numbers_of_a_table() {
    let fixture = Fixture::rxrx_ai(small());
    fixture.pack();
    let list = fixture.path().join("classes.csv");
    let own = fs::read_to_string(fixture.store().join("classes.csv")).unwrap();
    let mut config = fixture.config();
    config.dst = fixture.path().join("other");
    config.source.classes = Some(list.clone());
    fs::write(&list, own.replace("3,s3,", "4,s3,")).unwrap();
    let error = pack(&config, &|_| {}).unwrap_err();
    let expected = "expected sirna_id 4 for siRNA \"s3\", as the given classes have it, found 3";
    assert!(error.is_data_fault() && error.to_string().ends_with(expected), "{error}");
    fs::write(&list, own).unwrap();
    assert!(pack(&config, &|_| {}).unwrap().finished);
}

#[test]
fn one_missing_number_of_rxrx_ai_is_an_error_at_its_line() {
    for (from, to) in [(",s3,3\n", ",s3,\n"), (",s3,3\n", ",,3\n"), (",s3,3\n", ",nan,3\n"), (",s3,3\n", ",s3,3.0\n")] {
        let fixture = Fixture::rxrx_ai(small());
        edit(&fixture, "metadata.csv", from, to);
        let error = pack(&fixture.config(), &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains("metadata.csv:6"), "{to:?}: {error}");
    }
}

#[test]
fn what_says_that_there_is_no_sirna_is_no_class_among_names_either() {
    for none in ["nan", "NaN", "none", "null", "N/A", "1.0"] {
        let fixture = Fixture::kaggle(small());
        fixture.write_kaggle_csvs(|class| if class == 3 { none.to_owned() } else { format!("sirna_{class}") });
        let error = pack(&fixture.config(), &|_| {}).unwrap_err().to_string();
        assert!(error.contains("train.csv:3: expected a siRNA"), "{error}");
    }
}

#[test]
fn a_gap_in_the_numbers_stays_and_names_of_controls_come_behind_them() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    assert_eq!(classes(&fixture.store()), "3:3 7:7 9:9 1109:1109 1121:1121 1138:1138");
    let named = Fixture::kaggle(small());
    named.write_kaggle_csvs(|class| match class {
        1138 => "DMSO".to_owned(),
        1109 | 1121 => format!("control_{class}"),
        class => class.to_string(),
    });
    named.pack();
    assert_eq!(classes(&named.store()), "3:3 7:7 9:9 10:control_1109 11:control_1121 12:DMSO");
}

#[test]
fn a_dataset_of_another_name_is_refused_at_its_line() {
    for dataset in ["Train", "4rain", "", "validation"] {
        let fixture = Fixture::rxrx_ai(small());
        edit(&fixture, "metadata.csv", ",train,", &format!(",{dataset},"));
        let error = pack(&fixture.config(), &|_| {}).unwrap_err().to_string();
        assert!(error.contains("metadata.csv:2: expected dataset train or test"), "{error}");
    }
}

/// A second tree for the same store: another experiment, with one siRNA and one control that the first does not have.
fn another(name: impl Fn(u32) -> String) -> Fixture {
    let mut spec = small();
    spec.experiments = vec![("U2OS-03", "train")];
    let fixture = Fixture::kaggle(spec);
    fixture.write_kaggle_csvs(|class| match class {
        3 => name(500),
        1121 => name(1130),
        class => name(class),
    });
    fs::write(fixture.image("test.csv"), "id_code,experiment,plate,well\n").unwrap();
    fs::write(fixture.image("test_controls.csv"), "id_code,experiment,plate,well,sirna,well_type\n").unwrap();
    fixture
}

#[test]
fn a_store_grows_by_new_classes_only_where_that_is_asked_for_and_keeps_its_numbers() {
    let names: [fn(u32) -> String; 2] = [|class| class.to_string(), |class| format!("sirna_{class}")];
    let grown = [
        "3:3 7:7 9:9 500:500 1109:1109 1121:1121 1130:1130 1138:1138",
        "0:sirna_3 1:sirna_7 2:sirna_9 3:sirna_1109 4:sirna_1121 5:sirna_1138 6:sirna_500 7:sirna_1130",
    ];
    for (name, grown) in names.into_iter().zip(grown) {
        let first = Fixture::kaggle(small());
        first.write_kaggle_csvs(name);
        first.pack();
        let before = fs::read(first.store().join("classes.csv")).unwrap();
        let second = another(name);
        let config = PackConfig { dst: first.store(), ..second.config() };
        let error = pack(&config, &|_| {}).unwrap_err().to_string();
        assert!(error.contains("--add-classes"), "{error}");
        assert_eq!(fs::read(first.store().join("classes.csv")).unwrap(), before);
        let config = PackConfig { add_classes: true, ..config };
        let report = pack(&config, &|_| {}).unwrap();
        assert!(report.finished);
        assert_eq!(classes(&first.store()), grown);
        let store = Store::open(&first.store()).unwrap();
        assert_eq!(store.plates().len(), 6);
        let class_of = |sirna: &str| store.classes().class_of(sirna);
        for row in store.sites().iter().filter(|row| !row.label.sirna.is_empty()) {
            assert_eq!(row.label.class, class_of(&row.label.sirna), "{}", row.id);
        }
        let again = pack(&config, &|_| {}).unwrap();
        assert_eq!((again.plates_packed, again.finished), (0, true));
    }
}

#[test]
fn a_number_that_stands_for_two_sirnas_is_refused_also_when_a_store_grows() {
    let (first, second) = (Fixture::rxrx_ai(small()), Fixture::rxrx_ai(small()));
    first.pack();
    edit(&second, "metadata.csv", ",s9,9\n", ",s10,9\n");
    let config = PackConfig { dst: first.store(), add_classes: true, ..second.config() };
    assert!(pack(&config, &|_| {}).unwrap_err().to_string().contains("one siRNA for class 9"));
}

#[test]
fn a_cell_type_comes_from_its_column_where_there_is_one() {
    let fixture = Fixture::rxrx_ai(small());
    let csv = fixture.image("metadata.csv");
    let text = fs::read_to_string(&csv).unwrap();
    fs::write(&csv, text.replace(",HEPG2,train,", ",liver cells,train,")).unwrap();
    fixture.pack();
    let cell_types = |store: &Store| {
        let plates = store.plates().keys();
        plates.map(|plate| plate.experiment.cell_type().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let store = Store::open(&fixture.store()).unwrap();
    assert_eq!(cell_types(&store), "liver cells liver cells RPE RPE");
    assert_eq!(store.sites()[0].id.well.plate.experiment.cell_type(), "liver cells");
    let report = verify_store(&StoreConfig { root: fixture.store(), depth: Depth::Deep, manifest: None }, &|_| {});
    assert_eq!(report.unwrap().findings, []);
    assert_eq!(fixture.pack().plates_packed, 0);
    // Another cell type is another label.
    fs::write(&csv, text.replace(",HEPG2,train,", ",tumour,train,")).unwrap();
    assert_eq!(fixture.pack().plates_packed, 2);
    assert_eq!(cell_types(&Store::open(&fixture.store()).unwrap()), "tumour tumour RPE RPE");
    for (bad, says) in [(",HEPG3,train,", "cell type \"HEPG2\" of experiment HEPG2-01"), (",a/b,train,", "a cell type")]
    {
        fs::write(&csv, text.replacen(",HEPG2,train,", bad, 3).replacen(bad, ",HEPG2,train,", 2)).unwrap();
        let error = pack(&fixture.config(), &|_| {}).unwrap_err().to_string();
        assert!(error.contains("metadata.csv:4") && error.contains(says), "{error}");
    }
    // Without the column, the experiment's name tells.
    let without = text
        .replace("well_id,cell_type,", "well_id,")
        .replace(",HEPG2,train,", ",train,")
        .replace(",RPE,test,", ",test,");
    fs::write(&csv, without).unwrap();
    let other = PackConfig { dst: fixture.path().join("other"), ..fixture.config() };
    pack(&other, &|_| {}).unwrap();
    assert_eq!(cell_types(&Store::open(&other.dst).unwrap()), "HEPG2 HEPG2 RPE RPE");
}

#[test]
fn a_store_whose_experiment_has_two_cell_types_is_not_opened() {
    let fixture = Fixture::rxrx_ai(small());
    fixture.pack();
    let metadata = fixture.store().join("metadata.csv");
    let text = fs::read_to_string(&metadata).unwrap();
    fs::write(&metadata, text.replacen(",HEPG2,train,", ",HEPG3,train,", 2)).unwrap();
    let error = Store::open(&fixture.store()).unwrap_err().to_string();
    assert!(error.contains("metadata.csv:4: expected cell type HEPG3 of HEPG2-01"), "{error}");
}

#[test]
fn a_table_whose_header_is_one_quoted_cell_is_an_error_and_no_panic() {
    for quoted in ["\"site_id,well_id,cell_type\"", "\"\"", "\"", "\"a", "\"site_id\"x"] {
        let fixture = Fixture::rxrx_ai(small());
        let csv = fixture.image("metadata.csv");
        let text = fs::read_to_string(&csv).unwrap();
        let rows = text.split_once('\n').unwrap().1;
        for rows in [rows, ""] {
            fs::write(&csv, format!("{quoted}\n{rows}")).unwrap();
            let error = pack(&fixture.config(), &|_| {}).unwrap_err();
            assert!(error.is_data_fault() && error.to_string().contains("metadata.csv"), "{quoted}: {error}");
        }
    }
}

#[test]
fn a_number_that_a_named_control_has_taken_is_a_name_to_a_store_that_grows() {
    let named = |class: u32| if class > 1000 { format!("control_{class}") } else { class.to_string() };
    let first = Fixture::kaggle(small());
    first.write_kaggle_csvs(named);
    first.pack();
    assert_eq!(classes(&first.store()), "3:3 7:7 9:9 10:control_1109 11:control_1121 12:control_1138");
    let second = another(|class| if class == 500 { "10".into() } else { named(class) });
    let config = PackConfig { dst: first.store(), add_classes: true, ..second.config() };
    assert!(pack(&config, &|_| {}).unwrap().finished);
    let grown = "3:3 7:7 9:9 10:control_1109 11:control_1121 12:control_1138 13:10 14:control_1130";
    assert_eq!(classes(&first.store()), grown);
}

#[test]
fn no_label_of_a_store_is_replaced_by_none() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let before = crate::common::contents(&fixture.store());
    // The same images without their CSVs, held to the classes of the store.
    let mut config = fixture.config();
    config.source.layout = Some(cellshard::source::Layout::Bare);
    config.source.classes = Some(fixture.store().join("classes.csv"));
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!(report.kept.len(), 4);
    assert!(crate::common::contents(&fixture.store()) == before);
    pack(&PackConfig { prune: true, ..config }, &|_| {}).unwrap();
    let store = Store::open(&fixture.store()).unwrap();
    assert!(store.sites().iter().all(|row| row.label.class.is_none()));
}

#[test]
fn what_a_table_says_beyond_the_usual_columns_is_used() {
    // Labels of a test set, and controls beside treatments, as tables that others made have them.
    let fixture = Fixture::kaggle(small());
    for dataset in ["train", "test"] {
        let path = |name: &str| fixture.image(&format!("{dataset}{name}.csv"));
        let controls = fs::read_to_string(path("_controls")).unwrap();
        let treatments = fs::read_to_string(path("")).unwrap();
        let (header, rows) = controls.split_once('\n').unwrap();
        let treated = treatments.lines().skip(1).map(|line| {
            let sirna = if dataset == "test" { ",7" } else { "" };
            format!("{line}{sirna},treatment\n")
        });
        let all = format!("{header}\n{rows}{}", treated.collect::<String>());
        assert!(header.ends_with("sirna,well_type"));
        fs::write(path(""), all).unwrap();
        fs::write(path("_controls"), format!("{header}\n")).unwrap();
    }
    fixture.pack();
    let store = Store::open(&fixture.store()).unwrap();
    let of = |population: Population| store.sites().iter().filter(|row| row.label.population == population).count();
    let other = Fixture::kaggle(small());
    other.pack();
    let other = Store::open(&other.store()).unwrap();
    let of_other =
        |population: Population| other.sites().iter().filter(|row| row.label.population == population).count();
    for population in [Population::Treatment, Population::PositiveControl, Population::NegativeControl] {
        assert_eq!(of(population), of_other(population), "{population}");
        assert!(of(population) > 0);
    }
    assert!(store.sites().iter().all(|row| row.label.class.is_some()), "those of the test set, too");
}

#[test]
fn a_column_that_is_twice_there_or_named_nearly_so_and_an_empty_kind_of_well_are_errors() {
    for (csv, from, to, says) in [
        ("train.csv", "well,sirna\n", "well,sirna,sirna\n", "train.csv:1: expected one column \"sirna\""),
        ("train.csv", "well,sirna\n", "well,sirna,Cell_Type\n", "a column named exactly \"cell_type\""),
        ("test_controls.csv", ",negative_control\n", ",\n", "expected a well_type, found an empty cell"),
    ] {
        let fixture = Fixture::kaggle(small());
        edit(&fixture, csv, from, to);
        let error = pack(&fixture.config(), &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(says), "{error}");
    }
}

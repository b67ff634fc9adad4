//! What a lab's own tables say by accident: columns that mean something else, several rows a well, one experiment's rows
//! beside another's images, and files that a spreadsheet wrote otherwise.

use std::fs;

use crate::common::{stderr, stdout, tool};
use crate::patterns::tree;

const PATTERN: &str = "{experiment}/{plate}/{well}_s{site}_w{channel}.png";
const WELLS: [&str; 3] = ["a/P1/A01", "a/P1/A02", "a/P1/B01"];
const TWO: [&str; 2] = ["ScreenA/P1/A01", "ScreenB/P1/A01"];

/// What a run ended with, told, and packed: its wells, each with its kind and its label.
struct Ran {
    code: Option<i32>,
    text: String,
    wells: Vec<String>,
}

impl Ran {
    fn refused(&self, parts: &[&str]) {
        assert_ne!(self.code, Some(0), "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part}\n{}", self.text);
        }
    }

    fn packed(&self, wells: &[&str]) {
        assert_eq!(self.code, Some(0), "{}", self.text);
        assert_eq!(self.wells, wells, "{}", self.text);
    }
}

/// Packs images of these wells, of which each has one site, with a table in these bytes.
fn run(wells: &[&str], csv: impl AsRef<[u8]>, flags: &[&str]) -> Ran {
    let paths: Vec<String> = wells.iter().map(|well| format!("{well}_s1_w1.png")).collect();
    let dir = tree(&paths);
    let (table, dst) = (dir.path().join("t.csv"), dir.path().join("store"));
    fs::write(&table, csv).unwrap();
    let mut command = tool("pack");
    command.arg("--src").arg(dir.path().join("data")).arg("--dst").arg(&dst);
    command.args(["--pattern", PATTERN, "--labels"]).arg(&table);
    let output = command.args(flags).output().unwrap();
    let mut wells = Vec::new();
    if output.status.code() == Some(0) && dst.exists() {
        for row in cellshard::store::Store::open(&dst).unwrap().sites() {
            let label = &row.label;
            wells.push(format!("{} {} {}", row.id.well, label.population.name(), label.sirna));
        }
    }
    Ran { code: output.status.code(), text: stdout(&output) + &stderr(&output), wells }
}

const LABEL: [&str; 2] = ["--label-column", "Compound"];

fn with<'f>(flags: &[&'f str]) -> Vec<&'f str> {
    [&LABEL[..], flags].concat()
}

#[test]
fn rows_of_one_experiment_are_not_those_of_another_with_a_plate_of_its_name() {
    for column in
        ["ExperimentID", "Experiment", "screen", "Experiment Name", "Metadata_Batch", "batch_id", "Screen Name"]
    {
        let csv = format!("{column},Plate,Well,Compound\nScreenA,P1,A1,x\n");
        let ran = run(&TWO, &csv, &LABEL);
        ran.refused(&["ScreenB/P1"]);
        let csv = csv + "ScreenB,P1,A1,y\n";
        run(&TWO, &csv, &LABEL).packed(&["ScreenA/P1/A01 treatment x", "ScreenB/P1/A01 treatment y"]);
    }
    // What is called so that nobody can know it is asked for.
    let csv = "Cohort,Plate,Well,Compound\nScreenA,P1,A1,x\nScreenB,P1,A1,y\n";
    run(&TWO, csv, &LABEL).refused(&["t.csv:3: expected rows of well", "--on plate,well,", "experiment=COLUMN"]);
    for csv in ["Cohort,Plate,Well,Compound\nScreenA,P1,A1,x\n", "Plate,Well,Compound\nP1,A1,x\n"] {
        let ran = run(&TWO, csv, &LABEL);
        let ways = ["--on plate,well,experiment=COLUMN", "--on plate,well,experiment= "];
        ran.refused(&[
            "t.csv: expected the experiment of rows of plate P1",
            "ScreenA/P1, ScreenB/P1",
            ways[0],
            ways[1],
        ]);
        assert_eq!(ran.code, Some(1), "{}", ran.text);
    }
    let of_each = ["ScreenA/P1/A01 treatment x", "ScreenB/P1/A01 treatment y"];
    run(&TWO, csv, &with(&["--on", "plate,well,experiment=Cohort"])).packed(&of_each);
    let of_all = ["ScreenA/P1/A01 treatment x", "ScreenB/P1/A01 treatment x"];
    run(&TWO, "Plate,Well,Compound\nP1,A1,x\n", &with(&["--on", "plate,well,experiment="])).packed(&of_all);
    // A column of that name which means something else.
    let csv = "Batch,Plate,Well,Compound\n7,P1,A1,x\n7,P1,A2,y\n7,P1,B1,z\n";
    run(&WELLS, csv, &LABEL).refused(&["--on plate,well,experiment="]);
    assert_eq!(run(&WELLS, csv, &with(&["--on", "plate,well,experiment="])).code, Some(0));
}

#[test]
fn several_rows_of_a_well_may_agree_and_a_contradiction_is_told_with_both_lines() {
    let csv = "Plate,Well,Field,Compound,Cells\nP1,A1,0,D,7\nP1,A1,1,D,8\nP1,A2,0,x,9\nP1,A2,1,x,9\n";
    let agree = ["a/P1/A01 negative_control D", "a/P1/A02 treatment x"];
    let flags = with(&["--negative-control", "D", "--on", "plate,well,site="]);
    run(&WELLS[..2], csv, &flags).packed(&agree);
    run(&WELLS[..2], csv.replace("Field", "Image No"), &with(&["--negative-control", "D"])).packed(&agree);
    let ran = run(&WELLS[..2], csv, &LABEL);
    ran.refused(&["--on plate,well,site="]);
    for other in ["y", ""] {
        let csv = format!("Plate,Well,n,Compound\nP1,A1,0,D\nP1,A1,1,D\nP1,A2,0,x\nP1,A2,1,{other}\n");
        let wells = ["experiment/P1/A01", "experiment/P1/A02"];
        let says = "t.csv:5: expected rows of well experiment/P1/A02 that agree";
        run(&wells, csv, &LABEL).refused(&[says, "line 4 has \"x\"", "--on plate,well,site=COLUMN"]);
    }
    let csv = "Plate,Well,Compound,dataset\nP1,A1,x,train\nP1,A1,x,test\n";
    run(&WELLS[..1], csv, &LABEL).refused(&["t.csv:3: ", "line 2 has", "train", "test"]);
    // Sites have one label, too.
    let csv = "Plate,Well,Site,Compound\nP1,A1,1,x\nP1,A1,2,y\n";
    run(&WELLS[..1], csv, &LABEL).refused(&["t.csv:3: ", "line 2 has \"x\""]);
}

#[test]
fn a_column_of_cell_types_datasets_or_kinds_with_a_meaning_of_its_own_is_turned_off() {
    let table = |column: &str, [one, two, three]: [&str; 3]| {
        format!("Plate,Well,Compound,{column}\nP1,A1,D,{one}\nP1,A2,x,{two}\nP1,B1,y,{three}\n")
    };
    let wells = ["a/P1/A01 treatment D", "a/P1/A02 treatment x", "a/P1/B01 treatment y"];
    let check = |csv: String, off: &[&str]| {
        let ran = run(&WELLS, &csv, &LABEL);
        let named = if off[1].is_empty() { format!("{} ''", off[0]) } else { off.join(" ") };
        ran.refused(&["t.csv:", &named]);
        run(&WELLS, &csv, &with(off)).packed(&wells);
    };
    let no_type = ["--on", "plate,well,cell_type="];
    check(table("cell_type", ["U2OS", "A549", "A549"]), &no_type);
    check(table("Cell_Type", ["U2OS", "U2OS", "U2OS"]), &no_type);
    check(table("cell_type", ["U2OS", "", "U2OS"]), &no_type);
    check(table("cell_type,Cell type", ["U2OS,", "U2OS,", "U2OS,"]), &no_type);
    check(table("dataset", ["pilot", "pilot", "main"]), &["--split-column", ""]);
    check(table("Dataset", ["train", "train", "train"]), &["--split-column", ""]);
    let no_kind = ["--on", "plate,well,well_type="];
    check(table("well_type", ["ctrl", "cpd", "cpd"]), &no_kind);
    check(table("Well_Type", ["ctrl", "cpd", "cpd"]), &no_kind);
    check(table("well_type", ["", "treatment", "treatment"]), &no_kind);
    // Nobody asks for kinds where controls are named.
    let csv = table("Well_Type", ["ctrl", "cpd", "cpd"]);
    assert_eq!(run(&WELLS, csv, &with(&["--negative-control", "D"])).code, Some(0));
    // Empty cells all over are no cell type, and another column may tell it.
    run(&WELLS, table("cell_type", ["", " ", ""]), &LABEL).packed(&wells);
    let csv = table("Line", ["A549", "A549", "A549"]);
    run(&WELLS, &csv, &with(&["--on", "plate,well,cell_type=Line"])).packed(&wells);
    run(&WELLS, &csv, &with(&["--on", "plate,well,cell_type=Lime"])).refused(&["Lime"]);
    run(&WELLS, &csv, &with(&["--on", "plate,well,cell_type"])).refused(&["cell_type"]);
}

#[test]
fn a_table_that_nothing_is_known_of_is_asked_for_its_label_column() {
    for header in ["Plate,Well,Compound", "Plate,Well,siRNA", "Experiment,Plate,Well,Site,sirna_id"] {
        let ran = run(&WELLS[..1], format!("{header}\n"), &[]);
        ran.refused(&["t.csv:1: expected --label-column COLUMN", &format!("found {header}")]);
    }
}

#[test]
fn a_row_of_another_length_is_told_with_the_header_that_is_there() {
    let ran = run(&WELLS[..1], "Plate,Well,Compound\nP1,A1\n", &LABEL);
    ran.refused(&["t.csv:2: expected the 3 cells of Plate,Well,Compound, found P1,A1"]);
}

#[test]
fn a_table_that_is_not_there_is_named_as_it_was_given() {
    let dir = tree(&["a/P1/A01_s1_w1.png"]);
    let mut command = tool("pack");
    command.arg("--src").arg(dir.path().join("data")).arg("--dst").arg(dir.path().join("store"));
    let output = command.args(["--pattern", PATTERN, "--labels", "nofile.csv"]).args(LABEL).output().unwrap();
    let text = stderr(&output);
    assert!(output.status.code() == Some(2) && text.contains("nofile.csv: cannot open"), "{text}");
}

#[test]
fn names_with_a_comma_are_quoted_as_in_a_table_or_given_one_a_flag() {
    let csv = "Plate,Well,\"Compound, full\"\nP1,A1,DMSO\nP1,A2,\"1,2-x\"\nP1,B1,y\n";
    let wells = ["a/P1/A01 negative_control DMSO", "a/P1/A02 negative_control 1,2-x", "a/P1/B01 treatment y"];
    let label = ["--label-column", "\"Compound, full\""];
    let check = |flags: &[&str]| run(&WELLS, csv, &[&label[..], flags].concat()).packed(&wells);
    check(&["--negative-control", "\"1,2-x\",DMSO"]);
    check(&["--negative-control", "DMSO", "--negative-control", "\"1,2-x\""]);
    check(&["--negative-control", "DMSO,\"Compound, full=1,2-x\""]);
    let ran = run(&WELLS, csv, &[&label[..], &["--positive-control", "\"1,2-x"]].concat());
    assert_eq!(ran.code, Some(2), "{}", ran.text);
}

#[test]
fn wells_of_a_platemap_that_nobody_imaged_come_with_the_flag_that_counts_them() {
    let csv = "Plate,Well,Compound\nP1,A1,x\nP1,A2,y\nP1,B1,z\nP1,C1,z\n";
    let ran = run(&WELLS, csv, &LABEL);
    ran.refused(&["a/P1/C01: no-images", "--present"]);
}

#[test]
fn a_table_that_is_no_csv_of_commas_in_utf_8_is_told_to_be_saved_so() {
    let csv = "Plate,Well,Compound\nP1,A1,x\nP1,A2,\u{b5}y\nP1,B1,z\n";
    for (separator, name) in [(";", "semicolons"), ("\t", "tabs")] {
        run(&WELLS, csv.replace(',', separator), &LABEL).refused(&["t.csv:1: ", "save it with commas", name]);
    }
    let utf_16 = |csv: &str| csv.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let latin_1: Vec<u8> = csv.chars().map(|c| u8::try_from(c).unwrap()).collect();
    for bytes in [utf_16(&format!("\u{feff}{csv}")), utf_16(csv), latin_1, b"PK\x03\x04\0\0".to_vec()] {
        run(&WELLS, bytes, &LABEL).refused(&["t.csv", "save it as CSV UTF-8"]);
    }
}

#[test]
fn empty_rows_end_a_table_and_do_not_stand_within_it() {
    let csv = "Plate,Well,Compound\nP1,A1,x\nP1,A2,y\n,,\nP1,B1,z\n";
    run(&WELLS, csv, &LABEL).refused(&["t.csv:4: ", "found ,,"]);
    let csv = "Plate,Well,Compound\nP1,A1,x\nP1,A2,y\nP1,B1,z\n,,\n, ,\n";
    run(&WELLS, csv, &LABEL).packed(&["a/P1/A01 treatment x", "a/P1/A02 treatment y", "a/P1/B01 treatment z"]);
}

#[test]
fn quotes_that_do_not_match_are_an_error_at_their_line() {
    let table = |cell: &str| format!("Plate,Well,Compound\r\nP1,A1,x\r\nP1,A2,{cell}\r\nP1,B1,z\r\n");
    for cell in ["\"5\"-AMP\"", "\"5\" ", "\"a\"\"\"b"] {
        run(&WELLS, table(cell), &LABEL).refused(&["t.csv:3: expected a quote within a quoted cell"]);
    }
    run(&WELLS, table("\"open"), &LABEL).refused(&["t.csv:3: expected the end of a quoted cell"]);
    for (cell, label) in [("5\"-AMP", "5\"-AMP"), ("\"5\"\"-AMP\"", "5\"-AMP"), ("\"a,b\"", "a,b")] {
        let packed = format!("a/P1/A02 treatment {label}");
        run(&WELLS, table(cell), &LABEL).packed(&["a/P1/A01 treatment x", &packed, "a/P1/B01 treatment z"]);
    }
    let marked = "\u{feff}\"Plate\",\"Well\",\"Compound\",\"\"\"\"\nP1,A1,x,\n";
    run(&WELLS[..1], marked, &LABEL).packed(&["a/P1/A01 treatment x"]);
}

#[test]
fn controls_that_share_a_class_with_treatments_are_told() {
    let csv = "Plate,Well,Compound,Conc\nP1,A1,taxol,0\nP1,A2,taxol,1\nP1,B1,y,1\n";
    let ran = run(&WELLS, csv, &with(&["--negative-control", "Conc=0", "--dry-run"]));
    let says = "1 label is of controls and of other wells, which are one class: \"taxol\"";
    assert!(ran.text.contains(says), "{}", ran.text);
    let flags = ["--label-column", "Compound,Conc", "--negative-control", "Conc=0", "--dry-run"];
    assert!(!run(&WELLS, csv, &flags).text.contains("which are one class"));
}

//! Tables as text and back, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::site::Well;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CellCount {
    well: Well,
    #[serde(rename = "nuclei")]
    n_nuclei: u16,
    area: Option<Figure>,
    remark: String,
}

fn row(n_nuclei: u16, area: Option<f64>, remark: &str) -> CellCount {
    CellCount { well: "B02".parse().unwrap(), n_nuclei, area: area.map(Figure), remark: remark.to_owned() }
}

#[test]
fn columns_are_the_names_that_serde_gives_the_fields_also_of_an_empty_table() {
    assert_eq!(columns::<CellCount>(), ["well", "nuclei", "area", "remark"]);
    assert_eq!(to_csv::<CellCount>(&[]), "well,nuclei,area,remark\n");
    assert_eq!(to_lines::<CellCount>(&[]), "");
}

#[test]
fn numbers_are_as_short_as_they_are_exact_and_what_is_not_there_is_an_empty_cell() {
    let rows = [row(1, Some(1.0), ""), row(2, Some(0.1 + 0.2), "x"), row(3, None, " "), row(4, Some(1e-7), "")];
    let lines = "B02,1,1,\nB02,2,0.30000000000000004,x\nB02,3,, \nB02,4,0.0000001,\n";
    assert_eq!(to_lines(&rows), lines);
    assert_eq!(to_csv(&rows), format!("well,nuclei,area,remark\n{lines}"));
    assert_eq!(from_csv::<CellCount>(&to_csv(&rows), "x").unwrap(), rows);
    // As a spreadsheet writes it: a byte order mark first, and its own ends of lines.
    let text = format!("\u{feff}{}", to_csv(&rows).replace('\n', "\r\n"));
    assert_eq!(from_csv::<CellCount>(&text, "x").unwrap(), rows);
}

#[test]
fn what_is_refused_is_told_by_line_and_column() {
    let check = |text: &str, expected: &str| {
        let error = from_csv::<CellCount>(text, "counts.csv").unwrap_err();
        assert_eq!(error.to_string(), format!("counts.csv{expected}"), "{text:?}");
    };
    check("", ": expected well,nuclei,area,remark, found an empty file");
    check("well,area\n", ":1: expected well,nuclei,area,remark, found well,area");
    check("nuclei,well,area,remark\n", ":1: expected well,nuclei,area,remark, found nuclei,well,area,remark");
    let number = "a whole number of at most 65535 in column nuclei";
    let area = "a number in column area";
    let well = "a well such as B02 or AA02 in column well";
    let length = "the 4 cells of well,nuclei,area,remark";
    for (line, expected) in [
        ("B02,+1,,", number),
        ("B02,-1,,", number),
        ("B02,0x1f,,", number),
        ("B02, 1,,", number),
        ("B02,,,", number),
        ("B02,65536,,", number),
        ("B02,1,x,", area),
        ("B2,1,1,", well),
        ("B02,1,1", length),
        ("B02,1,1,,", length),
    ] {
        check(
            &format!("well,nuclei,area,remark\nB03,1,1,\n{line}\n"),
            &format!(":3: expected {expected}, found {line}"),
        );
    }
}

#[test]
fn columns_among_others_are_found_in_any_order() {
    let text = "remark,other,nuclei,area,well\n,x,7,,B02\n";
    let rows: Vec<_> =
        Rows::open(text, "x", Header::AmongOthers { optional: &[], alike: &[] }).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, [(2, row(7, None, ""))]);
    let error = Rows::<CellCount>::open("remark,area,well\n", "x", Header::AmongOthers { optional: &[], alike: &[] })
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "x:1: expected a column \"nuclei\", found remark,area,well");
    let short = Rows::<CellCount>::open(
        "well,nuclei,area,remark,other\nB02,1,,\n",
        "x",
        Header::AmongOthers { optional: &[], alike: &[] },
    )
    .unwrap();
    assert!(short.last().unwrap().is_err());
}

#[test]
fn a_column_that_may_be_absent_is_empty_then_and_a_name_that_is_only_like_it_or_twice_there_is_an_error() {
    let header = Header::AmongOthers { optional: &["remark", "area"], alike: &[] };
    let rows = Rows::open("nuclei,well\n7,B02\n", "x", header).unwrap();
    assert!(rows.has("nuclei") && !rows.has("remark"));
    assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>(), [(2, row(7, None, ""))]);
    for (text, says) in [
        ("nuclei,well,Remark\n", "a column named exactly \"remark\""),
        ("nuclei,well, remark\n", "a column named exactly \"remark\""),
        ("nuclei,WELL\n", "a column named exactly \"well\""),
        ("nuclei,we ll\n", "a column named exactly \"well\""),
        ("nuclei,well,re_mark\n", "a column named exactly \"remark\""),
        ("nuclei,well,well\n", "one column \"well\""),
        ("nuclei,well,area,Area\n", "one column \"area\""),
    ] {
        let error = Rows::<CellCount>::open(text, "x", header).err().unwrap().to_string();
        assert!(error.starts_with(&format!("x:1: expected {says}, found ")), "{error}");
    }
}

#[test]
fn what_is_kept_stands_as_it_stood_and_a_torn_line_is_dropped() {
    let keep = |text: &str| kept(text, "x", |row: &CellCount| row.n_nuclei <= 2);
    let text = "well,nuclei,area,remark\nB02,1,0.50,\"a,\"\"b\"\"\"\nB02,002,,\nB02,3,,\nB02,1\nB02";
    let expected = "well,nuclei,area,remark\nB02,1,0.50,\"a,\"\"b\"\"\"\nB02,002,,\n";
    assert_eq!(keep(text).unwrap(), expected);
    assert!(keep("well,nuclei\n").is_err());
}

proptest! {
    #[test]
    fn a_cell_is_quoted_only_where_it_must_be(remark in "[ -~\r\n\t]{0,9}|\\PC{0,9}") {
        let quoted = if remark.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", remark.replace('"', "\"\""))
        } else {
            remark.clone()
        };
        let rows = [row(1, None, &remark)];
        let csv = to_csv(&rows);
        prop_assert_eq!(&csv, &format!("well,nuclei,area,remark\nB02,1,,{quoted}\n"));
        prop_assert_eq!(from_csv::<CellCount>(&csv, "x").unwrap(), rows);
    }

    #[test]
    fn no_text_is_more_than_refused(text in "(well,nuclei,area,remark\n)?[B02,\"\r\n -~]{0,40}|\\PC{0,40}") {
        let _ = from_csv::<CellCount>(&text, "x");
        let _ = kept::<CellCount>(&text, "x", |_| true);
        let _ = Rows::<CellCount>::open(&text, "x", Header::AmongOthers { optional: &[], alike: &[] }).map(Iterator::count);
    }
}

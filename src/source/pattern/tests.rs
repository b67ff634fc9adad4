//! Patterns: what they read, and what they refuse to read.

use super::*;

pub(super) const GUID: &str = "1E64F2F4-E1E8-410C-9891-A491D91FC73C";

pub(super) fn pattern(text: &str) -> Pattern {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Fields as `plate=P1 well=B02`, those that are told, in their order.
pub(super) fn told(fields: &Fields<'_>) -> String {
    let mut told = Vec::new();
    let mut tell = |name: &str, value: Option<String>| told.extend(value.map(|value| format!("{name}={value}")));
    tell("experiment", fields.experiment.map(str::to_owned));
    tell("plate", fields.plate.map(str::to_owned));
    tell("well", Some(fields.well.to_string()));
    tell("site", fields.site.map(|site| site.to_string()));
    tell("channel", fields.channel.map(str::to_owned));
    tell("z", fields.z.map(|z| z.to_string()));
    tell("t", fields.t.map(|t| t.to_string()));
    told.join(" ")
}

#[track_caller]
fn check(text: &str, path: &str, expected: &str) {
    let pattern = pattern(text);
    let read = match pattern.read(path) {
        Ok(Some(fields)) => told(&fields),
        Ok(None) => "nothing".to_owned(),
        Err(misread) => misread.to_string(),
    };
    assert_eq!(read, expected, "{path} in {text}");
}

#[test]
fn a_pattern_tells_each_of_its_fields_and_shows_its_text() {
    let text = "{experiment}/{plate}/T{t}/{well}_s{site}_w{channel}_z{z}.png";
    check(text, "HUVEC-01/P 1/T3/B02_s1_w2_z4.png", "experiment=HUVEC-01 plate=P 1 well=B02 site=1 channel=2 z=4 t=3");
    assert_eq!(pattern(text).to_string(), text);
    assert!(pattern(text).has(Field::T) && !pattern(text).has(Field::Row));
    assert_eq!(pattern(text), pattern(text).clone());
    assert_ne!(pattern(text), pattern("{well}.png"));
}

#[test]
fn a_pattern_is_held_against_the_last_names_of_a_path_as_wholes() {
    for path in ["B02.png", "a/B02.png", "a/b/B02.png"] {
        check("{well}.png", path, "well=B02");
    }
    check("Plate{plate}/{well}.png", "a/Plate1/B02.png", "plate=1 well=B02");
    for path in ["B02.png", "Plate1/b/B02.png", "aPlate1/B02.png", "Plate/B02.png", "Plate1/B02.png/x", ""] {
        check("Plate{plate}/{well}.png", path, "nothing");
    }
}

#[test]
fn a_well_may_lack_zeros_have_more_of_them_and_be_in_small_letters() {
    for (spelled, well) in [("A1", "A01"), ("a01", "A01"), ("AF48", "AF48"), ("B002", "B02"), ("ZZ99", "ZZ99")] {
        check("{well}.tif", &format!("{spelled}.tif"), &format!("well={well}"));
    }
    for path in ["A.tif", "1.tif", "AAA1.tif", "A0001.tif", "A1b.tif", "-A1.tif", "É1.tif"] {
        check("{well}.tif", path, "nothing");
    }
}

#[test]
fn rows_are_letters_or_numbers_and_columns_numbers() {
    for (path, well) in [("r01c02.tif", "A02"), ("rAFc2.tif", "AF02"), ("rbc099.tif", "B99"), ("r702c1.tif", "ZZ01")] {
        check("r{row}c{column}.tif", path, &format!("well={well}"));
    }
}

#[test]
fn what_no_image_can_have_is_said_and_not_passed_over() {
    for (text, path, expected) in [
        ("{well}.tif", "B00.tif", r#"{well}: expected a well from A01 to ZZ99, found "B00""#),
        ("{well}.tif", "B100.tif", r#"{well}: expected a well from A01 to ZZ99, found "B100""#),
        ("r{row}c{column}.tif", "r0c1.tif", r#"{row}: expected a row from A to ZZ or from 1 to 702, found "0""#),
        ("r{row}c{column}.tif", "r703c1.tif", r#"{row}: expected a row from A to ZZ or from 1 to 702, found "703""#),
        ("r{row}c{column}.tif", "r1c00.tif", r#"{column}: expected a column from 1 to 99, found "00""#),
        ("r{row}c{column}.tif", "r1c100.tif", r#"{column}: expected a column from 1 to 99, found "100""#),
        ("{well}s{site}.tif", "B1s65536.tif", r#"{site}: expected a number up to 65535, found "65536""#),
        ("{well}z{z}.tif", "B1z70000.tif", r#"{z}: expected a number up to 65535, found "70000""#),
        (
            "{well}t{t}.tif",
            "B1t99999999999999999999.tif",
            r#"{t}: expected a number up to 65535, found "99999999999999999999""#,
        ),
        ("{well}w{channel}.tif", "B1w65536.tif", r#"{channel}: expected a number up to 65535, found "65536""#),
    ] {
        check(text, path, expected);
    }
    check("{well}_{site}_{z}_{t}.tif", "B1_0_0065535_00.tif", "well=B01 site=0 z=65535 t=0");
}

#[test]
fn a_channel_is_a_number_without_zeros_or_a_name() {
    for (spelled, channel) in [
        ("1", "1"),
        ("01", "1"),
        ("000", "0"),
        ("100", "100"),
        ("AGP", "AGP"),
        ("Alexa 568", "Alexa 568"),
        ("ch-01", "ch-01"),
        ("Ca2+", "Ca2+"),
        ("0x", "0x"),
    ] {
        check("{well}_C{channel}.tif", &format!("B02_C{spelled}.tif"), &format!("well=B02 channel={channel}"));
    }
    for spelled in ["", " 1", "1 ", "-1", "a_b", "a.b", "é"] {
        check("{well}_C{channel}.tif", &format!("B02_C{spelled}.tif"), "nothing");
    }
}

#[test]
fn digits_are_told_from_those_of_a_guid_behind_them() {
    let text = "{well}_s{site}_w{channel}{guid}.tif";
    for (path, expected) in [
        ("G10_s1_w1BEDC2073-A983-4B98-95E9-84466707A25D.tif", "well=G10 site=1 channel=1"),
        ("G10_s1_w43CD51CBC-2370-471F-BA01-EE250B14B3C8.tif", "well=G10 site=1 channel=4"),
        ("G10_s1_w123CD51CBC-2370-471F-BA01-EE250B14B3C8.tif", "well=G10 site=1 channel=12"),
        ("g16_s8_w11619fbbe-5bcd-487b-8e48-fc183b5072d9.tif", "well=G16 site=8 channel=1"),
        ("G10_s1_w3CD51CBC-2370-471F-BA01-EE250B14B3C8.tif", "nothing"),
        ("G10_s1_w1_thumb3CD51CBC-2370-471F-BA01-EE250B14B3C8.tif", "nothing"),
        ("G10_s1_wa3CD51CBC-2370-471F-BA01-EE250B14B3C8.tif", "nothing"),
    ] {
        check(text, path, expected);
    }
    check("{well}{guid}.tif", &format!("E07{GUID}.tif"), "well=E07");
    check("{well}{guid}.tif", &format!("E0{GUID}.tif"), r#"{well}: expected a well from A01 to ZZ99, found "E0""#);
    check("{plate}{guid}_{well}.tif", &format!("P1{GUID}_E07.tif"), "plate=P1 well=E07");
}

#[test]
fn a_guid_is_never_a_channel() {
    let found = format!("1{GUID}");
    let expected = format!("{{channel}}: expected a channel; a GUID behind it is {{channel}}{{guid}}, found {found:?}");
    check("{well}_w{channel}.tif", &format!("B02_w{found}.tif"), &expected);
}

#[test]
fn extensions_are_taken_in_letters_of_any_size_and_all_else_as_it_is() {
    for end in [".tif", ".tiff", ".TIF", ".TIFF"] {
        for path in ["B02.tif", "B02.tiff", "B02.TIF", "B02.TIFF"] {
            check(&format!("{{well}}{end}"), path, "well=B02");
        }
    }
    check("{well}.png", "B02.PNG", "well=B02");
    check("{well}.PNG", "B02.png", "well=B02");
    for (end, other) in [("bmp", "BMP"), ("pgm", "PGM"), ("ppm", "PPM")] {
        check(&format!("{{well}}.{end}"), &format!("B02.{other}"), "well=B02");
        check(&format!("{{well}}.{other}"), &format!("B02.{end}"), "well=B02");
        check(&format!("{{well}}.{end}"), "B02.png", "nothing");
    }
    for path in ["B02.tif", "B02png", "B02.png.", "B02xpng", "B02.pngx", "B02.png\n"] {
        check("{well}.png", path, "nothing");
    }
    check("w{well}.ome.tif", "wB02.ome.TIFF", "well=B02");
    for path in ["WB02.ome.tif", "wB02.OME.tif", "wB02xome.tif"] {
        check("w{well}.ome.tif", path, "nothing");
    }
    check("a+(b)[c]{well}$^.tif", "a+(b)[c]B02$^.tif", "well=B02");
}

#[test]
fn texts_take_as_much_as_they_can_but_stop_at_a_doubled_mark() {
    let path = "Week4_27481_B02_s1_w1.TIF";
    check("{plate}_{well}_s{site}_w{channel}.TIF", path, "plate=Week4_27481 well=B02 site=1 channel=1");
    check("{experiment}_{plate}_{well}.png", "a_b_c_B02.png", "experiment=a_b plate=c well=B02");
    let doubled = "{experiment}__{plate}__{well}.png";
    check(doubled, "source_1__P_1__A02.png", "experiment=source_1 plate=P_1 well=A02");
    check(doubled, "a__b__c__A02.png", "nothing");
    check(doubled, "_a___b__A02.png", "experiment=_a plate=_b well=A02");
    check("{plate}--*/{well}.png", "a-b--c--d/A02.png", "plate=a-b well=A02");
    check("{plate}__*/{well}.png", "a__/A02.png", "plate=a well=A02");
    check("{plate}__*/{well}.png", "__x/A02.png", "nothing");
    check("{plate}aab{well}.png", "xaabyaabA02.png", "plate=xaaby well=A02");
}

#[test]
fn a_star_is_anything_within_one_name() {
    check("*/{well}_*.png", "x/A02_.png", "well=A02");
    check("*/{well}_*.png", "x/A02_a_b.png", "well=A02");
    check("*/{well}_*.png", "A02_a.png", "nothing");
    check("{plate}/*/{well}.png", "P1/x/y/A02.png", "plate=x well=A02");
    check("*__{plate}__{well}.png", "a__b__A02.png", "plate=b well=A02");
    check("*__{plate}__{well}.png", "__b__A02.png", "plate=b well=A02");
    check("*__{plate}__{well}.png", "x__a__b__A02.png", "nothing");
}

#[test]
fn a_field_that_is_there_twice_has_the_same_text_in_both_places() {
    check("{plate}/{plate}_{well}.tif", "a/P_1/P_1_B02.tif", "plate=P_1 well=B02");
    let expected = r#"{plate}: expected the same text in every place, found "P1 and P2""#;
    check("{plate}/{plate}_{well}.tif", "P1/P2_B02.tif", expected);
    let expected = r#"{site}: expected the same text in every place, found "01 and 1""#;
    check("s{site}/{well}_s{site}.tif", "s01/B02_s1.tif", expected);
}

#[test]
fn a_small_letter_that_counts_is_no_well_behind_one() {
    let expected =
        "{well}: expected a well; behind what may be one, a small s, t, w or z counts something else, found ";
    for (path, found) in [
        ("9987_B02_w1.TIF", "B02_w1"),
        ("9987_B02_s1_w1.TIF", "s1_w1"),
        ("B02_s12.TIF", "B02_s12"),
        ("a/AF48_z1.TIF", "AF48_z1"),
    ] {
        check("{plate}_{well}.TIF", path, &format!("{expected}{found:?}"));
        check("*_{well}.TIF", path, &format!("{expected}{found:?}"));
    }
    for (path, plate, well) in [
        ("9987_w16.TIF", "9987", "W16"),
        ("u2os-18-96h_s16.TIF", "u2os-18-96h", "S16"),
        ("P1_W16.TIF", "P1", "W16"),
        ("P1_b16.TIF", "P1", "B16"),
        ("P1_st16.TIF", "P1", "ST16"),
        ("P_w16.TIF", "P", "W16"),
        ("ABC1_w16.TIF", "ABC1", "W16"),
        ("A1b_w16.TIF", "A1b", "W16"),
    ] {
        check("{plate}_{well}.TIF", path, &format!("plate={plate} well={well}"));
    }
    check("{experiment}/{plate}_{well}.TIF", "a/B02_w1.TIF", &format!("{expected}{:?}", "B02_w1"));
    check("A1_{well}.TIF", "A1_w16.TIF", "well=W16");
    check("{plate}-{well}.TIF", "A1-w16.TIF", "plate=A1 well=W16");
}

#[test]
fn the_largest_patterns_are_built_and_held_against_long_names() {
    for piece in
        ["*_", "*__", "{plate}_", "{well}_", "{site}_", "{channel}_", "{guid}", "{guid}_", "{row}_{column}_", "é"]
    {
        let well = if piece.starts_with("{row}") { "" } else { "_{well}" };
        let text = format!("{}{well}.png", piece.repeat((999 - well.len() - 4) / piece.len()));
        assert_eq!(pattern(&text).read(&"_".repeat(4096)), Ok(None), "{piece}");
    }
}

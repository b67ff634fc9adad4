//! Patterns: what they write, and that they read it.

use proptest::prelude::*;

use super::tests::pattern;
use super::*;
use crate::site::Well;

fn well(text: &str) -> Well {
    text.parse().unwrap()
}

fn all_told() -> Fields<'static> {
    Fields {
        experiment: Some("HUVEC-01"),
        plate: Some("P_1"),
        well: well("B02"),
        site: Some(2),
        channel: Some("3"),
        z: Some(4),
        t: Some(5),
    }
}

#[test]
fn a_path_is_written_from_its_fields_and_tells_them_again() {
    let fields = Fields { well: well("AF02"), ..all_told() };
    for (text, path) in [
        ("{experiment}/{plate}/{well}_s{site}_w{channel}_z{z}_t{t}.png", "HUVEC-01/P_1/AF02_s2_w3_z4_t5.png"),
        ("{plate}__*/r{row}c{column}.TIFF", "P_1__1/r32c02.TIFF"),
        ("{plate}/{plate}_{well}.tif", "P_1/P_1_AF02.tif"),
    ] {
        assert_eq!(pattern(text).write(&fields).as_deref(), Ok(path));
    }
}

#[test]
fn a_guid_is_made_up_from_the_rest_of_the_path() {
    let write = |site| {
        let fields = Fields { site: Some(site), ..all_told() };
        pattern("{well}_s{site}_w{channel}{guid}.tif").write(&fields).unwrap()
    };
    assert_eq!(write(2), "B02_s2_w388459A1B-7507-BF39-25C4-EB3F651B1422.tif");
    assert_eq!(write(2), write(2));
    assert_ne!(write(2)[8..], write(1)[8..]);
}

#[test]
fn refuses_to_write_what_is_not_given_or_would_be_read_otherwise() {
    let write = |text: &str, fields: Fields<'_>| pattern(text).write(&fields).map_err(|error| error.to_string());
    let all = all_told();
    for (text, fields, expected) in [
        ("{well}_z{z}.png", Fields { z: None, ..all }, "the pattern has {z}, of which nothing is given"),
        (
            "{well}_w{channel}.png",
            Fields { channel: None, ..all },
            "the pattern has {channel}, of which nothing is given",
        ),
        (
            "{experiment}_{plate}_{well}.png",
            all,
            r#""HUVEC-01_P_1_B02.png" would not be read as what it was written for"#,
        ),
        (
            "{well}_w{channel}.png",
            Fields { channel: Some("01"), ..all },
            r#""B02_w01.png" would not be read as what it was written for"#,
        ),
        (
            "{plate}/{well}.png",
            Fields { plate: Some(".."), ..all },
            r#""../B02.png" would not be read as what it was written for"#,
        ),
        (
            "{plate}/{well}.png",
            Fields { plate: Some("a/b"), ..all },
            r#""a/b/B02.png" would not be read as what it was written for"#,
        ),
    ] {
        assert_eq!(write(text, fields), Err(expected.to_owned()));
    }
}

/// Any fields, with texts that stand in any pattern.
pub(super) fn any_fields() -> impl Strategy<Value = (String, String, Well, String, [u16; 3])> {
    let text = "[A-Za-z0-9][A-Za-z0-9 .#-]{0,8}[A-Z]";
    let well = (0u16..26 * 27, 1u16..=99).prop_map(|(row, column)| Well::new(row, column));
    (text, text, well, 0u16..=9999, any::<[u16; 3]>())
        .prop_map(|(experiment, plate, well, channel, numbers)| (experiment, plate, well, channel.to_string(), numbers))
}

/// Texts as they may be in a pattern, and others.
fn any_pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{experiment}",
        "{plate}",
        "{well}",
        "{row}",
        "{column}",
        "{site}",
        "{channel}",
        "{z}",
        "{t}",
        "{guid}",
        "*",
        "_",
        "__",
        "/",
        "_s",
        "r",
        "c",
        "-",
        ".",
        "1",
        "(",
        "{",
        "}",
        "\\",
        "[^",
        "é",
        " ",
    ]);
    let end = prop::sample::select(vec!["{well}.png", "_{well}.tif", "_{well}_w{channel}{guid}.TIFF", "{well}", ""]);
    (prop::collection::vec(piece, 0..12), end).prop_map(|(pieces, end)| pieces.concat() + end)
}

proptest! {
    #[test]
    fn what_a_pattern_writes_it_reads(
        text in prop::sample::select(vec![
            "{experiment}/{plate}/{well}_s{site}_w{channel}.png",
            "{experiment}/{plate}/T{t}/Z{z}/{plate}_{well}_s{site}_w{channel}{guid}.TIF",
            "{experiment}_{plate}__{row}-{column}_{site}_{z}_{t}_{channel}.tiff",
            "*/{experiment}x*x{plate}/{guid}{row}c{column}f{site}p{z}-ch{channel}sk{t}fl*.tiff",
            "{well}.{plate}.{site}.{experiment}.{channel}.{z}.{t}.png",
        ]),
        (experiment, plate, well, channel, [site, z, t]) in any_fields(),
    ) {
        let (experiment, plate) = (experiment.replace(['.', 'x'], "-"), plate.replace(['.', 'x'], "-"));
        let fields = Fields {
            experiment: Some(&experiment), plate: Some(&plate), well, site: Some(site), channel: Some(&channel),
            z: Some(z), t: Some(t),
        };
        let pattern = pattern(text);
        let path = pattern.write(&fields).unwrap();
        let (z, t) = (fields.z.filter(|_| pattern.has(Field::Z)), fields.t.filter(|_| pattern.has(Field::T)));
        let fields = Fields { z, t, ..fields };
        prop_assert_eq!(pattern.read(&path), Ok(Some(fields)));
        let deeper = format!("a/{path}");
        prop_assert_eq!(pattern.read(&deeper), Ok(Some(fields)));
    }

    #[test]
    fn any_text_is_a_pattern_that_shows_itself_or_an_error_and_what_it_writes_it_reads(
        text in any_pattern(), path in "[ -~é]{0,40}", experiment in ".{1,8}", plate in ".{1,8}", channel in ".{1,4}",
        (_, _, well, _, [site, z, t]) in any_fields(),
    ) {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert_eq!(pattern.to_string(), text);
            let _ = pattern.read(&path);
            let fields = Fields {
                experiment: Some(&experiment), plate: Some(&plate), well, site: Some(site), channel: Some(&channel),
                z: Some(z), t: Some(t),
            };
            if let Ok(path) = pattern.write(&fields) {
                let read = pattern.read(&path).unwrap().unwrap();
                prop_assert_eq!(read.well, well);
                prop_assert!(read.plate.is_none_or(|read| read == plate));
                prop_assert!(read.experiment.is_none_or(|read| read == experiment));
                prop_assert!(read.channel.is_none_or(|read| read == channel));
                prop_assert!(read.site.is_none_or(|read| read == site));
                prop_assert!(read.z.is_none_or(|read| read == z));
                prop_assert!(read.t.is_none_or(|read| read == t));
            }
        }
    }
}

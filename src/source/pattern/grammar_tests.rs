//! What is no pattern, and what is said of it.

use super::tests::pattern;
use super::*;

#[track_caller]
fn check_refused(text: &str, expected: &PatternError) {
    let error = text.parse::<Pattern>().expect_err(text);
    assert_eq!(error, *expected, "{text}");
}

#[test]
fn refuses_what_is_no_pattern() {
    let owned = str::to_owned;
    check_refused("", &PatternError::Empty);
    check_refused(&format!("{}{{well}}.png", "x".repeat(991)), &PatternError::TooLong);
    assert!(pattern(&format!("{}{{well}}.png", "x".repeat(990))).has(Field::Well));
    check_refused("/{well}.png", &PatternError::Absolute);
    for (text, name) in [("a//{well}.png", ""), ("../{well}.png", ".."), ("./{well}.png", "."), ("{well}.png/", "")] {
        check_refused(text, &PatternError::Folder(owned(name)));
    }
    for (text, rest) in [("a{well.png", "{well.png"), ("{a{well}.png", "{a{well}.png"), ("well}.png", "}.png")] {
        check_refused(text, &PatternError::Brace(owned(rest)));
    }
    check_refused("{plate/x}{well}.png", &PatternError::Brace(owned("{plate/x}{well}.png")));
    for (text, name) in [("{field}_{well}.png", "field"), ("{Well}.png", "Well"), ("{}{well}.png", "")] {
        check_refused(text, &PatternError::Unknown(owned(name)));
    }
    for (text, first, second) in [
        ("{plate}{well}.png", "{plate}", "{well}"),
        ("{row}{column}.png", "{row}", "{column}"),
        ("{well}_w{channel}*.png", "{channel}", "*"),
        ("**/{well}.png", "*", "*"),
    ] {
        check_refused(text, &PatternError::Touching(owned(first), owned(second)));
    }
    for text in ["{plate}.png", "{row}.png", "{column}.png", "x.png"] {
        check_refused(text, &PatternError::NoWell);
    }
    for text in ["{well}_{row}.png", "{well}_{column}.png", "{well}_{row}_{column}.png"] {
        check_refused(text, &PatternError::TwoWells);
    }
    for text in ["{well}", "{well}.jpg", "{well}.*", "{well}png", "{well}.png.gz", "x.png{well}"] {
        check_refused(text, &PatternError::NoExtension);
    }
}

#[test]
fn errors_name_what_is_wrong_and_what_would_be_right() {
    for (error, expected) in [
        (PatternError::Empty, "the pattern is empty"),
        (PatternError::TooLong, "the pattern is too long; expected at most 1000 bytes"),
        (PatternError::Absolute, "a pattern is relative to the tree: expected no '/' at its beginning"),
        (PatternError::Folder("..".to_owned()), r#"expected names of folders between each '/', found "..""#),
        (PatternError::Brace("}.png".to_owned()), r#"expected a field such as {well}, found "}.png""#),
        (
            PatternError::Unknown("field".to_owned()),
            "unknown field {field}; expected one of {experiment}, {plate}, {well}, {row}, {column}, {site}, {channel}, \
             {z}, {t}, {guid}",
        ),
        (
            PatternError::Touching("{plate}".to_owned(), "{well}".to_owned()),
            "nothing between {plate} and {well} tells where one ends and the other begins",
        ),
        (
            PatternError::Touching("*".to_owned(), "*".to_owned()),
            "expected '*', found '**'; a pattern is looked for at any depth",
        ),
        (PatternError::NoWell, "nothing tells the well: expected {well}, or both {row} and {column}"),
        (PatternError::TwoWells, "the well is told twice: expected {well}, or {row} and {column}"),
        (PatternError::NoExtension, "expected one of .png, .tif, .tiff, .bmp, .pgm, .ppm at the end"),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

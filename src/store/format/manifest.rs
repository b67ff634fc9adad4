//! Lists of files with their SHA-256: `SHA256SUMS`, `files.sha256`, `sources.sha256`. GNU sha256sum reads them; our own
//! parser is strict, and the last line proves the list itself.
//!
//! ```text
//! # 36974 bytes
//! 4c5f...e1  test/HEPG2-08/Plate1/B02_s1_w1.png
//! # sha256 9a0c...77
//! ```
//!
//! The line of the size is there in lists of a plate; in `SHA256SUMS` it is not.

use crate::error::{Error, Result};
use crate::site::parse_number;

use super::checksum::Sha;

/// One file of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The path, relative, with `/`.
    pub path: String,
    /// The SHA-256 of the content.
    pub sha: Sha,
    /// Bytes, where the list says.
    pub size: Option<u64>,
}

impl Entry {
    /// The entry of a file with this content.
    #[must_use]
    pub fn of(path: impl Into<String>, bytes: &[u8]) -> Self {
        Self { path: path.into(), sha: Sha::of(bytes), size: Some(bytes.len() as u64) }
    }
}

/// Writes a list: sorted bytewise by path, closed by its own SHA-256.
#[must_use]
pub fn format(entries: &[Entry]) -> String {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut text = String::new();
    for Entry { path, sha, size } in sorted {
        if let Some(size) = size {
            text += &format!("# {size} bytes\n");
        }
        text += &format!("{sha}  {path}\n");
    }
    let own = Sha::of(text.as_bytes());
    text + &format!("# sha256 {own}\n")
}

/// Parses a list; `place` names it in errors.
///
/// # Errors
/// If its own SHA-256 is not right, or any line is not one that [`format()`] would write.
pub fn parse(text: &str, place: &str) -> Result<Vec<Entry>> {
    let body_end = text.strip_suffix('\n').map_or(0, |text| text.rfind('\n').map_or(0, |at| at + 1));
    let (body, last) = text.split_at(body_end);
    let own = last.strip_prefix("# sha256 ").and_then(|rest| rest.strip_suffix('\n')).and_then(Sha::parse);
    let Some(own) = own else { return Err(not_ours(text, last, place)) };
    let found = Sha::of(body.as_bytes());
    if own != found {
        return Err(Error::malformed(place, format!("a list of SHA-256 {own}"), found));
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut size = None;
    for (i, line) in body.split_terminator('\n').enumerate() {
        let at = || format!("{place}:{}", i + 1);
        let number = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" bytes"));
        let number = number.filter(|number| *number == "0" || !number.starts_with('0'));
        let sized = number.and_then(parse_number);
        if sized.is_some() && size.is_none() {
            size = sized;
            continue;
        }
        let entry = line.split_once("  ").and_then(|(sha, path)| Some((Sha::parse(sha)?, path)));
        let Some((sha, path)) = entry.filter(|(_, path)| is_plain_path(path)) else {
            return Err(Error::malformed(at(), "SHA-256, two spaces, a relative path", format!("{line:?}")));
        };
        if let Some(last) = entries.last().filter(|last| last.path.as_str() >= path) {
            return Err(Error::malformed(at(), format!("a path after {:?}", last.path), format!("{path:?}")));
        }
        entries.push(Entry { path: path.to_owned(), sha, size: size.take() });
    }
    if size.is_some() {
        return Err(Error::malformed(place, "a file after each size", "none"));
    }
    Ok(entries)
}

/// What is wrong with a list that does not end as ours do.
fn not_ours(text: &str, last: &str, place: &str) -> Error {
    if text.contains("\r\n") {
        let expected = "lines that end in LF alone, as they were written";
        return Error::malformed(place, expected, "CR LF: something on the way converted the ends of lines");
    }
    let is_of_sha256sum = |line: &str| {
        let parts = line.trim_start_matches('\\').split_at_checked(64);
        parts.is_some_and(|(sha, rest)| Sha::parse(sha).is_some() && (rest.starts_with("  ") || rest.starts_with(" *")))
    };
    if !text.is_empty() && text.lines().all(is_of_sha256sum) {
        let expected = "a list that verify --write made, whose last line '# sha256 HEX' proves it whole";
        return Error::malformed(place, expected, "one that sha256sum itself made (sha256sum --check reads it)");
    }
    let found = format!("{:?}", last.trim_end().chars().take(80).collect::<String>());
    Error::malformed(place, "a last line '# sha256 HEX' (the list is cut short)", found)
}

/// Whether a path stays below its root on any system: relative, no `.` or `..`, no backslash, no line break.
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    !path.contains(['\\', '\n', '\r', '\0']) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str, size: Option<u64>) -> Entry {
        Entry { path: path.to_owned(), sha: Sha::of(path.as_bytes()), size }
    }

    fn reseal(body: &str) -> String {
        format!("{body}# sha256 {}\n", Sha::of(body.as_bytes()))
    }

    #[test]
    fn a_list_is_read_back_in_bytewise_order() {
        let list = [entry("b/a", Some(7)), entry("a.b", Some(0)), entry("B", None)];
        let mut sorted = list.to_vec();
        sorted.sort();
        assert_eq!(parse(&format(&list), "x").unwrap(), sorted);
        assert_eq!(parse(&format(&[]), "x").unwrap(), []);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let text = format(&[entry("a", None), entry("b/c", Some(12))]);
        for bit in 0..text.len() * 8 {
            let mut bad = text.clone().into_bytes();
            bad[bit / 8] ^= 1 << (bit % 8);
            // What is no longer text does not even get to the parser.
            let accepted = String::from_utf8(bad).is_ok_and(|bad| parse(&bad, "x").is_ok());
            assert!(!accepted, "bit {bit}");
        }
        for cut in 0..text.len() {
            assert!(parse(&text[..cut], "x").is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_list_with_other_line_ends_and_one_of_sha256sum_are_called_that_and_not_cut_short() {
        let ours = format(&[entry("a", None), entry("b/c", Some(12))]);
        let says = |text: &str| parse(text, "x").unwrap_err().to_string();
        assert!(says(&ours.replace('\n', "\r\n")).contains("found CR LF"));
        let plain: String =
            ours.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        for text in [plain.clone(), plain.replace("  ", " *"), plain.trim_end().to_owned()] {
            assert!(says(&text).contains("sha256sum itself made"), "{text}");
        }
        for text in [&ours[..ours.len() - 9], &ours[..ours.len() / 2], ""] {
            assert!(says(text).contains("cut short"), "{text}");
        }
    }

    #[test]
    fn refuses_paths_that_leave_the_root_and_lines_out_of_order() {
        let sha = Sha::of(b"");
        for path in ["/etc/passwd", "../a", "a/../b", "./a", "a//b", "a\\b", ""] {
            assert!(parse(&reseal(&format!("{sha}  {path}\n")), "x").is_err(), "{path:?}");
        }
        for body in [
            format!("{sha}  b\n{sha}  a\n"),
            format!("{sha}  a\n{sha}  a\n"),
            format!("{sha} *a\n"),
            format!("# 1 bytes\n# 2 bytes\n{sha}  a\n"),
            "# 1 bytes\n".to_owned(),
            format!("# 01 bytes\n{sha}  a\n"),
            format!("# 00 bytes\n{sha}  a\n"),
            format!("#  bytes\n{sha}  a\n"),
            "\n".to_owned(),
        ] {
            assert!(parse(&reseal(&body), "x").is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_list_survives(paths in proptest::collection::btree_set("[a-zA-Z0-9_.]{1,8}(/[a-z]{1,3}){0,3}", 0..20), size: Option<u64>) {
            let list: Vec<Entry> = paths.iter().filter(|path| is_plain_path(path)).map(|path| entry(path, size)).collect();
            prop_assert_eq!(parse(&format(&list), "x").unwrap(), list);
        }
    }
}

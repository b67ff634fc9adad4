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

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::site::parse_number;

use super::checksum::{HashingWriter, Sha};

/// No line of a list is longer: no system has paths of this length.
const LONGEST_LINE: u64 = 1 << 16;

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
///
/// # Errors
/// If it cannot be written.
pub fn write(entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut hashing = HashingWriter::new(out);
    for Entry { path, sha, size } in sorted {
        if let Some(size) = size {
            writeln!(hashing, "# {size} bytes")?;
        }
        writeln!(hashing, "{sha}  {path}")?;
    }
    let (out, own, _) = hashing.finish();
    writeln!(out, "# sha256 {own}")
}

/// The same, as text.
///
/// # Panics
/// Never.
#[must_use]
pub fn format(entries: &[Entry]) -> String {
    let mut text = Vec::new();
    write(entries, &mut text).expect("memory takes everything");
    String::from_utf8(text).expect("paths are text")
}

/// Parses a list; `place` names it in errors.
///
/// # Errors
/// If its own SHA-256 is not right, or any line is not one that [`format()`] would write.
pub fn parse(text: &str, place: &str) -> Result<Vec<Entry>> {
    read(&mut text.as_bytes(), place)
}

/// Reads a list of any length; `place` names it in errors.
///
/// # Errors
/// If it cannot be read, its own SHA-256 is not right, or any line is not one that [`format()`] would write.
pub fn read(list: &mut impl BufRead, place: &str) -> Result<Vec<Entry>> {
    let mut entries = Entries::new(place);
    let mut form = Form::default();
    let mut body = HashingWriter::new(io::sink());
    let (mut last, mut line) = (Vec::new(), Vec::new());
    loop {
        let io_error = Error::io(Path::new(place), "read");
        let read = list.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(io_error)?;
        if read as u64 == LONGEST_LINE {
            let expected = format!("lines of fewer than {LONGEST_LINE} bytes");
            return Err(Error::malformed(place, expected, "a longer one"));
        }
        if !last.is_empty() {
            form.note(&last);
            if read == 0 {
                break;
            }
            body.write_all(&last).map_err(Error::io(Path::new(place), "hash"))?;
            entries.push(&last);
        } else if read == 0 {
            break;
        }
        std::mem::swap(&mut last, &mut line);
        line.clear();
    }
    // Whether the list is whole comes before what is wrong with a line.
    let last = String::from_utf8_lossy(&last);
    let own = last.strip_prefix("# sha256 ").and_then(|rest| rest.strip_suffix('\n')).and_then(Sha::parse);
    let Some(own) = own else { return Err(form.not_ours(&last, place)) };
    let (_, found, _) = body.finish();
    if own != found {
        return Err(Error::malformed(place, format!("a list of SHA-256 {own}"), found));
    }
    entries.finish()
}

/// The entries of the lines so far, or what is wrong with the first that is none.
struct Entries<'a> {
    place: &'a str,
    n_lines: usize,
    found: Result<Vec<Entry>>,
    /// Of the next file.
    size: Option<u64>,
}

impl<'a> Entries<'a> {
    fn new(place: &'a str) -> Self {
        Self { place, n_lines: 0, found: Ok(Vec::new()), size: None }
    }

    /// Takes a line with its end.
    fn push(&mut self, line: &[u8]) {
        self.n_lines += 1;
        let Ok(entries) = &mut self.found else { return };
        let at = || format!("{}:{}", self.place, self.n_lines);
        let Ok(line) = std::str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line)) else {
            self.found = Err(Error::malformed(at(), "UTF-8 text", "a byte that is not"));
            return;
        };
        let number = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" bytes"));
        let number = number.filter(|number| *number == "0" || !number.starts_with('0'));
        let sized = number.and_then(parse_number);
        if sized.is_some() && self.size.is_none() {
            self.size = sized;
            return;
        }
        let entry = line.split_once("  ").and_then(|(sha, path)| Some((Sha::parse(sha)?, path)));
        let Some((sha, path)) = entry.filter(|(_, path)| is_plain_path(path)) else {
            self.found = Err(Error::malformed(at(), "SHA-256, two spaces, a relative path", format!("{line:?}")));
            return;
        };
        if let Some(last) = entries.last().filter(|last| last.path.as_str() >= path) {
            let expected = format!("a path after {:?}", last.path);
            self.found = Err(Error::malformed(at(), expected, format!("{path:?}")));
            return;
        }
        entries.push(Entry { path: path.to_owned(), sha, size: self.size.take() });
    }

    fn finish(self) -> Result<Vec<Entry>> {
        let entries = self.found?;
        if self.size.is_some() {
            return Err(Error::malformed(self.place, "a file after each size", "none"));
        }
        Ok(entries)
    }
}

/// What lines look like, to tell what a list is that does not end as ours do.
#[derive(Default)]
struct Form {
    n_lines: usize,
    has_crlf: bool,
    /// Lines as sha256sum writes them.
    n_of_sha256sum: usize,
}

impl Form {
    fn note(&mut self, line: &[u8]) {
        self.n_lines += 1;
        self.has_crlf |= line.ends_with(b"\r\n");
        let line = line.strip_prefix(b"\\").unwrap_or(line);
        let is_of_sha256sum = line.split_at_checked(64).is_some_and(|(sha, rest)| {
            let sha = std::str::from_utf8(sha).ok().and_then(Sha::parse);
            sha.is_some() && (rest.starts_with(b"  ") || rest.starts_with(b" *"))
        });
        self.n_of_sha256sum += usize::from(is_of_sha256sum);
    }

    fn not_ours(&self, last: &str, place: &str) -> Error {
        if self.has_crlf {
            let expected = "lines that end in LF alone, as they were written";
            return Error::malformed(place, expected, "CR LF: something on the way converted the ends of lines");
        }
        if self.n_lines > 0 && self.n_of_sha256sum == self.n_lines {
            let expected = "a list that verify --write made, whose last line '# sha256 HEX' proves it whole";
            let found = "one that sha256sum itself made (sha256sum --check reads it)";
            return Error::malformed(place, expected, found);
        }
        let found = format!("{:?}", last.trim_end().chars().take(80).collect::<String>());
        Error::malformed(place, "a last line '# sha256 HEX' (the list is cut short)", found)
    }
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

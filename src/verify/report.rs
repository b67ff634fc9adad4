//! What was checked, how closely, and what was found.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::error::Error;
use crate::site::SiteId;
use crate::store::format::checksum::Sha;
use crate::store::read::listing::LeftOut;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Names and sizes; the content only of small files whose size no list tells.
    Quick,
    /// The SHA-256 of every file, and whether the files agree with each other.
    Full,
    /// Also every site decoded and compared with its own checksum.
    Deep,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It is not there.
    Missing,
    /// It is shorter than it was.
    CutShort,
    /// Its content is another.
    Altered,
    /// It cannot be read.
    Unreadable,
    /// It is whole, but contradicts another file of the store.
    Contradiction,
    /// It is there and no list names it.
    Extra,
}

impl Kind {
    /// All kinds, in order of report.
    pub const ALL: [Self; 6] =
        [Self::Missing, Self::CutShort, Self::Altered, Self::Unreadable, Self::Contradiction, Self::Extra];

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::CutShort => "cut short",
            Self::Altered => "altered",
            Self::Unreadable => "unreadable",
            Self::Contradiction => "contradiction",
            Self::Extra => "extra",
        }
    }

    /// Whether sending the file again mends it.
    #[must_use]
    pub fn is_damage(self) -> bool {
        matches!(self, Self::Missing | Self::CutShort | Self::Altered | Self::Unreadable)
    }
}

/// What was compared and is not the same, whole, where a text shows it shortened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compared {
    /// Sizes, in bytes.
    Bytes {
        /// What a list says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Contents.
    Sha256 {
        /// What a list says.
        expected: Sha,
        /// What is there.
        found: Sha,
    },
    /// Anything else, in words.
    Text {
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// One file or folder that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// The file, relative, with `/`.
    pub path: String,
    /// Expected and found.
    pub detail: String,
    /// The same for machines, where there is something to compare.
    pub compared: Option<Compared>,
    /// The sites that cannot be read because of it.
    pub sites: Vec<SiteId>,
}

impl Finding {
    pub(super) fn new(kind: Kind, path: &str, detail: impl Into<String>) -> Self {
        Self { kind, path: path.to_owned(), detail: detail.into(), compared: None, sites: Vec::new() }
    }

    /// A finding of what an error says of a file.
    pub(super) fn of_error(kind: Kind, path: &str, error: &Error) -> Self {
        let compared = match error {
            Error::Malformed { expected, found, .. } => {
                Some(Compared::Text { expected: expected.clone(), found: found.clone() })
            }
            _ => None,
        };
        Self { compared, ..Self::new(kind, path, describe(error)) }
    }

    /// A finding of a file that has another content than it must have.
    pub(super) fn content(path: &str, expected: Sha, found: Sha) -> Self {
        let detail = format!("expected SHA-256 {}, found {}", expected.short(), found.short());
        Self { compared: Some(Compared::Sha256 { expected, found }), ..Self::new(Kind::Altered, path, detail) }
    }

    /// A finding of a file that has not the size it must have.
    pub(super) fn size(path: &str, expected: u64, found: u64) -> Self {
        let kind = if found < expected { Kind::CutShort } else { Kind::Altered };
        let detail = format!("expected {expected} bytes, found {found}");
        Self { compared: Some(Compared::Bytes { expected, found }), ..Self::new(kind, path, detail) }
    }
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Files looked at.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Sites that the lists name.
    pub sites: u64,
    /// Whether a list of all files is there: without it a store is not finished, or did not arrive whole.
    pub is_finished: bool,
    /// What a store says that it left out when it was packed.
    pub left_out: LeftOut,
    /// Whether the store was packed from what was present of its source.
    pub present_only: bool,
    /// The names of a store's channels, in order, where they are known.
    pub channels: Vec<String>,
    /// All that is wrong, by kind and path.
    pub findings: Vec<Finding>,
    /// Seconds it took.
    pub seconds: f64,
}

impl Report {
    /// Files to send again: missing, cut short, altered or unreadable.
    pub fn damaged(&self) -> impl Iterator<Item = &str> {
        self.findings.iter().filter(|finding| finding.kind.is_damage()).map(|finding| finding.path.as_str())
    }
}

/// The first of many paths that begins with `prefix`, found without looking at the others: there may be many plates, and
/// many findings.
pub(super) fn first_below<'a, K, T>(paths: &'a BTreeMap<K, T>, prefix: &str) -> Option<(&'a K, &'a T)>
where
    K: Borrow<str> + Ord,
{
    let from = (Bound::Included(prefix), Bound::Unbounded);
    paths.range::<str, _>(from).next().filter(|(path, _)| (*path).borrow().starts_with(prefix))
}

/// What was expected and found, or why it cannot be told, for a finding that names the file itself.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Malformed { expected, found, .. } => format!("expected {expected}, found {found}"),
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// An error with the file that it is about, and its cause.
pub(super) fn told_in_full(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    /// A path that counts how often it is looked at.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Counted(String);

    impl Borrow<str> for Counted {
        fn borrow(&self) -> &str {
            LOOKS.set(LOOKS.get() + 1);
            &self.0
        }
    }

    #[test]
    fn each_plate_looks_at_a_few_of_many_findings() {
        let path = |plate: usize| format!("plates/HUVEC-01/Plate{plate}");
        let looks_a_plate = |n_plates: usize| {
            let findings: BTreeMap<Counted, usize> =
                (0..n_plates).map(|plate| (Counted(path(plate) + "/sites.csv"), plate)).collect();
            LOOKS.set(0);
            for plate in 0..n_plates {
                assert_eq!(first_below(&findings, &(path(plate) + "/")).map(|(_, &found)| found), Some(plate));
            }
            assert!(first_below(&findings, "plates/HUVEC-02/Plate1/").is_none());
            LOOKS.get() / n_plates
        };
        assert!(looks_a_plate(2000) < 60, "{} looks a plate", looks_a_plate(2000));
        assert!(looks_a_plate(4000) < looks_a_plate(2000) + 10);
    }
}

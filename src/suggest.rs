//! What to say of a name that is not known: the nearest that is.

use crate::error::Error;

/// An error for a name that is not among those that are known, with the nearest of them.
pub(crate) fn unknown<'a>(what: &str, expected: &str, found: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(found, name), *name)).min();
    let expected = match near {
        // A name that differs in most of its letters is no suggestion; then all are told.
        Some((distance, name)) if distance <= found.chars().count().max(3) / 2 => {
            format!("{expected} (nearest: {name})")
        }
        _ => format!("{expected} ({})", known.join(", ")),
    };
    Error::refused(what, expected, format!("{found:?}"))
}

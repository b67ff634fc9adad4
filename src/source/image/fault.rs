//! What is wrong with one image.

use std::fmt::Display;

use crate::fault::FaultKind;

/// What is wrong with one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFault {
    /// The kind.
    pub kind: FaultKind,
    /// Expected and found.
    pub detail: String,
}

impl ImageFault {
    pub(crate) fn new(kind: FaultKind, expected: impl Display, found: impl Display) -> Self {
        Self { kind, detail: format!("expected {expected}, found {found}") }
    }

    pub(crate) fn undecodable(expected: impl Display, found: impl Display) -> Self {
        Self::new(FaultKind::Undecodable, expected, found)
    }

    /// A file that ends before what it should hold.
    pub(crate) fn truncated(expected: impl Display, file_bytes: impl Display) -> Self {
        Self::new(FaultKind::Truncated, expected, format_args!("the end after {file_bytes} bytes"))
    }
}

/// The first bytes of something, as they are shown.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

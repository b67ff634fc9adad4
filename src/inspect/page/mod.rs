//! Pages that need nothing from elsewhere.

mod document;
pub(crate) mod packed;
pub(crate) mod pictures;

pub(crate) use document::{Part, document};

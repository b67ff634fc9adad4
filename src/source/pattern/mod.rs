//! What names of images tell: patterns that users describe, such as `{plate}/{well}_s{site}_w{channel}.tif`, and those
//! of known microscopes and data sets. Texts only: nothing here looks at a disk.

mod field;
mod fields;
mod grammar;
#[cfg(test)]
mod grammar_tests;
mod matching;
mod preset;
#[cfg(test)]
mod preset_tests;
mod presets;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod write_tests;

pub use field::Field;
pub(super) use fields::well_named;
pub use fields::{Fields, Misread};
pub use grammar::PatternError;
pub use matching::{Pattern, Unwritable};
pub use preset::{Preset, PresetTables};
pub use presets::suggest;

//! Layouts of trees: what images, plates and treatments are called in each, which tables it has, what lies beside its
//! images, and how it is packed.

mod beside;
mod kaggle;
mod labels;
mod layout;
mod names;
mod packed;
mod relatives;
mod screen;

pub(super) use beside::{thumbnail, write as write_beside};
pub(super) use labels::{LabelledWell, write as write_tables};
pub(super) use layout::Format;
pub use layout::Layout;
pub(super) use names::{PlateNumbers, folder, image, plate};
pub(super) use packed::pack_command;

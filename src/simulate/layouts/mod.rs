//! Layouts of trees: what images, plates and treatments are called in each, which tables it has, what lies beside its
//! images, and how it is packed.

mod beside;
mod kaggle;
mod labels;
mod names;
mod packed;
mod relatives;
mod screen;
mod well;

pub(super) use beside::{thumbnail, write as write_beside};
pub(super) use labels::write as write_tables;
pub(super) use names::{PlateNumbers, folder, image, plate};
pub(super) use packed::pack_command;
pub(super) use well::LabelledWell;

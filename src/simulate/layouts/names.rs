//! What plates, folders and images are called in each layout, as the vendors spell it.

use crate::simulate::dice::{self, Dice};
use crate::simulate::layout::Layout;
use crate::site::{Experiment, Plate, PlateId};

use super::well::LabelledWell;

/// Where a plate stands among all that are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlateNumbers<'a> {
    pub(crate) cell_type: &'a str,
    /// Of the experiments of its cell type, from 1.
    pub(crate) of_type: u16,
    /// Of all experiments, from 1.
    pub(crate) experiment: u16,
    /// In its experiment, from 1.
    pub(crate) plate: u16,
    /// Of all plates, from 1.
    pub(crate) of_all: u32,
}

/// What a layout calls a plate.
pub(crate) fn plate(layout: Layout, numbers: &PlateNumbers<'_>) -> PlateId {
    let PlateNumbers { cell_type, of_type, experiment, plate, of_all } = *numbers;
    let name = match layout {
        Layout::JumpPng => format!("source_{experiment}"),
        Layout::Bbbc021 => format!("Week{experiment}"),
        Layout::RxRx2 | Layout::RxRx19a | Layout::RxRx19b => format!("{cell_type}-{of_type}"),
        Layout::RxRx3 => format!("compound-{experiment:03}"),
        _ => format!("{cell_type}-{of_type:02}"),
    };
    let experiment: Experiment = name.parse().expect("a checked name and digits make an experiment");
    let named = |name: String| name.parse::<Plate>().expect("letters and digits make a plate");
    let plate = match layout {
        Layout::Bbbc021 => named(format!("{name}_{}", 20_000 + of_all)),
        _ if layout.has_barcodes() => named(format!("BR{:08}", 100_000 + of_all)),
        _ => Plate::from(plate),
    };
    PlateId { experiment, plate }
}

/// The folder of a plate's images, below the root; empty where all lie at the root.
pub(crate) fn folder(layout: Layout, plate: &PlateId, dataset: &str) -> String {
    let PlateId { experiment, plate } = plate;
    match layout {
        Layout::Kaggle2019 | Layout::Kaggle2023 => format!("{dataset}/{experiment}/{}", plate.folder()),
        Layout::RxrxAi | Layout::Wilds | Layout::RxRx2 | Layout::RxRx19a | Layout::RxRx19b | Layout::RxRx3 => {
            format!("images/{experiment}/{}", plate.folder())
        }
        Layout::Bare | Layout::Rxrx => format!("{experiment}/{}", plate.folder()),
        // A measurement has the time at which it began in its name; this one never was.
        Layout::Phenix | Layout::Table => format!("{plate}__2020-01-01T12_00_00-Measurement1/Images"),
        Layout::ImageXpress | Layout::MetaXpress => format!("{plate}/TimePoint_1"),
        Layout::Cv8000 => plate.to_string(),
        Layout::Bbbc021 => format!("{experiment}/{plate}"),
        Layout::JumpPng | Layout::KaggleFlat => String::new(),
    }
}

/// What channels are called where they have names.
pub(super) const STAINS: [&str; 6] = ["DNA", "ER", "AGP", "RNA", "Mito", "Golgi"];

/// The name of an image in the folder of its plate. A site or a channel that is the only one is not named where the
/// layout does without.
pub(crate) fn image(layout: Layout, well: &LabelledWell, (site, n_sites): (u16, u16), channel: (u8, u8)) -> String {
    let PlateId { experiment, plate } = &well.id.plate;
    let (channel, n_channels) = channel;
    let at = well.id.well;
    match layout {
        Layout::Phenix | Layout::Table => {
            let (row, column) = (at.row() + 1, at.column());
            format!("r{row:02}c{column:02}f{site:02}p01-ch{channel}sk1fk1fl1.tiff")
        }
        Layout::ImageXpress => {
            let stem = format!("{plate}_{at}{}", steps((site, n_sites), (channel, n_channels)));
            format!("{stem}{}.tif", guid(&stem))
        }
        Layout::MetaXpress => format!("{plate}_{at}{}.TIF", steps((site, n_sites), (channel, n_channels))),
        Layout::Cv8000 => format!("{plate}_{at}_T0001F{site:03}L01A{channel:02}Z01C{channel:02}.tif"),
        Layout::JumpPng => {
            format!("{experiment}__{plate}__{at}__{site}__{}.png", STAINS[usize::from(channel) - 1])
        }
        Layout::Bbbc021 => {
            let stem = format!("{at}_s{site}_w{channel}");
            format!("{stem}{}.tif", guid(&format!("{plate}_{stem}")))
        }
        Layout::KaggleFlat => format!("{experiment}_{plate}_{at}_s{site}_w{channel}.png"),
        Layout::Wilds => format!("{at}_s{site}.png"),
        Layout::Kaggle2019
        | Layout::Kaggle2023
        | Layout::RxrxAi
        | Layout::Bare
        | Layout::Rxrx
        | Layout::RxRx2
        | Layout::RxRx19a
        | Layout::RxRx19b
        | Layout::RxRx3 => format!("{at}_s{site}_w{channel}.png"),
    }
}

fn steps((site, n_sites): (u16, u16), (channel, n_channels): (u8, u8)) -> String {
    let site = if n_sites > 1 { format!("_s{site}") } else { String::new() };
    let channel = if n_channels > 1 { format!("_w{channel}") } else { String::new() };
    site + &channel
}

/// A GUID that belongs to a text: the same wherever it is made.
fn guid(text: &str) -> String {
    let mut dice = Dice::new(0x601d, &[dice::key(text)]);
    let (high, low) = (dice.bits(), dice.bits());
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("{a:08X}-{b:04X}-{c:04X}-{:04X}-{:012X}", low >> 48, low & 0xffff_ffff_ffff)
}

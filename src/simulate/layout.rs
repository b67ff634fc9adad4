//! The layouts by their names, and how they differ.

use std::fmt;
use std::str::FromStr;

use crate::site::ParseError;

/// How a tree and its tables are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// RxRx1 of Kaggle in 2019: `train/` and `test/`, labels as integers.
    Kaggle2019,
    /// The same folders, labels as `sirna_250` and `UNTREATED`.
    Kaggle2023,
    /// `images/` and one metadata.csv with a row a site.
    RxrxAi,
    /// Experiments at the root, no labels.
    Bare,
    /// Opera Phenix: a folder a plate, 16-bit TIFF as a rule.
    Phenix,
    /// `ImageXpress` as it stores images: GUIDs in their names, and thumbnails.
    ImageXpress,
    /// `MetaXpress` as it exports images.
    MetaXpress,
    /// `CellVoyager` CV7000 and CV8000, with what images are corrected by.
    Cv8000,
    /// JUMP-CP as PNGs in one folder.
    JumpPng,
    /// BBBC021: folders of weeks and plates.
    Bbbc021,
    /// RxRx1 in one folder, with Kaggle's tables.
    KaggleFlat,
    /// RxRx1 of WILDS: one RGB image a site.
    Wilds,
    /// RxRx1 with experiments at the root and metadata.csv.
    Rxrx,
    /// RxRx2: soluble factors.
    RxRx2,
    /// RxRx19a: compounds against a virus.
    RxRx19a,
    /// RxRx19b: compounds against a storm of cytokines.
    RxRx19b,
    /// RxRx3: a table of wells.
    RxRx3,
    /// A `load_data.csv` of `CellProfiler` that names images.
    Table,
}

/// What images are files of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A grey PNG a channel.
    Png,
    /// One PNG of three channels.
    RgbPng,
    /// A grey TIFF a channel, packed by LZW.
    Tiff,
}

/// Which tables lie beside images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    None,
    /// Kaggle's four, and the sample of a submission.
    Kaggle,
    /// RxRx1's `metadata.csv`.
    RxRx1,
    /// Those of its relatives.
    Relative,
    /// `labels.csv`, a row a well.
    Wells,
    /// `load_data.csv`, a row a site.
    LoadData,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Kaggle2019,
        Self::Kaggle2023,
        Self::RxrxAi,
        Self::Bare,
        Self::Phenix,
        Self::ImageXpress,
        Self::MetaXpress,
        Self::Cv8000,
        Self::JumpPng,
        Self::Bbbc021,
        Self::KaggleFlat,
        Self::Wilds,
        Self::Rxrx,
        Self::RxRx2,
        Self::RxRx19a,
        Self::RxRx19b,
        Self::RxRx3,
        Self::Table,
    ];

    /// The name that `simulate --layout` takes; of microscopes and of presets it is the one that `pack` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.known().0
    }

    /// A line that tells users what it is.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.known().1
    }

    fn known(self) -> (&'static str, &'static str) {
        match self {
            Self::Kaggle2019 => ("kaggle2019", "RxRx1 of Kaggle, labels are integers"),
            Self::Kaggle2023 => ("kaggle2023", "the same, labels are names"),
            Self::RxrxAi => ("rxrxai", "RxRx1 of rxrx.ai: images/ and one metadata.csv"),
            Self::Bare => ("bare", "experiments at the root, no labels"),
            Self::Phenix => ("phenix", "Opera Phenix: TIFF, barcodes, Index.idx.xml, labels.csv"),
            Self::ImageXpress => ("imagexpress", "ImageXpress: TIFF, GUIDs, thumbnails, labels.csv"),
            Self::MetaXpress => ("metaxpress", "MetaXpress: TIFF, labels.csv"),
            Self::Cv8000 => ("cv8000", "CellVoyager: TIFF, MeasurementData.mlf, corrections, labels.csv"),
            Self::JumpPng => ("jump-png", "JUMP-CP as PNGs: five channels with names, labels.csv"),
            Self::Bbbc021 => ("bbbc021", "BBBC021: TIFF, weeks, GUIDs, labels.csv"),
            Self::KaggleFlat => ("kaggle-flat", "RxRx1 in one folder, with Kaggle's CSVs"),
            Self::Wilds => ("wilds", "RxRx1 of WILDS: one RGB image a site, metadata.csv"),
            Self::Rxrx => ("rxrx", "RxRx1 with experiments at the root and metadata.csv"),
            Self::RxRx2 => ("rxrx2", "RxRx2: soluble factors, rxrx2-metadata.csv"),
            Self::RxRx19a => ("rxrx19a", "RxRx19a: five channels, compounds against a virus"),
            Self::RxRx19b => ("rxrx19b", "RxRx19b: compounds against a storm of cytokines"),
            Self::RxRx3 => ("rxrx3", "RxRx3: a table of wells"),
            Self::Table => ("table", "TIFF whose names a load_data.csv of CellProfiler tells"),
        }
    }

    /// The channels that it has where nothing else is asked for.
    #[must_use]
    pub fn usual_channels(self) -> u8 {
        match self {
            Self::Wilds => 3,
            Self::RxRx19a | Self::JumpPng => 5,
            _ => 6,
        }
    }

    pub(crate) fn format(self) -> Format {
        match self {
            Self::Phenix | Self::ImageXpress | Self::MetaXpress | Self::Cv8000 | Self::Bbbc021 | Self::Table => {
                Format::Tiff
            }
            Self::Wilds => Format::RgbPng,
            _ => Format::Png,
        }
    }

    /// Whether its positive controls are all the same: one class is made for all of them.
    pub(crate) fn has_one_positive(self) -> bool {
        matches!(self, Self::RxRx19a | Self::RxRx19b | Self::RxRx3)
    }

    /// Whether plates have barcodes, and wells are told in `labels.csv` or its like.
    pub(super) fn has_barcodes(self) -> bool {
        matches!(self.tables(), Tables::Wells | Tables::LoadData)
    }

    pub(super) fn tables(self) -> Tables {
        match self {
            Self::Bare => Tables::None,
            Self::Kaggle2019 | Self::Kaggle2023 | Self::KaggleFlat => Tables::Kaggle,
            Self::RxrxAi | Self::Wilds | Self::Rxrx => Tables::RxRx1,
            Self::RxRx2 | Self::RxRx19a | Self::RxRx19b | Self::RxRx3 => Tables::Relative,
            Self::Phenix | Self::ImageXpress | Self::MetaXpress | Self::Cv8000 | Self::JumpPng | Self::Bbbc021 => {
                Tables::Wells
            }
            Self::Table => Tables::LoadData,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.into_iter().find(|layout| layout.name() == text);
        known.ok_or_else(|| ParseError {
            expected: "kaggle2019, kaggle2023, rxrxai, bare, or another layout that simulate --help lists",
            found: text.chars().take(80).collect(),
        })
    }
}

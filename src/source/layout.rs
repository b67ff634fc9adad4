//! How data sets are laid out on disk.

use super::pattern::Preset;

/// The CSVs of Kaggle's layout.
pub(super) const KAGGLE_CSVS: [&str; 4] = ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"];
/// The folders of images of Kaggle's layout.
pub(super) const KAGGLE_FOLDERS: [&str; 2] = ["train", "test"];
/// The table of rxrx.ai's layout by the names that it has: in the READMEs of RxRx1, RxRx19a, RxRx19b and RxRx3, in that
/// of RxRx2, where people read RxRx3's, and in the README of RxRx3-core.
pub(super) const RXRX_AI_CSVS: [&str; 4] =
    ["metadata.csv", "rxrx2-metadata.csv", "metadata_rxrx3.csv", "metadata_rxrx3_core.csv"];
/// The folder of images of rxrx.ai's layout.
pub(super) const RXRX_AI_FOLDER: &str = "images";

/// The ways in which data sets are laid out on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `{train,test}/EXPERIMENT/PlateN/WELL_sS_wC.png` and Kaggle's four CSVs.
    Kaggle,
    /// `images/EXPERIMENT/PlateN/WELL_sS_wC.png` and one table of sites or wells, such as `metadata.csv`.
    RxrxAi,
    /// `EXPERIMENT/PlateN/WELL_sS_wC.png` anywhere, and no CSVs.
    Bare,
    /// Names as a known microscope or data set has them.
    Preset(&'static Preset),
    /// Names that a pattern describes.
    Pattern,
    /// Images that a table names.
    Table,
    /// A plate of OME-Zarr.
    OmeZarr,
    /// `EXPERIMENT/PlateN/WELL_sS.zarr`, an array a site, as `images2zarr` of rxrx1-utils writes them.
    RxRx1Zarr,
    /// An array `[site, channel, y, x]` of Zarr, and a table of its sites.
    Zarr,
}

impl Layout {
    /// The name, as `--layout` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kaggle => "kaggle",
            Self::RxrxAi => "rxrx.ai",
            Self::Bare => "bare",
            Self::Preset(preset) => preset.name(),
            Self::Pattern => "pattern",
            Self::Table => "table",
            Self::OmeZarr => "ome-zarr",
            Self::RxRx1Zarr => "rxrx1-zarr",
            Self::Zarr => "zarr",
        }
    }

    /// The layout of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let own = [Self::Kaggle, Self::RxrxAi, Self::Bare, Self::OmeZarr, Self::RxRx1Zarr, Self::Zarr];
        let own = own.into_iter().find(|layout| layout.name() == name);
        own.or_else(|| Preset::named(name).map(Self::Preset))
    }

    /// Whether it comes with tables of labels.
    #[must_use]
    pub(super) fn has_tables(self) -> bool {
        matches!(self, Self::Kaggle | Self::RxrxAi)
    }

    /// Whether the user says what images are: by names, or by a table.
    #[must_use]
    pub fn is_described(self) -> bool {
        matches!(self, Self::Preset(_) | Self::Pattern | Self::Table) || self.is_zarr()
    }

    /// Whether images are planes of arrays of Zarr.
    #[must_use]
    pub(super) fn is_zarr(self) -> bool {
        matches!(self, Self::OmeZarr | Self::RxRx1Zarr | Self::Zarr)
    }
}

//! How data sets are laid out on disk.

/// The CSVs of Kaggle's layout.
pub(super) const KAGGLE_CSVS: [&str; 4] = ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"];
/// The folders of images of Kaggle's layout.
pub(super) const KAGGLE_FOLDERS: [&str; 2] = ["train", "test"];
/// The CSV of rxrx.ai's layout.
pub(super) const RXRX_AI_CSV: &str = "metadata.csv";
/// The folder of images of rxrx.ai's layout.
pub(super) const RXRX_AI_FOLDER: &str = "images";

/// The ways in which RxRx data sets are laid out on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `{train,test}/EXPERIMENT/PlateN/WELL_sS_wC.png` and Kaggle's four CSVs.
    Kaggle,
    /// `images/EXPERIMENT/PlateN/WELL_sS_wC.png` and `metadata.csv`.
    RxrxAi,
    /// `EXPERIMENT/PlateN/WELL_sS_wC.png` anywhere, and no CSVs.
    Bare,
}

impl Layout {
    /// The name, as `--layout` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kaggle => "kaggle",
            Self::RxrxAi => "rxrx.ai",
            Self::Bare => "bare",
        }
    }
}

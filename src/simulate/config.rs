//! What plates are asked for, checked; and what was made.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::site::{Experiment, ParseError, parse_number};

use super::biology;
use super::encode::Bits;
use super::layout::Layout;
use super::plates::FULL_PLATE;

/// A cell type and how many experiments it gets, as in `HUVEC:4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellType {
    /// Such as `HUVEC`.
    pub name: String,
    /// Experiments of it.
    pub n_experiments: u16,
}

impl FromStr for CellType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError {
            expected: "a cell type and its number of experiments (1 to 99), such as HUVEC:4",
            found: text.chars().take(80).collect(),
        };
        let (name, n) = text.split_once(':').ok_or_else(fail)?;
        let n_experiments = parse_number(n).filter(|n| (1..=99).contains(n)).ok_or_else(fail)?;
        // The name becomes a folder's, so it must survive as an experiment's.
        format!("{name}-01").parse::<Experiment>()?;
        if name.is_empty() || name.contains('_') {
            return Err(fail());
        }
        let name = name.to_owned();
        Ok(Self { name, n_experiments })
    }
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Config {
    /// Cell types and their numbers of experiments.
    pub cell_types: Vec<CellType>,
    /// Experiments of each cell type that are in the test set, the last ones; none where a type has only one.
    pub n_test_experiments: u16,
    /// Plates in an experiment, 1 to 99.
    pub n_plates: u16,
    /// Wells in use on a plate, 1 to [`FULL_PLATE`].
    pub n_wells: u16,
    /// Fields of view in a well, 1 to 99.
    pub n_sites: u16,
    /// Treatment classes.
    pub n_sirnas: u32,
    /// Pixels along a side of an image, 16 to 4096.
    pub size: u16,
    /// Channels, 1 to 6, from the first.
    pub n_channels: u8,
    /// Bits of a pixel.
    pub bits: Bits,
    /// The seed; the tree is a function of this config.
    pub seed: u64,
    /// Folders and CSVs.
    pub layout: Layout,
    /// Threads, 0 for one a core. The result does not depend on it.
    pub n_threads: usize,
}

impl Default for Config {
    /// Ten experiments at RxRx1's own plate size: 12,320 wells, 24,640 sites, 39 GB of raw pixels.
    fn default() -> Self {
        let cell_type = |name: &str, n_experiments| CellType { name: name.to_owned(), n_experiments };
        Self {
            cell_types: vec![cell_type("HUVEC", 4), cell_type("RPE", 2), cell_type("HEPG2", 2), cell_type("U2OS", 2)],
            n_test_experiments: 1,
            n_plates: 4,
            n_wells: FULL_PLATE as u16,
            n_sites: 2,
            n_sirnas: 1108,
            size: 512,
            n_channels: 6,
            bits: Bits::Eight,
            seed: 0,
            layout: Layout::Kaggle2019,
            n_threads: 0,
        }
    }
}

impl Config {
    /// Sites that this will make.
    #[must_use]
    pub fn total_sites(&self) -> u64 {
        let n_experiments: u64 = self.cell_types.iter().map(|t| u64::from(t.n_experiments)).sum();
        n_experiments * u64::from(self.n_plates) * u64::from(self.n_wells) * u64::from(self.n_sites)
    }

    pub(super) fn check(&self) -> Result<()> {
        let range = |flag: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::refused(flag, format!("{low} to {high}"), value))
        };
        range("--plates", self.n_plates.into(), 1, 99)?;
        range("--wells", self.n_wells.into(), 1, FULL_PLATE as u64)?;
        range("--sites", self.n_sites.into(), 1, 99)?;
        range("--sirnas", self.n_sirnas.into(), 1, 1_000_000)?;
        range("--size", self.size.into(), 16, 4096)?;
        range("--channels", self.n_channels.into(), 1, biology::CHANNELS as u64)?;
        if self.layout == Layout::Wilds && self.n_channels != 3 {
            return Err(Error::refused(
                "--channels",
                "3, as the layout wilds has one RGB image a site",
                self.n_channels,
            ));
        }
        if self.layout == Layout::Wilds && self.bits != Bits::Eight {
            return Err(Error::refused("--bits", "8, as the layout wilds has RGB images of 8 bits", 16));
        }
        range("--experiments", self.cell_types.len() as u64, 1, 99)?;
        let mut names: Vec<&str> = self.cell_types.iter().map(|t| t.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::refused("--experiments", "each cell type once", pair[0]));
        }
        Ok(())
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Experiments.
    pub experiments: u64,
    /// Plates over all experiments.
    pub plates: u64,
    /// Wells over all plates.
    pub wells: u64,
    /// Sites over all wells.
    pub sites: u64,
    /// Image files.
    pub images: u64,
    /// Bytes of the pixels as arrays.
    pub raw_bytes: u64,
    /// Bytes of the image files.
    pub image_bytes: u64,
    /// The command that packs the tree, quoted for a shell.
    pub pack: String,
}

//! The flags that say which raw tree is meant; `pack` and `verify` share them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::site::PlateId;
use crate::source::{Layout, SourceConfig};

/// Flags of a raw tree.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// Layout of the images [default: recognised]
    #[arg(long)]
    layout: Option<LayoutArg>,
    /// Folder with the CSVs [default: that of the images]
    #[arg(long, value_name = "DIR")]
    metadata: Option<PathBuf>,
    /// A classes.csv that fixes which class each siRNA is
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// A file of wells (HUVEC-06_1_B18, one a line) that really have fewer sites than others; RxRx1's four are known
    #[arg(long, value_name = "FILE")]
    known_partial: Option<PathBuf>,
    /// Channels of a site [default: as many as most sites have]
    #[arg(long, value_name = "COUNT")]
    channels: Option<usize>,
    /// Sites of every well, numbered from 1 [default: those that any well of its plate has]
    #[arg(long, value_name = "COUNT")]
    sites: Option<u16>,
    /// Only these experiments, such as HEPG2-01,HEPG2-02 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    experiments: Vec<String>,
    /// Only these plates, such as HEPG2-01/Plate1 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "PLATES")]
    plates: Vec<PlateId>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutArg {
    Kaggle,
    #[value(name = "rxrx.ai")]
    RxrxAi,
    Bare,
}

impl SourceArgs {
    /// The configuration of the tree at `root`.
    #[must_use]
    pub fn config(&self, root: &Path) -> SourceConfig {
        let layout = self.layout.map(|layout| match layout {
            LayoutArg::Kaggle => Layout::Kaggle,
            LayoutArg::RxrxAi => Layout::RxrxAi,
            LayoutArg::Bare => Layout::Bare,
        });
        SourceConfig {
            root: root.to_owned(),
            layout,
            metadata: self.metadata.clone(),
            classes: self.classes.clone(),
            known_partial: self.known_partial.clone(),
            channels: self.channels,
            sites: self.sites,
            known_classes: None,
            add_classes: false,
            experiments: self.experiments.clone(),
            plates: self.plates.clone(),
        }
    }

    /// Whether any flag was given.
    #[must_use]
    pub fn any(&self) -> bool {
        let paths = [&self.metadata, &self.classes, &self.known_partial];
        self.layout.is_some()
            || self.channels.is_some()
            || self.sites.is_some()
            || paths.iter().any(|path| path.is_some())
            || !self.experiments.is_empty()
            || !self.plates.is_empty()
    }
}

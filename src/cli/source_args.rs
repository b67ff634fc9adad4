//! The flags that say which raw tree is meant; `pack` and `verify` share them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::site::PlateId;
use crate::source::labels::{ControlValue, LabelOptions};
use crate::source::{Layout, SourceConfig};

/// Flags of a raw tree.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// Layout of the images [default: recognised]
    #[arg(long)]
    layout: Option<LayoutArg>,
    /// Folder with the CSVs, or the table of sites or wells itself [default: the folder of the images]
    #[arg(long, value_name = "PATH")]
    metadata: Option<PathBuf>,
    /// Columns of that table whose texts are a well's label, joined by ' | '; a well whose first one is empty has none
    /// [default: as RxRx1, RxRx2, RxRx19a, RxRx19b and RxRx3 have them, which are known by their columns]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    label_column: Vec<String>,
    /// What untreated wells have in the first of these columns, such as DMSO, or in another, such as condition=Mock;
    /// COLUMN= is an empty cell [default: as the data set has it, or what its wells' types say]
    #[arg(long, value_delimiter = ',', value_name = "VALUES")]
    negative_control: Vec<ControlValue>,
    /// The same of wells with a treatment that is well known [default: as the data set has it, or what its wells' types say]
    #[arg(long, value_delimiter = ',', value_name = "VALUES")]
    positive_control: Vec<ControlValue>,
    /// Column of that table with the dataset: train, val or validation, test [default: dataset; without it all is
    /// train]
    #[arg(long, value_name = "COLUMN")]
    split_column: Option<String>,
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
            labels: self.labels(),
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

    fn labels(&self) -> LabelOptions {
        LabelOptions {
            label_columns: self.label_column.clone(),
            negative_controls: self.negative_control.clone(),
            positive_controls: self.positive_control.clone(),
            split_column: self.split_column.clone(),
        }
    }

    /// Whether any flag was given.
    #[must_use]
    pub fn any(&self) -> bool {
        let paths = [&self.metadata, &self.classes, &self.known_partial];
        self.layout.is_some()
            || self.channels.is_some()
            || self.sites.is_some()
            || self.labels().given().is_some()
            || paths.iter().any(|path| path.is_some())
            || !self.experiments.is_empty()
            || !self.plates.is_empty()
    }
}

//! The flags that say which raw tree is meant; `pack` and `verify` share them.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::site::{Experiment, PlateId};
use crate::source::labels::{Columns, ControlValues, LabelOptions, On};
use crate::source::pattern::{Pattern, Preset};
use crate::source::{Layout, Plane, SourceConfig};

/// The heading of flags about labels.
const LABELS: &str = "Labels";

/// Flags of a raw tree.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// How images are named; --help lists them
    #[arg(long, value_name = "LAYOUT", value_parser = layouts(), hide_possible_values = true, long_help = about_layouts())]
    layout: Option<Layout>,
    /// Names of images, such as '{well}_w{channel}.tif'
    ///
    /// The fields are {experiment} {plate} {well} {row} {column} {site} {channel} {z} {t}, and * is what
    /// tells nothing; it is compared with the end of each path
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<Pattern>,
    /// Take what is there for all there is: wells and sites that CSVs name and that have no image are counted, not faults
    #[arg(long, hide_short_help = true)]
    present: bool,
    /// Take images of RGB whose red, green and blue are equal for the grey ones that they are
    #[arg(long, hide_short_help = true)]
    grey: bool,
    /// A table that names images, a row a site: columns `FileName_CHANNEL` and `PathName_CHANNEL`, as `CellProfiler` has
    /// them, or a path a column; `Metadata_Plate`, `Metadata_Well` and `Metadata_Site`, or what --on says
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    table: Option<PathBuf>,
    /// The plane and the time that are meant where there are several, such as z=3 or z=3,t=1: by the numbers of names, or by
    /// their places in an array, from 0; none is what has no number
    #[arg(long, value_name = "AXIS=N", default_value = "", hide_default_value = true, value_parser = plane,
        hide_short_help = true)]
    plane: Plane,
    /// The level of the images of OME-Zarr, from the largest [default: 0]
    #[arg(long, value_name = "N", hide_short_help = true)]
    level: Option<u16>,
    /// Experiment of plates whose names tell none [default: experiment]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    experiment: Option<Experiment>,
    /// The table of labels, or a folder of CSVs
    ///
    /// A table of sites or wells, or a folder with CSVs of a known data set [default: the folder of the images].
    /// --metadata is the same
    #[arg(long = "labels", value_name = "PATH", alias = "metadata", help_heading = LABELS)]
    metadata: Option<PathBuf>,
    /// Leave tables of labels alone that lie beside images which --layout, --pattern or --table describes
    #[arg(long, hide_short_help = true, help_heading = LABELS)]
    no_labels: bool,
    /// Columns that the rows of a table are known by, such as plate=Barcode,well=Position [default: by their names, as
    /// plate, `Metadata_Plate` or `Assay_Plate_Barcode`]; without an experiment, a row is of every plate of its name.
    /// What is not named is known by its column's name; site= says that no column tells it, and so do experiment=,
    /// `cell_type`= and `well_type`=
    #[arg(long, value_name = "KEYS", hide_short_help = true, help_heading = LABELS)]
    on: Option<On>,
    /// Columns that are a well's label
    ///
    /// Their texts are joined by ' | '; a well whose first one is empty has no label [default: as RxRx1, RxRx2, RxRx19a, RxRx19b and RxRx3 have them, which are known by their columns]
    #[arg(long, value_name = "COLUMNS", help_heading = LABELS)]
    label_column: Vec<Columns>,
    /// What untreated wells have there: DMSO
    ///
    /// In the first of these columns, such as DMSO, or in another, such as condition=Mock; COLUMN= is an empty cell, and what has a comma is quoted as in a table ('"1,2-x",DMSO'); may be given again [default: as the data set has it, or what its wells' types say]
    #[arg(long, value_name = "VALUES", help_heading = LABELS)]
    negative_control: Vec<ControlValues>,
    /// The same of wells with a treatment that is well known [default: as the data set has it, or what its wells' types say]
    #[arg(long, value_name = "VALUES", hide_short_help = true, help_heading = LABELS)]
    positive_control: Vec<ControlValues>,
    /// Column of that table with the dataset: train, val or validation, test; '' says that none tells it [default:
    /// dataset; without it all is train]
    #[arg(long, value_name = "COLUMN", hide_short_help = true, help_heading = LABELS)]
    split_column: Option<String>,
    /// A classes.csv that fixes which class each siRNA is
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = LABELS)]
    classes: Option<PathBuf>,
    /// A file of wells (HUVEC-06_1_B18, one a line) that really have fewer sites than others; RxRx1's four are known
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    known_partial: Option<PathBuf>,
    /// Channels of a site [default: as many as most sites have]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    channels: Option<usize>,
    /// Sites of every well, numbered from 1 [default: those that any well of its plate has]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    sites: Option<u16>,
    /// Only these experiments: HEPG2-01,HEPG2-02
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    experiments: Vec<String>,
    /// Only these plates, such as HEPG2-01/1 or HEPG2-01/Plate1 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "PLATES", hide_short_help = true)]
    plates: Vec<PlateId>,
}

/// The help of `--layout`: clap's own would list them in the short help, too.
fn about_layouts() -> String {
    let mut text = "How images are named [default: RxRx1's own layouts are recognised]\n\nPossible values:".to_owned();
    for value in layouts().possible_values().into_iter().flatten() {
        text += &format!("\n- {}: {}", value.get_name(), value.get_help().unwrap_or_default());
    }
    text
}

/// The names of layouts, each with what it is.
fn layouts() -> impl TypedValueParser<Value = Layout> {
    let own = [
        ("kaggle", "RxRx1 of Kaggle: {train,test}/EXPERIMENT/Plate1/B02_s1_w1.png and four CSVs"),
        ("rxrx.ai", "data sets of rxrx.ai: images/EXPERIMENT/Plate1/B02_s1_w1.png and metadata.csv"),
        ("ome-zarr", "a plate of OME-Zarr 0.4 or 0.5 (recognised by its document)"),
        ("rxrx1-zarr", "EXPERIMENT/Plate1/B02_s1.zarr, an array a site, as rxrx1-utils' images2zarr writes them"),
        ("zarr", "an array [site, channel, y, x] of Zarr whose rows --table tells (so recognised)"),
        ("bare", "EXPERIMENT/Plate1/B02_s1_w1.png anywhere, without CSVs"),
    ];
    let presets = Preset::all().iter().map(|preset| (preset.name(), preset.about()));
    let values = own.into_iter().chain(presets).map(|(name, about)| PossibleValue::new(name).help(about));
    PossibleValuesParser::new(values).map(|name| Layout::named(&name).expect("only names of layouts are taken"))
}

fn plane(text: &str) -> Result<Plane, crate::site::ParseError> {
    if text.is_empty() { Ok(Plane::default()) } else { text.parse() }
}

impl SourceArgs {
    /// The configuration of the tree at `root`.
    #[must_use]
    pub fn config(&self, root: &Path) -> SourceConfig {
        SourceConfig {
            root: root.to_owned(),
            layout: self.layout,
            pattern: self.pattern.clone(),
            plane: self.plane,
            level: self.level,
            table: self.table.clone(),
            takes_equal_rgb: self.grey,
            present_only: self.present,
            experiment: self.experiment.clone(),
            metadata: self.metadata.clone(),
            labels: self.labels(),
            without_labels: self.no_labels,
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
        let values = |given: &[ControlValues]| given.iter().flat_map(|ControlValues(values)| values).cloned().collect();
        LabelOptions {
            label_columns: self.label_column.iter().flat_map(|Columns(columns)| columns).cloned().collect(),
            negative_controls: values(&self.negative_control),
            positive_controls: values(&self.positive_control),
            split_column: self.split_column.clone(),
            on: self.on.clone(),
        }
    }

    /// Whether any flag was given.
    #[must_use]
    pub fn any(&self) -> bool {
        let paths = [&self.metadata, &self.classes, &self.known_partial, &self.table];
        self.layout.is_some()
            || self.pattern.is_some()
            || self.grey
            || self.present
            || self.no_labels
            || self.plane != Plane::default()
            || self.level.is_some()
            || self.experiment.is_some()
            || self.channels.is_some()
            || self.sites.is_some()
            || self.labels().given().is_some()
            || paths.iter().any(|path| path.is_some())
            || !self.experiments.is_empty()
            || !self.plates.is_empty()
    }
}

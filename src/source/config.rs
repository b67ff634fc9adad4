//! Which raw tree is meant, and what of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::site::{Experiment, PlateId};

use super::labels::LabelOptions;
use super::layout::Layout;
use super::listed::Plane;
use super::pattern::Pattern;
use super::tree::Unplaced;

/// What to look for, and where.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one a flag, each by itself")]
pub struct SourceConfig {
    /// The root of the tree, or of the store.
    pub root: PathBuf,
    /// The layout; recognised by itself where `None`.
    pub layout: Option<Layout>,
    /// What names of images are, where no layout has them.
    pub pattern: Option<Pattern>,
    /// Whether what tables name and is not there is only counted.
    pub present_only: bool,
    /// Whether images of RGB are taken for grey ones, where the three are equal.
    pub takes_equal_rgb: bool,
    /// The table that names images, a row a site.
    pub table: Option<PathBuf>,
    /// Which of several planes and times of a site is meant, where names are described.
    pub plane: Plane,
    /// The level of images that have several, from the largest, 0.
    pub level: Option<u16>,
    /// The experiment of plates of which names tell none.
    pub experiment: Option<Experiment>,
    /// Where the CSVs lie, if not in the root: a folder, or the table itself.
    pub metadata: Option<PathBuf>,
    /// How the columns of a table are to be read.
    pub labels: LabelOptions,
    /// Whether tables of labels that lie beside described images are left alone.
    pub without_labels: bool,
    /// A `classes.csv` that fixes the classes.
    pub classes: Option<PathBuf>,
    /// The classes of a store that is to grow, where no file fixes them.
    pub known_classes: Option<Classes>,
    /// Whether siRNAs that these do not have become classes behind their last.
    pub add_classes: bool,
    /// A file with further wells that are known to have fewer sites than others.
    pub known_partial: Option<PathBuf>,
    /// Channels of a site, 1 to 64; as many as most sites have where `None`.
    pub channels: Option<usize>,
    /// Sites of every well, 1 to this; those that any well of its plate has where `None`.
    pub sites: Option<u16>,
    /// Only these experiments; all where empty.
    pub experiments: Vec<String>,
    /// Only these plates; all where empty.
    pub plates: Vec<PlateId>,
}

impl SourceConfig {
    /// The experiment of plates of which nothing tells theirs.
    pub(super) fn experiment(&self) -> Experiment {
        let default = || "experiment".parse().expect("letters are a name");
        self.experiment.clone().unwrap_or_else(default)
    }

    /// Whether it says how images are to be looked at.
    #[must_use]
    pub fn tells_images(&self) -> bool {
        self.layout.is_some()
            || self.pattern.is_some()
            || self.table.is_some()
            || self.level.is_some()
            || self.plane != Plane::default()
    }

    /// Whether a plate was asked for.
    fn wants(&self, id: &PlateId) -> bool {
        let experiment = id.experiment.as_str();
        (self.experiments.is_empty() || self.experiments.iter().any(|e| e == experiment))
            && (self.plates.is_empty() || self.plates.contains(id))
    }

    /// Whether an image that no plate takes may belong to what was asked for: its plate tells, or its path.
    pub(super) fn is_of_interest(&self, image: &Unplaced) -> bool {
        // What a name that users describe would have told of its plate, nobody knows.
        if let Some(plate) = &image.plate {
            return self.wants(plate);
        }
        let is_described = self.pattern.is_some() || self.table.is_some();
        if is_described || self.layout.is_some_and(Layout::is_described) {
            return true;
        }
        let of_plates = self.plates.iter().map(|plate| plate.experiment.as_str());
        let mut wanted = self.experiments.iter().map(String::as_str).chain(of_plates).peekable();
        wanted.peek().is_none() || wanted.any(|experiment| image.path.split('/').any(|part| part == experiment))
    }

    /// Of the plates that are there, those that were asked for.
    ///
    /// # Errors
    /// If an experiment or a plate that was asked for is not there: a filter that names nothing is a slip of the pen,
    /// and would pack too little without a word.
    pub fn select(&self, ids: &BTreeSet<&PlateId>) -> Result<Vec<PlateId>> {
        let unknown = |experiment: &&String| !ids.iter().any(|id| id.experiment.as_str() == experiment.as_str());
        if let Some(experiment) = self.experiments.iter().find(unknown) {
            let mut names: Vec<&str> = ids.iter().map(|id| id.experiment.as_str()).collect();
            names.dedup();
            return Err(Error::refused("--experiments", format!("some of {}", names.join(",")), experiment));
        }
        if let Some(plate) = self.plates.iter().find(|plate| !ids.contains(plate)) {
            return Err(Error::refused("--plates", "plates of the source, such as HEPG2-08/Plate1", plate));
        }
        Ok(ids.iter().copied().filter(|id| self.wants(id)).cloned().collect())
    }
}

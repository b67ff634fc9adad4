//! Where the tables of a tree are looked for, and how they are to be read.

use std::path::Path;

use crate::site::Experiment;
use crate::source::layout::Layout;

use super::options::LabelOptions;

/// Where tables are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// The layout of the tree.
    pub layout: Layout,
    /// Its root.
    pub root: &'a Path,
    /// The folder of the CSVs, or the table itself, where it is named.
    pub metadata: Option<&'a Path>,
    /// The experiment of rows that tell none.
    pub experiment: &'a Experiment,
    /// How the columns of a table are to be read.
    pub options: &'a LabelOptions,
    /// Whether rows of a well are its sites, in their order, where no column numbers them.
    pub counts_sites: bool,
}

//! Finding the sites of a source of Zarr, by what it is.

use crate::error::{Error, Result};
use crate::source::config::SourceConfig;
use crate::source::layout::Layout;

use super::found::ZarrScan;
use super::group::Node;
use super::{plate, table, tree};

/// Finds the sites of a source that is laid out as `layout` says.
///
/// # Errors
/// If it is not, or what it is cannot be read.
pub(crate) fn scan(config: &SourceConfig, layout: Layout) -> Result<ZarrScan> {
    if !cfg!(feature = "zarr") {
        return Err(Error::refused(config.root.display(), "no Zarr, as this build is without the feature zarr", "it"));
    }
    match (layout, Node::of(&config.root)?) {
        (Layout::OmeZarr, Some(Node::Plate(version))) => plate::scan(config, version),
        (Layout::RxRx1Zarr, None | Some(Node::Group)) => tree::scan(&config.root),
        (Layout::Zarr, Some(Node::Array(version))) => match &config.table {
            Some(table) => table::scan(config, table, version),
            None => Err(Error::refused("--layout zarr", "--table FILE.csv, a row a site", "none")),
        },
        (layout, found) => {
            let expected = format!("what the {} layout has", layout.name());
            Err(Error::refused(config.root.display(), expected, Node::shown(found.as_ref())))
        }
    }
}

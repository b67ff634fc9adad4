//! The rows of a table as sites: of which plate, well and site each is, whatever its columns are called.

use std::path::Path;
use std::rc::Rc;

use crate::csv_table::{AnyRow, Header, Rows};
use crate::error::Result;
use crate::files;
use crate::site::{Experiment, Names, PlateId, Well, WellId};

use super::labels::{At, Keys, RowKey, SiteCounter};

/// The rows of a table of sites, one after the other.
pub(super) struct SiteRows<'t> {
    rows: Rows<'t, AnyRow>,
    keys: Keys,
    /// That of rows that tell none.
    experiment: Experiment,
    file: Rc<str>,
    counted: SiteCounter,
    names: Names,
}

/// A row: a site, and where it is told.
pub(super) struct SiteRow {
    pub(super) at: At,
    pub(super) plate: PlateId,
    pub(super) well: Well,
    pub(super) site: u16,
}

impl<'t> SiteRows<'t> {
    /// Opens a table; `place` names it in errors.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn open(table: &Path, place: &'t str, keys: Keys, experiment: Experiment) -> Result<Self> {
        let rows = Rows::read(files::open(table)?, place, Header::AmongOthers { optional: &[], alike: &[] })?;
        Ok(Self {
            rows,
            keys,
            experiment,
            file: place.into(),
            counted: SiteCounter::default(),
            names: Names::default(),
        })
    }

    /// The next site. Where no column tells them, the rows of a well are its sites, in their order.
    pub(super) fn next_site(&mut self) -> Option<Result<SiteRow>> {
        let row = self.rows.next()?;
        Some(row.and_then(|(line, AnyRow {})| self.read(At { file: Rc::clone(&self.file), line })))
    }

    fn read(&mut self, at: At) -> Result<SiteRow> {
        let RowKey { experiment, plate, well, site } = self.keys.read(|i| self.rows.cell(i), &at)?;
        let mut plate = PlateId { experiment: experiment.unwrap_or_else(|| self.experiment.clone()), plate };
        plate.share(&mut self.names);
        let site = match site {
            Some(site) => site,
            None => self.counted.next(&WellId { plate: plate.clone(), well }, &at)?,
        };
        Ok(SiteRow { at, plate, well, site })
    }

    /// A cell of the row read last, without white space around it.
    pub(super) fn cell(&self, column: usize) -> &str {
        self.rows.cell(column).trim()
    }

    /// What is no fault but worth a look.
    pub(super) fn unusual(&self) -> Option<String> {
        let file = &self.file;
        let is_counted = self.keys.site.is_none();
        is_counted.then(|| format!("{file} has no column of the site: the rows of a well are counted"))
    }
}

//! How a site is written for people: `HEPG2-08/1/B02/1`.

use crate::site::{PlateId, SiteId, WellId};

/// The one spelling of a site: experiment, plate, well, site.
#[must_use]
pub fn place(site: &SiteId) -> String {
    format!("{}/{}", well_place(&site.well), site.site)
}

/// The same of a well.
#[must_use]
pub fn well_place(well: &WellId) -> String {
    format!("{}/{}", plate_place(&well.plate), well.well)
}

/// The same of a plate.
#[must_use]
pub fn plate_place(plate: &PlateId) -> String {
    format!("{}/{}", plate.experiment, plate.plate.as_str())
}

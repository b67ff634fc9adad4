//! The images of a tree against the sites of a store that was packed from it, where a description of names, a table or
//! documents tell what images are: the same files may be told to be others now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::fault::FaultKind;
use crate::site::{PlateId, SiteId, Well};
use crate::source::{PlatePlan, SitePlan, Source, SourceConfig};
use crate::store::format::checksum::crc32c;
use crate::store::format::names::{REJECTED, SITES, SOURCES, is_named_by};
use crate::store::format::rows::{Rejected, SiteRow};
use crate::store::read::listing::{read_list, read_rows};

use super::report::{Finding, Kind, told_in_full};

/// What is found beside the files that a store was packed from: images that it does not have, and sites that are told to
/// be other images now. `None` where paths tell what images are. `findings` are those of the files.
///
/// # Errors
/// If the store's listings cannot be read, or the system cannot tell.
pub(super) fn changed_images(
    config: &SourceConfig,
    store: &Path,
    plates: &[PlateId],
    findings: &[Finding],
) -> Result<Option<Vec<Finding>>> {
    let source = match Source::open_told(config) {
        Ok(Some(source)) => source,
        Err(error) if error.is_of_the_system() => return Err(error),
        untold => return is_untold(store, plates, untold.err()),
    };
    let damaged: HashSet<&str> =
        findings.iter().filter(|finding| finding.kind.is_damage()).map(|finding| finding.path.as_str()).collect();
    let plans: HashMap<&PlateId, &PlatePlan> = source.plates.iter().map(|plate| (&plate.id, plate)).collect();
    let mut found = Vec::new();
    for id in plates {
        let rows = read_rows::<SiteRow>(store, id, SITES)?;
        let is_damaged = read_list(store, id, SOURCES)?.iter().any(|image| damaged.contains(image.path.as_str()));
        match plans.get(id) {
            Some(plan) => {
                found.extend(new_images(&source, plan, &rows, &read_rows::<Rejected>(store, id, REJECTED)?));
                found.extend(other_images(&source, plan, rows, is_damaged)?);
            }
            None if rows.is_empty() || is_damaged => {}
            None => found.push(finding(id, "images that are told to be of this plate, found none", rows)),
        }
    }
    Ok(Some(found))
}

/// The finding of a store whose plates are not named by the paths of their images, where nothing else tells them.
fn is_untold(store: &Path, plates: &[PlateId], why: Option<Error>) -> Result<Option<Vec<Finding>>> {
    for id in plates {
        let images = read_list(store, id, SOURCES)?;
        if let Some(image) = images.iter().find(|image| !is_named_by(&image.path, id)) {
            let why = why.map(|error| format!(": {}", told_in_full(&error))).unwrap_or_default();
            let expected = format!("--layout, --pattern or --table as {id} was packed with");
            let detail = format!("expected {expected}, found no word of what {} is{why}", image.path);
            return Ok(Some(vec![Finding::new(Kind::Contradiction, "images", detail)]));
        }
    }
    Ok(None)
}

/// Images of sites that the store neither has nor left out.
fn new_images(source: &Source, plan: &PlatePlan, rows: &[SiteRow], rejected: &[Rejected]) -> Vec<Finding> {
    let packed = rows.iter().map(|row| (row.id.well.well, Some(row.id.site)));
    let known: HashSet<(Well, Option<u16>)> = packed.chain(rejected.iter().map(|row| (row.well, row.site))).collect();
    let is_new = |well: Well, site: Option<u16>| !known.contains(&(well, site)) && !known.contains(&(well, None));
    let extra = |path: &str, well: Well, site: u16| {
        Finding::new(Kind::Extra, path, format!("not named before: well {well}, site {site} of {}", plan.id))
    };
    let mut found = Vec::new();
    for site in plan.sites.iter().filter(|site| is_new(site.well, Some(site.site))) {
        let images = source.image_files(plan, site);
        found.extend(images.iter().map(|(path, _)| extra(path, site.well, site.site)));
    }
    // Images that packing would refuse.
    let kinds = [FaultKind::NoRow, FaultKind::ExtraSite, FaultKind::ExtraChannel];
    for fault in plan.faults.iter().filter(|fault| kinds.contains(&fault.kind)) {
        if let (Some(well), Some(site)) = (fault.well, fault.site)
            && is_new(well, Some(site))
        {
            found.push(extra(&format!("{}/{well}_s{site}", plan.id), well, site));
        }
    }
    found
}

/// Sites whose images are not the pixels that were packed. Of a plate with damaged files, of which that is said already,
/// only those that can be decoded.
fn other_images(source: &Source, plan: &PlatePlan, rows: Vec<SiteRow>, is_damaged: bool) -> Result<Option<Finding>> {
    let sites: BTreeMap<(Well, u16), &SitePlan> =
        plan.sites.iter().map(|site| ((site.well, site.site), site)).collect();
    let looked_at = rows.into_par_iter().map_init(
        || source.reader(),
        |reader, row| {
            let Some(site) = sites.get(&(row.id.well.well, row.id.site)) else {
                return Ok((!is_damaged).then(|| ("none".to_owned(), row)));
            };
            let (pixels, faults) = reader.read(plan, site)?;
            let found = match faults.first() {
                Some(_) if is_damaged => return Ok(None),
                Some(fault) => fault.to_string(),
                None if crc32c(pixels) == row.crc32c => return Ok(None),
                None => plan.file(site, 0),
            };
            Ok(Some((found, row)))
        },
    );
    let changed: Vec<(String, SiteRow)> = looked_at.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let Some((found, first)) = changed.first() else { return Ok(None) };
    let n = changed.len();
    let detail = format!("images of the pixels that were packed of {n} sites, found for {}: {found}", first.id);
    Ok(Some(finding(&plan.id, &detail, changed.into_iter().map(|(_, row)| row).collect())))
}

fn finding(plate: &PlateId, expected: &str, rows: Vec<SiteRow>) -> Finding {
    let sites: Vec<SiteId> = rows.into_iter().map(|row| row.id).collect();
    let finding = Finding::new(Kind::Contradiction, &plate.to_string(), format!("expected {expected}"));
    Finding { sites, ..finding }
}

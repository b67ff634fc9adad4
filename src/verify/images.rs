//! The images of a tree against the sites of a store that was packed from it, where a description of names, a table or
//! documents tell what images are: the same files may be told to be others now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result, unless_damaged};
use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::site::{Dtype, ImageSize, PlateId, SiteId, Well};
use crate::source::{PlatePlan, SitePlan, Source, SourceConfig, sample};
use crate::store::StoreSpec;
use crate::store::format::checksum::crc32c;
use crate::store::format::names::{PIXELS, REJECTED, SITES, SOURCES, ZARR_JSON, is_named_by};
use crate::store::format::rows::{Rejected, SiteRow};
use crate::store::read::listing::{read_list, read_rows};
use crate::words::plural;

use super::report::{Finding, Kind, told_in_full};

/// What is found beside the files that a store was packed from.
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    /// Whether that has the images that are new, whatever their names.
    pub(super) tells_new: bool,
}

/// Compares what images are told to be with the sites of these plates of a store. `findings` are those of the files.
///
/// # Errors
/// If the store's listings cannot be read, or the system cannot tell.
pub(super) fn changed_images(
    config: &SourceConfig,
    store: &Path,
    plates: &[PlateId],
    findings: &[Finding],
) -> Result<Found> {
    let source = match Source::open(config) {
        Ok(source) => source,
        Err(error) if error.is_of_the_system() => return Err(error),
        Err(error) => return unopened(config, store, plates, &error),
    };
    let is_told = source.layout.is_described();
    let mut found = Vec::new();
    if !is_told && let Some(untold) = untold(store, plates, None)? {
        return Ok(Found { findings: vec![untold], tells_new: false });
    }
    if let Some(finding) = other_shape(&source, store)? {
        return Ok(Found { findings: vec![finding], tells_new: false });
    }
    let damaged: HashSet<&str> =
        findings.iter().filter(|finding| finding.kind.is_damage()).map(|finding| finding.path.as_str()).collect();
    let plans: HashMap<&PlateId, &PlatePlan> = source.plates.iter().map(|plate| (&plate.id, plate)).collect();
    for id in plates {
        let rows = read_rows::<SiteRow>(store, id, SITES)?;
        let plan = plans.get(id);
        if !is_told {
            // Their paths tell what images are; only what they were told when they were packed can differ.
            let some: Vec<SiteRow> = sample(&rows).into_iter().cloned().collect();
            found.extend(plan.map(|plan| other_images(&source, plan, some, true)).transpose()?.flatten());
            continue;
        }
        let is_damaged = read_list(store, id, SOURCES)?.iter().any(|image| damaged.contains(image.path.as_str()));
        match plan {
            Some(plan) => {
                found.extend(new_images(&source, plan, &rows, &read_rows::<Rejected>(store, id, REJECTED)?));
                found.extend(other_images(&source, plan, rows, is_damaged)?);
            }
            None if rows.is_empty() || is_damaged => {}
            None => found.push(finding(id, "images that are told to be of this plate, found none", rows)),
        }
    }
    if is_told {
        let is_of_store = |fault: &&Fault| fault.plate.as_ref().is_none_or(|plate| plates.contains(plate));
        let unplaced = source.unplaced.iter().filter(is_of_store);
        found.extend(unplaced.map(|fault| Finding::new(Kind::Extra, &fault.file, fault.detail.clone())));
    }
    Ok(Found { findings: found, tells_new: is_told })
}

/// What is to be said where a tree cannot be looked at by these flags: nothing, where none was given and the paths of the
/// images name the plates.
fn unopened(config: &SourceConfig, store: &Path, plates: &[PlateId], error: &Error) -> Result<Found> {
    let finding = if config.tells_images() {
        Some(Finding::new(Kind::Contradiction, "images", told_in_full(error)))
    } else {
        untold(store, plates, Some(error))?
    };
    Ok(Found { findings: finding.into_iter().collect(), tells_new: false })
}

/// The finding of a store whose plates are not named by the paths of their images, where nothing else tells them.
fn untold(store: &Path, plates: &[PlateId], why: Option<&Error>) -> Result<Option<Finding>> {
    for id in plates {
        let images = read_list(store, id, SOURCES)?;
        if let Some(image) = images.iter().find(|image| !is_named_by(&image.path, id)) {
            let why = why.map(|error| format!(": {}", told_in_full(error))).unwrap_or_default();
            let expected = format!("--layout, --pattern or --table as {id} was packed with");
            let detail = format!("expected {expected}, found no word of what {} is{why}", image.path);
            return Ok(Some(Finding::new(Kind::Contradiction, "images", detail)));
        }
    }
    Ok(None)
}

/// The finding of a tree whose sites are of other channels, size or type than those of the store.
fn other_shape(source: &Source, store: &Path) -> Result<Option<Finding>> {
    let path = store.join(PIXELS).join(ZARR_JSON);
    let Some(document) = unless_damaged(files::read_document(&path))? else { return Ok(None) };
    let Some(spec) = unless_damaged(StoreSpec::parse_root(&document, &path.display().to_string()))? else {
        return Ok(None);
    };
    let show = |names: &[String], size: ImageSize, dtype: Dtype| {
        format!("{} channels ({}) of {} x {} pixels, {}", names.len(), names.join(", "), size.height, size.width, dtype)
    };
    let names: Vec<String> = spec.channels.iter().map(|channel| channel.name.clone()).collect();
    let found = source.channel_names();
    let is_other = names.len() != source.n_channels || spec.size != source.size || spec.dtype != source.dtype;
    // Channels may have been named by the user; the same names in another order mean other channels.
    let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
    let is_exchanged = names != found && sorted(&names) == sorted(&found);
    let [expected, found] = [show(&names, spec.size, spec.dtype), show(&found, source.size, source.dtype)];
    let detail = format!("expected {expected}, found {found}");
    Ok((is_other || is_exchanged).then(|| Finding::new(Kind::Contradiction, "images", detail)))
}

/// Images of sites that the store neither has nor left out.
fn new_images(source: &Source, plan: &PlatePlan, rows: &[SiteRow], rejected: &[Rejected]) -> Vec<Finding> {
    let packed = rows.iter().map(|row| (row.id.well.well, Some(row.id.site)));
    let known: HashSet<(Well, Option<u16>)> = packed.chain(rejected.iter().map(|row| (row.well, row.site))).collect();
    let is_new = |well: Well, site: Option<u16>| !known.contains(&(well, site)) && !known.contains(&(well, None));
    let extra = |path: &str, well: Well, site: u16| {
        Finding::new(Kind::Extra, path, format!("not named before: site {}", plan.id.site(well, site)))
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
            found.push(extra(&plan.id.site(well, site), well, site));
        }
    }
    found
}

/// Sites whose images are not the pixels that were packed; `only_decoded` of those that can be decoded, where damage is
/// said already.
fn other_images(source: &Source, plan: &PlatePlan, rows: Vec<SiteRow>, only_decoded: bool) -> Result<Option<Finding>> {
    let sites: BTreeMap<(Well, u16), &SitePlan> =
        plan.sites.iter().map(|site| ((site.well, site.site), site)).collect();
    let looked_at = rows.into_par_iter().map_init(
        || source.reader(),
        |reader, row| {
            let Some(site) = sites.get(&(row.id.well.well, row.id.site)) else {
                return Ok((!only_decoded).then(|| ("none".to_owned(), row)));
            };
            let (pixels, faults) = reader.read(plan, site)?;
            let found = match faults.first() {
                Some(_) if only_decoded => return Ok(None),
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
    let detail = format!(
        "images of the pixels that were packed of {}, found for {}: {found}",
        plural(n as u64, "site"),
        first.id.shown()
    );
    Ok(Some(finding(&plan.id, &detail, changed.into_iter().map(|(_, row)| row).collect())))
}

fn finding(plate: &PlateId, expected: &str, rows: Vec<SiteRow>) -> Finding {
    let sites: Vec<SiteId> = rows.into_iter().map(|row| row.id).collect();
    let finding = Finding::new(Kind::Contradiction, &plate.to_string(), format!("expected {expected}"));
    Finding { sites, ..finding }
}
